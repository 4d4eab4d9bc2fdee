"""Damage checkpoints and controllers and give them to the command line (R6).

    python tests/long/damage_runfiles.py [COUNT] [--seed S]

Each of COUNT (1,000) files is cut off, bit-flipped or overwritten, past its end too, and is then
given to --resume or --controller. The run must end within a minute with status 2 and one line
on standard error, and leave the file as it is; with anything else the exit status is 1.
"""
# ruff: noqa: I001

import argparse
import collections
import sys
import tempfile
from pathlib import Path

from kill_resume import EPISODES, SMALL, TASKS, end, finished, make_archive, start  # sets threads
from damage_images import damage
import numpy as np


def outcome(task, argv, path, damaged):
    """Run the command line on a damaged file; return "refused" or what is wrong."""
    path.write_bytes(damaged)
    log = path.with_suffix(".log")
    status, error = end(start(task, argv, log), log, within=60)
    one_line = error.startswith(f"error: {path}: ") and error.count("\n") == 1
    if status != 2 or not one_line or path.read_bytes() != damaged:
        return f"status {status}: {error}"
    return "refused"


def campaign(count, rng, folder):
    """Return {file: {outcome: how many}}."""
    flags = ["--data", make_archive(folder), *SMALL, *EPISODES, "--out"]
    cases = []
    for task in TASKS:
        whole, out, given = folder / task, folder / f"{task}-resumed", folder / "given.h5"
        finished(task, [*flags, whole], whole)
        out.mkdir()
        for name, path, words in (
            ("checkpoint", out / "checkpoint.h5", [out, "--resume"]),
            ("controller", given, [folder / "new", "--controller", given]),
        ):
            data = (whole / f"{name}.h5").read_bytes()
            cases.append((name, task, [*flags, *words], path, data))
    table = collections.defaultdict(collections.Counter)
    for i in range(count):
        name, task, argv, path, data = cases[i % len(cases)]
        damaged = data
        while damaged == data:  # what is overwritten may be zero already
            damaged = damage(data, rng)
        table[name][outcome(task, argv, path, damaged)] += 1
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = campaign(arguments.count, np.random.default_rng(arguments.seed), Path(folder))
    for name, outcomes in table.items():
        print(f"{name:12}", ", ".join(f"{o}: {n}" for o, n in outcomes.items()))
    return int(any(set(outcomes) != {"refused"} for outcomes in table.values()))


if __name__ == "__main__":
    sys.exit(main())
