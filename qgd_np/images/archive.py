"""Read CIFAR-10 as it is distributed: the binary or the python archive, packed or unpacked.

Nothing in an archive is run or extracted: members are looked up by the names they must have, sizes
are bounded before anything is read, and the python layout's pickles are never unpickled.

What is checked: names, sizes, shapes, labels, and in a .tar.gz the CRC of the whole stream. A
changed pixel in an unpacked folder or a plain .tar carries no mark and cannot be noticed.
"""

import gzip
import io
import stat
import tarfile
import zlib
from pathlib import Path

import numpy as np

from .pickles import ARRAY, DTYPE, MAX_BATCH, Built, PickleReader

PIXELS = 3072
MAX_ARCHIVE = 2**29  # bytes unpacked; the official ones have 185 million
MAX_MEMBERS = 1000  # of a tar file; the official ones have 9
BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
FOLDERS = {"cifar-10-batches-bin": ".bin", "cifar-10-batches-py": ""}  # and their batches' suffix
PACKED = [f"cifar-10-{kind}.tar{gz}" for kind in ("binary", "python") for gz in (".gz", "")]
REMEDY = "give a CIFAR-10 archive (cifar-10-binary.tar.gz or cifar-10-python.tar.gz) or its folder"
# What the standard library raises at a damaged archive or pickle
DAMAGE = (
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
    tarfile.TarError,
    zlib.error,
)


class DataError(Exception):
    """The data cannot be used; one line that says what is wrong and what to do."""


def read(path):
    """Return train_images (n, 3072), train_labels (n,), test_images, test_labels, all uint8.

    path: an official archive (.tar.gz or .tar), its unpacked folder, or a folder that holds one of
    them. All six batches must have the same number of records, officially 10,000. Raises DataError.
    """
    path = Path(path)
    try:
        kind = path.stat().st_mode
        if stat.S_ISDIR(kind):
            return _read_folder(path)
        if stat.S_ISREG(kind):
            return _read_archive(path)
    except (OSError, *DAMAGE) as error:
        # gzip reports a bad CRC as an OSError without a number
        reason = getattr(error, "strerror", None) or f"damaged or not an archive ({_brief(error)})"
        raise DataError(f"cannot read {path}: {reason}; {REMEDY}") from error
    raise DataError(f"{path} is neither a file nor a folder; {REMEDY}")


def find(folder):
    """Return what in the folder holds the data set, a folder or an archive, or None."""
    for name, suffix in FOLDERS.items():
        for inner in (folder, folder / name):
            if any((inner / (batch + suffix)).exists() for batch in BATCHES):
                return inner
    return next((folder / name for name in PACKED if (folder / name).exists()), None)


def _read_folder(path):
    """Read an unpacked folder, or whatever `find` finds inside a parent folder."""
    found = find(path)
    if found is None:
        raise DataError(f"no CIFAR-10 batches and no archive of them in {path}; {REMEDY}")
    if not found.is_dir():
        return read(found)
    suffix = next(s for s in FOLDERS.values() if any((found / (b + s)).exists() for b in BATCHES))
    return _assemble(found, suffix, lambda name: _read_file(found / name, MAX_BATCH))


def _read_file(path, limit):
    """Return the bytes of a regular file of at most `limit` bytes, or None where there is none."""
    if not path.exists():
        return None
    about = path.stat()
    if not stat.S_ISREG(about.st_mode) or about.st_size > limit:
        raise ValueError(f"{path.name} is no file or too large")
    return path.read_bytes()


def _read_archive(path):
    """Read a .tar.gz or a .tar. The gzip stream is read to its end: there its CRC is compared."""
    with open(path, "rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        data = (gzip.GzipFile(fileobj=file) if zipped else file).read(MAX_ARCHIVE + 1)
    if len(data) > MAX_ARCHIVE:
        raise ValueError("too large")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        members = _members(tar)
    for folder, suffix in FOLDERS.items():
        batches = {b + suffix: members.get(f"{folder}/{b}{suffix}") for b in BATCHES}
        if any(batches.values()):
            return _assemble(path, suffix, {n: _slice(data, m) for n, m in batches.items()}.get)
    raise DataError(f"no CIFAR-10 batches in {path}; {REMEDY}")


def _members(tar):
    """Return {name: member} of a tar file's plain files; a name that comes twice is an error."""
    members, last = {}, -1
    for count, member in enumerate(tar):
        # a negative size would send tarfile back, to read the same header for ever
        if member.size < 0 or member.offset <= last or count > MAX_MEMBERS:
            raise ValueError("members out of order or too many")
        last, name = member.offset, member.name.removeprefix("./")
        if member.isfile() and not member.issparse():
            if name in members:
                raise ValueError(f"{name[:60]} twice")
            members[name] = member
    return members


def _slice(data, member):
    """Return the bytes of a tar member, or None for no member."""
    if member is None:
        return None
    end = member.offset_data + member.size
    if not member.size <= MAX_BATCH or end > len(data):
        raise ValueError(f"{member.name[:60]} is cut off or too large")
    return memoryview(data)[member.offset_data : end]


def _assemble(source, suffix, load):
    """Put the six batches together; load(name) gives a batch's bytes, or None if it is missing."""
    parse = _parse_binary if suffix else _parse_python
    images = labels = None
    for k, name in enumerate(batch + suffix for batch in BATCHES):
        content = load(name)
        if content is None:
            raise DataError(f"{name} is missing in {source}: unpack or download the archive again")
        try:
            batch_images, batch_labels = parse(content)
            if images is None:
                images = np.empty((len(BATCHES), *batch_images.shape), np.uint8)
                labels = np.empty(images.shape[:2], np.uint8)
            if len(batch_labels) != labels.shape[1]:
                raise ValueError(f"{len(batch_labels)} records, the first batch {labels.shape[1]}")
            images[k], labels[k] = batch_images, batch_labels
        except DAMAGE as error:
            raise DataError(f"{name} in {source} is damaged ({_brief(error)}); {REMEDY}") from error
    return images[:-1].reshape(-1, PIXELS), labels[:-1].ravel(), images[-1], labels[-1]


def _brief(error):
    """Return an exception's text on one short line; archives have a say in it."""
    text = " ".join(f"{error}".split())[:100]
    return "".join(c if c.isprintable() else "?" for c in text) or type(error).__name__


# -- the two layouts ------------------------------------------------------------------------


def _parse_binary(content):
    """Split records of 1 label byte and 3072 pixels; return images (m, 3072) and labels (m,)."""
    if len(content) == 0 or len(content) % (PIXELS + 1):
        raise ValueError(f"{len(content)} bytes are no whole number of {PIXELS + 1}-byte records")
    records = np.frombuffer(content, np.uint8).reshape(-1, PIXELS + 1)
    return records[:, 1:], _labels(records[:, 0])


def _parse_python(content):
    """Take images (m, 3072) and labels (m,) out of a pickled {"data": ..., "labels": ...}."""
    batch = PickleReader().read(bytes(content))
    if not isinstance(batch, dict):
        raise ValueError("no dict")
    batch = {k.decode("latin1") if isinstance(k, bytes) else k: v for k, v in batch.items()}
    images, labels = batch["data"], batch["labels"]
    if not isinstance(images, Built) or images.what != ARRAY:
        raise ValueError("data is no array")
    if not isinstance(labels, list) or {type(label) for label in labels} != {int}:
        raise ValueError("labels are no list of integers")
    if min(labels) < 0 or max(labels) > 9:
        raise ValueError("a label that is not 0 to 9")
    images = _array(images.state)
    if len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels")
    return images, _labels(np.array(labels, np.uint8))


def _labels(labels):
    if labels.max() > 9:
        raise ValueError(f"a label is {labels.max()}, not 0 to 9")
    return labels


def _array(state):
    """Make uint8 images (m, 3072) of the state that NumPy pickles: version, shape, dtype, order."""
    _, shape, dtype, fortran, data = state
    if not isinstance(dtype, Built) or dtype.what != DTYPE or dtype.args[0] not in ("u1", b"u1"):
        raise ValueError("data is not of type uint8")
    if len(shape) != 2 or shape[1] != PIXELS or not isinstance(data, bytes):
        raise ValueError("data has the wrong shape")
    return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")
