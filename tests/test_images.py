"""The images: official archives, the download, the split, the standardisation."""

import gzip
import hashlib
import http.server
import os
import pickle
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from archives import binary_files, make_arrays, pack, python_files, same, unpack
from small_runs import ROOT

from qgd_np import images
from qgd_np.images import DataError, archive, download, load, synthetic

ARRAYS = make_arrays()
LAYOUTS = {"binary": binary_files(ARRAYS), "python": python_files(ARRAYS)}
ZIPPED = {kind: pack(files) for kind, files in LAYOUTS.items()}
both = pytest.mark.parametrize("kind", ["binary", "python"])


def write(path, content):
    path.write_bytes(content)
    return path


def refused(path, match="cannot read"):
    """Read a bad archive; it must be one line that names a remedy."""
    with pytest.raises(DataError, match=match) as error:
        archive.read(path)
    assert "\n" not in str(error.value) and "give a CIFAR-10 archive" in str(error.value)


@both
def test_an_archive_and_its_folder_and_what_holds_it_give_what_it_was_made_of(kind, tmp_path):
    unpack(LAYOUTS[kind], tmp_path / "unpacked")
    unpack({f"cifar-10-{kind}.tar.gz": ZIPPED[kind]}, tmp_path / "around")
    files = {f"./{name}": content for name, content in LAYOUTS[kind].items()}
    write(tmp_path / "any name", pack(files, zipped=False))
    (inner,) = (tmp_path / "unpacked").iterdir()
    for path in (tmp_path / "any name", tmp_path / "around", inner.parent, inner):
        arrays = archive.read(path)
        assert same(arrays, ARRAYS) and {a.dtype for a in arrays} == {np.dtype(np.uint8)}


@both
def test_a_missing_batch_is_named_a_short_one_and_a_label_above_nine_are_errors(kind, tmp_path):
    (name,) = (name for name in LAYOUTS[kind] if "batch_3" in name)
    files = LAYOUTS[kind] | {name + "x": b""}
    content = files.pop(name)
    unpack(files, tmp_path / "folder")
    for path in (write(tmp_path / "a.tar.gz", pack(files)), tmp_path / "folder"):
        refused(path, "data_batch_3.* is missing")
    for cut in (3073, 100):
        refused(write(tmp_path / "a.tar", pack(files | {name: content[:-cut]})))
    arrays = (ARRAYS[0], np.full_like(ARRAYS[1], 10), *ARRAYS[2:])
    files = {"binary": binary_files, "python": python_files}[kind](arrays)
    refused(write(tmp_path / "a.tar", pack(files)), "label")


def test_what_is_no_archive_or_cut_off_is_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    cut = [ZIPPED[kind][:n] for kind in ZIPPED for n in (1, 9, 500, -1)]
    others = b"", b"hello\n" * 500, gzip.compress(b"hello"), pack({"readme": b"hello"})
    for content in (*others, *cut):
        refused(write(tmp_path / "file", content))
    for path in (tmp_path, tmp_path / "absent", tmp_path / "pipe", "a\0b", "x" * 5000):
        refused(path)


def test_files_are_looked_up_by_name_not_extracted_and_links_not_followed(tmp_path):
    strange = {"../evil": b"x", "/absolute": b"x", "cifar-10-batches-bin/../../evil": b"x"}
    path = write(tmp_path / "a.tar.gz", pack(strange | LAYOUTS["binary"]))
    assert same(archive.read(path), ARRAYS) and list(tmp_path.iterdir()) == [path]
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/data_batch_1.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    refused(path, "no CIFAR-10 batches")


def test_a_bomb_and_a_circle_of_members_end_in_an_error(tmp_path, monkeypatch):
    content = bytearray(pack({"a": b"", "b": b""}, zipped=False))
    content[636:648] = b"\xff" * 10 + (-512).to_bytes(2, "big", signed=True)  # the size
    content[660:668] = b" " * 8
    content[660:668] = b"%06o\0 " % sum(content[512:1024])  # the checksum
    refused(write(tmp_path / "a.tar", content))
    monkeypatch.setattr(archive, "MAX_BATCH", 1000)
    unpack(LAYOUTS["binary"], tmp_path / "folder")
    for path in (write(tmp_path / "a.tar.gz", ZIPPED["python"]), tmp_path / "folder"):
        refused(path, "no CIFAR-10 batches")
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 2**20)
    refused(write(tmp_path / "a.tar.gz", gzip.compress(bytes(2**22))), "too large")


def test_a_malicious_pickle_does_not_run_and_a_hostile_one_is_refused(tmp_path, monkeypatch):
    class Evil:
        def __reduce__(self):
            return os.system, ("echo ran > evil",)

    monkeypatch.chdir(tmp_path)
    sound = pickle.loads(LAYOUTS["python"]["cifar-10-batches-py/data_batch_1"])
    for content in (
        *(pickle.dumps({b"data": Evil(), b"labels": [1]}, protocol) for protocol in range(6)),
        b"\x80\x02]r\xff\xff\xff\x7f.",  # an index for which the unpickler in C claims 32 GB
        b"\x80\x05\x96\x00\x00\x00\x00\x10\x00\x00\x00.",  # a bytearray of 64 GB
        b"\x80\x02" + b")" * 2_000_000 + b".",
        b"\x80\x02}(" + b")\x85" * 50_000 + b"K\x01u.",
        b"\x80\x02cnumpy\ndtype\n(K\x01K\x02tb.",
        pickle.dumps(sound | {b"more": os.system}, 2),
    ):
        unpack(LAYOUTS["python"] | {"cifar-10-batches-py/data_batch_1": content}, tmp_path)
        refused(tmp_path, "data_batch_1 .*damaged")
    assert not (tmp_path / "evil").exists()


def test_pickles_of_python_2_and_of_arrays_in_fortran_order_are_read(tmp_path):
    pixels = np.frombuffer(bytes(range(256)) * 24, np.uint8).reshape(2, 3072)
    old = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\n"
        b"q\x08K\x00\x85U\x01b\x87Rq\t(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01"
        b"\x87Rq\x0b(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00"
    )
    old += pixels.tobytes() + b"tbU\x06labelsq\x03](K\x06K\x09eu."
    new = pickle.dumps({"data": np.asfortranarray(pixels), "labels": [6, 9]}, protocol=3)
    for content in (old, new):
        unpack({f"cifar-10-batches-py/{name}": content for name in archive.BATCHES}, tmp_path)
        expected = (np.tile(pixels, (5, 1)), [6, 9] * 5, pixels, [6, 9])
        assert same(archive.read(tmp_path), expected)
    for data, labels in ((pixels.view(np.int8), [6, 9]), (pixels, [6, 8.5]), (pixels, [6])):
        content = pickle.dumps({"data": data, "labels": labels}, protocol=2)
        unpack({f"cifar-10-batches-py/{name}": content for name in archive.BATCHES}, tmp_path)
        refused(tmp_path)


@pytest.fixture
def official(tmp_path):
    return write(tmp_path / "cifar-10-binary.tar.gz", ZIPPED["binary"])


def test_training_comes_first_validation_directly_after_it_and_not_more_than_there_is(official):
    got, rest = load(official, 20, 7), load(official, validation_size=4)
    raw, test = ARRAYS[0].astype(np.float64), ARRAYS[2].astype(np.float64)
    parts = (got.train_images, got.validation_images, got.test_images)
    for part, expected in zip(parts, (raw[:20], raw[20:27], test), strict=True):
        expected = (expected - raw[:20].mean(axis=0)) / raw[:20].std(axis=0)
        assert part.dtype == np.float32 and np.allclose(part, expected, atol=2e-6)
    labels = (got.train_labels, got.validation_labels, got.test_labels)
    assert same(labels, (ARRAYS[1][:20], ARRAYS[1][20:27], ARRAYS[3]))
    assert got.test_labels.dtype == np.int64 and got.name == official.name
    assert len(rest.train_images) == 26 and len(rest.validation_images) == 4
    assert len({got.sha256, rest.sha256, load(official, 21, 6).sha256}) == 3
    for sizes in ((31, 0), (30, 1), (None, 30), (10**9, 0), (0, 0), (-5, 0), (3, -1), (-5, 9)):
        with pytest.raises(DataError, match="has 30 training images"):
            load(official, *sizes)


def test_mean_and_deviation_are_exact_and_a_constant_pixel_becomes_zero():
    pixels = np.random.default_rng(0).integers(0, 256, (1300, 3072), dtype=np.uint8)
    pixels[:, 0], pixels[:, 1] = 255, 0
    mean, std = images.moments(pixels)
    assert np.allclose(mean, pixels.mean(axis=0), rtol=1e-14, atol=0)
    assert np.allclose(std[2:], pixels.std(axis=0)[2:], rtol=1e-12, atol=0)
    assert not images.standardise(pixels, mean, std)[:, :2].any()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The cache folder; nothing can be downloaded."""
    monkeypatch.setenv("QGD_DATA", str(tmp_path))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "URL", "http://127.0.0.1:9/")
    return tmp_path


def test_an_archive_in_the_cache_folder_is_read_there(official, folder):
    said = []
    assert same(download.obtain(folder, said.append), ARRAYS) and not said
    assert load("auto", 9).name == "cifar10" and [*folder.iterdir()] == [official]


def test_without_room_for_the_archive_the_images_serve(serve, folder, monkeypatch):
    serve("good")
    full, said = mock.Mock(side_effect=download.files.FileError("no space left")), []
    monkeypatch.setattr(download.files, "save", full)
    assert same(download.obtain(folder, said.append), ARRAYS) and "no space left" in said[-1]


def test_the_cache_folder_is_QGD_DATA_or_that_of_a_checkout_or_the_users(monkeypatch, tmp_path):
    monkeypatch.setenv("QGD_DATA", "/named")
    assert images.cache_folder() == Path("/named")
    monkeypatch.delenv("QGD_DATA")
    monkeypatch.setenv("XDG_CACHE_HOME", "/user")
    monkeypatch.setattr(images, "__file__", str(tmp_path / "qgd_np" / "images" / "__init__.py"))
    assert images.cache_folder() == Path("/user/qgd_np")
    write(tmp_path / "setup.py", b"")
    assert images.cache_folder() == tmp_path.resolve() / "data"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert images.cache_folder() == Path("/user/qgd_np")


def test_offline_cifar10_is_one_line_and_auto_synthetic_said_loudly(folder, monkeypatch):
    monkeypatch.setattr(synthetic, "make", lambda train: ARRAYS)
    said = []
    got = load("auto", 20, say=said.append)
    assert got.name == "synthetic" and len(got.train_images) == 20
    assert "SYNTHETIC" in said[-1] and "refused" in said[-2]
    for at in (write(folder / "file", b""), folder):  # no folder, or an empty one
        monkeypatch.setenv("QGD_DATA", str(at))
        with pytest.raises(DataError, match=f"{at} .*put cifar-10-binary.tar.gz"):
            load("cifar10", say=print)


CONTENT = ZIPPED["binary"]
CAUSES = {"cut": "MD5", "corrupt": "MD5", "stall": "time", "missing": "Not Found"}


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the path names."""

    def do_GET(self):
        how, half = self.path.strip("/"), CONTENT[: len(CONTENT) // 2]
        self.send_response(404 if how == "missing" else 200)
        self.send_header("Content-Length", str(len(CONTENT)))
        self.end_headers()
        sent = {"cut": half, "stall": half, "corrupt": CONTENT[:-9] + b"x" + CONTENT[-8:]}
        self.wfile.write(sent.get(how, CONTENT))
        if how == "stall":
            time.sleep(2)

    log_message = mock.Mock()


@pytest.fixture
def serve(folder, monkeypatch):
    """serve(how): from now on the archive comes from a server, and its MD5 counts as official."""
    monkeypatch.setattr(download, "MD5", hashlib.md5(CONTENT).hexdigest())
    monkeypatch.setattr(download, "TIMEOUT", 0.4)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/"
        yield lambda how: monkeypatch.setattr(download, "URL", url + how)
        server.shutdown()


@pytest.mark.parametrize("how", CAUSES)
def test_a_failed_download_leaves_nothing_and_a_good_one_the_archive(how, serve, folder):
    serve(how)
    with pytest.raises(DataError, match=f"({CAUSES[how]}).*put cifar-10-binary.tar.gz"):
        download.obtain(folder, print)
    assert not list(folder.iterdir())
    for again in ("good", "missing"):  # the second time nobody is asked
        serve(again)
        assert same(download.obtain(folder, print), ARRAYS)
        assert [p.name for p in folder.iterdir()] == [archive.PACKED[0]]


def test_two_first_runs_at_once_both_end_right(serve, folder):
    serve("good")
    code = "from qgd_np.images import download, load; download.URL, download.MD5 = sys.argv[1:]"
    code = f"import sys; {code}; print(load('cifar10').sha256)"
    command = [sys.executable, "-c", code, download.URL, download.MD5]
    runs = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(2)]
    said = {run.communicate()[0].decode().strip() for run in runs}
    assert said == {load("cifar10").sha256}
    assert [p.name for p in folder.iterdir()] == [archive.PACKED[0]]


def test_synthetic_images_are_the_same_however_many_are_made_of_ten_classes_and_smooth():
    few, many = synthetic.make(40, 20, seed=3), synthetic.make(1000, 30, seed=3)
    assert all(np.array_equal(a, b[: len(a)]) for a, b in zip(few, many, strict=True))
    assert [a.shape for a in few] == [(40, 3072), (40,), (20, 3072), (20,)]
    assert not np.array_equal(few[0], synthetic.make(40, 20, seed=4)[0])
    assert load("synthetic", 500, 300).sha256.startswith("b77e11cc682591a2")
    assert np.bincount(many[1], minlength=10).min() > 60 and many[1].max() == 9
    power = np.abs(np.fft.fft(many[0].reshape(-1, 32, 32) - 120.0)).mean(axis=(0, 1))
    assert power[1] > 2 * power[4] > 4 * power[16]
