"""From a config to a trained DQN: the task, the problem, and the training.

Random streams, all from the one root seed: theta_0, exploration, replay, the x_1 of each episode,
and the held-out states. The unseen iterates of the comparison have seeds of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np

from .. import files
from ..backend import check_room, to_device
from ..dqn import DQN
from ..environment import ACTIONS, FEATURES
from ..fast.objective import ErrorRate, Objective, check_fits
from ..mlp import MLP
from ..replay import Memory
from .history import History
from .starts import Start, Starts

THETA, EXPLORATION, REPLAY, START, HELD_OUT = range(5)  # the streams
COPIES = 8  # arrays of the size of theta: the target network, Adam, the gradient, what passes


@dataclass(frozen=True)
class Task:
    """What run_lr.py and run_reg.py differ in.

    name: "lr" or "reg"; value: what is adjusted, "alpha" or "lambda";
    learn(problem, starts, Q, theta_0, memory, p, draws, histories, first): Algorithm 3 or 4;
    apply(problem, start, Q, p, history): Algorithm 1 or 2;
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
        sizes = (len(FEATURES), *p.dqn_hidden, len(ACTIONS[task.name]))
        needed = 8 * COPIES * MLP(sizes).n_parameters
        check_room(needed, f"a DQN of {'-'.join(map(str, sizes))}")
        self.Q = DQN(
            sizes, self._rng(THETA), p.beta, p.gamma,
            p.optimizer, p.target_every, p.double, p.clip, p.n_steps, p.label, p.explore,
            p.accepts,
        )  # fmt: skip
        self.memory = Memory(p.A, p.B, p.steps, len(FEATURES))
        self.draws = SimpleNamespace(exploration=self._rng(EXPLORATION), replay=self._rng(REPLAY))
        self.starts = Starts(problem.f, lambda k: problem.iterate(p.seed, START, k), p.starts)
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
        start = Start(self.problem.f, self.problem.iterate(self.p.seed, HELD_OUT))
        self.task.apply(self.problem, start, Q, self.p, history)
        return np.array(states)

    def tree(self):
        """A snapshot of the training after an episode, for a checkpoint."""
        draws = {k: files.generator_state(g) for k, g in vars(self.draws).items()}
        return {
            "done": self.done,
            "Q": self.Q.tree(),
            "memory": self.memory.tree(),
            "draws": draws,
            "train": {name: values[: self.done].copy() for name, values in self.log.items()},
        }

    def restore(self, tree):
        """The inverse of `tree`; the config may ask for more episodes than the snapshot's.

        Raises FileError for what does not fit: fewer episodes, other sizes, another tree.
        """
        if shapes(self.tree()) != shapes(tree):
            raise files.FileError("the checkpoint does not fit these settings; start anew")
        if tree["done"] > self.p.episodes:
            raise files.FileError(
                f"the checkpoint has {tree['done']} episodes already; --episodes can only be raised"
            )
        self.done = tree["done"]
        self.Q.restore(tree["Q"])
        self.memory.restore(tree["memory"])
        for name, state in tree["draws"].items():
            setattr(self.draws, name, files.generator_from(state))
        for name, values in tree["train"].items():
            self.log[name][: self.done] = values


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


def convergence(train):
    """(drift, loss, change, error) of /train over the last quarter of the episodes.

    drift: how far the mean max-Q ranges, (max - min) / |mean|; loss: the mean TD loss; change: how
    far it lies above that of the third quarter, with its standard error over the episodes. All but
    the loss in %.
    """
    loss, quarter = train["td_loss"], -(-len(train["td_loss"]) // 4)
    third = loss[-2 * quarter : -quarter] if len(loss) > quarter else np.nan * loss
    last = loss[-quarter:]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        q = train["q_mean"][-quarter:]
        drift = np.ptp(q) / abs(q.mean())
        change = last.mean() / third.mean() - 1
        error = np.hypot(last.std(), third.std()) / np.sqrt(quarter) / third.mean()
        return 100 * drift, last.mean(), 100 * change, 100 * error


def nanmean(values):
    """The mean of what is not NaN; NaN, without a warning, if nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
