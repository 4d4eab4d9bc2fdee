"""Nothing is lost: full disks, resuming at any moment, and signals (R2, R4, R5)."""

import contextlib
import os
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
from small_runs import (
    EPISODES,
    POLICIES,
    ROOT,
    TASKS,
    at_call,
    both,
    checkpoint,
    command_line,
    content,
    differences,
    make_archive,
    refused,
    run,
    training,
)  # fmt: skip

from qgd_np import backend, files
from qgd_np.dqn import DQN
from qgd_np.fast.objective import Objective
from qgd_np.lab import command, experiment
from qgd_np.lab.history import History

# -- disks ----------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    """A folder that is a disk of its own, of two megabytes; only root can mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if os.geteuid() or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root, and not in every container, can mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def fill(disk):
    """Take all the room that a disk has left but for one block; return the file that does it."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, pytest.raises(OSError, match="No space"):
        while file.write(bytes(4096)):
            pass
    os.truncate(filler, filler.stat().st_size - 4096)
    return filler


@contextlib.contextmanager
def larger_files_refused(size):
    """Let the system refuse, as a full disk does, to write more than `size` bytes to a file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize(
    ("owner", "name", "n"), [(command, "save", 1), (command, "save", 3), (files, "write", 9)]
)
def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_good(
    owner, name, n, call, straight, disk, capsys, monkeypatch
):
    out = disk / "run"
    flags = ["--episodes", EPISODES, "--checkpoint-episodes", 1, "--out", out]
    with monkeypatch.context() as patch:
        at_call(patch, owner, name, n, lambda: fill(disk))
        assert "No space left" in refused(call, capsys, "lr", *flags)
    (disk / "filler").unlink()
    assert not list(out.glob(".*")) and not (out / "run.h5").exists()
    if name == "save" and n == 1:
        assert content(out) == {}
    else:
        done = files.read(out / "checkpoint.h5", "checkpoint")["training"]["done"]
        assert done == (2 if name == "save" else EPISODES)
    assert call("lr", *flags, "--resume") == 0 and not list(out.glob(".*"))
    assert differences(run(straight("lr")), run(out)) == []


def test_a_disk_that_takes_no_more_in_the_middle_of_a_file_is_one_line_too(
    call, straight, tmp_path, capsys
):
    flags = ["--checkpoint-episodes", 1, "--out", tmp_path, "--resume", "--episodes"]
    assert call("lr", *flags, 2) == 0
    before = content(tmp_path)
    with larger_files_refused(9000):
        assert "File too large" in refused(call, capsys, "lr", *flags, EPISODES)
    assert content(tmp_path) == before
    assert call("lr", *flags, EPISODES) == 0
    assert differences(run(straight("lr")), run(tmp_path)) == []


def test_a_disk_that_becomes_read_only_is_one_line_and_nothing_is_lost(
    call, straight, disk, capsys, monkeypatch
):
    def remount(how):
        subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)

    flags = ["--episodes", EPISODES, "--checkpoint-episodes", 1, "--out", disk / "run"]
    with monkeypatch.context() as patch:
        at_call(patch, command, "save", 3, lambda: remount("ro"))
        assert "Read-only" in refused(call, capsys, "lr", *flags)
    assert "Read-only" in refused(call, capsys, "lr", *flags, "--resume")
    assert "Read-only" in refused(call, capsys, "lr", "--out", disk / "another")
    remount("rw")
    assert files.read(disk / "run" / "checkpoint.h5")["training"]["done"] == 2
    assert call("lr", *flags, "--resume") == 0
    assert differences(run(straight("lr")), run(disk / "run")) == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_line(call, tmp_path, capsys):
    tmp_path.chmod(0o555)
    assert "Permission denied" in refused(call, capsys, "lr", "--out", tmp_path)
    assert "Permission denied" in refused(call, capsys, "lr", "--out", tmp_path / "below")


def test_a_missing_folder_is_made_and_one_that_goes_missing_is_one_line(
    call, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "a" / "b"
    flags = ["--episodes", 2, "--checkpoint-episodes", 1, "--out", out]
    with monkeypatch.context() as patch:
        at_call(patch, command, "save", 2, lambda: shutil.rmtree(out))
        assert "No such file" in refused(call, capsys, "lr", *flags)
    assert call("lr", *flags, "--resume") == 0 and run(out)["train"]["reward"].shape == (2, 10)


# -- resuming -----------------------------------------------------------------------------------


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


@both
def test_a_run_resumed_after_every_episode_or_once_equals_the_straight_one(
    task, call, straight, folder
):
    for stops in (range(1, EPISODES + 1), (3, EPISODES)):
        out = folder / f"resumed-{task}-{len(stops)}"
        for k in stops:
            fewer = ["--policies", "gd"] if k < EPISODES else []
            assert call(task, "--episodes", k, "--out", out, "--resume", *fewer) == 0
        assert differences(run(straight(task)), run(out)) == []


def test_the_papers_settings_resume_to_the_same_bits_too(call, folder):
    flags = ["--preset", "paper", "--steps", 8]
    for out, stops in (("paper-straight", [4]), ("paper-resumed", [2, 4])):
        for episodes in stops:
            words = [*flags, "--episodes", episodes, "--out", folder / out, "--resume"]
            assert call("lr", *words) == 0
    assert differences(run(folder / "paper-straight"), run(folder / "paper-resumed")) == []


def test_resuming_with_nothing_there_starts_from_the_beginning_and_says_so(call, folder, capsys):
    assert call("lr", "--episodes", 1, "--out", folder / "nothing", "--resume") == 0
    assert "no checkpoint in" in capsys.readouterr().out


def test_resuming_a_finished_run_trains_nothing_and_gives_it_again(call, straight, folder):
    out = folder / "finished"
    shutil.copytree(straight("lr"), out)
    (out / "run.h5").unlink()
    assert call("lr", "--episodes", EPISODES, "--out", out, "--resume") == 0
    again, before = run(out), run(straight("lr"))
    assert differences(before, again) == []
    assert np.array_equal(before["train"]["seconds"], again["train"]["seconds"])


def test_resuming_a_finished_run_gives_its_table_again_and_touches_nothing(
    call, straight, folder, capsys
):
    out = folder / "finished-again"
    shutil.copytree(straight("lr"), out)
    before, flags = content(out), ["--episodes", EPISODES, "--out", out, "--resume"]
    capsys.readouterr()
    assert call("lr", *flags) == 0 and content(out) == before
    rows = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert [name for name in rows if name in POLICIES["lr"]] == POLICIES["lr"]
    assert call("lr", *flags, "--iterates", 2, "--policies", "gd") == 0  # another comparison
    assert run(out)["evaluation"]["gd"]["objective"].shape == (2, 10)
    assert differences(run(straight("lr"))["train"], run(out)["train"]) == []


def test_resuming_with_other_settings_says_which_and_needs_force(call, straight, folder, capsys):
    out = folder / "other-settings"
    shutil.copytree(straight("lr"), out)
    before, flags = content(out), ["--episodes", EPISODES, "--out", out, "--resume"]
    line = refused(call, capsys, "lr", *flags, "--gamma", 0.5, "--seed", 7)
    assert "gamma: 0.95 -> 0.5" in line and "seed: 0 -> 7" in line and "--force" in line
    assert "task: lr -> reg" in refused(call, capsys, "reg", *flags)
    assert "6 episodes" in refused(call, capsys, "lr", "--out", out, "--resume", "--episodes", 3)
    for misfit in (["--steps", 9], ["--dqn-hidden", 4], ["--A", 3]):
        assert "does not fit" in refused(call, capsys, "lr", *flags, "--force", *misfit)
    assert content(out) == before
    assert call("lr", *flags, "--gamma", 0.5, "--force") == 0
    assert "gamma: 0.95 -> 0.5" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "name", "value", "line"),
    [
        (backend, "blas_threads", lambda: 99, "threads: {threads} -> 99"),
        (backend, "describe", lambda device: "gpu: H100", "device: cpu -> gpu: H100"),
        (command, "__version__", "9.9", "version: {version} -> 9.9"),
    ],
)
def test_resuming_on_another_machine_or_version_says_which_and_needs_force(
    module, name, value, line, call, straight, folder, capsys, monkeypatch
):
    out = folder / f"another-{name}"
    shutil.copytree(straight("lr"), out)
    before, flags = content(out), ["--episodes", EPISODES, "--out", out, "--resume"]
    monkeypatch.setattr(module, name, value)
    expected = line.format(**run(out))
    assert f"({expected})" in refused(call, capsys, "lr", *flags) and content(out) == before
    assert call("lr", *flags, "--force") == 0
    assert f"differ: {expected}" in capsys.readouterr().out


def test_resuming_on_other_images_under_the_same_name_is_refused(call, straight, folder, capsys):
    out, data = folder / "other-images", folder / "elsewhere" / "tiny.tar.gz"
    shutil.copytree(straight("lr"), out)
    data.parent.mkdir()
    make_archive(data.parent, changed=3)
    flags = ["--data", data, "--episodes", EPISODES, "--out", out, "--resume"]
    assert "(data_sha256: " in refused(call, capsys, "lr", *flags)
    make_archive(data.parent, changed=240)  # neither trained on nor tested on
    assert call("lr", *flags) == 0


def test_resuming_on_the_same_images_under_another_name_goes_on_and_says_so(
    small, call, straight, folder, capsys
):
    out, data = folder / "renamed-images", folder / "renamed.tar.gz"
    shutil.copy(small[1], data)
    for episodes, path in ((2, small[1]), (EPISODES, data)):
        flags = ["--data", path, "--episodes", episodes, "--out", out, "--resume"]
        assert call("lr", *flags) == 0
    assert "another name: data: tiny.tar.gz -> renamed.tar.gz" in capsys.readouterr().out
    assert differences(run(straight("lr")), run(out)) == ["/data"]


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_says_so(
    call, straight, folder, capsys
):
    out = folder / "damaged-checkpoint"
    flags = ["--episodes", EPISODES, "--checkpoint-episodes", 1, "--out", out]
    assert call("lr", *flags) == 0
    whole = (out / "run.h5").read_bytes()
    (out / "run.h5").unlink()
    (out / "checkpoint.h5").write_bytes(b"no longer a checkpoint")
    assert call("lr", *flags, "--resume") == 0
    assert "checkpoint.previous.h5" in capsys.readouterr().out
    assert differences(run(straight("lr")), run(out)) == []
    for name in ("checkpoint.h5", "checkpoint.previous.h5"):
        (out / name).write_bytes(b"no longer a checkpoint")
    assert call("lr", *flags, "--resume") == 0  # finished: nothing to go on with
    (out / "run.h5").unlink()
    assert "checkpoint.h5" in refused(call, capsys, "lr", *flags, "--resume")
    (out / "checkpoint.h5").write_bytes(whole)
    assert "holds 'run', not" in refused(call, capsys, "lr", *flags, "--resume")
    files.write(out / "checkpoint.h5", {"kind": "checkpoint", "config": "{}"})
    assert "not a complete checkpoint" in refused(call, capsys, "lr", *flags, "--resume")
    tree = {"kind": "checkpoint", "config": "{}", "data_sha256": "", "training": {"done": 1}}
    files.write(out / "checkpoint.h5", tree)
    assert "does not fit" in refused(call, capsys, "lr", *flags, "--resume", "--force")


def test_a_hundred_kills_in_small(environment):
    words = [sys.executable, str(ROOT / "tests" / "long" / "kill_resume.py"), "5", "--within", "20"]
    words += ["--signal", "KILL", "INT", "TERM"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("kills: 5, in a save: ")


# -- signals ------------------------------------------------------------------------------------


def interrupted(words, environment, number, moment):
    """Start, wait for the moment, send the signal; return status, standard error and seconds."""
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(words, env=environment, **pipes) as child:
        until = time.monotonic() + 30
        while not moment() and child.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        sent = time.monotonic()
        child.send_signal(number)
        _, error = child.communicate(timeout=30)
    return child.returncode, error, time.monotonic() - sent


@pytest.mark.parametrize(("task", "name"), [("lr", "SIGINT"), ("reg", "SIGTERM")])
def test_a_signal_in_training_leaves_a_checkpoint_and_the_command_to_resume(
    task, name, small, call, folder, environment, monkeypatch
):
    number, out = getattr(signal, name), folder / f"a folder for {name}"
    flags = ["--out", out, "--checkpoint-episodes", 5, "--episodes"]
    words = command_line(task, small, *flags, 10000)
    saved = out / "checkpoint.h5"
    status, error, seconds = interrupted(words, environment, number, saved.exists)
    assert status == 128 + number and "Traceback" not in error and seconds < 4
    done = files.read(saved)["training"]["done"]
    assert f"{done} of 10000 episodes are saved" in error and not (out / "run.h5").exists()
    printed = shlex.split(error.splitlines()[-1])
    assert printed[:2] == ["python", words[1]] and printed[-1] == "--resume"
    monkeypatch.setattr(sys, "argv", printed[1:])
    assert command.main(TASKS[task], [*printed[2:], "--episodes", str(done + 1)]) == 0
    assert call(task, "--out", folder / f"not {name}", "--episodes", done + 1) == 0
    assert differences(run(folder / f"not {name}"), run(out)) == []


def test_a_signal_in_the_comparison_leaves_only_that_to_be_done_again(
    call, tmp_path, monkeypatch, capsys
):
    flags = ["--out", tmp_path, "--episodes", 2]
    with monkeypatch.context() as patch:  # at the second step of gradient descent's first run
        history = lambda: at_call(patch, History, "add", 2, partial(signal.raise_signal, 15))  # noqa: E731
        at_call(patch, command, "evaluate", 1, history)
        assert call("lr", *flags) == 143
    assert capsys.readouterr().err.endswith("--resume\n") and not (tmp_path / "run.h5").exists()
    trained = checkpoint(tmp_path)["train"]
    assert call("lr", *flags, "--resume") == 0
    assert differences(trained, run(tmp_path)["train"]) == []
    assert np.array_equal(trained["seconds"], run(tmp_path)["train"]["seconds"])


def test_policies_that_an_interrupted_comparison_had_done_are_not_run_again(
    call, straight, tmp_path, monkeypatch, capsys
):
    flags = ["--out", tmp_path, "--episodes", EPISODES, "--checkpoint-seconds", 0]
    with monkeypatch.context() as patch:  # at the third step of the third policy's first run
        later = lambda: at_call(patch, History, "add", 25, partial(signal.raise_signal, 15))  # noqa: E731
        at_call(patch, command, "evaluate", 1, later)
        assert call("lr", *flags) == 143
    kept = files.read(tmp_path / "comparison.h5", "comparison")["evaluation"]
    assert set(kept) == {"gd", "armijo"}
    assert call("lr", *flags) == 2 and "holds a run" in capsys.readouterr().err
    assert call("lr", *flags, "--resume") == 0
    done = run(tmp_path)
    assert differences(run(straight("lr")), done) == []
    for name, results in done["evaluation"].items():  # their seconds say that they are the same
        assert name not in kept or np.array_equal(results["seconds"], kept[name]["seconds"])
    assert not (tmp_path / "comparison.h5").exists()


def test_a_comparison_of_other_iterates_or_controllers_begins_anew(
    call, straight, tmp_path, monkeypatch
):
    flags = ["--out", tmp_path, "--checkpoint-seconds", 0, "--episodes", EPISODES]
    with monkeypatch.context() as patch:
        later = lambda: at_call(patch, History, "add", 25, partial(signal.raise_signal, 15))  # noqa: E731
        at_call(patch, command, "evaluate", 1, later)
        assert call("lr", *flags) == 143
    before = (tmp_path / "comparison.h5").read_bytes()
    other = ["--iterates", 1, "--iterate-seed", 7]
    for more in (other, ["--controller", straight("lr") / "controller.h5"]):
        (tmp_path / "comparison.h5").write_bytes(before)
        assert call("lr", *flags, *more, "--resume") == 0
        fresh = tmp_path.with_name(f"fresh {len(more)}")
        assert call("lr", *flags, *more, "--out", fresh) == 0
        assert differences(run(fresh)["evaluation"], run(tmp_path)["evaluation"]) == []
        for file in tmp_path.glob("*.h5"):  # a controller is not compared in a training's folder
            file.unlink()


def test_results_whose_checkpoint_is_gone_are_replaced_by_their_like_only(call, copied, capsys):
    out = copied("lr")
    for file in out.glob("checkpoint*"):
        file.unlink()
    before, flags = content(out), ["--out", out, "--resume", "--episodes", EPISODES]
    for other in (["--seed", 7], ["--episodes", 3], ["--train-size", 100]):
        assert "other settings" in refused(call, capsys, "lr", *flags, *other)
    (out / "run.h5").unlink()
    assert "other settings" in refused(call, capsys, "lr", *flags, "--seed", 7)
    assert {file: bytes_ for file, bytes_ in before.items() if file.exists()} == content(out)
    assert call("lr", *flags) == 0 and "starting from the beginning" in capsys.readouterr().out
    assert before.keys() <= content(out).keys()


def test_a_controller_is_never_compared_over_results_or_a_controller(
    call, straight, copied, tmp_path, capsys
):
    trained, mine = copied("lr"), tmp_path / "mine"
    mine.mkdir()
    shutil.copy(trained / "controller.h5", mine)
    before = content(tmp_path)
    for out in (trained, mine):
        for flags in (["--steps", 5], ["--steps", 5, "--resume"]):
            line = refused(call, capsys, "lr", "--controller", mine / "controller.h5",
                           "--out", out, *flags)  # fmt: skip
            assert "holds a run" in line and "choose another folder" in line
    assert "holds a run" in refused(call, capsys, "lr", "--episodes", 1, "--out", mine)
    assert content(tmp_path) == before


def test_a_finished_comparison_of_a_controller_is_given_again_and_no_other(
    call, straight, tmp_path, capsys
):
    flags = ["--out", tmp_path, "--controller", straight("lr") / "controller.h5"]
    assert call("lr", *flags) == 0
    before = content(tmp_path)
    assert call("lr", *flags, "--resume") == 0 and content(tmp_path) == before
    for other in (["--iterates", 2], ["--M", 1], ["--policies", "gd"]):
        assert "holds a run" in refused(call, capsys, "lr", *flags, "--resume", *other)
    line = refused(call, capsys, "lr", "--out", tmp_path, "--resume", "--episodes", EPISODES)
    assert "controllers: ['controller.h5'] -> None" in line  # no training over a comparison
    assert content(tmp_path) == before


STAGES = {
    "the images are loaded": (command, "load", 1),
    "the held-out states are made": (experiment.Training, "_held_out_states", 1),
    "a plain step": (Objective, "gradient", 15),
    "an update": (DQN, "update", 9),
    "a save": (files, "_store", 12),
    "a file goes to the disk": (os, "fsync", 3),
    "the comparison": (command, "evaluate", 1),
    "the results are saved": (files, "write", 6),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_at_any_stage_is_obeyed_and_nothing_is_lost(
    stage, call, straight, tmp_path, monkeypatch, capsys
):
    flags = ["--out", tmp_path, "--episodes", EPISODES, "--checkpoint-episodes", 2]
    with monkeypatch.context() as patch:
        at_call(patch, *STAGES[stage], lambda: signal.raise_signal(signal.SIGTERM))
        assert call("lr", *flags) == 143
    error = capsys.readouterr().err
    assert error.splitlines()[-1].endswith("--resume") and not (tmp_path / "run.h5").exists()
    assert call("lr", *flags, "--resume") == 0
    assert differences(run(straight("lr")), run(tmp_path)) == []


def test_a_signal_ends_slow_steps_within_one_step_and_two_seconds(
    call, tmp_path, monkeypatch, capsys
):
    sent = []

    def slow():  # 0.2 seconds within which no signal is seen
        until = time.monotonic() + 0.2
        while time.monotonic() < until:
            np.ones((200, 200)) @ np.ones((200, 200))

    def send():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    for n in range(13, 40):
        at_call(monkeypatch, Objective, "gradient", n, slow)
    threading.Timer(0.5, send).start()
    assert call("lr", "--out", tmp_path, "--episodes", EPISODES) == 130
    assert time.monotonic() - sent[0] < 2.2
    assert f"0 of {EPISODES} episodes are saved" in capsys.readouterr().err
    assert files.read(tmp_path / "checkpoint.h5", "checkpoint")["training"]["done"] == 0


def test_a_signal_stops_several_seeds_and_their_processes_save(call, tmp_path, monkeypatch, capsys):
    saved = tmp_path / "seed-0" / "checkpoint.h5"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])  # what each seed is a process of

    def send():
        while not saved.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=send, daemon=True).start()
    flags = ["--episodes", 10000, "--checkpoint-episodes", 5, "--workers", 1, "--seeds", "0:3"]
    assert call("lr", *flags, "--out", tmp_path) == 143
    assert "the same command goes on" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["seed-0"]  # the others never began
    done = checkpoint(tmp_path / "seed-0")["done"]
    time.sleep(0.1)
    assert checkpoint(tmp_path / "seed-0")["done"] == done  # nobody trains on
