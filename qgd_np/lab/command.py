"""The command line of run_lr.py and run_reg.py: from the flags to a run file, and going on."""

import gc
import json
import os
import shlex
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from .. import __version__, backend, config, files
from ..config import ConfigError
from ..files import interrupts
from ..images import load
from . import flags, presets
from .comparison import controller_tree, evaluate, load_controllers
from .report import Progress, banner, compared, table, tracer, verdict
from .seeds import run_seeds
from .training import Problem, Training

KEPT = ("preset", "data", "device", "seeds", "controller", "iterates", "iterate_seed", "policies")
SAVE_SECONDS = 60  # as soon as an episode ends so long after the last save


def main(task, argv=None):
    """Run the command line of a task; returns the exit status (0, 2, 130 or 143)."""
    interrupts.catch()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    return flags.one_line(lambda: run(task, sys.argv[1:] if argv is None else argv))


def run(task, argv):
    """Parse and check everything, then make the runs that are asked for."""
    given, fields = flags.parse(task, argv)
    if "help_all" in given:
        return flags.parser(task, everything=True).print_help()
    if "list_presets" in given:
        return print(presets.listing())
    a = settings(task, given, fields)
    runs = {name: config.make(task.name, changes) for name, changes in a.runs.items()}
    for p in runs.values():
        flags.check(task, a, p, len(runs))
    try:
        if a.seeds and "seed" not in fields:
            return run_seeds(a, argv, sum(p.episodes for p in runs.values()))
        return make_runs(task, a)
    except interrupts.Stopped:
        interrupts.ignore()
        print(f"\nstopped; go on with\n  {resume_line(task, argv, a.out)}", file=sys.stderr)
        raise


def settings(task, given, fields):
    """All flags: those that are given, else those of the run that is gone on with, else defaults.

    Beside the flags: `out` is the top folder, `folder` that of this seed; `now` are the fields of
    the config that are given, `fields` these and the earlier ones; `runs` is {name of a run: what
    it changes against the defaults}.
    """
    seed = fields.get("seed", config.Config.seed)
    name = f"{task.name}-{given.get('preset', 'default')}-{'seeds' if 'seeds' in given else seed}"
    out = Path(given.get("out") or f"runs/{name}")
    if given.get("policies") == ["all"]:
        given["policies"] = list(task.policies)
    before = earlier(task, out, given) if "resume" in given else {}
    a = SimpleNamespace(**flags.DEFAULTS | {"policies": list(task.default)} | before | given)
    a.out, a.now, a.fields = out, fields, before.get("fields", {}) | fields
    presets.check(a.preset, task.name)
    seed = a.fields.get("seed", seed)
    rest = {name: value for name, value in a.fields.items() if name != "seed"}
    a.runs = {name: own | rest for name, own in presets.runs(a.preset, seed).items()}
    a.folder = out / f"seed-{seed}" if a.seeds else out
    a.quiet |= a.trace  # a bar would break the lines of the trace
    return a


def earlier(task, out, given):
    """The flags that the run in a folder was made with, which the given ones must not contradict.

    Raises ConfigError for one that does. If there is no run yet, says so and returns {}.
    """
    found = {file.parent for depth in ("", "*/", "*/*/") for file in out.glob(depth + "*.h5")}
    for folder in sorted(found):
        tree = checkpoint_in(folder) or result_in(folder)
        if tree is None:
            continue
        before = json.loads(tree["flags"])
        if (out / before["place"], tree["task"]) != (folder, task.name):
            raise ConfigError(f"--out {out}: {folder} is no run of run_{task.name}.py --out {out}")
        if given.get("device") == "auto":
            del given["device"]
        for name in {*KEPT} & {*given} - {"data"}:  # images are compared by content
            must_agree(name, given[name], before[name], out)
        return before
    print(f"no run in {out} yet: starting from the beginning")
    return {}


def must_agree(name, value, before, folder):
    """Raise ConfigError for a flag that contradicts the run that is gone on with."""
    if value != before and not (name == "episodes" and value > before):
        raise ConfigError(
            f"{flags.written(name, value)}: the run in {folder} has {flags.written(name, before)}; "
            "leave it out, or choose another folder"
        )


def result_in(folder):
    """The tree of run.h5 in a folder, or None."""
    return files.read(folder / "run.h5", "run") if (folder / "run.h5").exists() else None


def checkpoint_in(folder):
    """The tree of the latest checkpoint in a folder, or None; says so if it is the one before."""
    tree, path = files.read_latest(folder / "checkpoint.h5", "checkpoint") or (None, None)
    if tree and path.name != "checkpoint.h5":
        print(f"checkpoint.h5 in {folder} is damaged or gone: going on from {path.name}")
    return tree


def refuse_results(folder, advice):
    """Raise ConfigError for a folder that holds a run: nothing is overwritten."""
    if any(folder.glob(name) for name in ("run.h5", "controller.h5", "checkpoint*.h5")):
        raise ConfigError(f"--out {folder} holds a run: {advice}")


def resume_line(task, argv, out):
    """The command that goes on: what a checkpoint keeps need not be said again."""
    script = f"run_{task.name}.py"
    script = sys.argv[0] if Path(sys.argv[0]).name == script else script
    words = [word for word in argv if word != "--resume"]
    words = ["--out", str(out)] if any(out.rglob("checkpoint*.h5")) else words
    return shlex.join(["python", script, "--resume", *words])


def make_runs(task, a):
    """Make the runs of the preset, one for most presets, and the pictures."""
    for name in () if a.resume else a.runs:
        refuse_results(a.folder / name, "add --resume, or choose another folder")
    paths = []
    for name, changes in a.runs.items():
        if name:
            print(f"-- {name}")
        paths.append(one_run(task, changes, a.folder / name, a))
        gc.collect()  # f and its points hold each other: free the images before the next run
    pictures = []
    if not a.no_figures:
        from .. import figures  # matplotlib is slow to import

        pictures = figures.draw(paths, a.preset, a.folder)
    for path in pictures:
        print(f"picture  {path}")
    first = next((path for path in pictures if path.stem == "comparison"), [*pictures, *paths][0])
    print(f"Open first: {first}")


def one_run(task, changes, folder, a):
    """Train (or load) one DQN, compare it, write run.h5 in a folder; returns that path."""
    p, path, controllers = config.make(task.name, changes), folder / "run.h5", {}
    result, checkpoint = (result_in(folder), checkpoint_in(folder)) if a.resume else (None, None)
    before = checkpoint or result
    if before:
        old = config.from_json(before["config"])
        p = config.make(task.name, vars(old), {name: changes[name] for name in a.now})
        for name, value in vars(p).items():
            must_agree(name, value, getattr(old, name), folder)
    finished = result is not None and config.from_json(result["config"]) == p
    if not finished and not checkpoint:
        refuse_results(folder, "without a checkpoint to go on from; choose another folder")
    if a.controller and not finished:
        controllers = load_controllers(task, a.controller, p)
        p = controllers["qgd"][1]
    device = backend.choose(a.device, p.tf32)
    data = load(a.data, p.train_size, p.validation_size)
    about = description(task, p, data, device, folder, a)
    compare_with(before, about, a.data)
    banner(about, data)
    if not finished:
        make_folder(folder)
        problem = Problem(data, p, device)
        result = results(task, p, problem, about, controllers, checkpoint, folder, a)
    print(table(result) if result["evaluation"] else "no comparison: --iterates 0")
    print(f"{verdict(result)}\nresults  {path}")
    return path


def description(task, p, data, device, folder, a):
    """The root attributes of the run file; `flags` is what --resume takes from it."""
    known = data.name if a.data in ("auto", "cifar10", "synthetic") else os.path.abspath(a.data)
    kept = {name: getattr(a, name) for name in KEPT} | {"data": known, "device": device}
    kept["fields"] = {k: v for k, v in a.fields.items() if k != "seed" or not a.seeds}
    kept["place"] = folder.relative_to(a.out).as_posix()
    return {
        "task": task.name, "config": config.to_json(p), "version": __version__,
        "data": data.name, "data_sha256": data.sha256, "device": backend.describe(device),
        "threads": backend.blas_threads(), "preset": a.preset, "flags": json.dumps(kept),
    }  # fmt: skip


def compare_with(before, about, source):
    """Refuse other images than those of the run that is gone on with, and say what else differs."""
    if before and before["data_sha256"] != about["data_sha256"]:
        raise ConfigError(f"--data {source}: these are not the images that the run was made with")
    for name in ("version", "device", "threads") if before else ():
        if before[name] != about[name]:
            print(f"note: {name} was {before[name]}, is {about[name]}: last digits may differ")


def make_folder(folder):
    """Make the folder of the results. Raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {folder}: {error.strerror}; choose another folder") from error


def results(task, p, problem, about, controllers, checkpoint, folder, a):
    """Train a DQN, if none is given, and compare it; returns the tree that is now in run.h5."""
    seeds = range(a.iterate_seed, a.iterate_seed + a.iterates)
    tree = about | {"kind": "run", "iterate_seeds": np.array(seeds, np.int64)}
    if not controllers:
        training = Training(task, problem, p)
        if checkpoint:
            training.restore(checkpoint["training"])
        train(training, about, folder / "checkpoint.h5", a)
        controllers, tree["train"] = {"qgd": (training.Q, p)}, training.log
    tree["dqn"] = controller_tree(task, *controllers["qgd"])
    tree["evaluation"] = compare(task, problem, controllers, p, seeds, a)
    if "train" in tree:
        files.write(folder / "controller.h5", about | {"kind": "controller", "dqn": tree["dqn"]})
    files.write(folder / "run.h5", tree)
    return tree


def train(training, about, path, a):
    """Play the episodes that are left; save at first, now and then, and when a signal stops it."""
    p, task = training.p, training.task
    heading = lambda log: f"training episode {log.e}, epsilon {log.epsilon:.2f}"  # noqa: E731
    trace = tracer(task, p, heading) if a.trace else None
    snapshot, saved_at, saved = training.tree(), time.monotonic(), training.done
    progress = Progress(training, a.quiet, lines=bool(a.seeds))
    try:
        save(path, about, snapshot)
        with progress.bar:
            for log in training.episodes(trace):
                snapshot = training.tree()
                progress.show(training.done, log)
                late = time.monotonic() - saved_at > SAVE_SECONDS
                if late or training.done - saved >= a.checkpoint_episodes:
                    save(path, about, snapshot)
                    saved_at, saved = time.monotonic(), training.done
        save(path, about, snapshot)
    except interrupts.Stopped:
        interrupts.ignore()
        save(path, about, snapshot)
        print(f"\n{snapshot['done']} of {p.episodes} episodes are saved", file=sys.stderr)
        raise


def save(path, about, snapshot):
    """Write a checkpoint, keeping the one before."""
    tree = about | {"kind": "checkpoint", "training": snapshot}
    files.write(path, tree, keep_previous=True)


def compare(task, problem, controllers, p, seeds, a):
    """The closing comparison, {} if none is asked for, with a bar over policies and iterates."""
    if not seeds:
        return {}
    bar, begins = compared(len({*controllers, *a.policies}) * len(seeds), a.quiet or a.seeds)
    name = f"Algorithm {1 if task.name == 'lr' else 2} on x_1 of seed {seeds[0]}"
    trace = tracer(task, p, lambda log: name) if a.trace else None
    with bar:
        return evaluate(task, problem, controllers, p, seeds, a.policies, begins, trace)
