"""The flags of run_lr.py and run_reg.py; every field of the config is one."""

import argparse
import shlex
import sys
from pathlib import Path

from .. import config
from . import presets


def parser(task):
    """The argument parser of a task; every field of the config is a flag."""
    top = config.Parser(
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
    add("--controller", nargs="+", metavar="FILE",
        help="no training: evaluate this trained DQN; more files: compare them")  # fmt: skip
    add("--iterates", type=int, default=3, metavar="K", help="unseen x_1 to compare on [3]")
    add("--iterate-seed", type=int, default=1000, metavar="S0", help="seed of the first [1000]")
    known = ", ".join([*task.baselines, *task.more])
    add("--compare-more", action="store_true", help="compare with Adam, L-BFGS and schedules too")
    add("--policies", nargs="+", metavar="NAME", help=f"compare with these only: {known}")
    add("--seeds", metavar="A:B", help="train seeds A to B-1, several at a time")
    add("--workers", type=int, default=0, metavar="N", help="processes for --seeds [cores]")
    add("--checkpoint-episodes", type=int, default=50, metavar="N", help="save after N [50]")
    add("--checkpoint-seconds", type=config.number, default=60, metavar="S",
        help="and as soon as an episode ends S seconds after the last save [60]")  # fmt: skip
    add("--no-figures", action="store_true", help="no pictures")
    add("--quiet", action="store_true", help="no progress bar")
    add("--trace", action="store_true", help="print every step; Q as after its update")
    config.add_flags(top, task.name)
    return top


def check_flags(task, p, arguments):
    """Raise ConfigError for flags beside the config that are out of range or do not fit."""
    a = arguments
    unknown = {*(a.policies or ())} - {"qgd", *task.baselines, *task.more}
    looked_for = a.policies or (task.more if a.compare_more else ())
    runs = len(presets.preset(a.preset, task.name))
    trains_on_h = task.name == "reg" and p.reward == "error" and not a.controller
    rules = (
        (1 <= a.iterates <= config.LARGEST, f"--iterates must be from 1 to {config.LARGEST}"),
        (0 <= a.iterate_seed < 2**62, "--iterate-seed must be from 0 to 2^62"),
        (not unknown, f"--policies: no policy {', '.join(sorted(unknown))}; --help lists them"),
        (a.workers >= 0, "--workers must be at least 0"),
        (a.checkpoint_episodes >= 1, "--checkpoint-episodes must be at least 1"),
        (a.checkpoint_seconds >= 0, "--checkpoint-seconds must be at least 0"),
        (a.out != "", "--out is empty: give the name of a folder, or leave it out"),
        (p.validation_size or not trains_on_h,
         "--validation-size 0: the reward needs validation images, or give --reward g"),
        (p.validation_size or "search" not in looked_for,
         "--validation-size 0: the policy search needs validation images; leave it out"),
        (a.seeds is None or a.preset not in presets.TEN_SEEDS,
         f"--seeds: preset {a.preset} has seeds of its own; choose one or the other"),
        (not (a.seeds and a.controller),
         "--seeds trains and --controller does not: choose one or the other"),
        (runs == 1 or not a.controller,
         f"--controller: preset {a.preset} trains {runs} DQNs; choose one or the other"),
        (not (a.seeds and "seed" in a), "--seed: --seeds gives the seeds; leave it out"),
        (not (a.seeds and a.trace), "--trace shows one run: leave it or --seeds out"),
        (not (a.policies and a.compare_more),
         "--compare-more compares with all, --policies with some: choose one or the other"),
    )  # fmt: skip
    for holds, message in rules:
        if not holds:
            raise config.ConfigError(message)


def resume_line(task, argv, out):
    """The command that goes on after an interrupt."""
    script, words = f"run_{task.name}.py", [w for w in argv if w != "--resume"]
    if Path(sys.argv[0]).name == script:
        script = sys.argv[0]
    if not any(w.split("=")[0] == "--out" for w in words):
        words += ["--out", str(out)]
    return shlex.join(["python", script, *words, "--resume"])


def list_presets(task):
    """Print every preset of the task with the values it sets."""
    for name, (tasks, runs) in presets.PRESETS.items():
        for run_name, changes in runs.items() if task.name in tasks else ():
            values = " ".join(as_flag(k, v) for k, v in changes.items())
            print(f"{name} {run_name}".strip() + f": {values or 'the defaults'}")


def as_flag(name, value):
    """A field of the config as it is written on the command line."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"
