"""Download the official CIFAR-10 archive: checked by its MD5, resumed where it was cut off."""

import hashlib
import http.client
import os
import queue
import sys
import threading
import time
import urllib.error
import urllib.request

from . import archive
from .archive import DataError

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5 = "c32a1d4ab5d03f1284b67883e8d87530"
TIMEOUT = 10  # seconds without an answer or with next to no data
ATTEMPTS = 5  # each goes on where the one before was cut off
SLOWEST = 1000  # bytes a second, over `timeout` seconds; less counts as stalled
LARGEST = 2**28  # bytes; the official archive has 170,052,171
TROUBLE = (OSError, http.client.HTTPException, ValueError)


def to_stderr(text):
    """Where messages go if nobody asks for them."""
    print(text, file=sys.stderr, flush=True)


def download(folder, say=to_stderr, url=URL, md5=MD5, timeout=TIMEOUT):
    """Fetch the official archive into the folder, check its MD5 and return its path.

    What a broken connection leaves stays in a .part file and is gone on with. timeout: see TIMEOUT.
    Raises DataError that says where to put the file.
    """
    part, path = part_of(folder), folder / archive.PACKED[0]
    say(f"downloading CIFAR-10 from {url}")
    for _ in range(ATTEMPTS):
        start = _size(part)
        try:
            _fetch(url, part, start, timeout, say)
        except TROUBLE as error:
            problem, hopeless = cause(error), _size(part) <= start
        else:
            if _md5(part) == md5:
                sync(part)
                os.replace(part, path)
                return path
            part.unlink()
            # an old .part may be to blame: then once more, from the start
            problem, hopeless = "what came is not the official archive: its MD5 differs", start == 0
        if hopeless:
            break
    raise DataError(f"CIFAR-10 could not be downloaded ({problem}); {advice(folder)}")


def _fetch(url, part, start, timeout, say):
    """Append the bytes from `start` on to the .part file, or rewrite it if the server sends all."""
    headers = {"User-Agent": "qgd_np"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        response = _open(urllib.request.Request(url, headers=headers), timeout)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416 and start:
            return  # nothing after `start`: it was all there
        raise
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise ValueError("the server sent another range than asked for")
        expected = int(response.headers.get("Content-Length", -1))
        with open(part, "ab" if resumed else "wb") as file:
            got = _copy(response, file, start if resumed else 0, expected, timeout, say)
    if expected not in (-1, got):
        raise OSError(f"the connection was cut off after {got} of {expected} bytes")


def _copy(response, file, start, expected, timeout, say):
    """Write a response to a file; return the number of bytes. A trickle is an error."""
    got = window = 0
    since, tenths = time.monotonic(), 0
    while chunk := response.read1(2**18):
        file.write(chunk)
        got += len(chunk)
        window += len(chunk)
        if start + got > LARGEST:
            raise ValueError("the file is too large")
        if time.monotonic() - since > timeout:
            if window < SLOWEST * timeout:
                raise TimeoutError("the connection stalled")
            since, window = time.monotonic(), 0
        if expected > 0 and (start + got) * 10 // (start + expected) > tenths:
            tenths = (start + got) * 10 // (start + expected)
            say(f"  {(start + got) / 1e6:.0f} of {(start + expected) / 1e6:.0f} MB")
    return got


def _open(request, timeout):
    """Open a URL within `timeout` seconds, at most 5: looking a name up has no limit of its own."""
    answer = queue.Queue()

    def ask():
        try:
            answer.put(urllib.request.urlopen(request, timeout=timeout))
        except BaseException as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        response = answer.get(timeout=min(timeout, 5))
    except queue.Empty:
        raise TimeoutError("no answer") from None
    if isinstance(response, BaseException):
        raise response
    return response


def part_of(folder):
    """Return the path of the unfinished download in a folder."""
    return folder / (archive.PACKED[0] + ".part")


def _size(path):
    return path.stat().st_size if path.exists() else 0


def _md5(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def advice(folder="a folder that QGD_DATA names"):
    """Return what to do where the data are neither found nor downloaded."""
    names = f"{archive.PACKED[0]} or {archive.PACKED[2]}"
    return f"put {names} into {folder}, or give its path with --data"


def cause(error):
    """Return the cause of an OSError or another exception in a few words."""
    inner = getattr(error, "reason", None) or error  # what urllib wraps
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


def sync(path):
    """Have the system write a file or a folder to the disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
