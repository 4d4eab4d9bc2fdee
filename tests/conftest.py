"""What the core tests share: a small objective net on noise, and the parameters of a run."""

from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import call, copied, environment, folder, signals, small, straight  # noqa: F401

from qgd_np import backend, config, objective
from qgd_np.fast.objective import ErrorRate, Objective
from qgd_np.mlp import MLP


@pytest.fixture
def problem():
    """Return make(...) -> a small net: f and h along the line, plain_f and plain_h, x_1."""

    def make(device="cpu", n=60, hidden=(5,), dtype=np.float32, loss="softmax", seed=0, pixels=7):
        rng, net = np.random.default_rng(seed), MLP((pixels, *hidden, 3))
        images, labels = rng.standard_normal((n, pixels)).astype(dtype), rng.integers(3, size=n)
        put = backend.to_device(images, device), backend.to_device(labels, device)
        f = Objective(net, *put, loss)
        return SimpleNamespace(
            net=net, images=images, labels=labels, f=f, h=ErrorRate(net, *put, put[0]),
            plain_f=objective.Objective(net, images, labels, loss),
            plain_h=objective.ErrorRate(net, images, labels),
            x_1=f.point(net.initialise(rng, dtype)),
        )  # fmt: skip

    return make


@pytest.fixture
def parameters():
    """Return make(task, **changes) -> the parameters of a run; any value, also one out of range."""
    return lambda task="lr", **changes: config.Config(**vars(config.make(task)) | changes)
