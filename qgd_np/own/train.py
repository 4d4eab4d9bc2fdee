"""Algorithm 3 on problems of one's own: a Controller is trained, saved and loaded again."""

import json
import warnings

from .. import __version__, config, files
from ..algorithms import q_gradient_descent_alpha, q_learning_alpha
from ..lab.comparison import controller_path, controller_tree, load_controller
from ..lab.training import Task, Training
from .problems import Problems


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
    """Return the Controller of a file, or a shipped one by its name: "lr", "lr-seed-0", ..., -9.

    A shipped one learned on images, asked late; on other problems it is asked from step 1 (D35).
    """
    tree, p = files.read(controller_path(name)), config.make("lr")
    Q, p = load_controller("lr", name, p, {} if "alpha_c" in tree else {"first": 1})
    return Controller(Q, p, tree.get("alpha_c") or None, tree.get("train"))


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
