"""Ctrl-C and SIGTERM raise Stopped at once, but not within HDF5, where it would be lost."""

import contextlib
import os
import select
import signal
import threading

STOPPING = (signal.SIGINT, signal.SIGTERM)
_waiting = []  # for each block that is held: the signals that came


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; args[0] is the signal's number. No Exception, so nothing swallows it."""


def _stop(number, frame):
    if not _waiting:
        raise Stopped(number)
    _waiting[-1].append(number)


def catch(action=_stop):
    """From here on Ctrl-C and SIGTERM raise Stopped."""
    for number in STOPPING:
        signal.signal(number, action)


def ignore():
    """From here on neither of them stops anything: the process is about to end."""
    catch(signal.SIG_IGN)


def follow_reader():
    """From here on the end of the process that reads standard output through a pipe is SIGTERM."""
    poll = select.poll()
    poll.register(1, 0)  # no event but that nobody reads
    act = lambda: poll.poll() and os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    threading.Thread(target=act, daemon=True).start()


@contextlib.contextmanager
def held():
    """Let a signal that comes within the block wait for its end."""
    _waiting.append([])
    try:
        yield
    finally:
        if came := _waiting.pop():
            signal.raise_signal(came[0])
