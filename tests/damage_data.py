"""Damage data archives and caches in many ways and read them: none may be read wrongly.

    python tests/damage_data.py [COUNT] [--seed S]

Each of COUNT (300) cases is truncated, bit-flipped, overwritten or of a wrong schema. A reader may
raise DataError or give the very arrays that were written; anything else is wrong, and the exit
status is 1. Content without a checksum (a pickle packed anew after it was changed) may also give
other pixels, but of the right shapes, and nothing but DataError may come of it: "unmarked".
"""

import argparse
import gzip
import io
import pickle
import sys
import tarfile
import tempfile
from collections import Counter
from pathlib import Path

import h5py
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from qgd_np.images import archive, cache, synthetic  # noqa: E402

RECORDS = 6  # per batch, officially 10,000


def make_arrays(records=RECORDS, seed=0):
    """The four arrays of a small data set: five batches for training and one for testing."""
    return synthetic.make(5 * records, records, seed)


def binary_files(arrays):
    """The official binary layout as {member name: bytes}."""
    files = {"cifar-10-batches-bin/batches.meta.txt": b"airplane\nautomobile\n"}
    for name, images, labels in batches(arrays):
        records = np.concatenate([labels[:, None], images], axis=1)
        files[f"cifar-10-batches-bin/{name}.bin"] = records.tobytes()
    return files


def python_files(arrays):
    """The official python layout as {member name: bytes}."""
    files = {"cifar-10-batches-py/batches.meta": pickle.dumps({b"num_vis": 3072}, protocol=2)}
    for name, images, labels in batches(arrays):
        batch = {
            b"batch_label": name.encode(),
            b"labels": labels.tolist(),
            b"data": np.ascontiguousarray(images),
            b"filenames": [b"some_s_%06d.png" % k for k in range(len(labels))],
        }
        files[f"cifar-10-batches-py/{name}"] = pickle.dumps(batch, protocol=2)
    return files


def batches(arrays):
    images, labels, test_images, test_labels = arrays
    for k in range(5):
        part = slice(len(test_labels) * k, len(test_labels) * (k + 1))
        yield f"data_batch_{k + 1}", images[part], labels[part]
    yield "test_batch", test_images, test_labels


def pack(files, zipped=True):
    """Return the bytes of a .tar.gz (or .tar) of {member name: bytes}."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return gzip.compress(stream.getvalue(), 1) if zipped else stream.getvalue()


def unpack(files, folder):
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def same(arrays, others):
    return all(map(np.array_equal, arrays, others))


# -- damage ---------------------------------------------------------------------------------


def truncate(content, rng):
    return content[: rng.integers(len(content))]


def flip(content, rng):
    """Flip one to four bits; half of the time near an end, where the structure is."""
    content = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        reach = len(content) if rng.integers(2) else min(len(content), 6000)
        place = int(rng.integers(reach)) * int(rng.choice([1, -1]))
        content[place] ^= 1 << int(rng.integers(8))
    return bytes(content)


def overwrite(content, rng):
    """Put zeros or noise over a stretch of up to 3,000 bytes."""
    start, length = rng.integers(len(content)), int(rng.integers(1, 3000))
    noise = bytes(length) if rng.integers(2) else rng.bytes(length)
    return content[:start] + noise + content[start + length :]


DAMAGES = (truncate, flip, overwrite)


def wrong_schema(files, rng):
    """Leave out, rename, shorten, lengthen or relabel one batch."""
    files, name = dict(files), str(rng.choice([n for n in files if "batch_" in n or "t_b" in n]))
    content = files.pop(name)
    what = rng.integers(5)
    if what == 1:
        files[name + "x"] = content
    if what == 2:
        files[name] = content[: -int(rng.integers(1, len(content)))]
    if what == 3:
        files[name] = rng.bytes(int(rng.integers(1, 9000)))
    if what == 4:
        files[name] = pickle.dumps({b"data": [1, 2], b"labels": ["x"]}, protocol=2)
    return files


def wrong_cache(path, rng):
    """Change one thing about a cache file by way of HDF5."""
    with h5py.File(path, "r+") as file:
        name = str(rng.choice(cache.ARRAYS))
        what = rng.integers(6)
        if what == 0:
            file.attrs["schema"] = int(rng.integers(2, 99))
        elif what == 1:
            del file.attrs[str(rng.choice(["schema", "sha256"]))]
        elif what == 2:
            file[name].flat = None
        else:
            old = file[name][:]
            del file[name]
            new = {3: old[:-1], 4: old.astype(np.float32), 5: old ^ 1}.get(int(what))
            if rng.integers(4):
                file[name] = new


# -- cases ----------------------------------------------------------------------------------


def outcome(read, arrays, marked=True):
    """Read and return "DataError", "right", "unmarked" or what is wrong."""
    try:
        got = read()
    except archive.DataError as error:
        return "DataError" if "\n" not in str(error) else "wrong: more than a line"
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"
    if same(arrays, got):
        return "right"
    fit = all(len(x) == len(y) for x, y in (got[:2], got[2:])) and max(map(np.max, got[1::2])) <= 9
    return "wrong: other arrays" if marked or not fit else "unmarked"


def archive_case(files, arrays, rng, folder):
    """One damaged archive: zipped, or a folder or plain tar cut off, or with a wrong schema."""
    path, what = folder / "archive", rng.integers(4)
    if what == 0:
        path.write_bytes(pack(wrong_schema(files, rng), zipped=bool(rng.integers(2))))
    elif what == 1:
        path.write_bytes(truncate(pack(files, zipped=False), rng))
    else:
        path.write_bytes(DAMAGES[rng.integers(len(DAMAGES))](pack(files), rng))
    return outcome(lambda: archive.read(path), arrays)


def unmarked_case(files, arrays, rng, folder):
    """One batch damaged and then packed with a good checksum."""
    files, path = dict(files), folder / "archive"
    name = str(rng.choice(list(files)))
    files[name] = DAMAGES[rng.integers(len(DAMAGES))](files[name], rng)
    path.write_bytes(pack(files, zipped=False))
    return outcome(lambda: archive.read(path), arrays, marked=False)


def cache_case(arrays, rng, folder):
    """One damaged cache."""
    path = folder / cache.CACHE
    cache.store(path, arrays)
    if rng.integers(5) == 0:
        try:
            wrong_cache(path, rng)
        except (AttributeError, TypeError):
            path.write_bytes(b"")
    else:
        path.write_bytes(DAMAGES[rng.integers(len(DAMAGES))](path.read_bytes(), rng))
    rows = None if rng.integers(2) else int(rng.integers(1, len(arrays[0])))
    cut = [a[:rows] for a in arrays[:2]] + list(arrays[2:])
    return outcome(lambda: cache.read_cache(path, rows), cut)


KINDS = ("cache", "binary", "python", "cache", "unmarked python", "unmarked binary")


def run(count, seed=0):
    """Run the cases; return a Counter of (kind, outcome)."""
    rng, arrays, tally = np.random.default_rng(seed), make_arrays(), Counter()
    layouts = {"binary": binary_files(arrays), "python": python_files(arrays)}
    with tempfile.TemporaryDirectory() as folder:
        for k in range(count):
            kind = KINDS[k % len(KINDS)]
            files = layouts.get(kind.split()[-1])
            if kind == "cache":
                result = cache_case(arrays, rng, Path(folder))
            elif kind in layouts:
                result = archive_case(files, arrays, rng, Path(folder))
            else:
                result = unmarked_case(files, arrays, rng, Path(folder))
            tally[kind, result] += 1
    return tally


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    tally = run(args.count, args.seed)
    for (kind, result), number in sorted(tally.items()):
        print(f"{kind:16} {number:6}  {result}")
    wrong = sum(number for (_, result), number in tally.items() if result.startswith("wrong"))
    print(f"{args.count} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
