"""What files/ promises: nothing lost in a save, nothing wrong read as right."""

import os
import signal
import time
from functools import partial
from unittest import mock

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from small_runs import ROOT, differences

from qgd_np import files
from qgd_np.files import FileError, interrupts


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.h5"


def numbered(n):
    """A tree all of whose parts say n."""
    return {"kind": "checkpoint", "episode": n, "dqn": {"theta": np.full(2000, float(n))}}


def refused(function, path, *args):
    """Call, expect one line that names the file, and return it."""
    with pytest.raises(FileError) as caught:
        function(path, *args)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = text.filter(lambda name: name not in ("", ".", "schema") and "/" not in name)
dtypes = st.sampled_from("f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 >f4 >f8 >i4 bool".split())
shapes = st_numpy.array_shapes(min_dims=0, min_side=0)
arrays = dtypes.flatmap(lambda dtype: st_numpy.arrays(dtype, shapes))
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats() | st.booleans()
leaves = text | numbers | st.lists(text, max_size=4) | arrays
trees = st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=4))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(tree=st.dictionaries(names, trees, max_size=5))
def test_any_tree_comes_back_with_the_same_types_and_bytes(tree, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "any.h5"
    files.write(path, tree)
    assert not differences(files.read(path), tree)


def test_equal_trees_give_equal_bytes_whatever_time_order_and_strides(path):
    tree = numbered(1) | {"list": ["a", "b"], "part": np.arange(12.0).reshape(3, 4)[::2, ::-1]}
    files.write(path, tree)
    first = path.read_bytes()
    time.sleep(1.01 - time.time() % 1)  # HDF5's time stamps count whole seconds
    files.write(path, dict(reversed(tree.items())) | {"part": np.asfortranarray(tree["part"])})
    assert path.read_bytes() == first and not differences(files.read(path)["part"], tree["part"])
    assert os.listdir(path.parent) == [path.name]
    with h5py.File(path) as file:  # h5py alone can read it
        assert file.attrs["schema"] == 4 and (file["dqn/theta"][()] == 1).all()


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_disk_that_takes_no_more_leaves_the_old_file_alone(path, monkeypatch, keep, step):
    files.write(path, numbered(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, mock.Mock(side_effect=OSError(28, "No space left")))
        assert "No space left" in refused(files.write, path, numbered(2), keep)
    assert not differences(files.read(path), numbered(1)) and os.listdir(path.parent) == [path.name]


def test_the_last_two_are_kept_and_the_older_stands_in_for_the_newer(path):
    previous = path.with_name("checkpoint.previous.h5")
    assert files.read_latest(path) is None
    for n in (1, 2, 3):
        files.write(path, numbered(n), keep_previous=True)
    assert set(os.listdir(path.parent)) == {path.name, previous.name}
    tree, used = files.read_latest(str(path))
    assert not differences(tree, numbered(3)) and used == path
    path.write_bytes(path.read_bytes()[:-1])
    tree, used = files.read_latest(path, "checkpoint")
    assert not differences(tree, numbered(2)) and used == previous
    files.write(path, numbered(4), keep_previous=True)  # a damaged one pushes out no good one
    assert not differences(files.read(previous), numbered(2))
    path.unlink()
    assert files.read_latest(path)[1] == previous
    with pytest.raises(FileError):
        files.read_latest(path, "run")


def call_or_die(left, call, *args):
    return call(*args) if next(left) else os._exit(9)


def test_a_process_that_dies_before_any_system_call_of_a_save_leaves_a_whole_file(path):
    """The child ends without any clean-up just before its n-th fsync, replace or close."""
    for n in range(1, 8):
        files.write(path, numbered(1), keep_previous=True)
        if (child := os.fork()) == 0:
            left = iter(range(n - 1, -1, -1))
            for name in ("fsync", "replace", "close"):
                setattr(os, name, partial(call_or_die, left, getattr(os, name)))
            files.write(path, numbered(2), keep_previous=True)
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert files.read_latest(path)[0]["episode"] in (1, 2)
        if status == 0:
            break
    assert status == 0 and n > 5  # every call had its turn
    assert not list(path.parent.glob(".*"))  # what the killed ones left was overwritten


def test_truncations_and_flips_all_along_a_file_are_refused_before_hdf5(path, monkeypatch):
    files.write(path, {"a": 1, "x": np.arange(3)})
    data = path.read_bytes()
    monkeypatch.setattr(h5py, "File", None)
    for i in [*range(0, len(data), 23), *range(len(data) - 130, len(data))]:
        for damaged in (data[:i], data[:i] + bytes([data[i] ^ 16]) + data[i + 1 :], data + data):
            path.write_bytes(damaged)
            assert "damaged" in refused(files.read, path) or not damaged


def test_what_is_missing_huge_not_a_file_or_not_ours_is_not_read_or_written(tmp_path):
    with h5py.File(tmp_path / "foreign", "w") as file:
        file["x"] = 1
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", 1 << 40)
    for name in ("foreign", "empty", "pipe", "", "missing", "nul\0byte"):
        refused(files.read, tmp_path / name)
    for name in ("missing/run.h5", "empty/run.h5", "folder"):
        refused(files.save, tmp_path / name, b"", True)
    assert set(os.listdir(tmp_path)) == {"foreign", "empty", "folder", "pipe", "huge"}
    assert "empty, too large" in refused(files.read, tmp_path / "huge")


def test_another_schema_or_kind_is_refused_by_its_name(path, monkeypatch):
    for schema in (3, 5):
        with monkeypatch.context() as patch:
            patch.setattr(files, "SCHEMA", schema)
            files.write(path, numbered(1))
        assert f"schema {schema}, not 4" in refused(files.read, path)
    files.write(path, {"kind": "run"})
    assert "'run'" in refused(files.read, path, "controller")


def test_the_shipped_controllers_are_read():
    for path in (ROOT / "qgd_np" / "controllers").rglob("*.h5"):
        task = path.stem if path.stem in ("reg", "joint") else "lr"
        assert files.read(path, "controller")["task"] == task


def test_a_signal_waits_where_it_would_be_lost_and_only_there():
    interrupts.catch()
    seen = []
    with pytest.raises(interrupts.Stopped) as stopped, interrupts.held():
        with interrupts.held():
            signal.raise_signal(signal.SIGTERM)
        seen.append("within")
    assert seen == ["within"] and stopped.value.args == (signal.SIGTERM,)
    with pytest.raises(interrupts.Stopped):
        signal.raise_signal(signal.SIGINT)
        seen.append("after")
    assert seen == ["within"]
