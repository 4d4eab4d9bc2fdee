"""Damage what is read from the disk, in many ways: nothing may be read wrongly (R6).

    python tests/long/damage.py images|runfiles [COUNT] [--seed S]

Each of COUNT (1,000) cases is cut off, bit-flipped, overwritten or, an archive, of a wrong layout.
An archive may give a DataError of one line or the very arrays that were written; one
batch in a folder, which has no checksum, also others of the right shapes. A checkpoint or
controller must end the command line with status 2 and one line. What was on the disk must still be
there. The exit status is 1 if anything was wrong, or took more than a minute.
"""
# ruff: noqa: I001

import argparse
import collections
import faulthandler
import pickle
import sys
import tempfile
from pathlib import Path

from kill_resume import EPISODES, SMALL, TASKS, end, finished, make_archive, start  # sets threads
import numpy as np
from archives import binary_files, make_arrays, pack, python_files, same, unpack

from qgd_np.images import DataError, archive

ARRAYS = make_arrays()
LAYOUTS = {"binary": binary_files(ARRAYS), "python": python_files(ARRAYS)}


def damage(content, rng):
    """Cut bytes off, flip one to four bits, or put zeros or noise over a stretch of them."""
    what, start = rng.integers(3), rng.integers(len(content))
    if what == 0:
        return content[:start]
    damaged = bytearray(content)
    if what == 1:
        length = int(rng.integers(1, 3000))
        damaged[start : start + length] = bytes(length) if rng.integers(2) else rng.bytes(length)
    for _ in range(rng.integers(1, 5) if what == 2 else 0):
        reach = min(len(content), int(rng.choice([len(content), 6000])))  # near an end, often
        damaged[int(rng.integers(reach)) * int(rng.choice([1, -1]))] ^= 1 << int(rng.integers(8))
    return bytes(damaged) if damaged != content else damage(content, rng)  # may be zero already


def damaged_archive(layout, rng):
    """The bytes of an archive that is damaged, or in which one batch is not as it should be."""
    files, zipped = dict(LAYOUTS[layout]), bool(rng.integers(4))
    if rng.integers(4) == 0:  # left out, renamed, shortened, replaced or mislabelled
        name = str(rng.choice([name for name in files if "meta" not in name]))
        content = files.pop(name)
        files |= [
            {},
            {name + "x": content},
            {name: content[: -int(rng.integers(1, len(content)))]},
            {name: rng.bytes(int(rng.integers(1, 9000)))},
            {name: pickle.dumps({b"data": [1, 2], b"labels": ["x"]}, protocol=2)},
        ][rng.integers(5)]
        return pack(files, zipped)
    content = pack(files, zipped)  # what is not zipped has no checksum of what is in the files
    return damage(content, rng) if zipped else content[: rng.integers(len(content))]


def outcome(read, marked=True):
    """Read images; return "DataError", "right", "unmarked" or what is wrong."""
    try:
        got = read()
    except DataError as error:
        return "DataError" if "\n" not in str(error) else "wrong: more than a line"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if same(ARRAYS, got):
        return "right"
    fit = all(a.shape == b.shape for a, b in zip(ARRAYS, got, strict=True))
    return "unmarked" if fit and not marked and max(map(np.max, got[1::2])) <= 9 else "wrong: other"


def images(folder, rng):
    """Return the kinds of images, and a function that damages and reads one of a kind."""

    def case(kind):
        with tempfile.TemporaryDirectory() as room:
            layout, path = kind.split()[-1], Path(room, "archive")
            if kind.startswith("unmarked"):
                name = str(rng.choice(list(LAYOUTS[layout])))
                unpack(LAYOUTS[layout] | {name: damage(LAYOUTS[layout][name], rng)}, path)
                return outcome(lambda: archive.read(path), marked=False)
            path.write_bytes(damaged_archive(layout, rng))
            return outcome(lambda: archive.read(path))

    return ["binary", "python", "unmarked python", "unmarked binary"], case


def runfiles(folder, rng):
    """Return the kinds of files of a run, and a function that damages and uses one of a kind."""
    flags, cases = ["--data", make_archive(folder), *SMALL, *EPISODES, "--out"], {}
    for task in TASKS:
        whole, out, given = folder / task, folder / f"{task}-resumed", folder / "given.h5"
        finished(task, [*flags, whole], whole)
        out.mkdir()
        for name, path, words in (
            ("checkpoint", out / "checkpoint.h5", [out, "--resume"]),
            ("controller", given, [folder / "new", "--controller", given]),
        ):
            sound = (whole / f"{name}.h5").read_bytes()
            cases[f"{task} {name}"] = task, [*flags, *words], path, sound

    def case(kind):
        task, argv, path, sound = cases[kind]
        damaged, log = damage(sound, rng), path.with_suffix(".log")
        path.write_bytes(damaged)
        status, error = end(start(task, argv, log), log, within=50)
        one_line = error.startswith(f"error: {path}: ") and error.count("\n") == 1
        if status == 2 and one_line and path.read_bytes() == damaged:
            return "refused"
        return f"wrong: status {status}: {error}"

    return list(cases), case


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("images", "runfiles"))
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    a, tally = parser.parse_args(), collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        prepare = {"images": images, "runfiles": runfiles}[a.what]
        kinds, case = prepare(Path(folder), np.random.default_rng(a.seed))
        for kind in (kinds * a.count)[: a.count]:
            faulthandler.dump_traceback_later(60, exit=True)
            tally[kind, case(kind)] += 1
    for (kind, result), number in sorted(tally.items()):
        print(f"{kind:16} {number:6}  {result}")
    return int(any(result.startswith("wrong") for _, result in tally))


if __name__ == "__main__":
    sys.exit(main())
