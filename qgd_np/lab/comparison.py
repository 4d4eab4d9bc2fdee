"""A trained DQN in use: controllers on disk, and the comparison on iterates never trained on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from .. import config, files
from ..dqn import DQN
from ..environment import MAPS
from .training import ACTIONS, COMMANDS, SEEN, Log

BROUGHT = ("M", "first", "momentum", "map", "sees")  # of its training, to its use
SHIPPED = Path(__file__).resolve().parents[1] / "controllers"


def controller_tree(task, Q, p):
    """/dqn of the run file: theta layer by layer and what is needed to use it."""
    tree = {"actions": list(ACTIONS[task]), "features": list(SEEN[task])}
    tree |= {"feature_map": MAPS[p.map], "sizes": np.array(Q.net.sizes)}
    tree |= {name: getattr(p, name) for name in BROUGHT}
    for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
        tree |= {f"W{layer}": W.copy(), f"b{layer}": b.copy()}
    return tree


def controller_path(name):
    """The path of a file, or of a shipped controller by its bare name."""
    shipped = {path.stem: path for path in SHIPPED.rglob("*.h5")}
    return Path(name) if Path(name).exists() else shipped.get(str(name), Path(name))


def load_controller(task, name, p, given=()):
    """Return the DQN of a run file, a controller or a shipped one's bare name, and its config.

    task: "lr" or "reg". The config is p with what the training brings, unless `given`. Raises
    FileError for a file without one, or with one made for another task or with other features.
    """
    path = controller_path(name)
    tree, maps = files.read(path).get("dqn", {}), {text: name for name, text in MAPS.items()}
    fitting = {"actions": [[*ACTIONS[task]]], "features": [[*SEEN[task]]], "feature_map": [*maps]}
    for what, here in fitting.items():
        if (found := tree.get(what)) not in here:
            said = f"its {what} is {found}, here {here[0]}; give another run.h5 or controller.h5"
            raise files.FileError(f"{path}: no controller for {COMMANDS[task]} here: {said}")
    brought = {"sees": "g"} | {name: tree[name] for name in BROUGHT if name in tree}
    brought["map"] = maps[tree["feature_map"]]
    Q = DQN(tree["sizes"], p)
    for layer, (W, b) in enumerate(Q.net.layers(Q.theta), 1):
        W[:], b[:] = tree[f"W{layer}"], tree[f"b{layer}"]
    return Q, config.make(task, vars(p), brought, dict(given))


def load_controllers(task, names, p, given=()):
    """Return {policy: (DQN, its config)}: the first is "qgd", others bear their file's name."""
    found = {}
    for path in map(Path, names):
        label = path.resolve().parent.name if path.stem in ("controller", "run") else path.stem
        label = f"qgd {label}" if found else "qgd"
        if label in found:
            raise config.ConfigError(f"--controller {path}: a second one named {label}; rename it")
        found[label] = load_controller(task, path, p, given)
    return found


def evaluate(task, problem, controllers, p, seeds, names, quiet=True, trace=None):
    """Run the named policies and the controllers from the unseen iterates of `seeds`.

    Returns /evaluation of the run file: per policy arrays (K, T) and (K,). Controllers share the
    plain steps of an x_1: the seconds of the first contain them. trace(log, t) is called at the
    steps of the first controller from the first iterate.
    """
    f = lambda x, value: problem.f(x)  # noqa: E731
    iterates, ours, tree = [problem.iterate(seed) for seed in seeds], [*controllers], {}
    policies = [name for name in names if name not in ours] + ours if iterates else []
    total = len(policies) * len(iterates)
    with tqdm(desc="comparing", total=total, leave=False, disable=quiet) as bar:
        for name in policies:
            Q, own = controllers.get(name, (None, p))
            logs = []
            for x_1 in iterates:
                bar.set_postfix_str(name)
                shown = trace if name == ours[0] and not logs else None
                log = Log(f, x_1, Q, p, problem.errors, shown, features=len(SEEN[task.name]))
                if Q is None:
                    x = task.policies[name](problem, x_1, p, log)
                else:
                    x = task.apply(problem, x_1, Q, replace(own, steps=p.steps), log)
                logs.append(log.close(x))
                bar.update()
            kept = ("objective", "action", "state", "gradients", "seconds")
            kept += ("objective_1", "objective_last")
            tree[name] = {key: np.array([getattr(log, key) for log in logs]) for key in kept}
            tree[name][task.value] = np.array([log.value for log in logs])
            if task.name == "joint":
                tree[name]["alpha"] = np.array([log.alpha for log in logs])
            for images in problem.errors:
                accuracy = 1 - np.array([log.error[images] for log in logs])
                tree[name][f"{images}_accuracy"] = accuracy
    return tree
