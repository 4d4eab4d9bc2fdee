"""CIFAR-10 itself: from the cache, else from an archive beside it, else downloaded."""

import contextlib
import hashlib
import time
import urllib.request
from http.client import HTTPException

from .. import files
from . import archive

CACHE = "cifar10.h5"
ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")
URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5, SIZE = "c32a1d4ab5d03f1284b67883e8d87530", 170052171
TIMEOUT = 10  # seconds without an answer


def obtain(folder, say):
    """Return CIFAR-10's arrays as `archive.read` does; the next time they come from the cache."""
    path = folder / CACHE
    try:
        if path.exists() and (arrays := _cached(path, say)):
            return arrays
        folder.mkdir(parents=True, exist_ok=True)
        source = archive.find(folder)
        arrays = archive.read(source) if source else _download(say)
        files.write(path, {"kind": "images", **dict(zip(ARRAYS, arrays, strict=True))})
    except files.FileError as error:
        say(f"going on without a cache: {error}")
    except (OSError, HTTPException, ValueError) as error:
        raise archive.DataError(
            f"CIFAR-10 is neither in {folder} nor downloaded ({archive.reason(error)}); put "
            f"{archive.PACKED[0]} or {archive.PACKED[2]} there, or give its path with --data"
        ) from error
    return arrays


def _cached(path, say):
    """Return the arrays of a cache, or None after setting aside one that cannot be used."""
    open(path, "rb").close()  # one without permission is not damaged
    try:
        tree = files.read(path, "images")
        return [tree[name] for name in ARRAYS]
    except (files.FileError, KeyError) as error:
        aside = path.with_name(f"cifar10.aside-{time.time_ns()}.h5")
        with contextlib.suppress(FileNotFoundError):  # another run has done it
            path.rename(aside)
        say(f"the cache is set aside as {aside.name} and made again: {error}")


def _download(say):
    """Return the arrays of the official archive. Raises OSError, HTTPException or ValueError."""
    say(f"downloading CIFAR-10 from {URL}")
    content = bytearray()
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
        while len(content) <= SIZE and (chunk := response.read(2**24)):
            content += chunk
            say(f"  {len(content) / 1e6:.0f} of {SIZE / 1e6:.0f} MB")
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5:
        raise ValueError("what came is cut off or not the official archive: its MD5 differs")
    return archive.unpack(bytes(content))
