"""Run files, checkpoints and controllers: a tree of arrays and values in one sealed HDF5 file.

A tree is a nested dict. A dict is an HDF5 group, a NumPy array a dataset, and a str, int, float,
bool or list of str an attribute of its group. Two hashes guard a file against accidents:

- the seal, a line behind the HDF5 data with the SHA-256 of every byte before it. It is checked
  before HDF5 parses anything, because HDF5 can loop for ever on bytes it does not expect;
- the root attribute `sha256`, a hash of the content that does not depend on HDF5's layout.

HDF5 works in memory only, so the disk sees plain writes and a full one is a plain OSError.
"""

import contextlib
import glob
import hashlib
import io
import json
import math
import os
from pathlib import Path

import h5py
import numpy as np

from .interrupts import held
from .schemas import SCHEMA, UPGRADES

SEAL = b"\nqgd_np seal, sha256 of the bytes before this line: "
SEAL_BYTES = len(SEAL) + 64
GROUP_BYTES = 40  # the least HDF5 needs for a group
REMEDY = "check the path, put back a copy, or start anew in another folder"


class RunFileError(Exception):
    """A run file cannot be saved or read. One line: the file, what is wrong, what to do."""


# -- save -----------------------------------------------------------------------------------


def write(path, tree):
    """Save the tree at path: afterwards the whole new file is there, or still the old one.

    Raises RunFileError if the disk refuses, TypeError for a tree that would not come back equal.
    """
    _save(Path(path), _pack(tree), keep=False)


def write_keeping_previous(path, tree):
    """As write; the file that was there becomes its .previous, so the last two are kept."""
    _save(Path(path), _pack(tree), keep=True)


def _previous(path):
    """Return checkpoint.previous.h5 for checkpoint.h5."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _save(path, data, keep):
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temp, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if keep and _is_whole(path):  # a damaged file must not push out a good .previous
            os.replace(path, _previous(path))
        os.replace(temp, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise RunFileError(
            f"{path}: cannot be saved ({error.strerror or error}); what was saved before is "
            "untouched; free some space or choose another folder"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
    _remove_stale(path)


def _sync_folder(folder):
    """Make the renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _remove_stale(path):
    """Remove what processes that were killed during a save of path have left behind."""
    for temp in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        try:
            os.kill(int(temp.name.split(".")[-2]), 0)  # signal 0 only asks
        except ProcessLookupError:
            with contextlib.suppress(OSError):
                temp.unlink()
        except (OSError, OverflowError, ValueError):
            pass  # alive under another user, or no temporary file of ours


# -- tree to bytes --------------------------------------------------------------------------


@held()
def _pack(tree):
    """Return the bytes of a sealed file; equal trees give equal bytes. Raises TypeError."""
    try:
        if {"schema", "sha256"} & set(tree):
            raise ValueError("schema and sha256 at the root are set by write")
        tree = {**tree, "schema": SCHEMA}
        buffer = io.BytesIO()
        with h5py.File(buffer, "w", libver="earliest") as file:  # groups without time stamps
            _store(file, {**tree, "sha256": _content_hash(tree)})
        image = buffer.getvalue()
        _unpack(image)  # what could not be read is not written
    except Exception as error:  # h5py raises nearly every type there is
        raise TypeError(f"not a tree for a run file: {error}") from error
    return image + SEAL + hashlib.sha256(image).hexdigest().encode()


def _store(group, tree):
    for name in sorted(tree):
        value = tree[name]
        if isinstance(value, dict):
            _store(group.create_group(name), value)
        elif isinstance(value, np.ndarray):
            group.create_dataset(name, data=value, track_times=False)
        else:
            group.attrs[name] = value


def _content_hash(tree):
    """Return the SHA-256 over the names, types, shapes and values of a tree, in sorted order."""
    digest = hashlib.sha256()
    for name in sorted(tree):
        value = tree[name].item() if isinstance(tree[name], np.generic) else tree[name]
        if isinstance(value, dict):
            entry = [name, "group", _content_hash(value)]
        elif isinstance(value, np.ndarray):
            data = hashlib.sha256(value.tobytes()).hexdigest()
            entry = [name, value.dtype.str, value.shape, data]
        else:
            entry = [name, type(value).__name__, value]
        digest.update(json.dumps(entry).encode())
    return digest.hexdigest()


# -- read -----------------------------------------------------------------------------------


def read(path, kind=None):
    """Return the tree saved at path, upgraded to the present schema.

    kind: what the root attribute `kind` must say; None takes any. Raises RunFileError, and
    nothing else, for a file that is missing, damaged, of another kind or of a newer schema.
    """
    try:
        tree = _unpack(_unsealed(Path(path)))
        if kind is not None and tree.get("kind") != kind:
            raise RunFileError(f"holds {tree.get('kind')!r}, not {kind!r}; give another file")
    except RunFileError as error:
        raise RunFileError(f"{path}: {error}") from error
    except Exception as error:  # h5py raises nearly every type there is
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise RunFileError(f"{path}: {' '.join(reason.split())}; {REMEDY}") from error
    return tree


def read_latest(path, kind=None):
    """Return (tree, used path) of path or else its .previous; None if neither is there.

    kind: as for read. Raises RunFileError if nothing of what is there can be read.
    """
    path, first_error = Path(path), None
    for candidate in (path, _previous(path)):
        if os.path.lexists(candidate):
            try:
                return read(candidate, kind), candidate
            except RunFileError as error:
                first_error = first_error or error
    if first_error:
        raise first_error
    return None


def _unsealed(path):
    """Return the HDF5 bytes of a file whose seal holds. Raises OSError, ValueError."""
    if path.exists() and not path.is_file():  # a pipe would block
        raise ValueError("not a file")
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - SEAL_BYTES))
        seal = file.read(SEAL_BYTES)
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
def _unpack(image):
    """Return the tree of HDF5 bytes. Raises RunFileError or, as h5py does, nearly anything."""
    with h5py.File(io.BytesIO(image), "r") as file:
        tree = _load(file, [len(image)])
    expected, schema = tree.pop("sha256", None), tree.get("schema")
    if expected is None or type(schema) is not int or schema < 1:
        raise ValueError("without a hash or a schema")
    if schema > SCHEMA:
        raise RunFileError(f"schema {schema}, this program knows {SCHEMA}; update the program")
    if _content_hash(tree) != expected:
        raise ValueError("damaged, its content does not match its hash")
    del tree["schema"]
    for older in range(schema, SCHEMA):
        tree = UPGRADES[older](tree)
    return tree


def _load(group, room):
    """Return a group as a dict. Raises ValueError for links and what else write never makes.

    room: [bytes left], at first the file's size; nothing is compressed, so all must fit in it.
    """
    tree = {}
    _take(room, GROUP_BYTES)  # ends a circle of groups
    for name in group.attrs:
        head = group.attrs.get_id(name)
        _take(room, math.prod(head.shape) * head.dtype.itemsize)
        if head.dtype.kind not in "biuf" and h5py.check_string_dtype(head.dtype) is None:
            raise ValueError(f"an attribute {name!r} of a strange type")
        value = group.attrs[name]
        tree[name] = value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
    for name in group:
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise ValueError(f"a link {name!r} to elsewhere")
        item = group[name]
        tree[name] = _load(item, room) if isinstance(item, h5py.Group) else _array(item, room)
    return tree


def _array(dataset, room):
    """Return a dataset as an array. Raises as _load."""
    plist = dataset.id.get_create_plist()
    flat = plist.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)  # no filter plugins
    if not flat or plist.get_external_count() or dataset.dtype.kind not in "biuf" or dataset.attrs:
        raise ValueError(f"a dataset {dataset.name!r} of a strange type")
    _take(room, math.prod(dataset.shape) * dataset.dtype.itemsize)
    return np.asarray(dataset[()], dataset.dtype)


def _take(room, n_bytes):
    room[0] -= n_bytes
    if room[0] < 0:
        raise ValueError("damaged, declares more than it can hold")


# -- random generators ----------------------------------------------------------------------


def generator_state(rng):
    """Return the state of a Generator on PCG64 as JSON; its seed sequence (spawn) is not in it."""
    if type(rng.bit_generator) is not np.random.PCG64:
        raise TypeError(f"expected PCG64, got {type(rng.bit_generator).__name__}")
    return json.dumps(rng.bit_generator.state)


def generator_from(text):
    """Return the Generator of a generator_state. Raises RunFileError."""
    bits = np.random.PCG64(0)
    try:
        bits.state = json.loads(text)
    except Exception as error:  # NumPy raises whatever it trips over
        raise RunFileError(f"not a generator state ({error}); {REMEDY}") from error
    return np.random.Generator(bits)
