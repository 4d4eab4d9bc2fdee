"""Several runs on a Dask cluster: equal to runs here, stopped, refused; and who reads a run."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import pytest
from small_runs import ROOT, at_call, checkpoint, differences, make_archive, refused, run

from qgd_np.lab import command, seeds


@pytest.fixture
def scheduler(tmp_path, monkeypatch):
    """The address of a scheduler in this process, with one worker of two threads."""
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(seeds, "TICK_THERE", 0.05)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, host="127.0.0.1", protocol="tcp",
        dashboard_address=":0", local_directory=tmp_path / "scratch",
    ) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def test_a_cluster_gives_the_files_of_runs_here_and_names_what_fails(
    scheduler, call, tmp_path, monkeypatch, capsys
):
    flags = ["--episodes", 40, "--seeds", "0:2", "--checkpoint-episodes", 7]
    here, there, ends = tmp_path / "here", tmp_path / "there", []
    assert call("lr", *flags, "--only", "seed-0", "--out", here) == 0
    (there / "seed-1").mkdir(parents=True)
    (there / "seed-1" / "checkpoint.h5").write_bytes(b"no checkpoint")
    taken = seeds.taken

    def noted(future, folder):
        monkeypatch.setattr(seeds, "HOME", 1800)
        ends.append(taken(future, folder))
        return ends[-1]

    monkeypatch.setattr(seeds, "HOME", 0)  # the checkpoint of seed-0 comes home, and it goes on
    monkeypatch.setattr(seeds, "taken", noted)
    words = ["--out", there, "--resume", "--scheduler", scheduler]
    assert call("lr", *flags, *words) == 2
    printed = capsys.readouterr()
    assert printed.err == "error: seed-1 failed; the messages stand above\n", printed.out
    assert re.search(r"(?m)^seed-0: done at \S", printed.out)
    assert re.search(r"(?m)^seed-1: failed, error: \S.* at \S", printed.out)
    assert "again" in ends and ends.count("done") == 1
    names = ["checkpoint.h5", "checkpoint.previous.h5", "controller.h5", "run.h5"]
    assert [path.name for path in sorted((there / "seed-0").glob("*.h5"))] == names
    assert differences(run(here / "seed-0"), run(there / "seed-0")) == []


def test_a_signal_brings_home_what_the_workers_have(scheduler, call, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])

    def send():
        while len(list(tmp_path.glob("scratch/**/checkpoint.previous.h5"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    flags = ["--episodes", 10000, "--checkpoint-episodes", 5, "--seeds", "0:3"]
    assert call("lr", *flags, "--out", tmp_path / "out", "--scheduler", scheduler) == 143
    assert f"--scheduler {scheduler} --resume" in capsys.readouterr().err
    begun = sorted((tmp_path / "out").iterdir())
    assert len(begun) == 2 and all(checkpoint(folder)["done"] >= 5 for folder in begun)
    assert not list(tmp_path.glob("scratch/**/*.h5"))


def test_what_a_cluster_needs_is_said_in_one_line(call, tmp_path, monkeypatch, capsys):
    words = ["--out", tmp_path / "out", "--seeds", "0:2", "--scheduler"]
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert "pip install -e '.[dask]'" in refused(call, capsys, "lr", *words, "tcp://127.0.0.1:9")
    monkeypatch.undo()
    if pytest.importorskip("distributed"):
        assert "unknown address" in refused(call, capsys, "lr", *words, "no://where")
        words[-1:] = ["--scheduler-file", tmp_path / "none.json"]
        assert "none.json" in refused(call, capsys, "lr", *words)


def test_a_worker_with_other_images_is_named(scheduler, call, tmp_path, monkeypatch, capsys):
    for name, pixel in (("ours", None), ("theirs", 3)):
        (tmp_path / name).mkdir()
        make_archive(tmp_path / name, pixel).rename(tmp_path / name / "cifar-10-binary.tar.gz")
    monkeypatch.setenv("QGD_DATA", str(tmp_path / "ours"))
    theirs = {"QGD_DATA": str(tmp_path / "theirs")}
    at_call(monkeypatch, command, "run_seeds", 1, lambda: os.environ.update(theirs))
    words = ["--data", "cifar10", "--seeds", "0:2", "--episodes", 1, "--out", tmp_path / "out"]
    assert call("lr", *words, "--scheduler", scheduler) == 2
    said = "error: --data: cifar10 has not the images that the run was begun with at "
    assert f"seed-0: failed, {said}" in capsys.readouterr().out


def test_a_run_ends_with_the_process_that_reads_it(small, environment, tmp_path):
    words = [*small, "--episodes", "10000", "--seeds", "0:2", "--only", "seed-1", "--out", tmp_path]
    child = subprocess.Popen(
        [sys.executable, ROOT / "run_lr.py", *words], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    while not child.stdout.readline().startswith("episode 3 "):
        assert child.poll() is None
    child.stdout.close()
    assert child.wait(60) != 0 and checkpoint(tmp_path / "seed-1")["done"] >= 3
