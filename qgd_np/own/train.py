"""Algorithm 3 on problems of one's own: a Controller is trained, saved and loaded again."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np

from .. import __version__, config, files
from ..algorithms import plain_steps_alpha, q_gradient_descent_alpha, q_learning_alpha
from ..environment import TINY
from ..fast.function import LineFunction
from ..lab.comparison import controller_path, controller_tree, load_controller
from ..lab.training import Task, Training
from ..objective import Function


class Controller:
    """A DQN trained to control the learning rate; `train` and `load` make one.

    Q: the DQN; p: the config it was trained with; alpha_c: the learning rate it was trained with,
    None if each problem had another; log: of the training, ready to plot: {td_loss, return,
    epsilon, q_mean, diverged_at, ...: (episodes,); objective, alpha, action, reward: (episodes, T)}
    """

    def __init__(self, Q, p, alpha_c=None, log=None):
        self.Q, self.p, self.alpha_c, self.log = Q, p, alpha_c, log or {}

    def save(self, path):
        """Write a file for `load` and for --controller. FileError if that cannot be."""
        tree = {"kind": "controller", "task": "lr", "version": __version__, "train": self.log}
        tree |= {"config": json.dumps(vars(self.p)), "alpha_c": self.alpha_c or 0.0}
        files.write(path, tree | {"dqn": controller_tree("lr", self.Q, self.p)})


def load(name):
    """Return the Controller of a file, or a shipped one by its name, as "anywhere" or "lr".

    One that learned on images was asked late; on other problems it is asked from step 1 (D35).
    """
    tree, p = files.read(controller_path(name)), config.make("lr")
    Q, p = load_controller("lr", name, p, {} if "alpha_c" in tree else {"first": 1})
    return Controller(Q, p, tree.get("alpha_c") or None, tree.get("train"))


class Problems:
    """Problems whose turn it is one after the other, each with a config of its own (D35).

    In it alpha_c is the problem's, and the reward looks at f in units of what the shipped
    controller reaches from x_1, so that f_lb and gap mean the same on each.
    """

    def __init__(self, problems, alpha_c, changes):
        pairs = [problems] if isinstance(problems, tuple) else list(problems)
        changes = changes if alpha_c is None else changes | {"alpha_c": alpha_c}
        self.p = replace(config.make("lr", {"f_lb": 0.0}, changes), starts=len(pairs))
        self.errors, self.all = {"test": lambda x: math.nan}, []
        for k, (f, x_1) in enumerate(pairs, 1):
            if type(f) is Function:
                f = LineFunction(f.f, f.df)
            x_1 = f.point(getattr(x_1, "x", x_1))
            if not 0 < f(x_1) < math.inf:
                raise config.ConfigError(f"problem {k}: f(x_1) = {f(x_1)}; add a constant to f "
                                         "that makes it positive, or start elsewhere")  # fmt: skip
            limit, rates = math.inf, [self.p.alpha_c]
            if alpha_c is None and isinstance(f, LineFunction):
                limit, rates = f(x_1), f.starting_rate(x_1) / 2.0 ** np.arange(20)
            self.all.append((f, *self._prepared(f, x_1, rates, limit, k)))
        self.episode(0)

    def _prepared(self, f, x_1, rates, limit, k):
        """x_1 and the config of problem k: the first rate whose plain steps end below the limit."""
        look = lambda t, x, *rest, **more: f(x)  # noqa: E731
        for alpha_c in rates:
            x_1, p = f.point(x_1.x), replace(self.p, alpha_c=float(alpha_c))
            x, _, _, t = plain_steps_alpha(f, x_1, p, p.asked_from(p.M), look)
            if math.isfinite(f(x)) and f(x) <= limit:
                break
        else:
            said = f"f leaves the finite numbers within {t - 1} plain steps"
            raise config.ConfigError(f"alpha_c={p.alpha_c:.3g}: problem {k}: {said}; give a smaller"
                                     " one, or an earlier first asked step, first=1")  # fmt: skip
        Q, shipped = load_controller("lr", "lr", p, {"first": 1})
        unit = max(f(q_gradient_descent_alpha(f, x_1, Q, shipped, look)), TINY)
        units = {name: unit * getattr(p, name) for name in ("c1", "c2", "f_lb", "gap")}
        return x_1, replace(p, **units)

    def episode(self, e):
        """The f, x_1 and config of episode e; f is the present one from here on."""
        self.f, x_1, p = self.all[e % len(self.all)]
        return self.f, x_1, p

    def iterate(self, seed, stream, k=0):
        """The x_1 of problem k."""
        return self.all[k][1]


def learn(problems, x_1, *rest):
    """Algorithm 3 on each problem in turn, an episode at a time."""
    return q_learning_alpha(problems.episode, *rest)


def apply(problems, x_1, Q, p, log):
    """Algorithm 1 on the present problem."""
    f, _, own = problems.episode(0)
    return q_gradient_descent_alpha(f, x_1, Q, own, log)


TASK = Task("lr", "alpha", __doc__, learn, apply, {}, (), {})


def train(problems, alpha_c=None, progress=True, **changes):
    """Train a DQN by Algorithm 3 on problems of one's own; return the Controller.

    problems: a pair (f, x_1) or a list of them, which take turns. f: a qgd_np.Function, or an
    Objective; x_1 (P,). f must be positive. alpha_c: the learning rate after an accept, for all;
    left out, each problem has its own, just stable near its x_1, or less where f would rise (D35).
    progress: show a bar.

    changes: what else is in config.Config, by name: episodes=200, steps=100, seed=0, first=0.8,
    gamma=..., help(qgd_np.config.Config). f_lb, 0 here, and gap are in units of what the shipped
    controller reaches. ConfigError for what cannot be, also where the plain steps diverge.
    """
    from tqdm import tqdm

    problems = Problems(problems, alpha_c, changes)
    p, training = problems.p, Training(TASK, problems, problems.p)
    bar = tqdm(training.episodes(), "training", p.episodes, disable=not progress)
    for row in bar:
        bar.set_postfix_str("loss {td_loss:.1e}, return {return:.2f}".format(**row), False)
    log = training.log()
    del log["test_accuracy"]
    diverged = int((log["diverged_at"][-(-p.episodes // 4) :] > 0).sum())
    if diverged:
        text = f"f diverged in {diverged} of the last quarter's episodes: try a smaller alpha_c"
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    rates = {own.alpha_c for _, _, own in problems.all}
    return Controller(training.Q, p, rates.pop() if len(rates) == 1 else None, log)
