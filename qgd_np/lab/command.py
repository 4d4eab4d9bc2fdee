"""The command line of run_lr.py and run_reg.py: from the flags to a run file, and going on."""

import contextlib
import json
import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from tqdm import tqdm

from .. import __version__, config, files
from ..config import ConfigError
from ..files import interrupts
from ..images import load
from . import device, flags, presets
from .comparison import controller_tree, evaluate, load_controllers
from .report import finish, table, tracer, verdict
from .seeds import run_seeds
from .training import COMMANDS, Problem, Training

KEPT = ("preset", "data", "device", "seeds", "controller", "iterates", "iterate_seed", "policies")


def main(task, argv=None):
    """Run the command line of a task; returns the exit status (0, 2, 130 or 143)."""
    interrupts.catch()
    return flags.one_line(lambda: run(task, sys.argv[1:] if argv is None else argv))


def run(task, argv):
    """Parse and check everything, then make the runs that are asked for."""
    task = task.joint if "--joint" in argv and task.joint else task
    given = vars(flags.parser(task).parse_args(argv))
    if task.name == "joint":
        given.setdefault("preset", "joint")
    if "help_all" in given:
        return flags.parser(task, everything=True).print_help()
    if "list_presets" in given:
        return print(presets.listing())
    a = settings(task, given)
    if a.only is not None:
        interrupts.follow_reader()
    configs = {name: config.make(task.name, changes) for name, changes in a.runs.items()}
    check(task, a, configs)
    for name in () if a.resume else a.runs:
        refuse_results(a.out / name, "add --resume, or choose another folder")
    try:
        if len(configs) > 1:
            return several_runs(task, configs, a)
        ((name, p),) = configs.items()
        finish([one_run(task, p, name, a)], a.out / name, a.no_figures)
    except interrupts.Stopped:
        interrupts.ignore()
        words = ["python", sys.argv[0], *(word for word in argv if word != "--resume"), "--resume"]
        print(f"\nstopped; go on with\n  {shlex.join(words)}", file=sys.stderr)
        raise


def settings(task, given):
    """All flags: those that are given, else those of the run that is gone on with, else defaults.

    And `fields`, those of the config among them, and `runs`, {folder below --out: what the run in
    it changes against the default config}.
    """
    config.check(flags.Flags(**{k: v for k, v in given.items() if k in flags.DEFAULTS}))
    last = "seeds" if "seeds" in given else given.get("seed", 0)
    default = f"runs/{task.name}-{given.get('preset', 'default')}-{last}"
    given["out"] = Path(given.get("out") or default)
    if given.get("policies") == ["all"]:
        given["policies"] = [*task.policies]
    kept = earlier(task, given) if "resume" in given else {}
    a = SimpleNamespace(**flags.DEFAULTS | {"policies": [*task.default]} | kept | given)
    a.fields = {name: value for name, value in vars(a).items() if name not in flags.DEFAULTS}
    rest = {name: value for name, value in a.fields.items() if name != "seed"}
    a.runs = {}
    for seed in range(*map(int, a.seeds.split(":"))) if a.seeds else [a.fields.get("seed", 0)]:
        for name, own in presets.runs(a.preset, task.name, seed).items():
            name = f"seed-{seed}/{name}".strip("/") if a.seeds else name
            a.runs |= {name: own | rest} if a.only in (None, name) else {}
    a.quiet |= a.trace or a.only is not None  # a bar would break their lines
    return a


def check(task, a, configs):
    """Raise ConfigError for flags that do not fit each other or the configs of the runs."""
    p = next(iter(configs.values()), None)  # of a preset's runs none changes what h is for
    on_h = p and p.reward == "error" and (not a.controller or "lowest" == p.returns)
    on_h = task.value == "lambda" and on_h or "search" in a.policies
    rules = {
        "--scheduler is for several runs": (a.scheduler or a.scheduler_file) and len(configs) < 2,
        f"--only {a.only}: no run has this name": not configs,
        "--seeds goes with no --seed": a.seeds and "seed" in a.fields,
        "several runs go with no --trace and no --controller":
            len(configs) > 1 and (a.trace or a.controller),
        "--iterates 0: --controller would not be used": a.controller and not a.iterates,
        "--validation-size 0: --reward error and search need such images; --reward g needs none":
            on_h and not all(p.validation_size for p in configs.values()),
    }  # fmt: skip
    for message, broken in rules.items():
        if broken:
            raise ConfigError(message)


def earlier(task, given):
    """The flags that the run in --out was begun with, {} if there is none.

    Raises ConfigError for a given one that contradicts them.
    """
    out, tree = given["out"], None
    for folder in sorted({file.parent for file in out.rglob("*.h5")}):
        with contextlib.suppress(files.FileError):  # another run's, or refused when its turn comes
            checkpoint, result = found_in(folder)
            if tree := checkpoint or result:
                break
    if not tree:
        print(f"no run in {out} yet: starting from the beginning")
        return {}
    kept = json.loads(tree["flags"])
    if (tree["task"], out / kept.pop("folder")) != (task.name, folder):
        there = COMMANDS.get(tree["task"], tree["task"])
        raise ConfigError(f"--out {out}: {folder} is no run of {COMMANDS[task.name]} there, but "
                          f"one of {there}")  # fmt: skip
    before = json.loads(tree["config"]) | kept
    for name in {*before} & {*given} - {"data"}:  # images are compared by content
        value, old = given[name], before[name]
        if value not in (old, "auto") and not (name == "episodes" and value > old):
            raise ConfigError(f"{flags.written(name, value)}: the run in {out} has "
                              f"{flags.written(name, old)}; leave it out")  # fmt: skip
    given.pop("device", None)
    return kept


def found_in(folder):
    """The trees of the latest checkpoint and of run.h5 in a folder, None for what is not there."""
    checkpoint, path = files.read_latest(folder / "checkpoint.h5", "checkpoint") or (None, None)
    if checkpoint and path.name != "checkpoint.h5":
        print(f"checkpoint.h5 in {folder} is damaged or gone: going on from {path.name}")
    result = folder / "run.h5"
    return checkpoint, files.read(result, "run") if result.exists() else None


def refuse_results(folder, advice):
    """Raise ConfigError for a folder that holds a run: nothing is overwritten."""
    if any(folder.glob("*.h5")):
        raise ConfigError(f"--out {folder} holds a run: {advice}")


def several_runs(task, configs, a):
    """Make the runs in processes of their own, each of which compares its images with ours."""
    sizes = {name: (p.problems, p.train_size, p.validation_size) for name, p in configs.items()}
    loads = {name: task.other.get(name, {}).get("load", load) for name, *_ in sizes.values()}
    sha256 = {key: loads[key[0]](a.data, *key[1:]).sha256 for key in {*sizes.values()}}
    runs = {name: (p.episodes, sha256[sizes[name]]) for name, p in configs.items()}
    kept = kept_flags(a) | {"checkpoint_episodes": a.checkpoint_episodes, "resume": True}
    file, *words = COMMANDS[task.name].split()
    return run_seeds(file, a, runs, [*words, *flags.words(kept | {"no_figures": True})])


def one_run(task, p, name, a):
    """Train (or load) one DQN, compare it, write run.h5 in its folder; returns that path."""
    folder, controllers = a.out / name, {}
    checkpoint, result = found_in(folder) if a.resume else (None, None)
    if before := checkpoint or result:  # its defaults may have been others
        old = json.loads(before["config"])
        p = config.make(task.name, old, {"episodes": max(p.episodes, old["episodes"])})
    finished = result and json.loads(result["config"])["episodes"] == p.episodes
    if not finished and not checkpoint:
        refuse_results(folder, "no checkpoint to go on from, choose another folder")
    if a.controller and not finished:
        controllers = load_controllers(task.name, a.controller, p, a.fields)
        p = controllers["qgd"][1]
        if "h" in {own.sees for _, own in controllers.values()} and not p.validation_size:
            raise ConfigError("--validation-size 0: this controller sees h on such images")
    kind = device.choose(a.device, p.tf32)
    task = replace(task, **task.other.get(p.problems, {}))
    data = (task.load or load)(a.data, p.train_size, p.validation_size)
    if data.sha256 != (before["data_sha256"] if before else a.data_sha256 or data.sha256):
        raise ConfigError(f"--data: {data.name} has not the images that the run was begun with")
    about = description(task, p, data, kind, name, a)
    machine = "{device}, {threads} BLAS threads; qgd_np {version}".format(**about)
    n, test = len(data.train_images), len(data.test_images)
    print(f"{data.name}: {n} training, {test} test images; {machine}")
    if data.name == "synthetic":
        print("*** SYNTHETIC IMAGES, NOT CIFAR-10: give --data PATH for the real ones ***")
    if not finished:
        problem = (task.problem or Problem)(data, p, kind)
        result = results(task, p, problem, about, controllers, checkpoint, folder, a)
    print((task.table or table)(result, a.policies))
    print(f"{verdict(result)}\nresults  {folder / 'run.h5'}")
    return folder / "run.h5"


def kept_flags(a):
    """The flags that a run is gone on with, and those of the config; a path is absolute."""
    path = a.data not in ("auto", "cifar10", "synthetic") and os.path.exists(a.data)
    data = os.path.abspath(a.data) if path else a.data
    return {name: getattr(a, name) for name in KEPT} | a.fields | {"data": data}


def description(task, p, data, kind, name, a):
    """The root attributes of the run file; `flags` is what --resume takes from it."""
    kept = kept_flags(a) | {"device": kind, "folder": name}
    kept["data"] = data.name if kept["data"] == "auto" else kept["data"]
    return {
        "task": task.name, "config": json.dumps(vars(p)), "version": __version__,
        "data": data.name, "data_sha256": data.sha256, "device": device.describe(kind),
        "threads": device.blas_threads(), "preset": a.preset, "flags": json.dumps(kept),
    }  # fmt: skip


def results(task, p, problem, about, controllers, checkpoint, folder, a):
    """Train a DQN, if none is given, and compare it; returns the tree that is now in run.h5."""
    seeds = range(a.iterate_seed, a.iterate_seed + a.iterates)
    tree = about | {"kind": "run", "iterate_seeds": np.array(seeds, np.int64)}
    training = None if controllers else Training(task, problem, p)
    folder.mkdir(parents=True, exist_ok=True)
    if training:
        if checkpoint:
            training.restore(checkpoint["training"])
        train(training, about, folder / "checkpoint.h5", a)
        controllers = {"qgd": (training.Q, p)}
        tree |= {"train": training.log(), "steps": training.steps}
    tree["dqn"] = controller_tree(task.name, *controllers["qgd"])
    used = {"lr": "Algorithm 1", "reg": "Algorithm 2", "joint": "both hyper-parameters"}[task.name]
    heading = f"{used} on x_1 of seed {a.iterate_seed}"
    trace = tracer(task, heading) if a.trace else None
    tree["evaluation"] = evaluate(task, problem, controllers, p, seeds, a.policies, a.quiet, trace)
    if training:
        files.write(folder / "controller.h5", about | {"kind": "controller", "dqn": tree["dqn"]})
    files.write(folder / "run.h5", tree)
    return tree


def train(training, about, path, a):
    """Play the episodes that are left behind a bar; save at first, now and then, and when stopped.

    The first episode on each x_1 takes its plain steps too, so it is slower and announced.
    """

    def save():
        tree = about | {"kind": "checkpoint", "training": snapshot}
        files.write(path, tree, keep_previous=True)

    E, begun, snapshot = training.p.episodes, training.done, training.tree()
    heading = "training episode {0.e}, epsilon {0.Q.epsilon:.2f}"
    trace = tracer(training.task, heading) if a.trace else None
    new = min(training.p.starts or E, E - begun)  # episodes here at another x_1
    try:
        save()
        with tqdm(desc=f"new x_1 1/{new}", total=E, initial=begun, disable=a.quiet) as bar:
            for row in training.episodes(trace):
                snapshot, done = training.tree(), training.done
                k = done - begun + 1
                bar.set_description(f"new x_1 {k}/{new}" if k <= new else "training", False)
                bar.set_postfix_str("loss {td_loss:.1e}, return {return:.2f}, accuracy "
                                    "{test_accuracy:.2f}".format(**row), False)  # fmt: skip
                bar.update()
                if a.only:  # for the process that has begun this one
                    print(f"episode {done} of {E}", flush=True)
                if done % a.checkpoint_episodes == 0 or done == E:
                    save()
    except interrupts.Stopped:
        interrupts.ignore()
        save()
        print(f"\n{snapshot['done']} of {E} episodes are saved", file=sys.stderr)
        raise
