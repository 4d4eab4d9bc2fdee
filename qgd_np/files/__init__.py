"""Saving: a file is there whole or not at all, and a damaged one is never read as right.

A tree is a nested dict: in HDF5 groups, arrays, and attributes (str, int, float, bool, str list).
The seal behind it, a SHA-256, is looked at first: damaged bytes can make HDF5 loop for ever.
"""

import contextlib
import hashlib
import io
import os
from pathlib import Path

import h5py
import numpy as np

from ..config import UserError
from .interrupts import held

SCHEMA = 4
SEAL = b"\nqgd_np seal, sha256 of the bytes before this line: "


class FileError(UserError):
    """A file cannot be saved or read."""


def save(path, data, keep_previous=False):
    """Save bytes: afterwards the whole new file is there, or else the old one. Raises FileError."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")  # what a killed process left is overwritten
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileError):  # a damaged file must not push out a good .previous
            if keep_previous and read(path):
                os.replace(path, path.with_stem(f"{path.stem}.previous"))
        os.replace(temporary, path)
        folder = os.open(path.parent, os.O_RDONLY)
        os.fsync(folder)  # the new name survives a power cut
        os.close(folder)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}; free space or use another folder") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write(path, tree, keep_previous=False):
    """Save a tree; equal trees give equal files."""
    buffer = io.BytesIO()  # HDF5 stays off the disk, so that a full one is a plain OSError
    with held(), h5py.File(buffer, "w", libver="earliest") as file:
        _store(file, dict(**tree, schema=SCHEMA))
    image = buffer.getvalue()
    save(path, image + SEAL + hashlib.sha256(image).hexdigest().encode(), keep_previous)


def read(path, kind=None):
    """Return the tree at path, of that kind if one is given. Raises nothing but FileError."""
    try:
        if not 0 < os.path.getsize(path) < 1 << 32:  # 0: also a pipe, which would block
            raise ValueError("empty, too large or not a file")
        image, _, digest = Path(path).read_bytes().rpartition(SEAL)
        if digest != hashlib.sha256(image).hexdigest().encode():
            raise ValueError("damaged, or not written by this program")
        with held(), h5py.File(io.BytesIO(image)) as file:
            tree = _load(file)
        if (schema := tree.pop("schema", None)) != SCHEMA:
            raise ValueError(f"schema {schema}, not {SCHEMA}: use the version that wrote it")
        if kind not in (None, tree.get("kind")):
            raise ValueError(f"it holds {tree.get('kind')!r}, not {kind!r}")
    except Exception as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or "too large"
        raise FileError(f"{path}: {reason}; give another file, or start anew") from error
    return tree


def read_latest(path, kind=None):
    """Return (tree, path read) of a file or else of its .previous; None if neither is there."""
    path = Path(path)
    there = list(filter(os.path.lexists, (path, path.with_stem(f"{path.stem}.previous"))))
    for candidate in there:
        with contextlib.suppress(FileError):
            return read(candidate, kind), candidate
    return read(there[0], kind) if there else None  # raises what is wrong with the newer one


def _store(group, tree):
    for name, value in sorted(tree.items()):
        if isinstance(value, dict):
            _store(group.create_group(name), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(name, data=value, track_times=False)
        else:
            group.attrs[name] = value


def _load(group):
    tree = {k: v.tolist() if hasattr(v, "tolist") else v for k, v in group.attrs.items()}
    return tree | {k: _load(v) if isinstance(v, h5py.Group) else v[...] for k, v in group.items()}
