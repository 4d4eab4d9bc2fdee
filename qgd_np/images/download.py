"""CIFAR-10 itself: the official archive in the cache folder, put there by a download if need be."""

import hashlib
import urllib.request
from http.client import HTTPException

from .. import files
from . import archive

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5, SIZE = "c32a1d4ab5d03f1284b67883e8d87530", 170052171
TIMEOUT = 10  # seconds without an answer


def obtain(folder, say):
    """Return CIFAR-10's arrays as `archive.read` does; they are downloaded at most once."""
    try:
        if source := archive.find(folder):
            return archive.read(source)
        folder.mkdir(parents=True, exist_ok=True)
        content = _download(say)
        files.save(folder / archive.PACKED[0], content)
    except files.FileError as error:
        say(f"the next run will download again: {error}")
    except (OSError, HTTPException, ValueError) as error:
        raise archive.DataError(
            f"CIFAR-10 is neither in {folder} nor downloaded ({archive.reason(error)}); put "
            f"{archive.PACKED[0]} or {archive.PACKED[2]} there, or give its path with --data"
        ) from error
    return archive.unpack(content)


def _download(say):
    """Return the bytes of the official archive. Raises OSError, HTTPException or ValueError."""
    say(f"downloading CIFAR-10 from {URL}")
    content = bytearray()
    with urllib.request.urlopen(URL, timeout=TIMEOUT) as response:
        while len(content) <= SIZE and (chunk := response.read(2**24)):
            content += chunk
            say(f"  {len(content) / 1e6:.0f} of {SIZE / 1e6:.0f} MB")
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != MD5:
        raise ValueError("what came is cut off or not the official archive: its MD5 differs")
    return bytes(content)
