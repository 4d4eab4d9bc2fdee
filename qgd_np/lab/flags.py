"""The flags of run_lr.py and run_reg.py: those of a run, and one for every field of the config."""

import argparse
import dataclasses
import math
import shlex
import sys
from argparse import SUPPRESS, ArgumentTypeError
from functools import partial

from ..config import Config, ConfigError, UserError, make
from ..files.interrupts import Stopped


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


def number(text):
    """A finite float, for argparse."""
    if not math.isfinite(value := float(text)):
        raise ArgumentTypeError(f"{text} is not a finite number")
    return value


def whole(text, least=0):
    """A whole number, for argparse."""
    if not text.isdecimal() or not least <= int(text) < 2**62:
        raise ArgumentTypeError(f"{text} is not a whole number of at least {least}")
    return int(text)


def seeds(text):
    """A:B, for argparse."""
    first, _, end = text.partition(":")
    if not (first.isdecimal() and end.isdecimal() and int(first) < int(end)):
        raise ArgumentTypeError(f"{text!r} is not A:B with A < B, as in 0:10")
    return text


count = partial(whole, least=1)
SWITCH, SEVERAL = dict(action="store_true"), dict(nargs="+", metavar="NAME")
FLAGS = {  # those of a run: default, how argparse takes it, text
    "preset": ("default", dict(metavar="NAME"), "a named set of values for other flags"),
    "list_presets": (False, SWITCH, "the presets, and what each changes"),
    "data": ("auto", dict(metavar="WHAT"), "auto, cifar10, synthetic, or an archive's path"),
    "device": ("auto", dict(choices=("auto", "cpu", "gpu")), "where the net lives"),
    "out": (None, dict(metavar="DIR"), "folder of the results [runs/TASK-PRESET-SEED]"),
    "resume": (False, SWITCH, "go on with the run in that folder"),
    "seeds": (None, dict(type=seeds, metavar="A:B"), "train seeds A to B-1, several at a time"),
    "controller": (None, SEVERAL, "no training: use these DQNs, a file or a shipped name"),
    "iterates": (3, dict(type=whole, metavar="K"), "unseen x_1 to compare on; 0: none"),
    "iterate_seed": (1000, dict(type=whole, metavar="S0"), "seed of the first of them"),
    "policies": (None, SEVERAL, "what to compare with, or all"),
    "trace": (False, SWITCH, "print every step"),
    "no_figures": (False, SWITCH, "no pictures"),
    "quiet": (False, SWITCH, "no progress bar"),
    "help_all": (False, SWITCH, "all flags, in groups"),
    "only": (None, dict(metavar="RUN"), "of several runs, the one of this name"),
    "workers": (0, dict(type=whole, metavar="N"), "runs of --seeds at a time; 0: one a core"),
    "checkpoint_episodes": (20, dict(type=count, metavar="N"), "save after N episodes"),
}
DEFAULTS = {name: default for name, (default, _, _) in FLAGS.items()}
RARE = ("only", "workers", "checkpoint_episodes")  # not on the first screen; of the config, on it:
USUAL = ("episodes", "steps", "train_size", "hidden", "loss", "seed")
GROUPS = {  # the flag that each begins with
    "preset": "the run", "train_size": "the objective net and its data",
    "steps": "the environment", "episodes": "Q-learning", "seed": "seed and precision",
}  # fmt: skip


def parser(task, everything=False):
    """The argument parser of a task; a flag that is not given stays out of what it parses."""
    top = Parser(
        prog=f"run_{task.name}.py", usage="%(prog)s [--flag value ...]", description=task.about,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, max_help_position=24),
        allow_abbrev=False, argument_default=SUPPRESS,
    )  # fmt: skip
    rows, group = FLAGS | of_config(task), top
    policies = dict(SEVERAL, choices=["all", "qgd", *task.policies])
    rows["policies"] = task.default, policies, f"of {', '.join(task.policies)}, or all"
    for name, (default, how, text) in rows.items():
        if everything and name in GROUPS:
            group = top.add_argument_group(GROUPS[name])
        words = shlex.join(map(str, default)) if isinstance(default, tuple) else default
        text += "" if how is SWITCH or words is None else f" [{words}]"
        shown = everything or (name in USUAL if name not in FLAGS else name not in RARE)
        flag = f"--{name.replace('_', '-')}"
        group.add_argument(flag, dest=name, help=text if shown else SUPPRESS, **how)
    return top


def of_config(task):
    """As FLAGS, for every field of the config."""
    rows, defaults = {}, make(task.name)
    for field in dataclasses.fields(Config):
        default = getattr(defaults, field.name)
        how = {
            bool: dict(action=argparse.BooleanOptionalAction), int: dict(type=int, metavar="N"),
            float: dict(type=number, metavar="X"), str: dict(choices=field.metadata["choices"]),
        }  # fmt: skip
        if isinstance(default, tuple):
            how = how[type(default[0])] | {"nargs": "+"}
        else:
            how = how[type(default)]
        rows[field.name] = default, how, field.metadata["text"]
    return rows


def written(name, value):
    """A flag as it is written on the command line."""
    flag = name.replace("_", "-")
    if value is None or isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    value = shlex.join(map(str, value)) if isinstance(value, (tuple, list)) else value
    return f"--{flag} {value}"
