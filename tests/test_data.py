"""The data: official archives, the cache, the download, the split and the standardisation."""

import contextlib
import gzip
import hashlib
import http.server
import io
import os
import pickle
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from damage_data import (
    binary_files,
    make_arrays,
    pack,
    python_files,
    run,
    same,
    unpack,
)

from qgd_np.images import archive, data, download, pickles, synthetic
from qgd_np.images.cache import CACHE, obtain, read_cache, store
from qgd_np.images.data import DataError

ARRAYS = make_arrays()
LAYOUTS = {"binary": binary_files(ARRAYS), "python": python_files(ARRAYS)}
ZIPPED = {kind: pack(files) for kind, files in LAYOUTS.items()}
both = pytest.mark.parametrize("kind", ["binary", "python"])


def write(path, content):
    path.write_bytes(content)
    return path


def one_line(error):
    """The text of a DataError, which must be one line and name a remedy."""
    text = str(error.value)
    assert "\n" not in text and ("give" in text or "again" in text or "put" in text)
    return text


# -- archives -------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("zipped", [True, False])
def test_an_archive_gives_the_images_and_labels_it_was_made_of(kind, zipped, tmp_path):
    path = write(tmp_path / "any name", pack(LAYOUTS[kind], zipped))
    arrays = archive.read(path)
    assert same(arrays, ARRAYS) and all(a.dtype == np.uint8 for a in arrays)


@both
def test_an_unpacked_folder_and_its_parent_give_the_same(kind, tmp_path):
    unpack(LAYOUTS[kind], tmp_path)
    (inner,) = tmp_path.iterdir()
    assert same(archive.read(inner), ARRAYS) and same(archive.read(tmp_path), ARRAYS)


@both
def test_a_folder_that_holds_the_archive_gives_the_same(kind, tmp_path):
    write(tmp_path / f"cifar-10-{kind}.tar.gz", ZIPPED[kind])
    assert same(archive.read(tmp_path), ARRAYS)


@both
def test_a_truncated_archive_is_one_clear_error(kind, tmp_path):
    for cut in (0, 1, 9, 500, len(ZIPPED[kind]) // 2, len(ZIPPED[kind]) - 1):
        with pytest.raises(DataError) as error:
            archive.read(write(tmp_path / "a.tar.gz", ZIPPED[kind][:cut]))
        one_line(error)


@both
def test_a_flipped_bit_in_a_zipped_archive_is_noticed(kind, tmp_path):
    for place in range(1000, len(ZIPPED[kind]), len(ZIPPED[kind]) // 20):
        content = bytearray(ZIPPED[kind])
        content[place] ^= 4
        with pytest.raises(DataError) as error:
            archive.read(write(tmp_path / "a.tar.gz", content))
        one_line(error)


def test_a_changed_checksum_at_the_end_of_the_stream_is_noticed(tmp_path):
    content = bytearray(ZIPPED["binary"])
    content[-8] ^= 1
    with pytest.raises(DataError, match="CRC"):
        archive.read(write(tmp_path / "a.tar.gz", content))


@both
def test_a_missing_batch_is_named(kind, tmp_path):
    files = {name: content for name, content in LAYOUTS[kind].items() if "data_batch_3" not in name}
    for path in (write(tmp_path / "a.tar.gz", pack(files)), tmp_path / "folder"):
        unpack(files, tmp_path / "folder")
        with pytest.raises(DataError, match="data_batch_3.* is missing") as error:
            archive.read(path)
        one_line(error)


def test_a_label_above_nine_is_an_error(tmp_path):
    labels = ARRAYS[1].copy()
    labels[7] = 10
    arrays = (ARRAYS[0], labels, *ARRAYS[2:])
    for files in (binary_files(arrays), python_files(arrays)):
        with pytest.raises(DataError, match="label") as error:
            archive.read(write(tmp_path / "a.tar", pack(files)))
        one_line(error)


def test_batches_of_unequal_size_or_of_half_a_record_are_an_error(tmp_path):
    for cut in (3073, 100):
        name = "cifar-10-batches-bin/data_batch_2.bin"
        files = LAYOUTS["binary"] | {name: LAYOUTS["binary"][name][:-cut]}
        with pytest.raises(DataError, match="data_batch_2.* is damaged.*record") as error:
            archive.read(write(tmp_path / "a.tar", pack(files)))
        one_line(error)


def test_what_is_no_archive_at_all_is_one_clear_error(tmp_path):
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    paths = [
        write(tmp_path / "notes.txt", b"hello\n" * 500),
        write(tmp_path / "nothing", b""),
        write(tmp_path / "text.gz", gzip.compress(b"hello")),
        write(tmp_path / "other.tar", pack({"readme": b"hello"})),
        tmp_path / "empty",
        tmp_path / "absent",
        tmp_path / "pipe",
        "a\0b",
        "x" * 5000,
    ]
    for path in paths:
        with pytest.raises(DataError) as error:
            archive.read(path)
        one_line(error)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_one_clear_error(tmp_path):
    path = write(tmp_path / "a.tar.gz", ZIPPED["binary"])
    path.chmod(0)
    with pytest.raises(DataError, match="ermission") as error:
        archive.read(path)
    one_line(error)


def test_members_are_looked_up_by_name_and_nothing_is_extracted(tmp_path):
    strange = {"../evil": b"x", "/absolute": b"x", "cifar-10-batches-bin/../../evil": b"x"}
    path = write(tmp_path / "a.tar.gz", pack(strange | LAYOUTS["binary"]))
    assert same(archive.read(path), ARRAYS)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.tar.gz"]


def test_a_link_in_place_of_a_batch_is_not_followed(tmp_path):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        info = tarfile.TarInfo("cifar-10-batches-bin/test_batch.bin")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(DataError):
        archive.read(write(tmp_path / "a.tar", stream.getvalue()))


def test_a_zip_bomb_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MAX_ARCHIVE", 2**20)
    with pytest.raises(DataError, match="too large"):
        archive.read(write(tmp_path / "a.tar.gz", gzip.compress(bytes(2**22))))


def test_a_tar_member_of_negative_size_ends_in_an_error(tmp_path):
    content = bytearray(pack({"a": b"x" * 600}, zipped=False))
    content[124:136] = b"\xff" * 10 + (-1024).to_bytes(2, "big", signed=True)
    content[148:156] = b" " * 8
    content[148:156] = b"%06o\0 " % sum(content[:512])
    with pytest.raises(DataError):
        archive.read(write(tmp_path / "a.tar", content))


# -- pickles --------------------------------------------------------------------------------


class Evil:
    def __reduce__(self):
        return os.system, ("echo ran > evil",)


@pytest.mark.parametrize("protocol", range(6))
def test_a_malicious_pickle_does_not_run(protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "cifar-10-batches-py/data_batch_1"
    for content in (Evil(), {b"data": Evil(), b"labels": [1]}):
        files = LAYOUTS["python"] | {name: pickle.dumps(content, protocol)}
        with pytest.raises(DataError, match="data_batch_1 .* is damaged"):
            archive.read(write(tmp_path / "a.tar", pack(files)))
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"\x80\x02cnumpy\nload\nU\x01x\x85R.",
        b"\x80\x02]r\xff\xff\xff\x7f.",  # a memo index that would make pickle claim 32 GB
        b"\x80\x02" + b"(" * 100 + b".",
        b"\x80\x02" + b")" * 2_000_000 + b".",
        b"\x80\x05\x96\xff\xff\xff\xff\xff\x00\x00\x00.",
        b"\x80\x02}(" + b")\x85" * 50_000 + b"K\x01u.",
        b"\x80\x02]]a0.",
        b"\x80\x02U\x01aU\x01b.",
        b"cos\nsystem\n(S'true'\ntR.",
    ],
)
def test_a_hostile_pickle_is_refused_at_once(content):
    before = time.monotonic()
    with pytest.raises(archive.DAMAGE):
        result = pickles.PickleReader().read(content)
        pickles.expect(result, dict)
    assert time.monotonic() - before < 10


def test_a_pickle_of_python_2_is_read():
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        b"(K\x01K\x02M\x00\x0c\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b(K\x03U\x01|NNN"
        b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T\x00\x18\x00\x00" + bytes(range(256)) * 24
    )
    content = b"\x80\x02}q\x01(U\x04dataq\x02" + array + b"tbU\x06labelsq\x03](K\x06K\x09eu."
    images, labels = archive._parse_python(content)
    assert images.shape == (2, 3072) and images[1, 5] == 5 and labels.tolist() == [6, 9]


def test_a_damaged_archive_or_cache_is_an_error_or_read_right():
    wrong = {key: n for key, n in run(60, seed=1).items() if key[1].startswith("wrong")}
    assert not wrong


# -- split and standardisation ---------------------------------------------------------------


@pytest.fixture
def official(tmp_path):
    return write(tmp_path / "cifar-10-binary.tar.gz", ZIPPED["binary"])


def test_training_comes_first_and_validation_directly_after_it(official):
    got = data.load(official, train_size=20, validation_size=7)
    images = ARRAYS[0].astype(np.float64)
    mean, std = images[:20].mean(axis=0), images[:20].std(axis=0)
    for part, raw in (
        (got.train_images, images[:20]),
        (got.validation_images, images[20:27]),
        (got.test_images, ARRAYS[2]),
    ):
        assert part.dtype == np.float32 and part.shape == raw.shape
        np.testing.assert_allclose(part, (raw - mean) / std, atol=2e-6)
    assert got.train_labels.tolist() == ARRAYS[1][:20].tolist()
    assert got.validation_labels.tolist() == ARRAYS[1][20:27].tolist()
    assert got.test_labels.tolist() == ARRAYS[3].tolist() and got.test_labels.dtype == np.int64
    assert got.name == "cifar-10-binary.tar.gz"


def test_without_a_size_training_gets_all_that_validation_leaves(official):
    got = data.load(official, validation_size=4)
    assert len(got.train_images) == 26 and len(got.validation_images) == 4


def test_mean_and_deviation_are_exact_over_many_rows():
    images = np.random.default_rng(0).integers(0, 256, (1300, 3072), dtype=np.uint8)
    images[:, 0], images[:, 1] = 255, 0
    mean, std = data.moments(images)
    np.testing.assert_allclose(mean, images.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(std[2:], images.std(axis=0)[2:], rtol=1e-12)
    assert std[0] == std[1] == 1


def test_a_constant_pixel_becomes_zero(tmp_path):
    images = ARRAYS[0].copy()
    images[:, 11] = 77
    path = write(tmp_path / "a.tar", pack(binary_files((images, *ARRAYS[1:]))))
    got = data.load(path)
    assert not got.train_images[:, 11].any() and np.isfinite(got.test_images).all()


@pytest.mark.parametrize("sizes", [(31, 0), (30, 1), (None, 30), (10**9, 0)])
def test_too_few_images_are_an_error_with_the_numbers(official, sizes):
    with pytest.raises(DataError, match="has 30 training images"):
        data.load(official, *sizes)


@pytest.mark.parametrize("sizes", [(0, 0), (-5, 0), (3, -1)])
def test_a_size_that_makes_no_sense_is_an_error(official, sizes):
    with pytest.raises(DataError, match="at least"):
        data.load(official, *sizes)


# -- the cache ------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / CACHE
    assert store(path, ARRAYS)
    return path


def test_the_cache_gives_back_what_was_stored(cache):
    assert same(read_cache(cache), ARRAYS)
    few = read_cache(cache, 8)
    assert same(few, (ARRAYS[0][:8], ARRAYS[1][:8], *ARRAYS[2:]))


def test_equal_arrays_give_equal_files(cache):
    content = cache.read_bytes()
    time.sleep(1.01 - time.time() % 1)  # a time stamp in the file, of whole seconds, would show
    assert store(cache, ARRAYS) and cache.read_bytes() == content


def test_an_archive_in_the_cache_folder_is_cached_and_found_again(official):
    folder, said = official.parent, []
    first = data.load("cifar10", 9, cache=folder, say=said.append)
    assert sorted(p.name for p in folder.iterdir()) == [official.name, CACHE]
    official.unlink()
    again = data.load("auto", 9, cache=folder, say=said.append)
    assert np.array_equal(first.train_images, again.train_images) and not said
    assert again.name == "cifar10"


def test_a_damaged_cache_is_set_aside_and_made_again(official, cache):
    content = bytearray(cache.read_bytes())
    content[len(content) // 2] ^= 1
    cache.write_bytes(content)
    said = []
    assert same(obtain(cache.parent, None, said.append), ARRAYS)
    assert "damaged" in said[0] and same(read_cache(cache), ARRAYS)
    assert cache.with_suffix(".h5.damaged").read_bytes() == content


def test_a_temporary_of_a_killed_run_is_gone_after_the_next_good_save(official):
    names = (CACHE + ".tmp", official.name + ".part")
    for name in names:
        write(official.parent / name, b"half")
    assert same(obtain(official.parent), ARRAYS)
    assert sorted(p.name for p in official.parent.iterdir()) == [official.name, CACHE]


def test_a_full_disk_leaves_no_cache_and_no_temporary(tmp_path, official):
    code = (
        "import resource, sys, pathlib; from qgd_np.images.cache import obtain;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000));"
        "print(len(obtain(pathlib.Path(sys.argv[1]))[0]))"
    )
    root = Path(data.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0 and done.stdout == "30\n", done.stderr
    assert "was not written" in done.stderr and len(done.stderr.splitlines()) == 1
    assert [p.name for p in tmp_path.iterdir()] == [official.name]


def test_a_cache_folder_that_is_a_file_is_one_clear_error(tmp_path):
    path = write(tmp_path / "file", b"")
    for folder in (path, path / "inside"):
        with pytest.raises(DataError) as error:
            data.load("cifar10", cache=folder)
        one_line(error)


def test_the_cache_folder_is_what_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("QGD_DATA", str(tmp_path))
    assert data.cache_folder() == tmp_path
    monkeypatch.delenv("QGD_DATA")
    monkeypatch.setattr(data, "__file__", "/nowhere/site-packages/qgd_np/data.py")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert data.cache_folder() == tmp_path / "qgd_np"


def test_the_cache_folder_of_a_checkout_is_its_data_folder_if_writable(monkeypatch, tmp_path):
    monkeypatch.delenv("QGD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/user")
    monkeypatch.setattr(data, "__file__", str(tmp_path / "qgd_np" / "images" / "data.py"))
    write(tmp_path / "setup.py", b"")
    assert data.cache_folder() == tmp_path.resolve() / "data"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert data.cache_folder() == Path("/user/qgd_np")


# -- the download ---------------------------------------------------------------------------

CONTENT = ZIPPED["binary"]
SUM = hashlib.md5(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT in the way that the path names."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        getattr(self, "answer_" + self.path.strip("/"))()

    def log_message(self, *args):
        pass

    def send(self, content, status=200, length=None, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        self.wfile.write(content)

    def answer_good(self):
        start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
        if not start:
            self.send(CONTENT)
        elif start >= len(CONTENT):
            self.send(b"", 416)
        else:
            where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
            self.send(CONTENT[start:], 206, Content_Range=where)

    def answer_cut(self):
        """Cut off half-way at first; the next request may go on."""
        if len(self.server.requests) == 1:
            self.send(CONTENT[: len(CONTENT) // 2], length=len(CONTENT))
        else:
            self.answer_good()

    def answer_always_cut(self):
        self.send(CONTENT[: len(CONTENT) // 2], length=len(CONTENT))

    def answer_corrupt(self):
        self.send(CONTENT[:-9] + b"x" + CONTENT[-8:])

    def answer_redirect(self):
        self.send(b"", 302, Location="/good")

    def answer_slow(self):
        time.sleep(0.5)
        self.send(CONTENT)

    def answer_stall(self):
        self.send(CONTENT[:1000], length=len(CONTENT))
        self.wfile.flush()
        self.server.over.wait(20)

    def answer_trickle(self):
        self.send(b"", length=len(CONTENT))
        with contextlib.suppress(OSError):
            while not self.server.over.wait(0.05):
                self.wfile.write(b"x")

    def answer_silent(self):
        self.server.over.wait(20)


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests, server.over = [], threading.Event()
        server.url = f"http://127.0.0.1:{server.server_port}/"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.over.set()
        server.shutdown()


@pytest.fixture
def fetch(server, tmp_path, monkeypatch):
    """fetch(how): obtain the data in a fresh folder from the test server."""
    monkeypatch.setenv("no_proxy", "*")

    def fetch(how, say=lambda text: None, timeout=5):
        return obtain(tmp_path / "d", None, say, server.url + how, SUM, timeout)

    return fetch


def left(tmp_path):
    return sorted(p.name for p in (tmp_path / "d").iterdir())


@pytest.mark.parametrize("how", ["good", "redirect", "cut"])
def test_a_download_is_checked_and_cached_and_the_second_run_asks_nobody(
    how, fetch, server, tmp_path
):
    assert same(fetch(how), ARRAYS) and left(tmp_path) == [CACHE]
    asked = len(server.requests)
    assert same(fetch(how), ARRAYS) and len(server.requests) == asked


def test_a_cut_off_download_goes_on_where_it_stopped(fetch, server):
    fetch("cut")
    assert [r for _, r in server.requests] == [None, f"bytes={len(CONTENT) // 2}-"]


@pytest.mark.parametrize("before", [CONTENT, CONTENT[:4000], b"rubbish", CONTENT + b"more"])
def test_what_an_earlier_run_left_is_gone_on_with_or_thrown_away(before, fetch, tmp_path):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / "cifar-10-binary.tar.gz.part", before)
    assert same(fetch("good"), ARRAYS) and left(tmp_path) == [CACHE]


@pytest.mark.parametrize(
    "how, reason",
    [
        ("always_cut", "cut off"),
        ("corrupt", "MD5"),
        ("stall", "timed out"),
        ("trickle", "stalled"),
        ("silent", "timed out|no answer"),
        ("missing", "Not Found"),
    ],
)
def test_a_failed_download_leaves_no_cache_and_says_where_to_put_the_file(
    how, reason, fetch, tmp_path, monkeypatch
):
    monkeypatch.setattr(Handler, "answer_missing", lambda self: self.send_error(404), raising=False)
    before = time.monotonic()
    with pytest.raises(DataError, match=reason) as error:
        fetch(how, timeout=0.4)
    assert str(tmp_path / "d") in one_line(error) and time.monotonic() - before < 5
    assert set(left(tmp_path)) <= {"cifar-10-binary.tar.gz.part"}


def test_after_a_failed_download_the_next_one_succeeds(fetch):
    with pytest.raises(DataError):
        fetch("always_cut")
    assert same(fetch("good"), ARRAYS)


def test_two_at_once_make_one_request_and_one_cache(fetch, server, tmp_path):
    got, said = [], []
    threads = [
        threading.Thread(target=lambda: got.append(fetch("slow", said.append))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3 and all(same(arrays, ARRAYS) for arrays in got)
    assert len(server.requests) == 1 and left(tmp_path) == [CACHE]
    assert any("waiting" in text for text in said)


def offline(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")


def test_offline_auto_takes_synthetic_images_and_says_so_loudly(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setattr(synthetic, "make", lambda train: ARRAYS)
    said = []
    got = data.load("auto", 20, cache=tmp_path, say=said.append)
    assert got.name == "synthetic" and len(got.train_images) == 20
    assert "SYNTHETIC" in said[-1] and "Name or service not known" in said[-2]


def test_offline_cifar10_is_an_error_that_says_where_to_put_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    with pytest.raises(DataError, match="put cifar-10-binary.tar.gz") as error:
        data.load("cifar10", cache=tmp_path, say=lambda text: None)
    assert str(tmp_path) in one_line(error)


def test_a_name_server_that_does_not_answer_costs_only_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(3) or offline())
    before = time.monotonic()
    with pytest.raises(DataError, match="no answer"):
        download.download(tmp_path, lambda text: None, timeout=0.3)
    assert time.monotonic() - before < 2


# -- synthetic images ------------------------------------------------------------------------


def test_synthetic_images_are_the_same_each_time_and_however_many_are_made():
    few, many = synthetic.make(40, 20, seed=3), synthetic.make(520, 30, seed=3)
    assert all(np.array_equal(a, b[: len(a)]) for a, b in zip(few, many, strict=True))
    assert [a.shape for a in few] == [(40, 3072), (40,), (20, 3072), (20,)]
    assert not np.array_equal(few[0], synthetic.make(40, 20, seed=4)[0])


def test_synthetic_images_have_ten_classes_and_a_falling_spectrum():
    images, labels, _, _ = synthetic.make(1000, 1)
    assert np.bincount(labels, minlength=10).min() > 60 and labels.max() == 9
    power = np.abs(np.fft.fft(images.reshape(-1, 32, 32) - 120.0)).mean(axis=(0, 1))
    assert power[1] > 2 * power[4] > 4 * power[16]


# -- the real thing, where it lies -----------------------------------------------------------


def test_the_real_archive_is_read(tmp_path):
    path = os.environ.get("QGD_CIFAR10", "")
    if not os.path.exists(path):
        pytest.skip("QGD_CIFAR10 names no archive")
    got = data.load(path, 1000, 100)
    assert got.train_images.shape == (1000, 3072) and got.test_images.shape == (10000, 3072)
    assert np.bincount(got.test_labels).tolist() == [1000] * 10
