"""Nothing is lost: full disks, resuming at any moment, and signals (R1, R2, R4, R5)."""
# ruff: noqa: I001

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from unittest import mock

import numpy as np
import pytest
from small_runs import (
    EPISODES, ROOT, TASKS, at_call, both, checkpoint, content, differences, make_archive, refused,
    run, training,
)  # fmt: skip

from qgd_np import files
from qgd_np.dqn import DQN
from qgd_np.fast.objective import Objective
from qgd_np.lab import command
from qgd_np.lab.training import Log, Training


def resume(task, out, *flags):
    """--resume --out DIR with these flags and no others; the exit status."""
    words = ["--resume", "--out", out, "--no-figures", "--quiet", *flags]
    return command.main(TASKS[task], list(map(str, words)))


@pytest.mark.parametrize("said, save, done", [
    *(("File too large", *case) for case in [(1, None), (4, 2), (8, EPISODES), (9, EPISODES)]),
    ("Read-only", 4, 2), ("No such file", 3, None),
])  # fmt: skip
def test_a_full_disk_is_one_line(said, save, done, call, straight, tmp_path, capsys, monkeypatch):
    out, unlimited = tmp_path / "a" / "b", resource.getrlimit(resource.RLIMIT_FSIZE)
    flags = ["--episodes", EPISODES, "--checkpoint-episodes", 1, "--out", out]

    def trouble():  # a checkpoint has more than 5,000 bytes
        if said == "File too large":
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, unlimited[1]))
        elif said == "Read-only":
            patch.setattr(files, "open", mock.Mock(side_effect=OSError(30, said)), raising=False)
        else:
            shutil.rmtree(out)

    with monkeypatch.context() as patch:
        at_call(patch, files, "write", save, trouble)
        try:
            assert said in refused(call, capsys, "lr", *flags)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert not list(out.glob(".*")) and not (out / "run.h5").exists()
    assert content(out) == {} if done is None else checkpoint(out)["done"] == done
    assert call("lr", *flags, "--resume") == 0 and not list(out.glob(".*"))
    assert differences(run(straight("lr"))["train"], run(out)["train"]) == []


@both
def test_twenty_episodes_stopped_at_any_boundary_end_as_if_they_had_not_been(task, small, tmp_path):
    straight = training(task, small, episodes=20, starts=3, train_size=60)
    for _ in straight.episodes():
        files.write(tmp_path / f"{straight.done}.h5", straight.tree())
    for done in range(1, 20):
        resumed = training(task, small, episodes=20, starts=3, train_size=60)
        resumed.restore(files.read(tmp_path / f"{done}.h5"))
        assert len(list(resumed.episodes())) == 20 - done
        assert differences(straight.tree(), resumed.tree()) == []


PAPER, HEAVY = "--preset paper --steps 8", "--preset momentum --steps 12 --gradients 5"


@pytest.mark.parametrize("task, flags", [
    ("lr", ""), ("lr", PAPER), ("lr", HEAVY), ("reg", ""), ("reg", PAPER),
])  # fmt: skip
def test_more_and_more_episodes_equal_the_straight_run(task, flags, call, tmp_path, capsys):
    assert call(task, *flags.split(), "--episodes", EPISODES, "--out", tmp_path / "straight") == 0
    assert call(task, *flags.split(), "--episodes", 1, "--out", tmp_path / "more", "--resume") == 0
    assert "starting from the beginning" in capsys.readouterr().out
    for episodes in range(2, EPISODES + 1):  # the data, the settings and K come from there
        assert resume(task, tmp_path / "more", "--episodes", episodes) == 0
    found = differences(run(tmp_path / "straight"), run(tmp_path / "more"))
    assert set(found) <= {"/flags"}


def test_a_finished_run_gives_its_table_again_and_touches_nothing(copied, small, capsys):
    out, printed = copied("lr"), set()
    before = content(out)
    agree = [*small, "--gamma", 0.95, "--seed", 0, "--episodes", EPISODES]
    for flags in [], agree, ["--device", "auto", "--checkpoint-episodes", 3]:
        assert resume("lr", out, *flags) == 0 and content(out) == before
        printed.add(capsys.readouterr().out)
    (first,) = printed
    assert first.count("armijo") >= 1 and "beginning" not in first
    (out / "run.h5").unlink()  # only the comparison is made anew
    assert resume("lr", out) == 0 and capsys.readouterr().out.count("armijo") >= 1
    tree = run(out)
    assert np.array_equal(tree["train"]["seconds"], checkpoint(out)["train"]["seconds"])
    (out / "run.h5").unlink()  # and with a damaged checkpoint it goes on from the one before
    (out / "checkpoint.h5").write_bytes(b"no longer a checkpoint")
    assert resume("lr", out) == 0 and "checkpoint.previous.h5" in capsys.readouterr().out
    assert differences(tree, run(out)) == []


@pytest.mark.parametrize("flag", [
    "--gamma 0.5", "--seed 7", "--hidden 5 5", "--episodes 3", "--iterates 2", "--policies gd",
    "--preset paper", "--seeds 0:2", "--controller lr", "--train-size 100",
])  # fmt: skip
def test_a_flag_beside_resume_that_contradicts_the_run_is_named(flag, copied, capsys):
    out = copied("lr")
    before = content(out)
    assert resume("lr", out, *flag.split()) == 2 and content(out) == before
    error = capsys.readouterr().err
    assert error.startswith(f"error: {flag}: the run in {out} has ") and error.count("\n") == 1


def test_another_tasks_run_and_a_part_of_several_are_refused(
    call, copied, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])  # what each run is a process of
    assert resume("reg", copied("lr")) == 2 and "no run of run_reg.py" in capsys.readouterr().err
    flags = ["--preset", "adam", "--episodes", 1, "--policies", "gd"]
    assert call("lr", *flags, "--out", tmp_path / "adam") == 0
    part = tmp_path / "adam" / "beta-0.01"
    assert resume("lr", part) == 2 and "no run of run_lr.py" in capsys.readouterr().err
    before = content(tmp_path / "adam")
    assert call("lr", *flags, "--out", tmp_path / "adam") == 2
    shutil.rmtree(part)
    assert resume("lr", tmp_path / "adam") == 0  # makes what is missing, and nothing else
    after = content(tmp_path / "adam")
    assert after.keys() == before.keys()
    assert all(after[path] == before[path] for path in after if path.parent != part)
    assert resume("lr", tmp_path / "adam", "--episodes", 2) == 0
    assert all(run(out)["train"]["return"].shape == (2,) for out in (tmp_path / "adam").iterdir())


def test_other_images_are_refused_not_another_name(small, copied, tmp_path, capsys):
    out, moved = copied("lr"), tmp_path / "moved.tar.gz"
    before = content(out)
    for flag in ("--data", "synthetic"), ("--data", make_archive(tmp_path, changed=3)):
        assert resume("lr", out, *flag) == 2 and content(out) == before
        assert "not the images" in capsys.readouterr().err
    shutil.copy(small[1], moved)
    assert resume("lr", out, "--data", moved, "--episodes", EPISODES + 1) == 0
    assert run(out)["data"] == "moved.tar.gz"
    assert json.loads(run(out)["flags"])["data"] == str(moved)


def test_results_without_a_checkpoint_are_not_replaced(copied, call, capsys):
    out = copied("lr")
    for file in out.glob("checkpoint*"):
        file.unlink()
    before = content(out)
    assert resume("lr", out) == 0  # finished
    assert resume("lr", out, "--episodes", 9) == 2 and "no checkpoint" in capsys.readouterr().err
    assert content(out) == before
    (out / "run.h5").unlink()
    for flags in (["--resume"], ["--controller", out / "controller.h5"], []):
        assert "holds a run" in refused(call, capsys, "lr", "--out", out, *flags)


def test_a_folder_that_holds_a_run_is_left_as_it_is(call, straight, tmp_path, capsys):
    before = content(straight("lr"))
    for words in ["lr"], ["reg"], ["lr", "--controller", straight("lr") / "run.h5"]:
        assert "--resume" in refused(call, capsys, *words, "--out", straight("lr"))
    assert content(straight("lr")) == before
    shutil.copytree(straight("lr"), tmp_path / "beta-0.01")  # the second run of three
    refused(call, capsys, "lr", "--preset", "adam", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["beta-0.01"]


@pytest.mark.parametrize("words", [
    "kill_resume.py 5 --within 20 --signal KILL INT TERM", "damage.py runfiles 12 --seed 3",
    "damage.py images 60 --seed 1",
])  # fmt: skip
def test_a_thousand_kills_and_damaged_files_in_small(words, environment):
    script, *flags = words.split()
    command = [sys.executable, ROOT / "tests" / "long" / script, *flags]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


STAGES = {
    "the images are loaded": (command, "load", 1),
    "the held-out states are made": (Training, "_held_out_states", 1),
    "the first save": (files, "write", 1),
    "a plain step": (Objective, "gradient", 15),
    "an update": (DQN, "update", 9),
    "a save": (files, "save", 3),
    "a file goes to the disk": (os, "fsync", 5),
    "a step of the comparison": (Log, "__call__", 70),
    "the comparison": (command, "evaluate", 1),
    "the results are saved": (files, "write", 6),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage_is_obeyed(stage, small, straight, tmp_path, monkeypatch, capsys):
    out, (owner, _, n) = tmp_path / "a folder", STAGES[stage]
    words = [*small, "--out", out, "--episodes", EPISODES, "--checkpoint-episodes", 2]
    monkeypatch.setattr(sys, "argv", ["run_lr.py", *map(str, words)])
    with monkeypatch.context() as patch:
        calls = at_call(patch, *STAGES[stage], lambda: signal.raise_signal(signal.SIGTERM))
        assert command.main(TASKS["lr"]) == 143
    if owner in (Objective, DQN, Log):  # not one step more, however slow they are
        assert len(calls) == n
    error = capsys.readouterr().err
    printed = shlex.split(error.splitlines()[-1])
    assert printed == ["python", "run_lr.py", *map(str, words), "--resume"]
    assert not (out / "run.h5").exists()
    if "episodes are saved" in error:  # not where it stops before or after the training
        assert f"{checkpoint(out)['done']} of {EPISODES} episodes are saved" in error
    assert command.main(TASKS["lr"], printed[2:] + ["--quiet", "--no-figures"]) == 0
    assert differences(run(straight("lr")), run(out)) in ([], ["/flags"])


def test_a_signal_stops_several_seeds_and_their_processes_save(call, tmp_path, monkeypatch, capsys):
    saved = tmp_path / "seed-0" / "checkpoint.previous.h5"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])  # what each seed is a process of

    def send():
        while not saved.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    flags = ["--episodes", 10000, "--checkpoint-episodes", 5, "--workers", 1, "--seeds", "0:3"]
    assert call("lr", *flags, "--out", tmp_path) == 143
    assert f"--out {tmp_path} --resume" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["seed-0"]  # the others never began
    done = checkpoint(tmp_path / "seed-0")["done"]
    time.sleep(0.1)
    assert checkpoint(tmp_path / "seed-0")["done"] == done  # nobody trains on
