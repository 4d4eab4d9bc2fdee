"""Saving and reading: a file is there whole or not at all, a damaged one is never read as right.

`save` takes any bytes. `write` and `read` keep a tree, a nested dict, in HDF5: a dict is a group,
an array a dataset, and a str, int, float, bool or list of str an attribute. The last line of such
a file is its seal, the SHA-256 of every byte before it. It is looked at before HDF5 parses
anything, because HDF5 can loop for ever on bytes it does not expect.
"""

import contextlib
import hashlib
import io
import json
import os
from pathlib import Path

import h5py
import numpy as np

from ..config import UserError
from .interrupts import held

SCHEMA = 4  # files of another one are refused
SEAL = b"\nqgd_np seal, sha256 of the bytes before this line: "
SEAL_BYTES = len(SEAL) + 64


class FileError(UserError):
    """A file cannot be saved or read. One line: the file, what is wrong, what to do."""


def save(path, data, keep_previous=False):
    """Save bytes: afterwards the whole new file is there, or still the old one. Raises FileError.

    keep_previous: what was there becomes NAME.previous.EXT, if its seal holds: a damaged file must
    not push out a good one.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")  # what a killed process left is overwritten
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep_previous and _is_whole(path):
            os.replace(path, _previous(path))
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # the renames survive a power cut
        finally:
            os.close(folder)
    except OSError as error:
        raise FileError(
            f"{path}: cannot be saved ({error.strerror or error}); what was saved before is "
            "untouched; free some space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write(path, tree, keep_previous=False):
    """Save a tree. Raises FileError, and TypeError for a tree that would not come back equal."""
    save(path, _pack(tree), keep_previous)


def read(path, kind=None):
    """Return the tree saved at path, whose attribute `kind` must be the given one, if any.

    Raises FileError, and nothing else, for a file that is missing, damaged, or of another kind or
    schema.
    """
    try:
        tree = _unpack(_unsealed(Path(path)))
        if kind not in (None, tree.get("kind")):
            raise ValueError(f"it holds {tree.get('kind')!r}, not {kind!r}")
    except Exception as error:  # h5py raises nearly every type there is
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        reason = " ".join(reason.split())
        raise FileError(f"{path}: {reason}; give another file, or start anew") from error
    return tree


def read_latest(path, kind=None):
    """Return (tree, path read) of a file or else of its .previous; None if neither is there.

    Raises FileError if nothing of what is there can be read.
    """
    path, first_error = Path(path), None
    for candidate in filter(os.path.lexists, (path, _previous(path))):
        try:
            return read(candidate, kind), candidate
        except FileError as error:
            first_error = first_error or error
    if first_error:
        raise first_error
    return None


def _previous(path):
    """checkpoint.previous.h5 for checkpoint.h5."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _unsealed(path):
    """Return the HDF5 bytes of a file whose seal holds. Raises OSError, ValueError."""
    if path.exists() and not path.is_file():  # a pipe would block
        raise ValueError("not a file")
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEAL_BYTES))
        seal = file.read()
        if not seal.startswith(SEAL):  # found out before a file of any size is read
            raise ValueError("cut off, or not written by this program")
        file.seek(0)
        image = file.read(size - SEAL_BYTES)
    if seal != SEAL + hashlib.sha256(image).hexdigest().encode():
        raise ValueError("damaged, its bytes do not match their hash")
    return image


def _is_whole(path):
    try:
        return bool(_unsealed(path))
    except (OSError, ValueError):
        return False


@held()
def _pack(tree):
    """Return a tree as the bytes of a file; equal trees give equal bytes. Raises TypeError."""
    buffer = io.BytesIO()  # the disk sees plain writes, and a full one is a plain OSError
    try:
        with h5py.File(buffer, "w", libver="earliest") as file:  # groups without time stamps
            _store(file, tree | {"schema": SCHEMA})
        image = buffer.getvalue()
        if not _equal(tree, _unpack(image)):
            raise ValueError("it would not come back equal")
    except Exception as error:  # h5py raises nearly every type there is
        raise TypeError(f"not a tree to save: {error}") from error
    return image + SEAL + hashlib.sha256(image).hexdigest().encode()


@held()
def _unpack(image):
    """The tree of HDF5 bytes. Raises ValueError or, as h5py does, nearly anything."""
    with h5py.File(io.BytesIO(image), "r") as file:
        schema = file.attrs.get("schema")
        if schema != SCHEMA:
            raise ValueError(f"of schema {schema}, not {SCHEMA}: use the version that wrote it")
        tree = _load(file)
    del tree["schema"]
    return tree


def _store(group, tree):
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            _store(group.create_group(name), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(name, data=value, track_times=False)
        else:
            group.attrs[name] = value


def _load(group):
    arrays = (np.ndarray, np.generic)
    tree = {k: v.tolist() if isinstance(v, arrays) else v for k, v in group.attrs.items()}
    for name, item in group.items():
        is_group = isinstance(item, h5py.Group)
        tree[name] = _load(item) if is_group else np.asarray(item[()], item.dtype)
    return tree


def _equal(one, other):
    """True for trees that agree in every name, type of array, shape and value, NaN included."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        same = (one.dtype, one.shape) == (other.dtype, other.shape)
        return same and one.tobytes() == other.tobytes()
    return one == other or (one != one and other != other)


def generator_state(rng):
    """The state of a default_rng as JSON; its seed sequence (spawn) is not in it."""
    return json.dumps(rng.bit_generator.state)


def generator_from(text):
    """The generator of a generator_state."""
    bits = np.random.PCG64(0)
    bits.state = json.loads(text)
    return np.random.Generator(bits)
