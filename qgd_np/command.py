"""The command line of run_lr.py and run_reg.py: arguments, progress, checkpoints, table."""

import argparse
import json
import shlex
import signal
import sys
import time
from pathlib import Path

import numpy as np

from . import __version__, backend, config, runfile
from .data import DataError, load
from .environment import ACTIONS, FEATURES
from .experiment import Problem, Training, controller_tree, evaluate, load_controller
from .seeds import run_seeds

USER_ERRORS = (
    config.ConfigError, DataError, runfile.RunFileError, backend.DeviceError, OSError, MemoryError,
)  # fmt: skip
STOPPING = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; args[0] is the signal's number. No Exception, so nothing swallows it."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage of all flags."""

    def error(self, message):
        raise config.ConfigError(f"{message}; --help lists all flags")


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
    runs = config.preset(arguments.preset, task.name)
    given = config.chosen(arguments)
    if arguments.controller:
        given["M"] = 0  # a controller brings its own
    settings = {name: config.make(task.name, changes, given) for name, changes in runs.items()}
    for p in settings.values():
        check_flags(task, p, arguments)
    if arguments.seeds is not None:
        return run_seeds(task, arguments, argv)
    seed = config.make(task.name, *runs.values(), given).seed
    out = Path(arguments.out or f"runs/{task.name}-{arguments.preset}-{seed}")
    try:
        return make_runs(task, settings, out, arguments)
    except Stopped:
        _hold_signals()
        print(f"\nstopped; go on with\n  {resume_line(task, argv, out)}", file=sys.stderr)
        raise


def check_flags(task, p, arguments):
    """Raise ConfigError for flags beside the config that are out of range or do not fit."""
    a = arguments
    trains_on_h = task.name == "reg" and p.reward == "error" and not a.controller
    rules = (
        (1 <= a.iterates <= config.LARGEST, f"--iterates must be from 1 to {config.LARGEST}"),
        (0 <= a.iterate_seed < 2**62, "--iterate-seed must be from 0 to 2^62"),
        (a.workers >= 0, "--workers must be at least 0"),
        (a.checkpoint_episodes >= 1, "--checkpoint-episodes must be at least 1"),
        (p.validation_size or not trains_on_h,
         "--validation-size 0: the reward needs validation images, or give --reward g"),
        (a.seeds is None or "" in config.preset(a.preset, task.name),
         f"--seeds: preset {a.preset} makes several runs of its own; choose one or the other"),
    )  # fmt: skip
    for holds, message in rules:
        if not holds:
            raise config.ConfigError(message)


def make_runs(task, settings, out, arguments):
    """Make each run {name: config} of the preset, one for most presets, and the pictures."""
    for name in settings:
        refuse_held(out / name, arguments)
    files = []
    for name, p in settings.items():
        if name:
            print(f"-- {name}")
        files.append(one_run(task, p, out / name, arguments))
    if not arguments.no_figures:
        from . import figures

        for path in figures.draw(files, arguments.preset, out):
            print(f"picture  {path}")
    return 0


def parser(task):
    """The argument parser of a task; every field of the config is a flag."""
    top = Parser(
        prog=f"run_{task.name}.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=task.about, allow_abbrev=False,
    )  # fmt: skip
    add = top.add_argument
    add("--preset", default="default", help="a named set of values for the other flags [default]")
    add("--list-presets", action="store_true", help="print the presets and their values")
    add("--data", default="auto", help="auto, cifar10, synthetic or the path of an archive [auto]")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"), help="[auto]")
    add("--out", help="folder of the results [runs/TASK-PRESET-SEED]")
    add("--resume", action="store_true", help="go on from the last checkpoint in --out")
    add("--force", action="store_true", help="resume although the settings differ")
    add("--controller", metavar="FILE", help="no training: evaluate this trained DQN")
    add("--iterates", type=int, default=3, metavar="K", help="unseen x_1 to compare on [3]")
    add("--iterate-seed", type=int, default=1000, metavar="S0", help="seed of the first [1000]")
    add("--compare-more", action="store_true", help="compare with Adam, L-BFGS and schedules too")
    add("--seeds", metavar="A:B", help="train seeds A to B-1, several at a time")
    add("--workers", type=int, default=0, metavar="N", help="processes for --seeds [cores]")
    add("--checkpoint-episodes", type=int, default=10, metavar="N", help="[10]")
    add("--checkpoint-seconds", type=config.number, default=60, metavar="S", help="[60]")
    add("--no-figures", action="store_true", help="no pictures")
    add("--quiet", action="store_true", help="no progress bar")
    add("--trace", action="store_true", help="print every step, for a reader")
    config.add_flags(top, task.name)
    return top


def one_run(task, p, out, arguments):
    """Train (or load) one DQN, compare it, write OUT/run.h5; returns that path."""
    checkpoint, path = out / "checkpoint.h5", out / "run.h5"
    if arguments.controller:
        Q, own = load_controller(task, arguments.controller)
        p = config.make(task.name, vars(p), {"M": min(own["M"], p.steps)})
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
        train(training, about, checkpoint, arguments, tracer(task) if arguments.trace else None)
        Q, tree["train"] = training.Q, training.log
    tree["dqn"] = controller_tree(task, Q, p)
    seeds = range(arguments.iterate_seed, arguments.iterate_seed + arguments.iterates)
    tree["iterate_seeds"] = np.array(seeds)
    tree["evaluation"] = compare(task, problem, Q, p, seeds, arguments)
    runfile.write(out / "controller.h5", about | {"dqn": tree["dqn"]})
    runfile.write(path, tree)
    print(table(task, tree))
    print(f"results  {path}")
    return path


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


def banner(about, data):
    """Say on what the run is made; synthetic data loudly."""
    n, test = len(data.train_images), len(data.test_images)
    print(f"{about['data']}: {n} training, {test} test images; {about['device']}, "
          f"{about['threads']} BLAS threads; qgd_np {about['version']}")  # fmt: skip
    if data.name == "synthetic":
        print("*** SYNTHETIC IMAGES, NOT CIFAR-10: give --data PATH for the real ones ***")


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


def report_divergence(training):
    """Say how many episodes and updates ended in numbers that are not finite (D23)."""
    episodes = int((training.log["diverged_at"] > 0).sum())
    if episodes or training.Q.rejected:
        print(f"diverged: {episodes} of {training.p.episodes} episodes; "
              f"{training.Q.rejected} updates of theta not taken")  # fmt: skip


def resume_line(task, argv, out):
    """The command that goes on after an interrupt."""
    script, words = f"run_{task.name}.py", [w for w in argv if w != "--resume"]
    if Path(sys.argv[0]).name == script:
        script = sys.argv[0]
    if not any(w.split("=")[0] == "--out" for w in words):
        words += ["--out", str(out)]
    return shlex.join(["python", script, *words, "--resume"])


def compare(task, problem, Q, p, seeds, arguments):
    """The closing comparison with a progress bar over policies and iterates."""
    from tqdm import tqdm

    with tqdm(desc="comparing", unit="run", disable=arguments.quiet, leave=False) as bar:

        def progress(name, k):
            bar.set_postfix(policy=name, refresh=False)
            bar.update()

        return evaluate(task, problem, Q, p, seeds, arguments.compare_more, progress)


def table(task, tree):
    """One row per policy: final f and test accuracy, mean and spread over the iterates, seconds."""
    K = len(tree["iterate_seeds"])
    images = "SYNTHETIC images" if tree["data"] == "synthetic" else tree["data"]
    rows = [f"\n{images}, {K} initial iterates never trained on; mean +- standard deviation",
            f"{'policy':12} {'f at the end':>18} {'test accuracy':>20} {'seconds':>8}"]  # fmt: skip
    for name, run in tree["evaluation"].items():
        f, accuracy = run["objective"][:, -1], run["test_accuracy"][:, -1]
        rows.append(f"{name:12} {f.mean():9.4f} +- {f.std():.4f} {accuracy.mean():11.4f} "
                    f"+- {accuracy.std():.4f} {run['seconds'].mean():8.2f}")  # fmt: skip
    return "\n".join(rows)


def tracer(task):
    """A function that prints each step: t, the features, the action, the value, f and the line."""
    print("t    " + "  ".join(f"{name[:9]:>9}" for name in FEATURES) + "  action  value  f  line")

    def trace(t, s, action, value, f):
        features = "  ".join(f"{v:9.4f}" for v in s)
        print(f"{t:<4d} {features}  {ACTIONS[task.name][action]:6}"
              f"  {value:.4g}  {f:.5f}  {task.lines[action]}")  # fmt: skip

    return trace


def list_presets(task):
    """Print every preset of the task with the values it sets."""
    for name, (tasks, runs) in config.PRESETS.items():
        for run_name, changes in runs.items() if task.name in tasks else ():
            values = " ".join(as_flag(k, v) for k, v in changes.items())
            print(f"{name} {run_name}".strip() + f": {values or 'the defaults'}")


def as_flag(name, value):
    """A field of the config as it is written on the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"
