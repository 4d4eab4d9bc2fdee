"""Damage archives and caches in many ways and read them: none may be read wrongly.

    python tests/long/damage_images.py [COUNT] [SEED]

Each of COUNT (1,000) cases is cut off, bit-flipped, overwritten or of a wrong layout. A reader may
raise DataError, of one line, or give the very arrays that were written; anything else is wrong, and
the exit status is 1. Content without a checksum (a changed batch in a folder) may also give other
pixels, of the right shapes: "unmarked". A case of more than a minute ends the script.
"""

import faulthandler
import pickle
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[k]) for k in (1, 2)]

from archives import binary_files, make_arrays, pack, python_files, same, unpack  # noqa: E402

from qgd_np.images import DataError, archive, cache  # noqa: E402

ARRAYS = make_arrays()
LAYOUTS = {"binary": binary_files(ARRAYS), "python": python_files(ARRAYS)}
KINDS = ("cache", "binary", "python", "cache", "unmarked python", "unmarked binary")


def damage(content, rng):
    """Cut bytes off, flip one to four bits, or put zeros or noise over a stretch of them."""
    what, start = rng.integers(3), rng.integers(len(content))
    if what == 0:
        return content[:start]
    if what == 1:
        length = int(rng.integers(1, 3000))
        noise = bytes(length) if rng.integers(2) else rng.bytes(length)
        return content[:start] + noise + content[start + length :]
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):  # half of the time near an end, where the structure is
        reach = len(content) if rng.integers(2) else min(len(content), 6000)
        content[int(rng.integers(reach)) * int(rng.choice([1, -1]))] ^= 1 << int(rng.integers(8))
    return bytes(content)


def wrong_layout(files, rng):
    """Leave out, rename, shorten, replace or mislabel one batch."""
    files, name = dict(files), str(rng.choice([name for name in files if "meta" not in name]))
    content = files.pop(name)
    changed = [
        {},
        {name + "x": content},
        {name: content[: -int(rng.integers(1, len(content)))]},
        {name: rng.bytes(int(rng.integers(1, 9000)))},
        {name: pickle.dumps({b"data": [1, 2], b"labels": ["x"]}, protocol=2)},
    ]
    return files | changed[rng.integers(5)]


def outcome(read, marked=True):
    """Read and return "DataError", "right", "unmarked" or what is wrong."""
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


def case(kind, sound, rng, folder):
    """Damage a cache, an archive or one batch in a folder; return the outcome of reading it."""
    if kind == "cache":
        content = damage(sound, rng)
        (folder / cache.CACHE).write_bytes(content)
        result = outcome(lambda: cache.obtain(folder, lambda text: None))
        (left,) = folder.iterdir()  # at most renamed
        return result if left.read_bytes() == content else "wrong: the file has changed"
    files = LAYOUTS[kind.split()[-1]]
    if kind.startswith("unmarked"):
        name = str(rng.choice(list(files)))
        unpack(files | {name: damage(files[name], rng)}, folder)
        return outcome(lambda: archive.read(folder), marked=False)
    content = pack(files, zipped=bool(rng.integers(4)))
    if rng.integers(4) == 0:
        content = pack(wrong_layout(files, rng), zipped=bool(rng.integers(2)))
    elif content.startswith(b"\x1f\x8b"):
        content = damage(content, rng)
    else:
        content = content[: rng.integers(len(content))]
    (folder / "archive").write_bytes(content)
    return outcome(lambda: archive.read(folder / "archive"))


def run(count, seed=0):
    """Run the cases; return a Counter of (kind, outcome). There must be no way to download."""
    rng, tally = np.random.default_rng(seed), Counter()
    with tempfile.TemporaryDirectory() as folder:
        unpack(LAYOUTS["binary"], Path(folder))
        cache.obtain(Path(folder), print)
        sound = (Path(folder) / cache.CACHE).read_bytes()
    for kind in (KINDS * count)[:count]:
        faulthandler.dump_traceback_later(60, exit=True)
        with tempfile.TemporaryDirectory() as folder:
            tally[kind, case(kind, sound, rng, Path(folder))] += 1
    faulthandler.cancel_dump_traceback_later()
    return tally


if __name__ == "__main__":
    cache.URL = "http://127.0.0.1:9/"
    tally = run(*map(int, sys.argv[1:] or ["1000"]))
    for (kind, result), number in sorted(tally.items()):
        print(f"{kind:16} {number:6}  {result}")
    sys.exit(any(result.startswith("wrong") for _, result in tally))
