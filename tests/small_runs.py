"""Runs of a tenth of a second through the command line, and what the tests of commands share."""
# ruff: noqa: E402

import functools
import os
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import archives

import run_lr
import run_reg
from qgd_np import config, files, page
from qgd_np.files import interrupts
from qgd_np.images import load
from qgd_np.lab import command, device, flags
from qgd_np.lab.training import Problem, Training

TASKS = {"lr": run_lr.TASK, "reg": run_reg.TASK}
SMALL = [
    "--steps", "10", "--hidden", "5", "--iterates", "1", "--train-size", "200",
    "--validation-size", "20", "--no-figures", "--quiet", "--device", "cpu",
]  # fmt: skip
EPISODES = 6
both = pytest.mark.parametrize("task", ["lr", "reg"])


def make_archive(folder, changed=None):
    """Write a tiny archive in the official binary layout: 250 training and 50 test images.

    changed: the training image of which one pixel has another value. Returns its path.
    """
    path, arrays = folder / "tiny.tar.gz", archives.make_arrays(50)
    if changed is not None:
        arrays[0][changed, 5] ^= 1
    path.write_bytes(archives.pack(archives.binary_files(arrays)))
    return path


def differences(one, other, place=""):
    """The places where two trees are not equal bit for bit, but for `seconds`."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted((one.keys() | other.keys()) - {"seconds"})
        found = [differences(one.get(k), other.get(k), f"{place}/{k}") for k in names]
        return [place for places in found for place in places]
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        equal = (one.dtype, one.shape) == (other.dtype, other.shape)
        return [] if equal and one.tobytes() == other.tobytes() else [place]
    return [] if type(one) is type(other) and repr(one) == repr(other) else [place]  # nan is nan


@pytest.fixture(autouse=True)
def signals():
    """The command line catches signals for good; give them back after each test."""
    before = {number: signal.getsignal(number) for number in interrupts.STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="session")
def small(folder):
    """The flags of a run that takes a tenth of a second."""
    return ["--data", str(make_archive(folder)), *SMALL]


@pytest.fixture(scope="session")
def call(small):
    """Return call(task, *flags) -> exit status, of a small run in this process."""
    return lambda task, *flags: command.main(TASKS[task], [*small, *map(str, flags)])


@pytest.fixture(scope="session")
def straight(folder, call):
    """Return straight(task) -> the folder of an uninterrupted run of six episodes."""
    for task in TASKS:
        assert call(task, "--episodes", EPISODES, "--out", folder / task) == 0
    return lambda task: folder / task


@pytest.fixture
def copied(straight, tmp_path):
    """Return copied(task) -> a folder with that run, to be changed."""

    def copy(task):
        out = Path(shutil.copytree(straight(task), tmp_path / "copied"))
        page.write(out / "run.h5")  # which bears the name of the folder
        return out

    return copy


@pytest.fixture(scope="session")
def environment():
    """The environment of a run file in a process of its own."""
    here = str(device.blas_threads())  # as in this process, which resumes what another began
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return os.environ | dict.fromkeys(names, here) | {"MPLBACKEND": "Agg"}


def run(folder):
    return files.read(folder / "run.h5")


def checkpoint(folder):
    """What a training that is stopped goes on from."""
    return files.read(folder / "checkpoint.h5", "checkpoint")["training"]


loaded = functools.cache(load)


def training(task, small, **changes):
    """A Training as the command line makes it, before its first episode."""
    given = vars(flags.parser(TASKS[task]).parse_args(small))
    given = {name: value for name, value in given.items() if name not in flags.DEFAULTS}
    p = config.make(task, given, changes)
    images = loaded(small[1], p.train_size, p.validation_size)
    return Training(TASKS[task], Problem(images, p), p)


def content(folder):
    """Every file below a folder, to see that none has changed."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def refused(call, capsys, task, *flags):
    """Call with bad input; return the one line on standard error."""
    capsys.readouterr()
    assert call(task, *flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) < 600, lines
    return lines[0]


def at_call(monkeypatch, owner, name, n, act):
    """Have act() called as the n-th call of owner.name begins; return the list of the calls."""
    original, calls = getattr(owner, name), []

    def counted(*args, **kwargs):
        calls.append(name)
        if len(calls) == n:
            act()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, name, counted)
    return calls
