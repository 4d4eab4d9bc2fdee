"""Ctrl-C and SIGTERM: an exception at once, but around HDF5 only when HDF5 is done.

HDF5 calls back into Python, and h5py's objects clean up after themselves when they die. What a
signal's handler raises there is printed and lost, and the run would go on.
"""

import contextlib
import signal

STOPPING = (signal.SIGINT, signal.SIGTERM)
_holding, _waiting = [], []


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; args[0] is the signal's number. No Exception, so nothing swallows it."""


def catch():
    """From here on Ctrl-C and SIGTERM raise Stopped."""
    for number in STOPPING:
        signal.signal(number, _stop)


def ignore():
    """From here on neither of them stops anything: the process is about to end."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    _waiting.clear()


def _stop(number, frame):
    if not _holding:
        raise Stopped(number)
    _waiting.append(number)


@contextlib.contextmanager
def held():
    """Let a signal that comes within the block wait for its end; also a decorator."""
    _holding.append(True)
    try:
        yield
    finally:
        _holding.pop()
        if _waiting and not _holding:
            raise Stopped(_waiting.pop())
