"""A trained DQN in use: controllers on disk, and the comparison on iterates never trained on."""

from functools import partial
from pathlib import Path

import numpy as np

from .. import config, files
from ..dqn import DQN
from ..environment import ACTIONS, FEATURE_MAP, FEATURES
from .history import History
from .starts import Start


def controller_tree(task, Q, p):
    """/dqn of the run file: theta layer by layer and what is needed to use it."""
    tree = {}
    for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
        tree |= {f"W{layer}": W.copy(), f"b{layer}": b.copy()}
    about = dict(features=list(FEATURES), feature_map=FEATURE_MAP, actions=list(ACTIONS[task.name]))
    return tree | about | {"sizes": np.array(Q.net.sizes), "M": p.M, "steps": p.steps}


def load_controller(task, path):
    """Return the DQN of a run file or a shipped controller, and the M and T it was trained with.

    Raises FileError for a file that holds none, or one for another task or feature map.
    """
    tree = files.read(path).get("dqn")
    wanted = {"actions": list(ACTIONS[task.name]), "feature_map": FEATURE_MAP}
    if not isinstance(tree, dict) or any(tree.get(k) != v for k, v in wanted.items()):
        raise files.FileError(
            f"{path}: holds no controller for run_{task.name}.py; give its run.h5 or controller.h5"
        )
    try:
        Q = DQN(tree["sizes"], np.random.default_rng(0), 0.0, 0.0)
        for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
            W[:], b[:] = tree[f"W{layer}"], tree[f"b{layer}"]
        if Q.net.sizes[0] != len(FEATURES) or Q.net.sizes[-1] != len(ACTIONS[task.name]):
            raise ValueError("sizes")
        M, steps = int(tree["M"]), int(tree.get("steps", config.Config.steps))
        if not 1 <= M <= steps:
            raise ValueError("M")
        return Q, M, steps
    except (KeyError, ValueError, TypeError) as error:
        raise files.FileError(f"{path}: the controller in it is not complete") from error


def load_controllers(task, paths, p, M=0):
    """Return {policy: (DQN, config with its M)}: the first is "qgd", others bear their file's name.

    M: 0 for that of the training, which keeps its share of the steps. Raises FileError as
    load_controller, ConfigError for a name that stands twice.
    """
    found = {}
    for path in map(Path, paths):
        Q, its_M, steps = load_controller(task, path)
        own = config.make(task.name, vars(p), {"M": M or max(1, round(its_M * p.steps / steps))})
        name = path.resolve().parent.name if path.stem in ("controller", "run") else path.stem
        name = f"qgd {name}" if found else "qgd"
        if name in found:
            raise config.ConfigError(f"--controller {path}: a second one named {name}; rename it")
        found[name] = Q, own
    return found


def policies(task, controllers, chosen=None):
    """{name: function(problem, start, p, history)}: the controllers and the chosen others.

    chosen: names of the task's policies; None: the baselines.
    """
    chosen = task.baselines if chosen is None else chosen
    known = {name: partial(plain, policy) for name, policy in task.baselines.items()}
    ours = {name: partial(controlled, task, Q, own) for name, (Q, own) in controllers.items()}
    more = {name: partial(plain, policy) for name, policy in task.more.items()}
    known = known | ours | more
    return {name: policy for name, policy in known.items() if name in {*controllers, *chosen}}


def controlled(task, Q, own, problem, start, p, history):
    """Algorithm 1 or 2 with a controller, which brings its own M."""
    return task.apply(problem, start, Q, own, history)


def plain(policy, problem, start, p, history):
    """A policy that begins at x_1."""
    return policy(problem, start.x_1, p, history)


def evaluate(task, problem, controllers, p, seeds, chosen=None, progress=lambda *at: None,
             trace=None, known=None, keep=lambda tree: None):  # fmt: skip
    """Run the policies from the unseen iterates of `seeds`; return /evaluation of the run file.

    known: policies of a comparison that was interrupted, not run again; keep(tree): called after
    each policy with all that are done.

    Arrays (K, T): objective, test_accuracy, alpha or lambda, action; seconds (K,). Controllers of
    the same M share the plain steps of an x_1: the seconds of the first contain them. The trace is
    called at the steps of Q-gradient descent.
    """
    starts = [Start(problem.f, problem.iterate(seed)) for seed in seeds]
    tree = {}
    for name, policy in policies(task, controllers, chosen).items():
        if name in (known or {}):
            tree[name] = known[name]
            continue
        runs = []
        for k, start in enumerate(starts):
            progress(name, k)
            history = History(p.steps, problem.errors(), trace if name == "qgd" else None)
            x = policy(problem, start, p, history)
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
        keep(tree)
    return tree
