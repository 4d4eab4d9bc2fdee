"""The cache: CIFAR-10 as one HDF5 file, made of an archive or a download, hashed and whole.

One process at a time makes it; whoever comes meanwhile waits for it.
"""

import contextlib
import hashlib
import os

import h5py
import numpy as np

from ..files.interrupts import held
from . import archive
from .archive import PIXELS, DataError
from .download import MD5, TIMEOUT, URL, advice, cause, download, part_of, sync, to_stderr

try:
    import fcntl
except ImportError:  # Windows: two first runs at once each download for themselves
    fcntl = None

CACHE = "cifar10.h5"
SCHEMA = 1
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
CHUNK = 2500  # rows read and hashed at a time
# What h5py raises at a damaged file
DAMAGE = (OSError, RuntimeError, *archive.DAMAGE)


def obtain(folder, wanted=None, say=to_stderr, url=URL, md5=MD5, timeout=TIMEOUT):
    """Return CIFAR-10's uint8 arrays: cached, else of an archive in the folder, else downloaded.

    The arrays are train_images, train_labels (at least the first `wanted` if cached), test_images
    and test_labels. What was not cached is then. Raises DataError that says where to put the file.
    """
    cache = folder / CACHE
    try:
        if cache.exists():
            with contextlib.suppress(DataError):  # a damaged one is dealt with under the lock
                return read_cache(cache, wanted)
        folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder, say):
            if cache.exists() and (arrays := _cached(cache, wanted, say)):
                return arrays  # another process made it while this one waited
            return _make(folder, say, url, md5, timeout)
    except OSError as error:
        raise DataError(f"cannot use the folder {folder}: {cause(error)}; {advice()}") from error


def _make(folder, say, url, md5, timeout):
    """Return the arrays of the folder's archive, else of a downloaded one, and cache them."""
    found = archive.find(folder)
    source = found or download(folder, say, url, md5, timeout)
    arrays = archive.read(source)
    if store(folder / CACHE, arrays, say):
        part_of(folder).unlink(missing_ok=True)
        if not found:
            source.unlink()  # what the user put there stays
    return arrays


def _cached(path, wanted, say):
    """Return the cache's arrays, or None after setting a damaged or foreign file aside."""
    try:
        return read_cache(path, wanted)
    except DataError as error:
        aside = path.with_suffix(".h5.damaged")
        try:
            os.replace(path, aside)
        except OSError:
            raise DataError(f"{error} and cannot be replaced; delete it") from error
        say(f"{error}; it is now {aside.name}, and a new one will be made")
        return None


@held()
def read_cache(path, wanted=None):
    """Return the uint8 arrays of a cache file, training arrays cut to `wanted` rows.

    All of it is read and compared with its hash. Raises DataError for any difference, OSError for
    a file that is not to be opened.
    """
    with open(path, "rb"):
        pass
    try:
        # no locking: it is read-only here and replaced as a whole, and some file systems have none
        with h5py.File(path, "r", locking=False) as file:
            if int(file.attrs["schema"]) != SCHEMA:
                raise ValueError("it is of another version")
            digest, arrays = hashlib.sha256(), []
            for name in ARRAYS:
                rows = wanted if name.startswith("train") else None
                arrays.append(_hashed(file[name], digest, name, rows))
            if file.attrs["sha256"] != digest.hexdigest():
                raise ValueError("its content does not match its hash")
        if not len(arrays[0]) == len(arrays[1]) or not len(arrays[2]) == len(arrays[3]):
            raise ValueError("its arrays do not fit together")
    except DAMAGE as error:
        reason = " ".join(str(error).split())[:100]
        raise DataError(f"the cache {path} is damaged ({reason})") from error
    return arrays


def _hashed(dataset, digest, name, rows):
    """Read the first `rows` of a dataset (None: all) and hash all of it."""
    n, row = dataset.shape[0], (PIXELS,) if name.endswith("images") else ()
    plain = dataset.chunks is None and dataset.external is None and not dataset.is_virtual
    if dataset.dtype != np.uint8 or dataset.shape[1:] != row or not plain or n < 1:
        raise ValueError(f"{name} is not as it should be")
    if dataset.id.get_storage_size() != dataset.size:
        raise ValueError(f"{name} is not all there")
    _start(digest, name, n)
    kept = np.empty((n if rows is None else min(n, rows), *row), np.uint8)
    for start in range(0, n, CHUNK):
        chunk = dataset[start : start + CHUNK]
        digest.update(chunk)
        kept[start : start + CHUNK] = chunk[: max(0, len(kept) - start)]
    return kept


def _start(digest, name, n):
    digest.update(f"{name} {n} ".encode())


def store(path, arrays, say=to_stderr):
    """Write the cache so that it is there whole or not at all; say so and return False if it fails.

    Equal arrays give equal files. The arrays serve even where the disk is full.
    """
    temporary = path.with_suffix(".h5.tmp")
    try:
        _write(temporary, arrays)
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except (OSError, RuntimeError, ValueError) as error:
        say(f"the cache {path} was not written: {cause(error)}")
        return False
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return True


@held()
def _write(path, arrays):
    """Write the arrays and the hash over all of them to a new HDF5 file."""
    digest = hashlib.sha256()
    with h5py.File(path, "w", locking=False) as file:
        for name, array in zip(ARRAYS, arrays, strict=True):
            array = np.ascontiguousarray(array)
            _start(digest, name, len(array))
            digest.update(array)
            file.create_dataset(name, data=array, track_times=False)
        file.attrs["sha256"] = digest.hexdigest()
        file.attrs["schema"] = SCHEMA


@contextlib.contextmanager
def _alone(folder, say):
    """Hold a lock on the folder; a second process waits, then finds what the first one made."""
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is making {folder / CACHE}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError:
            pass  # a file system without locks
        yield
    finally:
        os.close(handle)
