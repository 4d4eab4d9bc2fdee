"""The command line of run_lr.py and run_reg.py: arguments, progress, checkpoints, table."""

import gc
import sys
import time
from pathlib import Path

import numpy as np

from .. import __version__, backend, config, files
from ..files import interrupts
from ..files.interrupts import Stopped
from ..images.data import DataError, load, name_of
from . import presets
from .comparison import controller_tree, evaluate, load_controllers, policies
from .experiment import Problem, Training
from .flags import check_flags, list_presets, parser, resume_line
from .report import banner, report_divergence, table, tracer
from .resume import (
    RESULTS,
    check_same,
    compared,
    digest,
    find_checkpoint,
    finished,
    make_folder,
    refuse_held,
    results_of,
)
from .seeds import run_seeds

COMPARED = "comparison.h5"  # what is done of the closing comparison
USER_ERRORS = (
    config.ConfigError, DataError, files.FileError, backend.DeviceError, OSError, MemoryError,
)  # fmt: skip


def main(task, argv=None):
    """Run the command line of a task; returns the exit status (0, 2, 130 or 143)."""
    interrupts.catch()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal cannot show is no error
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        return run(task, sys.argv[1:] if argv is None else argv)
    except USER_ERRORS as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text += "; ask for fewer images, units or steps" if isinstance(error, MemoryError) else ""
        print(f"error: {text}", file=sys.stderr)
        return 2
    except Stopped as stop:
        return 128 + stop.args[0]


def run(task, argv):
    """Parse and check everything, then make the runs that are asked for."""
    arguments = parser(task).parse_args(argv)
    if arguments.list_presets:
        list_presets(task)
        return 0
    arguments.quiet |= arguments.trace  # a bar would break the lines of the trace
    given = config.chosen(arguments)
    seed = given.pop("seed", config.Config.seed)  # the first one, if the preset has ten
    runs = presets.preset(arguments.preset, task.name, seed)
    if arguments.controller:
        given = {"M": 0} | given  # a controller brings its own
    settings = {k: config.make(task.name, {"seed": seed}, own, given) for k, own in runs.items()}
    for p in settings.values():
        check_flags(task, p, arguments)
    if arguments.seeds is not None:
        return run_seeds(task, arguments, argv)
    out = Path(arguments.out or f"runs/{task.name}-{arguments.preset}-{seed}")
    try:
        return make_runs(task, settings, out, arguments)
    except Stopped:
        interrupts.ignore()
        print(f"\nstopped; go on with\n  {resume_line(task, argv, out)}", file=sys.stderr)
        raise


def make_runs(task, settings, out, arguments):
    """Make each run {name: config} of the preset, one for most presets, and the pictures."""
    resume = "" if arguments.controller else "add --resume, or "
    for name in () if arguments.resume else settings:
        refuse_held(out / name, f"{resume}choose another folder with --out")
    paths = []
    for name, p in settings.items():
        if name:
            print(f"-- {name}")
        paths.append(one_run(task, p, out / name, arguments))
        gc.collect()  # f and its points hold each other: free the images before the next run
    if not arguments.no_figures:
        from ..figures import __main__ as figures

        for path in figures.draw(paths, arguments.preset, out):
            print(f"picture  {path}")
    return 0


def one_run(task, p, out, arguments):
    """Train (or load) one DQN, compare it, write OUT/run.h5; returns that path."""
    controllers, tree, path = {}, None, out / "run.h5"
    if arguments.controller is not None:
        controllers = load_controllers(task, arguments.controller, p, vars(arguments).get("M", 0))
        p = controllers["qgd"][1]
    make_folder(out)
    device = backend.choose(arguments.device, p.tf32)
    data = load(arguments.data, p.train_size, p.validation_size)
    about = description(task, p, data, device)
    if controllers:
        about["controllers"] = [name_of(file) for file in arguments.controller]
        about["compared"] = digest(controllers, unseen(arguments))
    banner(about, data)
    if arguments.resume:
        names = policies(task, controllers or {"qgd": (None, p)}, chosen_policies(task, arguments))
        tree = finished(path, about, names, unseen(arguments))
        if tree is None and controllers:  # of a controller only a comparison goes on
            refuse_held(out, "choose another folder with --out", (*RESULTS, "checkpoint*.h5"))
    if tree is None:
        tree = results(task, p, Problem(data, p, device), about, controllers, out, arguments)
    print(table(tree))
    print(f"results  {path}")
    return path


def results(task, p, problem, about, controllers, out, arguments):
    """Train a DQN, if none is given, and compare it; returns the tree that is now in OUT/run.h5."""
    tree, seeds = about | {"kind": "run"}, unseen(arguments)
    if not controllers:
        Q, tree["train"] = trained(task, problem, p, about, out, arguments)
        controllers = {"qgd": (Q, p)}
    tree |= {"dqn": controller_tree(task, *controllers["qgd"]), "iterate_seeds": np.array(seeds)}
    tree["evaluation"] = compare(task, problem, controllers, p, about, out, arguments)
    if "train" in tree:
        files.write(out / "controller.h5", about | {"kind": "controller", "dqn": tree["dqn"]})
    files.write(out / "run.h5", tree)
    (out / COMPARED).unlink(missing_ok=True)
    return tree


def unseen(arguments):
    """The seeds of the closing comparison's iterates."""
    return range(arguments.iterate_seed, arguments.iterate_seed + arguments.iterates)


def description(task, p, data, device):
    """The root attributes of the run file."""
    return {
        "task": task.name, "config": config.to_json(p), "version": __version__,
        "data": data.name, "data_sha256": data.sha256, "device": backend.describe(device),
        "threads": backend.blas_threads(),
    }  # fmt: skip


def trained(task, problem, p, about, out, arguments):
    """Train a DQN, going on where it is to be resumed; return it and /train of the run file."""
    checkpoint, snapshot = out / "checkpoint.h5", None
    if arguments.resume:
        snapshot = find_checkpoint(checkpoint)
        if found := snapshot or results_of(out):
            check_same(found, about, arguments.force)
    training = Training(task, problem, p)
    if snapshot:
        training.restore(snapshot["training"])
    trace = tracer(task, training.Q) if arguments.trace else None
    train(training, about, checkpoint, arguments, trace)
    return training.Q, training.log


def train(training, about, checkpoint, arguments, trace):
    """Play the episodes with a progress bar; save now and then, and when a signal stops it."""
    from tqdm import tqdm

    p = training.p
    snapshot, saved_at, saved_episode = training.tree(), time.monotonic(), training.done
    bar = tqdm(total=p.episodes, initial=training.done, unit="ep", disable=arguments.quiet)
    try:
        with bar:
            for history in training.episodes(trace):
                snapshot = training.tree()
                e = training.done - 1
                loss = training.log["td_loss"][e]
                bar.set_postfix(loss=f"{loss:.1e}", eps=f"{history.epsilon:.2f}", refresh=False)
                bar.update()
                due = training.done - saved_episode >= arguments.checkpoint_episodes
                if due or time.monotonic() - saved_at > arguments.checkpoint_seconds:
                    save(checkpoint, about, snapshot)
                    saved_at, saved_episode = time.monotonic(), training.done
        save(checkpoint, about, snapshot)
    except Stopped:
        interrupts.ignore()
        save(checkpoint, about, snapshot)
        print(f"\n{snapshot['done']} of {p.episodes} episodes are saved", file=sys.stderr)
        raise
    report_divergence(training)


def save(checkpoint, about, snapshot):
    """Write a checkpoint, keeping the one before."""
    tree = about | {"kind": "checkpoint", "training": snapshot}
    files.write(checkpoint, tree, keep_previous=True)


def chosen_policies(task, arguments):
    """The names that Q-gradient descent is compared with, None for the task's baselines."""
    everything = [*task.baselines, *task.more] if arguments.compare_more else None
    return arguments.policies or everything


def compare(task, problem, controllers, p, about, out, arguments):
    """The closing comparison with a progress bar over policies and iterates.

    What is done of a long one is saved now and then and, with --resume, not done again.
    """
    from tqdm import tqdm

    path, seeds, saved_at = out / COMPARED, unseen(arguments), time.monotonic()
    identity = about | {"kind": "comparison", "compared": digest(controllers, seeds)}
    known = compared(path, identity) if arguments.resume else {}

    def keep(tree):
        nonlocal saved_at
        if time.monotonic() - saved_at > arguments.checkpoint_seconds:
            files.write(path, identity | {"evaluation": tree})
            saved_at = time.monotonic()

    with tqdm(desc="comparing", unit="run", disable=arguments.quiet, leave=False) as bar:

        def progress(name, k):
            bar.set_postfix(policy=name, refresh=False)
            bar.update()

        trace = tracer(task, controllers["qgd"][0]) if arguments.trace else None
        chosen = chosen_policies(task, arguments)
        return evaluate(task, problem, controllers, p, seeds, chosen, progress, trace, known, keep)
