"""Read CIFAR-10 as it is distributed: the binary or the python archive, packed or unpacked.

Nothing is extracted or run: files are looked up by the names they must have, and of a pickle only
plain values are built. Checked are names, sizes, shapes, labels, and the CRC of a .tar.gz; a
changed pixel in an unpacked folder or a plain .tar carries no mark.
"""

import gzip
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np

from ..config import UserError

PIXELS = 3072  # of an image: three channels of 32 x 32
MAX_ARCHIVE = 2**29  # bytes unpacked; the official ones have 185 million
MAX_BATCH = 2**26  # bytes; the official ones have 31 million, pickled by Python 3 up to 46
BATCHES = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
LAYOUTS = {"cifar-10-batches-bin": [f"{b}.bin" for b in BATCHES], "cifar-10-batches-py": BATCHES}
PACKED = [f"cifar-10-{kind}.tar{gz}" for kind in ("binary", "python") for gz in (".gz", "")]
PICKLED = {"numpy ndarray", "numpy dtype", "_codecs encode"}  # all that a pickled array names,
PICKLED |= {f"numpy.{core}.multiarray _reconstruct" for core in ("core", "_core")}  # and this


class DataError(UserError):
    """The images cannot be used; one line that says what is wrong and what to do."""


def read(path):
    """Return train_images (n, 3072), train_labels (n,), test_images, test_labels, all uint8.

    path: an official archive (.tar.gz or .tar), its unpacked folder, or a folder that holds one of
    them. All six batches must have the same number of records, officially 10,000. Raises DataError.
    """
    path = Path(path)
    try:
        path = find(path) or path
        if path.is_dir():
            files = [path / name for names in LAYOUTS.values() for name in names]
            files = [file for file in files if file.is_file() and file.stat().st_size <= MAX_BATCH]
            return _assemble({file.name: file.read_bytes() for file in files})
        if not 0 < path.stat().st_size <= MAX_ARCHIVE:  # 0: also a pipe, which would block
            raise ValueError("empty, too large or not a file")
        return unpack(path.read_bytes())
    except Exception as error:  # of damaged bytes the standard library raises nearly every type
        raise DataError(
            f"cannot read {path}: {reason(error)}; give a CIFAR-10 archive (cifar-10-binary.tar.gz "
            "or cifar-10-python.tar.gz) or its folder"
        ) from error


def find(folder):
    """Return what in the folder holds the data set, a folder or an archive, or None."""
    batches = [*folder.glob("data_batch_*"), *folder.glob("cifar-10-batches-*/data_batch_*")]
    archives = [folder / name for name in PACKED if (folder / name).exists()]
    return min(batches).parent if batches else next(iter(archives), None)


def reason(error):
    """Return an exception's text on one short line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(text.split())[:200]


def unpack(content):
    """As `read`, of the bytes of a .tar.gz or .tar; damaged ones raise nearly any exception."""
    if content.startswith(b"\x1f\x8b"):
        content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(MAX_ARCHIVE + 1)
    if len(content) > MAX_ARCHIVE:
        raise ValueError("too large")
    files = {}
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as tar:
        for _, member in zip(range(1000), tar, strict=False):  # it can go round in circles
            folder, _, name = member.name.removeprefix("./").partition("/")
            if name in LAYOUTS.get(folder, ()) and member.isfile() and member.size <= MAX_BATCH:
                files[name] = tar.extractfile(member).read()
    return _assemble(files)


def _assemble(files):
    """Put the six batches of {name: bytes} together."""
    if not files:
        raise ValueError("no CIFAR-10 batches in it")
    names = next(names for names in LAYOUTS.values() if files.keys() & set(names))
    batches = []
    for name in names:
        try:
            batches.append(_batch(name, files[name]))
        except Exception as error:
            raise ValueError(f"{name} is missing or damaged ({reason(error)})") from error
    images, labels = (np.stack(arrays) for arrays in zip(*batches, strict=True))
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() > 9:
        raise ValueError("a label is not 0 to 9")
    labels = labels.astype(np.uint8)
    return images[:-1].reshape(-1, PIXELS), labels[:-1].ravel(), images[-1], labels[-1]


def _batch(name, content):
    """Return images (m, 3072) and labels (m,) of records or of a pickled dict."""
    if name.endswith(".bin"):
        records = np.frombuffer(content, np.uint8).reshape(-1, 1 + PIXELS)
        return records[:, 1:], records[:, 0]
    batch = _Unpickler(io.BytesIO(content), encoding="bytes").load()
    batch = {_as_bytes(key): value for key, value in batch.items()}
    _, shape, dtype, fortran, data = batch[b"data"].state
    labels = np.ravel(batch[b"labels"])
    if _as_bytes(dtype.args[0]) != b"u1" or shape != (len(labels), PIXELS):
        raise ValueError(f"its data are not {len(labels)} images of {PIXELS} bytes")
    images = np.frombuffer(_as_bytes(data), np.uint8)
    return np.ascontiguousarray(images.reshape(shape, order="F" if fortran else "C")), labels


def _as_bytes(value):
    """Return a str as bytes, also where Python 3 pickled bytes as _codecs.encode(str, "latin1")."""
    value = value.args[0] if isinstance(value, _Noted) else value
    return value.encode("latin1") if isinstance(value, str) else value


class _Noted:
    """What a pickle would have NumPy make, not made: NumPy believes whatever a pickle says."""

    def __init__(self, *args):
        self.args = args

    def __setstate__(self, state):
        self.state = state


class _Unpickler(pickle._Unpickler):  # in Python; in the one in C a flipped bit can claim 32 GB
    """Builds dicts, lists, numbers and text, and notes what an array would be made of."""

    dispatch = {**pickle._Unpickler.dispatch, pickle.BYTEARRAY8[0]: None}  # claims memory, too

    def find_class(self, module, name):
        if f"{module} {name}" not in PICKLED:
            raise ValueError(f"its pickle asks for {module!r} {name!r}")
        return _Noted
