"""The command line of run_lr.py and run_reg.py: arguments, progress, checkpoints, table."""

import json
import signal
import sys
import time
from pathlib import Path

import numpy as np

from . import __version__, backend, config, runfile
from .comparison import controller_tree, evaluate, load_controllers
from .data import DataError, load
from .experiment import Problem, Training
from .flags import check_flags, list_presets, parser, resume_line
from .report import banner, report_divergence, table, tracer
from .seeds import finished, run_seeds

USER_ERRORS = (
    config.ConfigError, DataError, runfile.RunFileError, backend.DeviceError, OSError, MemoryError,
)  # fmt: skip
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; args[0] is the signal's number. No Exception, so nothing swallows it."""


def main(task, argv=None):
    """Run the command line of a task; returns the exit status (0, 2, 130 or 143)."""
    for number in STOPPING:
        signal.signal(number, _stop)
    try:
        return run(task, sys.argv[1:] if argv is None else argv)
    except USER_ERRORS as error:
        text = " ".join(str(error).split()) or type(error).__name__
        print(f"error: {text}", file=sys.stderr)
        return 2
    except Stopped as stop:
        return 128 + stop.args[0]


def _stop(number, frame):
    raise Stopped(number)


def _hold_signals():
    """From here on neither Ctrl-C nor SIGTERM stops anything: the process is about to end."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def run(task, argv):
    """Parse and check everything, then make the runs that are asked for."""
    arguments = parser(task).parse_args(argv)
    if arguments.list_presets:
        list_presets(task)
        return 0
    given = config.chosen(arguments)
    seed = given.pop("seed", config.Config.seed)  # the first one, if the preset has ten
    runs = config.preset(arguments.preset, task.name, seed)
    if arguments.controller:
        given["M"] = 0  # a controller brings its own
    settings = {k: config.make(task.name, {"seed": seed}, own, given) for k, own in runs.items()}
    for p in settings.values():
        check_flags(task, p, arguments)
    if arguments.seeds is not None:
        return run_seeds(task, arguments, argv)
    out = Path(arguments.out or f"runs/{task.name}-{arguments.preset}-{seed}")
    try:
        return make_runs(task, settings, out, arguments)
    except Stopped:
        _hold_signals()
        print(f"\nstopped; go on with\n  {resume_line(task, argv, out)}", file=sys.stderr)
        raise


def make_runs(task, settings, out, arguments):
    """Make each run {name: config} of the preset, one for most presets, and the pictures."""
    for name in settings:
        refuse_held(out / name, arguments)
    files = []
    for name, p in settings.items():
        if name:
            print(f"-- {name}")
        file = out / name / "run.h5"
        if not (name and arguments.resume and finished(file, p)):
            one_run(task, p, out / name, arguments)
        files.append(file)
    if not arguments.no_figures:
        from . import figures

        for path in figures.draw(files, arguments.preset, out):
            print(f"picture  {path}")
    return 0


def one_run(task, p, out, arguments):
    """Train (or load) one DQN, compare it, write OUT/run.h5."""
    checkpoint, path = out / "checkpoint.h5", out / "run.h5"
    if arguments.controller:
        controllers = load_controllers(task, arguments.controller, p)
        p = controllers["qgd"][1]
    snapshot = prepare(out, checkpoint, arguments)
    device = backend.choose(arguments.device, p.tf32)
    data = load(arguments.data, p.train_size, p.validation_size)
    about = description(task, p, data, device)
    banner(about, data)
    if snapshot:
        check_same(snapshot, about, arguments)
    problem = Problem(data, p, device)
    tree = dict(about)
    if not arguments.controller:
        training = Training(task, problem, p)
        if snapshot:
            training.restore(snapshot.get("training"))
        controllers, tree["train"] = {"qgd": (training.Q, p)}, training.log
        trace = tracer(task, training.Q) if arguments.trace else None
        train(training, about, checkpoint, arguments, trace)
    tree["dqn"] = controller_tree(task, controllers["qgd"][0], p)
    seeds = range(arguments.iterate_seed, arguments.iterate_seed + arguments.iterates)
    tree["iterate_seeds"] = np.array(seeds)
    tree["evaluation"] = compare(task, problem, controllers, p, seeds, arguments)
    runfile.write(out / "controller.h5", about | {"dqn": tree["dqn"]})
    runfile.write(path, tree)
    print(table(tree))
    print(f"results  {path}")


def refuse_held(out, arguments):
    """Raise ConfigError for a folder that holds a run, unless that one is to be resumed."""
    try:
        held = out.is_dir() and [*out.glob("run.h5"), *out.glob("checkpoint*.h5")]
    except OSError as error:
        raise config.ConfigError(f"--out {out}: cannot be read ({error.strerror})") from error
    if held and not arguments.resume:
        raise config.ConfigError(f"--out {out} holds a run: add --resume, or choose another folder")


def prepare(out, checkpoint, arguments):
    """Make the folder; return the checkpoint tree to resume from, or None."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / ".writable").touch()
        (out / ".writable").unlink()
    except OSError as error:
        raise config.ConfigError(f"--out {out}: cannot be written ({error.strerror})") from error
    if not arguments.resume or arguments.controller:
        return None
    found = runfile.read_latest(checkpoint)
    if found is None:
        print(f"no checkpoint in {out}: starting from the beginning")
        return None
    snapshot, used = found
    if used != checkpoint:
        print(f"{checkpoint} is damaged or gone: going on from {used}")
    return snapshot


def description(task, p, data, device):
    """The root attributes of the run file."""
    return {
        "task": task.name, "config": config.to_json(p), "version": __version__,
        "data": data.name, "device": backend.describe(device), "threads": backend.blas_threads(),
    }  # fmt: skip


def check_same(snapshot, about, arguments):
    """Refuse to go on from a checkpoint of other settings; say what differs."""
    old, new = json.loads(snapshot.get("config", "{}")), json.loads(about["config"])
    old.pop("episodes", None), new.pop("episodes")  # may be raised
    before = old | {k: snapshot.get(k) for k in about if k != "config"}
    after = new | {k: about[k] for k in about if k != "config"}
    different = [f"{k}: {before.get(k)} -> {after[k]}" for k in after if before.get(k) != after[k]]
    if different and not arguments.force:
        raise config.ConfigError(
            f"the checkpoint was made with other settings ({'; '.join(different)}); "
            "give the same ones, or --force to go on all the same"
        )
    if different:
        print(f"resuming although the settings differ: {'; '.join(different)}")


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
        _hold_signals()
        save(checkpoint, about, snapshot)
        print(f"\n{snapshot['done']} of {p.episodes} episodes are saved", file=sys.stderr)
        raise
    report_divergence(training)


def save(checkpoint, about, snapshot):
    """Write a checkpoint, keeping the one before."""
    runfile.write_keeping_previous(checkpoint, about | {"training": snapshot})


def compare(task, problem, controllers, p, seeds, arguments):
    """The closing comparison with a progress bar over policies and iterates."""
    from tqdm import tqdm

    with tqdm(desc="comparing", unit="run", disable=arguments.quiet, leave=False) as bar:

        def progress(name, k):
            bar.set_postfix(policy=name, refresh=False)
            bar.update()

        trace = tracer(task, controllers["qgd"][0]) if arguments.trace else None
        everything = {**task.baselines, **task.more} if arguments.compare_more else None
        chosen = arguments.policies or everything
        return evaluate(task, problem, controllers, p, seeds, chosen, progress, trace)
