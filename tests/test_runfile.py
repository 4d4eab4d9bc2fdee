"""What runfile.py promises: nothing lost in a save, nothing wrong read as right."""

import errno
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from damage_runfiles import realistic_trees, same, seal
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from keep_schema import KINDS, unpack_kept

from qgd_np.files import runfile
from qgd_np.files.runfile import RunFileError

HERE = Path(__file__).resolve().parent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "checkpoint.h5"


def numbered(n, size=2000):
    """Return a tree all of whose parts say n."""
    return {"kind": "checkpoint", "episode": n, "dqn": {"theta": np.full(size, n, np.float64)}}


def temps(folder):
    return [name for name in os.listdir(folder) if name.endswith(".tmp")]


def image_of(tree):
    return runfile._pack(tree)[: -runfile.SEAL_BYTES]


def edited(tree, tmp_path, edit):
    """Return a sealed file of the tree after edit(h5py file)."""
    scratch = tmp_path / "scratch.h5"
    scratch.write_bytes(image_of(tree))
    with h5py.File(scratch, "r+") as file:
        edit(file)
    return seal(scratch.read_bytes())


# -- round trip -----------------------------------------------------------------------------

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
names = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1, max_size=8
).filter(lambda name: name not in (".", "schema", "sha256"))
dtypes = st.sampled_from(
    ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", ">f4", ">f8", ">i4", "bool"]
)
leaves = st.one_of(
    text,
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.lists(text, max_size=4),
    dtypes.flatmap(
        lambda dtype: st_numpy.arrays(dtype, st_numpy.array_shapes(min_dims=0, min_side=0))
    ),
)
trees = st.dictionaries(
    names, st.recursive(leaves, lambda inner: st.dictionaries(names, inner, max_size=4)), max_size=5
)


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(tree=trees)
def test_any_tree_comes_back_with_the_same_types_and_bytes(tree):
    assert same(runfile._unpack(image_of(tree)), tree)


def test_the_trees_of_the_package_come_back_from_the_disk(path):
    for tree in realistic_trees():
        runfile.write(path, tree)
        assert same(runfile.read(path), tree)
        assert same(runfile.read(str(path), kind=tree["kind"]), tree)


def test_views_and_fortran_arrays_come_back_by_value(path):
    grid = np.arange(12.0).reshape(3, 4)
    runfile.write(path, {"T": np.asfortranarray(grid), "part": grid[::2, ::-1]})
    assert same(runfile.read(path), {"T": grid, "part": grid[::2, ::-1].copy()})


def test_numpy_scalars_come_back_as_plain_values(path):
    runfile.write(path, {"f": np.float32(0.5), "i": np.int32(3), "b": np.bool_(True)})
    assert same(runfile.read(path), {"f": 0.5, "i": 3, "b": True})


def test_equal_content_gives_equal_bytes_whatever_the_time_and_the_order():
    tree = realistic_trees()[1]
    first = runfile._pack(tree)
    time.sleep(1.01 - time.time() % 1)  # HDF5's time stamps count whole seconds
    assert runfile._pack(dict(reversed(tree.items()))) == first


def test_any_change_of_content_changes_the_hash():
    base = {"a": 1, "g": {"x": np.zeros((2, 3))}, "s": "1"}
    others = [
        {**base, "a": 1.0},
        {**base, "a": True},
        {**base, "s": 1},
        {**base, "s": ["1"]},
        {**base, "g": {"x": np.zeros((3, 2))}},
        {**base, "g": {"x": np.zeros((2, 3), np.int64)}},
        {**base, "g": {"x": -np.zeros((2, 3))}},
        {**base, "g": {"y": np.zeros((2, 3))}},
        {**base, "g": {}, "x": np.zeros((2, 3))},
        {**base, "more": {}},
    ]
    hashes = {runfile._content_hash(tree) for tree in [base, *others]}
    assert len(hashes) == 1 + len(others)


def test_h5py_alone_can_read_a_run_file(path):
    runfile.write(path, realistic_trees()[0])
    with h5py.File(path, "r") as file:
        assert file.attrs["schema"] == runfile.SCHEMA and len(file.attrs["sha256"]) == 64
        assert file.attrs["task"] == "lr" and json.loads(file.attrs["config"]) == {"episodes": 20}
        assert file["train/objective"].shape == (20, 100)


@pytest.mark.parametrize(
    "tree",
    [
        {"v": None},
        {"v": b"bytes"},
        {"v": (1, 2)},
        {"v": 2**64},
        {"v": "a\0b"},
        {"v": "\ud800"},
        {"v": ["a", 1]},
        {"v": np.array(["text"])},
        {"v": np.array([None])},
        {"v": np.zeros(2, complex)},
        {"a/b": np.zeros(2)},
        {"": 1},
        {1: 1},
        {"schema": runfile.SCHEMA},
        {"sha256": ""},
    ],
)
def test_a_tree_that_would_not_come_back_is_a_type_error_before_the_disk_is_touched(path, tree):
    runfile.write(path, numbered(1))
    with pytest.raises(TypeError):
        runfile.write(path, tree)
    assert same(runfile.read(path), numbered(1)) and os.listdir(path.parent) == [path.name]


# -- a save that fails ----------------------------------------------------------------------


def no_space(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def refused_save(save, path):
    """Save, expect one line that names the file, and return it."""
    with pytest.raises(RunFileError) as caught:
        save(path, numbered(2))
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("save", [runfile.write, runfile.write_keeping_previous])
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failing_system_call_leaves_the_old_file_and_no_temp(path, monkeypatch, save, step):
    runfile.write(path, numbered(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, no_space)
        assert "No space left" in refused_save(save, path)
    assert same(runfile.read(path), numbered(1)) and os.listdir(path.parent) == [path.name]


def test_a_disk_that_takes_only_a_part_leaves_the_old_file_and_no_temp(path):
    runfile.write(path, numbered(1))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))  # bytes; Python ignores SIGXFSZ
    try:
        refused_save(runfile.write, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(runfile.read(path), numbered(1)) and os.listdir(path.parent) == [path.name]


def test_a_missing_folder_a_file_as_folder_and_a_folder_as_file_are_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in ("missing/run.h5", "file/run.h5", "folder"):
        refused_save(runfile.write, tmp_path / path)
        refused_save(runfile.write_keeping_previous, tmp_path / path)
    assert temps(tmp_path) == []


def test_a_read_only_folder_is_one_line(path, monkeypatch):
    def read_only(*args):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("builtins.open", read_only)  # the tests may run as root
    assert "Read-only" in refused_save(runfile.write, path)


def test_an_interrupt_during_a_save_leaves_the_old_file_and_no_temp(path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    runfile.write(path, numbered(1))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupt)
        with pytest.raises(KeyboardInterrupt):
            runfile.write(path, numbered(2))
    assert same(runfile.read(path), numbered(1)) and temps(path.parent) == []


def test_temps_of_dead_processes_go_at_the_next_save_and_others_stay(path):
    dead = subprocess.Popen(["true"])
    dead.wait()
    stale = f".{path.name}.{dead.pid}.tmp"
    others = {f".{path.name}.{os.getppid()}.tmp", f".other.h5.{dead.pid}.tmp"}
    others |= {f".{path.name}.x.tmp", f".{path.name}.{10**30}.tmp"}
    for name in {stale, *others}:
        (path.parent / name).write_bytes(b"half a save")
    runfile.write(path, numbered(1))
    assert set(os.listdir(path.parent)) == {path.name, *others}


# -- the last two ---------------------------------------------------------------------------


def test_the_last_two_saves_are_kept(path):
    assert runfile.read_latest(path) is None
    for n in (1, 2, 3):
        runfile.write_keeping_previous(path, numbered(n))
    previous = path.with_name("checkpoint.previous.h5")
    assert set(os.listdir(path.parent)) == {path.name, previous.name}
    assert same(runfile.read(previous), numbered(2))
    tree, used = runfile.read_latest(path)
    assert same(tree, numbered(3)) and used == path


def test_the_previous_stands_in_for_a_damaged_or_missing_one(path):
    for n in (1, 2):
        runfile.write_keeping_previous(path, numbered(n))
    previous = path.with_name("checkpoint.previous.h5")
    path.write_bytes(path.read_bytes()[:-1])
    tree, used = runfile.read_latest(path)
    assert same(tree, numbered(1)) and used == previous
    path.unlink()
    assert runfile.read_latest(path)[1] == previous
    previous.write_bytes(b"")
    with pytest.raises(RunFileError):
        runfile.read_latest(path)


def test_a_damaged_file_does_not_push_out_a_good_previous(path, monkeypatch):
    for n in (1, 2):
        runfile.write_keeping_previous(path, numbered(n))
    path.write_bytes(b"damaged")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        refused_save(runfile.write_keeping_previous, path)
    assert same(runfile.read_latest(path)[0], numbered(1))
    runfile.write_keeping_previous(path, numbered(3))
    assert same(runfile.read(path), numbered(3))
    assert same(runfile.read(path.with_name("checkpoint.previous.h5")), numbered(1))


def test_a_process_that_dies_before_any_system_call_of_a_save_leaves_a_whole_file(path):
    """The child ends without any clean-up just before its n-th fsync, replace or close."""
    for n in range(1, 8):
        runfile.write_keeping_previous(path, numbered(1))
        child = os.fork()
        if child == 0:
            die_before_call(n)
            runfile.write_keeping_previous(path, numbered(2))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert runfile.read_latest(path)[0]["episode"] in (1, 2)
        if status == 0:
            break
    assert status == 0 and n > 5  # every call had its turn
    assert temps(path.parent) == []


def die_before_call(n):
    """Make this process vanish before the n-th call, counted from here."""
    left = [n]

    def wrap(call):
        def counted(*args):
            left[0] -= 1
            if left[0] == 0:
                os._exit(9)
            return call(*args)

        return counted

    for name in ("fsync", "replace", "close"):
        setattr(os, name, wrap(getattr(os, name)))


def save_for_ever(path, pipe):
    """Save over and over; say so after each save, with its number."""
    n = runfile.read_latest(path)[0]["episode"]
    while True:
        n += 1
        runfile.write_keeping_previous(path, numbered(n, 20000))
        os.write(pipe, b"%d\n" % n)


def test_kill_dash_nine_at_random_moments_loses_no_save(path):
    dice, finished = random.Random(0), 0
    runfile.write(path, numbered(0, 20000))
    for _ in range(8):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            save_for_ever(path, writer)
        os.close(writer)
        with open(reader) as said:
            said.readline()
            time.sleep(dice.uniform(0, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            rest = said.read().split()
        finished = int(rest[-1]) if rest else finished
        tree, _ = runfile.read_latest(path)
        assert tree["episode"] >= finished and same(tree, numbered(tree["episode"], 20000))
    runfile.write_keeping_previous(path, numbered(1))
    assert temps(path.parent) == []


# -- damage ---------------------------------------------------------------------------------


def refused_read(path, **kwargs):
    with pytest.raises(RunFileError) as caught:
        runfile.read(path, **kwargs)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return str(caught.value)


def test_truncations_and_flipped_bytes_all_along_a_file_are_refused(path):
    data = runfile._pack({"a": 1, "x": np.arange(3)})
    for i in [*range(0, len(data), 23), *range(len(data) - 130, len(data))]:
        path.write_bytes(data[:i])
        refused_read(path)
        path.write_bytes(data[:i] + bytes([data[i] ^ 16]) + data[i + 1 :])
        refused_read(path)


def test_damaged_files_of_every_kind_are_refused_or_read_right():
    command = [sys.executable, HERE / "damage_runfiles.py", "51", "--seed", "3"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_missing_not_a_file_or_not_ours_is_refused(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w") as file:
        file["x"] = 1
    (tmp_path / "text.h5").write_text("not HDF5")
    (tmp_path / "empty.h5").write_bytes(b"")
    (tmp_path / "text_sealed.h5").write_bytes(seal(b"not HDF5"))
    os.mkfifo(tmp_path / "pipe.h5")
    for name in ("missing", "foreign", "text", "empty", "text_sealed", "pipe"):
        refused_read(tmp_path / f"{name}.h5")
    refused_read(tmp_path)
    refused_read("nul\0byte.h5")


def test_hdf5_never_sees_a_file_whose_seal_is_broken(path, monkeypatch):
    runfile.write(path, numbered(1))
    data = bytearray(path.read_bytes())
    data[9] ^= 1
    path.write_bytes(data)
    monkeypatch.setattr(h5py, "File", None)
    assert "bytes do not match" in refused_read(path)


def test_another_kind_is_refused_by_its_name(path):
    runfile.write(path, {"kind": "run"})
    assert "'run'" in refused_read(path, kind="controller")
    runfile.write(path, {})
    refused_read(path, kind="run")


def test_a_changed_value_under_a_new_seal_is_caught_by_the_content_hash(path, tmp_path):
    def edit(file):
        file["dqn/theta"][3] = 2.0

    path.write_bytes(edited(numbered(1), tmp_path, edit))
    assert "content" in refused_read(path)


def h5_links(file):
    file["dqn/soft"] = h5py.SoftLink("/dqn/theta")


def h5_external(file):
    file["dqn/away"] = h5py.ExternalLink("/etc/passwd", "/")


def h5_twice(file):
    file["dqn/circle"] = file["/"]


def h5_reference(file):
    file.attrs.create("ref", file["dqn"].ref, dtype=h5py.ref_dtype)


def h5_chunked(file):
    file.create_dataset("packed", (1 << 40,), "f8", chunks=(1 << 20,), compression="gzip")


def h5_absurd(file):
    file.create_dataset("absurd", (1 << 50,), "f8")


def h5_elsewhere(file):
    file.create_dataset("outside", (9,), "u1", external=[("/etc/passwd", 0, 9)])


def h5_type(file):
    file["named"] = np.dtype("f8")


def h5_hidden(file):
    file["dqn/theta"].attrs["unit"] = "hidden"


@pytest.mark.parametrize(
    "edit",
    [
        h5_links,
        h5_external,
        h5_twice,
        h5_reference,
        h5_chunked,
        h5_absurd,
        h5_elsewhere,
        h5_type,
        h5_hidden,
    ],
)
def test_what_write_never_makes_is_refused_before_the_content_is_read(path, tmp_path, edit):
    path.write_bytes(edited(numbered(1), tmp_path, edit))
    assert "content" not in refused_read(path)


# -- schemas --------------------------------------------------------------------------------


def test_a_newer_schema_is_refused_and_says_to_update(path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(runfile, "SCHEMA", runfile.SCHEMA + 1)
        runfile.write(path, numbered(1))
    assert "update" in refused_read(path)


def test_older_schemas_are_upgraded_one_by_one(path, monkeypatch):
    monkeypatch.setattr(runfile, "SCHEMA", 1)
    runfile.write(path, {"rate": 0.5})
    monkeypatch.setattr(runfile, "SCHEMA", 3)
    upgrades = {1: lambda tree: {"alpha": tree["rate"]}, 2: lambda tree: {**tree, "beta": 1}}
    monkeypatch.setattr(runfile, "UPGRADES", upgrades)
    assert runfile.read(path) == {"alpha": 0.5, "beta": 1}
    upgrades[1] = lambda tree: {"alpha": tree["no such name"]}
    refused_read(path)
    runfile.write(path, {"alpha": 0.25})
    assert runfile.read(path) == {"alpha": 0.25}


def test_every_older_schema_has_an_upgrade():
    assert sorted(runfile.UPGRADES) == list(range(1, runfile.SCHEMA))


@pytest.mark.parametrize("schema", range(1, runfile.SCHEMA + 1))
def test_kept_files_of_every_schema_are_read_as_ones_of_the_present(schema, tmp_path):
    unpack_kept(schema, tmp_path)
    run, checkpoint, controller = (runfile.read(tmp_path / f"{k}.h5", k) for k in KINDS)
    about = {"kind", "task", "config", "version", "data", "data_sha256", "device", "threads"}
    assert set(run) == about | {"train", "dqn", "evaluation", "iterate_seeds"}
    assert set(checkpoint) == about | {"training"} and set(controller) == about | {"dqn"}
    assert (run["task"], run["data"]) == ("lr", "tiny.tar.gz")
    assert bool(run["data_sha256"]) == (schema > 1)  # schema 1 did not know it
    assert same(run["dqn"], controller["dqn"]) and run["dqn"]["W1"].shape == (6, 3)
    assert (run["dqn"]["M"], run["dqn"]["steps"]) == (4, 5)
    assert same(run["train"], checkpoint["training"]["train"])
    assert run["train"]["objective"].shape == (2, 5)
    assert run["evaluation"]["qgd"]["objective"].shape == (1, 5)


def test_the_shipped_controllers_are_read():
    others = [f"lr-seed-{k}" for k in range(1, 10)]
    for seed, name in enumerate(["lr", *others, "reg"]):
        tree = runfile.read(HERE.parent / "qgd_np" / "controllers" / f"{name}.h5", "controller")
        assert tree["task"] == name[:3].strip("-") and tree["dqn"]["W1"].shape == (6, 32)
        assert tree["dqn"]["steps"] == 100
        assert json.loads(tree["config"])["seed"] == (0 if name == "reg" else seed)


# -- generators -----------------------------------------------------------------------------


def test_a_generator_goes_on_where_it_was_saved(path):
    rng = np.random.default_rng(3)
    rng.integers(0, 10, 7, dtype=np.int32)  # leaves half a 64-bit draw in the state
    runfile.write(path, {"rng": runfile.generator_state(rng)})
    other = runfile.generator_from(runfile.read(path)["rng"])
    assert runfile.generator_state(other) == runfile.generator_state(rng)
    assert (other.integers(0, 10, 5, np.int32) == rng.integers(0, 10, 5, np.int32)).all()
    assert (other.standard_normal(100) == rng.standard_normal(100)).all()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "3",
        '{"bit_generator": "MT19937"}',
        '{"bit_generator": "PCG64", "state": {}}',
        None,
    ],
)
def test_what_is_no_generator_state_is_refused(text):
    with pytest.raises(RunFileError):
        runfile.generator_from(text)


def test_only_pcg64_has_a_state_to_save():
    with pytest.raises(TypeError):
        runfile.generator_state(np.random.Generator(np.random.MT19937(0)))
