"""From a config to results: the problem, the training of a DQN, and the closing comparison.

Random streams, all from the one root seed: theta_0, exploration, replay, the x_1 of each episode,
and the held-out states. The unseen iterates of the comparison have seeds of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from . import runfile
from .backend import to_device
from .dqn import DQN
from .environment import ACTIONS, FEATURE_MAP, FEATURES
from .history import History
from .mlp import MLP
from .objective import ErrorRate, Objective, check_fits
from .replay import Memory

THETA, EXPLORATION, REPLAY, START, HELD_OUT = range(5)  # the streams


@dataclass(frozen=True)
class Task:
    """What run_lr.py and run_reg.py differ in.

    name: "lr" or "reg"; value: what is adjusted, "alpha" or "lambda";
    learn(problem, starts, Q, theta_0, memory, p, draws, histories, first): Algorithm 3 or 4;
    apply(problem, x_1, Q, p, history): Algorithm 1 or 2;
    baselines: {policy: function(problem, x_1, p, history)}; more: the same for --compare-more;
    about: the text of --help; lines: the printed line of each action, for --trace.
    """

    name: str
    value: str
    learn: Callable
    apply: Callable
    baselines: dict
    more: dict
    about: str
    lines: tuple


class Problem:
    """The objective net on a data set: f, the error rates, and initial iterates."""

    def __init__(self, data, config, device="cpu"):
        self.data, self.device = data, device
        self.net = MLP((data.train_images.shape[1], *config.hidden, 10))
        others = len(data.test_images) + len(data.validation_images)
        check_fits(device, self.net.sizes, len(data.train_images), others)
        put = [to_device(a, device) for a in (data.train_images, data.train_labels)]
        self.f = Objective(self.net, *put, config.loss)
        self.test = self._error(data.test_images, data.test_labels)
        self.validation = self._error(data.validation_images, data.validation_labels)
        self.train = self._error(data.train_images, data.train_labels) if self.validation else None

    def _error(self, images, labels):
        put = to_device(images, self.device), to_device(labels, self.device)
        return ErrorRate(self.net, *put, self.f.layer.images) if len(images) else None

    def iterate(self, *seed):
        """The initial iterate x_1 of a seed (D5)."""
        rng = np.random.default_rng(seed if len(seed) > 1 else seed[0])
        return self.f.point(self.net.initialise(rng, self.data.train_images.dtype))

    def errors(self):
        """The error rates that there are, by name."""
        all_three = {"test": self.test, "validation": self.validation, "train": self.train}
        return {name: error for name, error in all_three.items() if error is not None}


class Training:
    """A DQN in training by Algorithm 3 or 4, with everything that is needed to go on from it."""

    def __init__(self, task, problem, config):
        p = self.p = config
        self.task, self.problem = task, problem
        k = len(ACTIONS[task.name])
        self.Q = DQN(
            (len(FEATURES), *p.dqn_hidden, k), self._rng(THETA), p.beta, p.gamma,
            p.optimizer, p.target_every, p.double, p.clip, p.n_steps, p.label, p.explore,
        )  # fmt: skip
        self.memory = Memory(p.A, p.B, p.steps, len(FEATURES))
        self.draws = SimpleNamespace(exploration=self._rng(EXPLORATION), replay=self._rng(REPLAY))
        self.starts = Starts(problem.f, lambda k: problem.iterate(p.seed, START, k), p.starts, p.M)
        self.done = 0
        self.held = self._held_out_states()
        self.log = empty_log(p.episodes, p.steps, task.value)

    def _rng(self, stream):
        return np.random.default_rng([self.p.seed, stream])

    def episodes(self, trace=None):
        """Play the episodes that are left; yields each one's history after it is logged."""
        histories = lambda e: History(self.p.steps, trace=trace)  # noqa: E731
        algorithm = self.task.learn(
            self.problem, self.starts, self.Q, self.Q.theta, self.memory, self.p, self.draws,
            histories, self.done + 1,
        )  # fmt: skip
        for history in algorithm:
            self._record(history)
            yield history

    def _record(self, history):
        e, log = self.done, self.log
        log["td_loss"][e] = nanmean(history.td_loss)
        log["return"][e], log["epsilon"][e] = history.episode_return, history.epsilon
        log["q_mean"][e] = self.Q.q(self.held).max(axis=1).mean()
        log["objective"][e], log[self.task.value][e] = history.objective, history.value
        log["action"][e], log["reward"][e] = history.action, history.reward
        log["test_accuracy"][e] = 1 - self.problem.test(history.x)
        log["diverged_at"][e], log["rejected"][e] = history.diverged_at, self.Q.rejected
        log["seconds"][e] = history.seconds
        self.done += 1

    def _held_out_states(self):
        """States s_M, ..., s_T of an episode of random actions from an x_1 never trained on."""
        rng, states = self._rng(HELD_OUT), []
        Q = SimpleNamespace(greedy=lambda s: int(rng.integers(len(ACTIONS[self.task.name]))))
        history = History(self.p.steps, trace=lambda t, s, *rest: states.append(s))
        x_1 = self.problem.iterate(self.p.seed, HELD_OUT)
        self.task.apply(self.problem, x_1, Q, self.p, history)
        return np.array(states[self.p.M - 1 :] or states)  # Q is trained from t = M on

    def tree(self):
        """A snapshot of the training after an episode, for a checkpoint."""
        draws = {k: runfile.generator_state(g) for k, g in vars(self.draws).items()}
        return {
            "done": self.done,
            "Q": self.Q.tree(),
            "memory": self.memory.tree(),
            "draws": draws,
            "train": {name: values[: self.done].copy() for name, values in self.log.items()},
        }

    def restore(self, tree):
        """The inverse of `tree`; the config may ask for more episodes than the snapshot's.

        Raises RunFileError for what does not fit: fewer episodes, other sizes, another tree.
        """
        if shapes(self.tree()) != shapes(tree):
            raise runfile.RunFileError("the checkpoint does not fit these settings; start anew")
        if tree["done"] > self.p.episodes:
            raise runfile.RunFileError(
                f"the checkpoint has {tree['done']} episodes already; --episodes can only be raised"
            )
        self.done = tree["done"]
        self.Q.restore(tree["Q"])
        self.memory.restore(tree["memory"])
        for name, state in tree["draws"].items():
            setattr(self.draws, name, runfile.generator_from(state))
        for name, values in tree["train"].items():
            self.log[name][: self.done] = values


class Starts:
    """The x_1 of the training episodes, and what the plain steps from each end in (D21).

    The M - 1 plain steps from one x_1 are the same in every episode, so they are taken once and
    x_M and F are kept. x_1(k) makes an iterate; `count` of them are used in turn, 0: never twice.
    """

    def __init__(self, f, x_1, count, M):
        self.f, self.x_1, self.count, self.M = f, x_1, count, M
        self.kept = {}  # {k: (x_M as a vector (P,), F)}

    def begin(self, e):
        """Where episode e begins: x_t, F up to t - 1, and t, which is 1 or M."""
        k = e % self.count if self.count else e
        if k not in self.kept:
            return self.x_1(k), [], 1
        vector, F = self.kept[k]
        return self.f.point(vector), F, self.M

    def keep(self, e, x, F):
        """Keep x_M; return it as a point of no line, as it will be when it is used again."""
        vector = getattr(x, "x", x)
        if self.count:
            self.kept[e % self.count] = vector, F
        return self.f.point(vector)


def shapes(tree, grows=False):
    """The shapes in a snapshot of a training, without the lengths that grow with the episodes."""
    if not isinstance(tree, dict):
        return np.shape(tree)[grows:]
    return {k: shapes(v, grows or k in ("train", "recent", "best")) for k, v in tree.items()}


def empty_log(episodes, steps, value):
    """The arrays of /train in the run file, NaN where nothing happened yet."""
    per_episode = ("td_loss", "return", "epsilon", "seconds", "q_mean", "test_accuracy")
    log = {name: np.full(episodes, np.nan) for name in per_episode}
    log |= {name: np.full((episodes, steps), np.nan) for name in ("objective", value, "reward")}
    log["action"] = np.full((episodes, steps), -1, np.int8)
    return log | {name: np.zeros(episodes, np.int64) for name in ("diverged_at", "rejected")}


def nanmean(values):
    """The mean of what is not NaN; NaN, without a warning, if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


# -- the trained controller -----------------------------------------------------------------------


def controller_tree(task, Q, p):
    """/dqn of the run file: theta layer by layer and what is needed to use it."""
    tree = {}
    for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
        tree |= {f"W{layer}": W.copy(), f"b{layer}": b.copy()}
    about = dict(features=list(FEATURES), feature_map=FEATURE_MAP, actions=list(ACTIONS[task.name]))
    return tree | about | {"sizes": np.array(Q.net.sizes), "M": p.M}


def load_controller(task, path):
    """Return the DQN of a run file or a shipped controller, and its M.

    Raises RunFileError for a file that holds none, or one for another task or feature map.
    """
    tree = runfile.read(path).get("dqn")
    wanted = {"actions": list(ACTIONS[task.name]), "feature_map": FEATURE_MAP}
    if not isinstance(tree, dict) or any(tree.get(k) != v for k, v in wanted.items()):
        raise runfile.RunFileError(f"{path}: holds no controller for run_{task.name}.py")
    try:
        Q = DQN(tree["sizes"], np.random.default_rng(0), 0.0, 0.0)
        for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
            W[:], b[:] = tree[f"W{layer}"], tree[f"b{layer}"]
        if Q.net.sizes[0] != len(FEATURES) or Q.net.sizes[-1] != len(ACTIONS[task.name]):
            raise ValueError("sizes")
        if tree["M"] < 1:
            raise ValueError("M")
        return Q, {"M": int(tree["M"])}
    except (KeyError, ValueError, TypeError) as error:
        raise runfile.RunFileError(f"{path}: the controller in it is not complete") from error


# -- the closing comparison -----------------------------------------------------------------------


def policies(task, Q, chosen=None):
    """{name: function(problem, x_1, p, history)}: Q-gradient descent and the chosen others.

    chosen: names of the task's policies; None: the baselines.
    """
    qgd = lambda problem, x_1, p, history: task.apply(problem, x_1, Q, p, history)  # noqa: E731
    known = task.baselines | {"qgd": qgd} | task.more
    wanted = {"qgd", *(task.baselines if chosen is None else chosen)}
    return {name: policy for name, policy in known.items() if name in wanted}


def evaluate(task, problem, Q, p, seeds, chosen=None, progress=lambda *at: None, trace=None):
    """Run the policies from the unseen iterates of `seeds`; return /evaluation of the run file.

    Arrays (K, T): objective, test_accuracy, alpha or lambda, action; seconds (K,). The trace is
    called at the steps of Q-gradient descent.
    """
    tree = {}
    for name, policy in policies(task, Q, chosen).items():
        runs = []
        for k, seed in enumerate(seeds):
            progress(name, k)
            history = History(p.steps, problem.errors(), trace if name == "qgd" else None)
            x = policy(problem, problem.iterate(seed), p, history)
            history.close(x, 0.0, 0.0)
            runs.append(history)
        tree[name] = {
            "objective": np.array([h.objective for h in runs]),
            task.value: np.array([h.value for h in runs]),
            "action": np.array([h.action for h in runs]),
            "seconds": np.array([h.seconds for h in runs]),
        }
        for error in problem.errors():
            tree[name][f"{error}_accuracy"] = 1 - np.array([h.error[error] for h in runs])
    return tree
