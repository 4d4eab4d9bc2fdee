"""The flags of run_lr.py and run_reg.py: those of a run, and one for every field of the config."""

import argparse
import re
import shlex
import sys
from argparse import SUPPRESS
from dataclasses import dataclass, fields
from functools import partial

from ..config import AT_LEAST_0, COUNT, LENGTH, Config, ConfigError, UserError, make, option
from ..files.interrupts import Stopped
from .training import COMMANDS


def a_to_b(text):
    """Whether a text is A:B with A < B, or empty."""
    numbers = re.fullmatch(r"(\d+):(\d+)", text)
    return not text or numbers and int(numbers[1]) < int(numbers[2])


SPAN = (a_to_b, "A:B with A < B, as in 0:10")


@dataclass(frozen=True)
class Flags:
    """The flags of a run that are not in its config."""

    preset: str = option("default", "a named set of values for other flags", metavar="NAME")
    list_presets: bool = option(False, "the presets, and what each changes")
    data: str = option("auto", "auto, cifar10, synthetic, or an archive's path", metavar="WHAT")
    device: str = option("auto", "where the net lives", "auto", "cpu", "gpu")
    out: str = option("", "folder of the results [runs/TASK-PRESET-SEED]", metavar="DIR")
    resume: bool = option(False, "go on with the run in that folder")
    seeds: str = option("", "train seeds A to B-1, several at a time", SPAN, metavar="A:B")
    joint: bool = option(False, "one DQN for the learning rate and the coefficient")
    controller: tuple = option((), "no training: these DQNs, files or names", metavar="NAME")
    iterates: int = option(3, "unseen x_1 to compare on; 0: none", LENGTH, metavar="K")
    iterate_seed: int = option(1000, "seed of the first of them", AT_LEAST_0, metavar="S0")
    policies: tuple = option((), "what to compare with, or all", metavar="NAME")
    trace: bool = option(False, "print every step")
    no_figures: bool = option(False, "no pictures")
    quiet: bool = option(False, "no progress bar")
    help_all: bool = option(False, "all flags, in groups")
    only: str = option("", "of several runs, the one of this name", metavar="RUN")
    workers: int = option(0, "runs at a time here, of several; 0: one a core, or GPU", LENGTH)
    scheduler: str = option("", "a Dask cluster makes several runs", metavar="ADDRESS")
    scheduler_file: str = option("", "the same, by its scheduler's file", metavar="FILE")
    data_sha256: str = option("", "what the images must have", metavar="HASH")
    checkpoint_episodes: int = option(20, "save after so many episodes", COUNT)


DEFAULTS = {k: None if v in ("", ()) else v for k, v in vars(Flags()).items()}
METAVARS = {int: "N", float: "X"}
RARE = ("only", "workers", "scheduler_file", "data_sha256", "checkpoint_episodes")
# these are not on the first screen; of the config, on it:
USUAL = ("episodes", "steps", "train_size", "hidden", "loss", "seed")
GROUPS = {  # the flag that each begins with
    "preset": "the run", "train_size": "the objective net and its data",
    "steps": "the environment", "episodes": "Q-learning", "seed": "seed and precision",
}  # fmt: skip


def count(text):
    """A whole number above 0, for argparse."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is not a whole number of at least 1")
    return int(text)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage of all flags."""

    def error(self, message):
        raise ConfigError(f"{message}; --help lists the flags")


def one_line(run):
    """Call run(); return the exit status, after one line on standard error if it is not 0."""
    try:
        return run() or 0
    except (UserError, OSError, MemoryError) as error:
        text = " ".join(str(error).split()) or type(error).__name__
        text += "; ask for fewer images, units or steps" if isinstance(error, MemoryError) else ""
        print(f"error: {text}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, Stopped) as stop:
        return 128 + (stop.args[0] if stop.args else 2)


def parser(task, everything=False):
    """The argument parser of a task; a flag that is not given stays out of what it parses."""
    group = top = Parser(
        prog=COMMANDS[task.name], usage="%(prog)s [--flag value ...]", description=task.about,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=24),
        allow_abbrev=False, argument_default=SUPPRESS,
    )  # fmt: skip
    defaults = vars(Flags()) | vars(make(task.name)) | {"policies": task.default}
    choices = {"policies": ["all", "qgd", *task.policies]}
    for f in (*fields(Flags), *fields(Config)):
        default, text, name = defaults[f.name], f.metadata["text"], f.name
        if name == "joint" and task.name == "lr":
            continue
        if everything and name in GROUPS:
            group = top.add_argument_group(GROUPS[name])
        if isinstance(default, bool):
            how = {"action": argparse.BooleanOptionalAction if default else "store_true"}
        else:
            several = isinstance(default, tuple)
            kind = type(default[0] if default else "") if several else type(default)
            how = {"type": kind, "choices": choices.get(name, f.metadata["choices"])}
            how |= {"metavar": f.metadata["metavar"] or METAVARS.get(kind)}
            how |= {"nargs": "+"} if several else {}
            words = shlex.join(map(str, default)) if several else default
            text += f" [{words}]" if words != "" else ""
        if name == "policies":
            text = f"of {', '.join(task.policies)}, or all [{words}]"
        shown = everything or name in USUAL or name in DEFAULTS and name not in RARE
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=name, help=text if shown else SUPPRESS, **how)
    return top


def words(values):
    """The command line that gives these flags, but for those that are None."""
    for name, value in values.items():
        flag = f"--{name.replace('_', '-')}"
        if isinstance(value, (tuple, list)):
            yield from (flag, *map(str, value))
        elif isinstance(value, bool):
            yield flag if value else f"--no-{flag[2:]}"
        elif value is not None:
            yield f"{flag}={value}"  # so it may begin with a minus


def written(name, value):
    """A flag as it is written on the command line."""
    flag = name.replace("_", "-")
    if value is None or isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    value = shlex.join(map(str, value)) if isinstance(value, (tuple, list)) else value
    return f"--{flag} {value}"
