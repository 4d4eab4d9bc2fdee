"""What the core tests share: small problems, scripted controllers and parameters."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import call, copied, environment, folder, signals, small, straight  # noqa: F401

from qgd_np import config
from qgd_np.fast.objective import ErrorRate, Objective
from qgd_np.mlp import MLP


@pytest.fixture
def problem():
    """Return make(...) -> (net, images, labels, f, h, x_1): a small objective net on noise."""

    def make(n=60, hidden=(5,), dtype=np.float32, loss="softmax", seed=0, pixels=7, classes=3):
        rng = np.random.default_rng(seed)
        net = MLP((pixels, *hidden, classes))
        images = rng.standard_normal((n, pixels)).astype(dtype)
        labels = rng.integers(classes, size=n)
        f, h = Objective(net, images, labels, loss), ErrorRate(net, images, labels)
        x_1 = f.point(net.initialise(rng, dtype))
        return SimpleNamespace(net=net, images=images, labels=labels, f=f, h=h, x_1=x_1)

    return make


@pytest.fixture
def parameters():
    """Return make(task, **changes) -> the parameters of a run; any value, also one out of range."""
    return lambda task="lr", **changes: SimpleNamespace(**vars(config.make(task)) | changes)


class Scripted:
    """A controller that takes the actions it was given and remembers the states it saw."""

    def __init__(self, actions):
        self.actions, self.states, self.epsilons = list(actions), [], []
        self.updates = self.episodes = 0

    def greedy(self, s):
        self.states.append(s)
        return self.actions[len(self.states) - 1]

    def act(self, s, epsilon, rng):
        self.epsilons.append(epsilon)
        return self.greedy(s)

    def draw_exploration(self, rng):
        self.episodes += 1

    def label_now(self, r, s_next, end):
        return 10 * r

    def update(self, memory, rows):
        self.updates += 1
        return float(self.updates)


@pytest.fixture
def scripted():
    return Scripted
