"""From a config to a trained DQN: the task, the problem, the log of an episode, the training.

Random streams, all from the one root seed: theta_0, exploration, replay, the x_1 of each episode,
and the held-out states. The unseen iterates of the comparison have seeds of their own.
"""

import functools
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ..backend import to_device
from ..dqn import DQN, Memory
from ..environment import ACCEPT, FEATURES
from ..environment import ACTIONS as SINGLE
from ..fast.objective import ErrorRate, Objective
from ..mlp import MLP
from .device import free_staging

THETA, EXPLORATION, REPLAY, START, HELD_OUT = range(5)  # the streams
COMMANDS = {"lr": "run_lr.py", "reg": "run_reg.py", "joint": "run_reg.py --joint"}
BOTH = tuple(f"{a} {turn}" for turn in ("down", "keep", "up") for a in SINGLE["lr"])  # D48
ACTIONS = SINGLE | {"joint": BOTH}
SEEN = {"lr": FEATURES, "reg": FEATURES, "joint": (*FEATURES, "coefficient")}  # D49
STEPS = (  # of the episodes of which more is saved: arrays and numbers of their logs
    ("state", "q", "explored", "td_loss", "measure"),
    ("objective_1", "objective_last", "measure_end"),
)


@dataclass(frozen=True)
class Task:
    """What run_lr.py and run_reg.py differ in."""

    name: str  # "lr", "reg" or "joint"
    value: str  # what is adjusted, "alpha" or "lambda"; "joint" adjusts both
    about: str  # the text of --help
    learn: Callable  # (problem, x_1, Q, theta_0, memory, p, logs, first): Algorithm 3 or 4
    apply: Callable  # (problem, x_1, Q, p, log) -> x*: Algorithm 1 or 2
    policies: dict  # {name: function(problem, x_1, p, log) -> x*} to compare with
    default: tuple  # their names without --policies
    lines: dict  # {action: its printed line in `apply` and in `learn`}
    dqn: type = DQN
    problem: Callable = None  # (data, p, device): what stands for Problem, below
    load: Callable = None  # (source, train_size, validation_size) -> Dataset
    table: Callable = None  # (tree of a run, names of policies) -> text; None: report.table
    other: dict = field(default_factory=dict)  # {p.problems: what is other there, by name}
    joint: "Task" = None  # what --joint makes of it


def accepts(a):
    """Whether an action accepts, of an array of them, too; -1 is none, and of six each other."""
    return (a > 0) & (a % 2 == ACCEPT)


class Problem:
    """The objective net on a data set: f, the error rates by name, and initial iterates."""

    def __init__(self, data, config, device="cpu"):
        self.net = MLP((data.train_images.shape[1], *config.hidden, 10))
        self.dtype = data.train_images.dtype
        images, labels = (to_device(a, device) for a in (data.train_images, data.train_labels))
        self.f = Objective(self.net, images, labels, config.loss)
        parts = {"test": (data.test_images, data.test_labels)}
        if len(data.validation_images):
            parts["validation"] = data.validation_images, data.validation_labels
            parts["train"] = data.train_images, data.train_labels
        self.errors = {}
        for name, part in parts.items():
            images, labels = (to_device(a, device) for a in part)
            self.errors[name] = ErrorRate(self.net, images, labels, basis=self.f.layer.images)
        free_staging(device)

    def iterate(self, *seed):
        """The initial iterate x_1 of a seed (D5)."""
        return self.f.point(self.net.initialise(np.random.default_rng(seed), self.dtype))

    def measure(self, p):
        """What the reward of Algorithm 4 looks at: the validation error h, or g (D14)."""
        return self.errors.get("validation", self.f) if p.reward == "error" else self.f


def initial_iterates(problem, p):
    """x_1 as a function of the training episode: p.starts of them in turn, 0: always new (D21)."""
    start = functools.lru_cache(p.starts or 1)(lambda k: problem.iterate(p.seed, START, k))
    return lambda e: start(e % p.starts if p.starts else e)


class Log:
    """What happened in one episode, step by step: the `log` of the four algorithms.

    objective f(x_{t+1}), value (alpha_{t+1} or lambda_{t+1}), reward, td_loss, error[name]: (T,);
    action: (T,) int8; state (T, 6) and q (T, k): s_t and Q(s_t) before the update; explored: (T,)
    bool; measure: what the reward looked at, by the printed lines at x_{t+1} or xbar. NaN, or the
    action -1, where a step was not reached or the DQN not asked. objective_1: f(x_1);
    objective_last: f(x_{T+1}), measure_end: the measure at x* (D10, D28); diverged_at: the step
    whose f was not finite (D23), 0: none; gradients: how many.

    f(x, value): the objective to be logged; errors: {name: ErrorRate} evaluated at every step;
    trace(log, t): called after each step at which Q was asked; m(x, value): of Algorithms 3 and 4.
    """

    def __init__(self, f, x_1, Q, p, errors=None, trace=None, e=0, m=None, features=6):
        self.started = time.perf_counter()
        self.f, self.Q, self.p, self.errors, self.trace, self.e = f, Q, p, errors or {}, trace, e
        self.m = m
        T, k = p.steps, len(getattr(Q, "values", ()))
        self.objective, self.value, self.alpha, self.measure = np.full((4, T), np.nan)
        self.reward, self.td_loss = np.full((2, T), np.nan)
        self.action, self.explored = np.full(T, -1, np.int8), np.zeros(T, bool)
        self.state, self.q = np.full((T, features), np.nan), np.full((T, k), np.nan)
        self.error = {name: np.full(T, np.nan) for name in self.errors}
        self.objective_1, self.diverged_at = f(x_1, 0.0), 0

    def __call__(self, t, x, value, a, r=math.nan, loss=math.nan, s=None, alpha=math.nan):
        """Keep step t: x_{t+1}, alpha_{t+1} or lambda_{t+1}, a_t, r_{t+1}, the TD loss, s_t.

        alpha: alpha_{t+1}, where both are adjusted.
        """
        i, self.last = t - 1, x
        self.alpha[i] = alpha
        self.value[i], self.action[i], self.reward[i], self.td_loss[i] = value, a, r, loss
        self._look(i, x)
        self.diverged_at = self.diverged_at if math.isfinite(self.objective[i]) else t
        if s is not None:
            self.state[i] = s
            if self.q.shape[1]:
                self.q[i], self.explored[i] = self.Q.values, self.Q.explored
            if self.m:
                self.measure[i] = self._measured(i, x.base if accepts(a) else x)
            if self.trace:
                self.trace(self, t)

    def _look(self, i, x):
        self.objective[i] = self.f(x, self.value[i])
        if math.isfinite(self.objective[i]):  # a net of NaN would still name a class
            for name, error in self.errors.items():
                self.error[name][i] = error(x)

    def _measured(self, i, x):
        """The reward has looked there, so the number is known to x and nothing is evaluated."""
        return self.m(x, self.value[i - 1] if i else self.p.lambda_c)

    def close(self, x):
        """The episode has returned x: the last step shows it (D10)."""
        if self.trace and x is not self.last:
            print("D10: another candidate than the last is returned")
        self.x, self.seconds = x, time.perf_counter() - self.started
        first = int(np.argmax(~np.isnan(self.state[:, 0])))  # where d(xbar) was taken before a step
        self.gradients = int(accepts(self.action).sum() + ~accepts(self.action[first]))
        self.objective_last, self.measure_end = self.objective[-1], math.nan
        if not self.diverged_at or self.p.returns == "lowest":  # what is finite
            self._look(-1, x)
            self.measure_end = self._measured(len(self.value) - 1, x) if self.m else math.nan
        return self


class Training:
    """A DQN in training by Algorithm 3 or 4, with everything that is needed to go on from it.

    rows: for each episode that is behind it, {name: value} of what /train of the run file holds;
    steps: {episode: more of each of its steps}, of episodes 1, 2, 4, 8, ... and of the last.
    """

    def __init__(self, task, problem, p):
        self.task, self.problem, self.p, self.rows, self.steps = task, problem, p, [], {}
        sizes = (len(SEEN[task.name]), *p.dqn_hidden, len(ACTIONS[task.name]))
        theta_0 = MLP(sizes).initialise(self._rng(THETA), np.float64)
        self.Q = task.dqn(sizes, p, self._rng(EXPLORATION), theta_0)
        label = self.Q.label if p.label == "stored" else None
        self.memory = Memory(p, self._rng(REPLAY), label, sizes[0])
        self.x_1 = initial_iterates(problem, p)
        self.held = self._held_out_states()

    def _rng(self, stream):
        return np.random.default_rng([self.p.seed, stream])

    @property
    def done(self):
        """The number of episodes that are behind it."""
        return len(self.rows)

    def episodes(self, trace=None):
        """Play the episodes that are left; yields the row of each."""
        on_f = self.task.value == "alpha"
        look = (lambda x, alpha: self.problem.f(x)) if on_f else self.problem.f
        m = look if on_f else self.problem.measure(self.p)

        def logs(e):
            features, p = len(SEEN[self.task.name]), self.p.of_episode(e)
            self.current = Log(look, self.x_1(e), self.Q, p, None, trace, e, m, features)
            return self.current

        start = self.x_1, self.Q, self.Q.theta, self.memory, self.p, logs, self.done + 1
        for x in self.task.learn(self.problem, *start):
            self.rows.append(self._row(self.current.close(x)))
            earlier = {e: steps for e, steps in self.steps.items() if int(e).bit_count() == 1}
            self.steps = earlier | {str(self.done): self._steps(self.current)}
            yield self.rows[-1]

    def _row(self, log):
        taught = ~np.isnan(log.reward)  # the steps at which Q was trained
        return {
            "td_loss": log.td_loss[taught].mean(), "return": log.reward[taught].sum(),
            "epsilon": self.Q.epsilon, "rejected": self.Q.rejected, "seconds": log.seconds,
            "q_mean": self.Q.q(self.held).max(axis=1).mean(), "diverged_at": log.diverged_at,
            "test_accuracy": 1 - self.problem.errors["test"](log.x), "action": log.action,
            "objective": log.objective, self.task.value: log.value, "reward": log.reward,
        } | ({"alpha": log.alpha} if self.task.name == "joint" else {})  # fmt: skip

    def _steps(self, log):
        arrays, numbers = STEPS
        steps = {name: getattr(log, name) for name in arrays}
        steps |= {name: float(getattr(log, name)) for name in numbers}
        return steps | {"memory": int(self.memory.before)}  # experiences of earlier episodes

    def _held_out_states(self):
        """States s_M, ..., s_T of an episode of random actions from an x_1 never trained on."""
        rng, states = self._rng(HELD_OUT), []
        Q = Scripted(lambda t: int(rng.integers(len(ACTIONS[self.task.name]))))
        x_1 = self.problem.iterate(self.p.seed, HELD_OUT)
        self.task.apply(self.problem, x_1, Q, self.p, lambda *step, s=None, **_: states.append(s))
        return np.array([s for s in states if s is not None])

    def log(self):
        """/train of the run file: an array of each name, a row per episode."""
        names = self.rows[0] if self.rows else ()
        return {name: np.array([row[name] for row in self.rows]) for name in names}

    def tree(self):
        """A snapshot of the training after an episode, for a checkpoint."""
        owners = {"Q": state(self.Q), "memory": state(self.memory)}
        return {"done": self.done, "train": self.log(), "steps": self.steps} | owners

    def restore(self, tree):
        """The inverse of `tree`, into a training of the same settings but for more episodes."""
        for e in range(tree["done"]):
            self.rows.append({name: values[e] for name, values in tree["train"].items()})
        self.steps = tree.get("steps", {})
        for owner, values in ((self.Q, tree["Q"]), (self.memory, tree["memory"])):
            owner.rng.bit_generator.state = json.loads(values["rng"])
            for name in values.keys() - {"rng"}:
                is_list = isinstance(getattr(owner, name, 0), list)
                setattr(owner, name, values[name].tolist() if is_list else values[name])


def state(owner):
    """The numbers, arrays, lists of integers and the generator of an object, as a tree."""
    tree = {"rng": json.dumps(owner.rng.bit_generator.state)}
    for name, value in vars(owner).items():
        if isinstance(value, (list, np.ndarray)):
            tree[name] = np.array(value, np.int64 if isinstance(value, list) else None)
        elif isinstance(value, (int, float)):
            tree[name] = value
    return tree


class Scripted:
    """A policy that does not look: its k-th action is rule(k), k = 1, 2, ..."""

    def __init__(self, rule):
        self.rule, self.t = rule, 0

    def greedy(self, s):
        """a_t."""
        self.t += 1
        return self.rule(self.t)
