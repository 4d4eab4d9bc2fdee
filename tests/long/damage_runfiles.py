"""Damage run files in COUNT ways and read each: python tests/damage_runfiles.py [COUNT].

Every damaged file must give FileError or exactly the tree that was saved; with anything else,
a crash of the interpreter included, the exit status is 1. The kinds that start with "resealed"
are forged: a new seal after the damage lets them through to HDF5 and the content hash. There, and
only there, HDF5 is let off a crash or an endless loop: about 1 in 800 sends HDF5 2.0 round its
string heap for ever. No accident gets that far.
"""

import argparse
import collections
import hashlib
import os
import random
import signal
import sys
import tempfile
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from qgd_np import files

OUTCOMES = ("refused", "identical", "wrong", "other exception", "crashed or hung")


def same(a, b):
    """Say whether two trees agree in every name, type, dtype, shape and byte."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return repr(a) == repr(b)  # nan is nan here, and -0.0 is not 0.0


def realistic_trees(seed=0):
    """Return (run, checkpoint, controller), the trees that the package saves, on a small scale."""
    rng = np.random.default_rng(seed)
    controller = {
        "kind": "controller",
        "task": "lr",
        "dqn": {
            "theta": {f"W_{i}": rng.standard_normal(s) for i, s in enumerate([(6, 32), (32, 2)])},
            "sizes": np.array([6, 32, 2]),
            "actions": ["halve", "reset"],
            "epsilon": 0.1,
        },
    }
    train = {"objective": rng.random((20, 100)), "action": rng.integers(0, 2, (20, 100), np.int8)}
    run = {**controller, "kind": "run", "config": '{"episodes": 20}', "threads": 1, "train": train}
    checkpoint = {**controller, "kind": "checkpoint", "episode": 7, "done": False}
    checkpoint["generators"] = {"replay": files.generator_state(rng)}
    checkpoint["memory"] = {
        "state": rng.standard_normal((500, 6)).astype(np.float32),
        "terminal": rng.random(500) < 0.01,
    }
    return run, checkpoint, controller


# -- damage: (whole file, dice) -> damaged file ---------------------------------------------


def truncated(data, dice):
    return data[: dice.randrange(len(data))]


def one_bit_flipped(data, dice):
    damaged = bytearray(data)
    damaged[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(damaged)


def page_zeroed(data, dice):
    start = dice.randrange(0, len(data), 512)
    page = data[start : start + 512]
    return data[:start] + bytes(len(page)) + data[start + 512 :]


def bytes_appended(data, dice):
    return data + dice.randbytes(dice.randrange(1, 600))


def seal(image):
    """Return HDF5 bytes as a file whose seal holds."""
    return image + files.SEAL + hashlib.sha256(image).hexdigest().encode()


def resealed_header_flipped(data, dice):
    """Flip a bit in the first kilobyte, where HDF5 keeps what it follows."""
    image = data[: -files.SEAL_BYTES]
    return seal(one_bit_flipped(image[:1024], dice) + image[1024:])


def resealed_bit_flipped(data, dice):
    return seal(one_bit_flipped(data[: -files.SEAL_BYTES], dice))


def resealed_truncated(data, dice):
    return seal(truncated(data[: -files.SEAL_BYTES], dice))


def resealed_schema(data, dice):
    """Set the schema or the content hash to something else, as a program with h5py would."""
    schemas = (files.SCHEMA + 1, files.SCHEMA - 1, 0, -1, 1.0, "1", None)
    hashes = (None, "0" * 64, 0)
    name, value = dice.choice([*(("schema", v) for v in schemas), *(("sha256", v) for v in hashes)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.h5")
        path.write_bytes(data[: -files.SEAL_BYTES])
        with h5py.File(path, "r+") as file:
            del file.attrs[name]
            if value is not None:
                file.attrs[name] = value
        return seal(path.read_bytes())


DAMAGES = (truncated, one_bit_flipped, page_zeroed, bytes_appended, resealed_header_flipped)
DAMAGES += (resealed_bit_flipped, resealed_truncated, resealed_schema)


# -- reading and counting -------------------------------------------------------------------


def outcome(path, tree):
    """Read path in a forked child, which may crash; return one of OUTCOMES."""
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 3
        try:
            code = 1 if same(files.read(path), tree) else 2
        except files.FileError as error:
            code = 0 if "\n" not in str(error) else 3
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return OUTCOMES[code] if code >= 0 else OUTCOMES[4]


def newer_file(tree):
    """Return the bytes of the tree as the next schema would save it."""
    with mock.patch.object(files, "SCHEMA", files.SCHEMA + 1):
        return files._pack(tree)


def count_outcomes(count, dice, path):
    """Return {damage's name: Counter of outcomes} of `count` damaged files, one by one at path."""
    trees = realistic_trees()
    files = [files._pack(tree) for tree in trees]
    table = {"newer schema": collections.Counter()}
    for tree in trees:
        path.write_bytes(newer_file(tree))
        table["newer schema"][outcome(path, tree)] += 1
    for i in range(count - len(trees)):
        damage, which = DAMAGES[i % len(DAMAGES)], dice.randrange(len(trees))
        path.write_bytes(damage(files[which], dice))
        found = outcome(path, trees[which])
        table.setdefault(damage.__name__, collections.Counter())[found] += 1
    return table


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "damaged.h5")
        table = count_outcomes(args.count, random.Random(args.seed), path)
    table["all"] = sum(table.values(), collections.Counter())
    print(f"{'':24}" + "".join(f"{name:>17}" for name in OUTCOMES))
    for kind, counts in table.items():
        print(f"{kind:24}" + "".join(f"{counts[name]:17}" for name in OUTCOMES))
    bad = sum(table["all"][name] for name in OUTCOMES[2:4])
    bad += sum(table[kind][OUTCOMES[4]] for kind in table if kind[:8] not in ("resealed", "all"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
