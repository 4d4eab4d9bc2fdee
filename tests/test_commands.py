"""Both run files through their command line: results, errors, interrupts, resuming."""

import errno
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from damage_data import binary_files, make_arrays, pack
from keep_schema import TINY, unpack_kept
from kill_resume import RECORDS, SMALL, TASKS, differences, make_archive

from qgd_np import backend, command, config, interrupts, report, runfile

ROOT = Path(__file__).resolve().parent.parent
EPISODES = 6
POLICIES = {"lr": ["gd", "armijo", "nonmonotone", "pattern9", "qgd"], "reg": ["gd", "qgd"]}
VALUE = {"lr": "alpha", "reg": "lambda"}
both = pytest.mark.parametrize("task", ["lr", "reg"])


@pytest.fixture(autouse=True)
def signals():
    """The command line catches signals for good; give them back after each test."""
    before = {number: signal.getsignal(number) for number in interrupts.STOPPING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("commands")


@pytest.fixture(scope="module")
def small(folder):
    """The flags of a run that takes a tenth of a second."""
    return ["--data", str(make_archive(folder)), *SMALL]


@pytest.fixture(scope="module")
def call(small):
    """Return call(task, *flags) -> exit status, of a small run in this process."""
    return lambda task, *flags: command.main(TASKS[task], [*small, *map(str, flags)])


@pytest.fixture(scope="module")
def straight(folder, call):
    """Return straight(task) -> the folder of an uninterrupted run of six episodes."""
    for task in TASKS:
        assert call(task, "--episodes", EPISODES, "--out", folder / task) == 0
    return lambda task: folder / task


@pytest.fixture(scope="module")
def environment():
    """The environment of a run file in a process of its own."""
    here = str(backend.blas_threads())  # as in this process, which resumes what another began
    threads = {"OPENBLAS_NUM_THREADS": here, "OMP_NUM_THREADS": here, "MPLBACKEND": "Agg"}
    return os.environ | threads


def command_line(task, small, *flags):
    return [sys.executable, str(ROOT / f"run_{task}.py"), *small, *map(str, flags)]


def run(folder):
    return runfile.read(folder / "run.h5")


def content(folder):
    """Every file below a folder, to see that none has changed."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# -- results ------------------------------------------------------------------------------------


@both
def test_a_run_file_ends_with_a_table_of_the_policies_and_status_0(
    task, small, folder, environment
):
    out = folder / f"process-{task}"
    words = command_line(task, small, "--episodes", 2, "--out", out)
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    rows = [line.split("  ")[0] for line in done.stdout.splitlines()]
    assert [name for name in rows if name in POLICIES[task]] == POLICIES[task]
    assert str(out / "run.h5") in done.stdout


@both
def test_the_run_file_holds_every_dataset_of_the_contract_in_its_shape(task, call, folder):
    out, K, E, T = folder / f"shapes-{task}", 2, 3, 10
    assert call(task, "--episodes", E, "--out", out, "--iterates", K) == 0
    per_episode = ("td_loss", "return", "epsilon", "seconds", "q_mean", "test_accuracy")
    with h5py.File(out / "run.h5") as file:
        assert all(file["train"][name].shape == (E,) for name in per_episode)
        for name in ("objective", VALUE[task], "action", "reward"):
            assert file["train"][name].shape == (E, T)
        assert set(POLICIES[task]) <= set(file["evaluation"])
        for run_of_policy in file["evaluation"].values():
            for name in ("objective", "test_accuracy", VALUE[task], "action"):
                assert run_of_policy[name].shape == (K, T)
        wanted = {"task": task, "version": None, "data": "tiny.tar.gz", "device": "cpu"}
        assert all(value in (None, file.attrs[name]) for name, value in wanted.items())
        assert json.loads(file.attrs["config"])["episodes"] == E and file.attrs["threads"] >= 1
        assert file["dqn"]["W1"].shape == (6, 32) and list(file["dqn/sizes"])[:1] == [6]


@both
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_run(
    task, call, straight, folder
):
    before = np.random.get_state()[1].tobytes()
    for seed in (0, 1):
        out = folder / f"{task}-seed-{seed}"
        assert call(task, "--episodes", EPISODES, "--out", out, "--seed", seed) == 0
        found = differences(run(straight(task)), run(out))
        assert bool(found) == bool(seed)
    assert {"/config", "/train/td_loss", "/dqn/W1", "/evaluation/qgd/objective"} & set(found)
    assert np.random.get_state()[1].tobytes() == before


def test_ten_seeds_start_at_the_given_one_and_one_run_takes_it(call, folder):
    for preset, names in (("fig8", [f"seed-{k}" for k in range(7, 17)]), ("fig6", [""])):
        out = folder / f"{preset}-from-7"
        flags = ["--preset", preset, "--seed", 7, "--episodes", 1, "--out", out]
        assert call("lr", *flags) == 0
        assert sorted(out.rglob("run.h5")) == sorted(out / name / "run.h5" for name in names)
        seeds = [json.loads(run(out / name)["config"])["seed"] for name in names]
        assert seeds == list(range(7, 7 + len(names)))


@both
def test_list_presets_prints_every_preset_in_flags_that_are_understood(task, capsys):
    assert command.main(TASKS[task], ["--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split(":")[0].split()[0] for line in lines}
    assert shown == {name for name, (tasks, _) in config.PRESETS.items() if task in tasks}
    for line in lines:
        flags = line.split(": ")[1]
        if flags != "the defaults":
            given = config.chosen(command.parser(TASKS[task]).parse_args(flags.split()))
            name, part = (line.split(":")[0].split() + [""])[:2]
            assert given == config.PRESETS[name][1][part]


def test_a_trace_prints_every_step_with_the_printed_line_that_fired(call, folder, capsys):
    assert call("lr", "--episodes", 1, "--trace", "--M", 3, "--out", folder / "trace") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    traced = [line for line in lines if line[-2:-1] in (["A1:6,"], ["A1:8,"])]
    assert [int(line[0]) for line in traced][-8:] == list(range(3, 11))
    assert {line[-1] for line in traced} <= {"A3:10", "A3:12"}


# -- bad input ----------------------------------------------------------------------------------

BAD = {
    "unknown preset": (["--preset", "fig99"], "default, paper, fig1"),
    "unknown flag": (["--epsiodes", "3"], "--epsiodes"),
    "an abbreviated flag": (["--episode", "3"], "--episode"),
    "no such data": (["--data", "/no/such/archive"], "/no/such/archive"),
    "hidden 0": (["--hidden", "0"], "--hidden"),
    "hidden not a number": (["--hidden", "x"], "--hidden"),
    "train size 0": (["--train-size", "0"], "--train-size"),
    "train size above what is there": (["--train-size", "251"], "250 training images"),
    "steps 0": (["--steps", "0"], "--steps"),
    "episodes 0": (["--episodes", "0"], "--episodes"),
    "lambda_c below 0": (["--lambda-c", "-1"], "--lambda-c"),
    "NaN": (["--alpha-c", "nan"], "--alpha-c"),
    "infinity": (["--f-lb", "inf"], "--f-lb"),
    "NaN seconds": (["--checkpoint-seconds", "nan"], "--checkpoint-seconds"),
    "gamma above 1": (["--gamma", "2"], "--gamma"),
    "M above T": (["--M", "11"], "--M 11"),
    "no iterates": (["--iterates", "0"], "--iterates"),
    "iterate seed below 0": (["--iterate-seed", "-1"], "--iterate-seed"),
    "seed below 0": (["--seed", "-1"], "--seed"),
    "seeds nonsense": (["--seeds", "nonsense"], "A:B"),
    "seeds empty": (["--seeds="], "A:B"),
    "seeds backwards": (["--seeds", "3:2"], "A < B"),
    "seeds of a bad config": (["--seeds", "0:2", "--gamma", "2"], "--gamma"),
    "seeds of many runs": (["--seeds", "0:2", "--preset", "fig7"], "--seeds"),
    "workers below 0": (["--seeds", "0:2", "--workers", "-1"], "--workers"),
    "a choice that is not there": (["--loss", "hinge"], "softmax"),
    "a slip of the keyboard": (["--episodes", "9" * 20], "from 1 to 1000000"),
    "no controller": (["--controller", "/no/such/file.h5"], "/no/such/file.h5"),
}


def refused(call, capsys, task, *flags):
    """Call with bad input; return the one line on standard error."""
    capsys.readouterr()
    assert call(task, *flags) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and len(lines[0]) < 600, lines
    return lines[0]


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, call, folder, capsys):
    flags, wanted = BAD[case]
    out = folder / "bad"
    assert wanted in refused(call, capsys, "lr", "--out", out, *flags)
    assert not content(out)


def test_a_bad_flag_in_a_process_of_its_own_is_one_line_and_status_2(small, environment):
    words = command_line("reg", small, "--gamma", "2")
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: --gamma 2.0: must be from 0 to 1\n"


def test_the_coefficient_cannot_be_trained_on_no_validation_images(call, folder, capsys):
    flags = ["--validation-size", 0, "--episodes", 1, "--out", folder / "no-validation"]
    assert "--reward g" in refused(call, capsys, "reg", *flags)
    assert call("reg", *flags, "--reward", "g") == 0


def test_a_gpu_that_is_not_there_is_an_error_that_names_the_wheel(
    call, folder, capsys, monkeypatch
):
    monkeypatch.setattr(command.backend, "cupy", None)
    line = refused(call, capsys, "lr", "--device", "gpu", "--out", folder / "gpu")
    assert "cupy-cuda12x" in line


def test_too_little_memory_is_one_line(call, folder, capsys, monkeypatch):
    def no_memory(*_):
        raise MemoryError("Unable to allocate 7 TiB")

    monkeypatch.setattr(command, "Problem", no_memory)
    assert "7 TiB" in refused(call, capsys, "lr", "--out", folder / "memory")


def test_a_truncated_archive_is_one_line(small, call, folder, capsys):
    whole = Path(small[1]).read_bytes()
    cut = folder / "cut.tar.gz"
    cut.write_bytes(whole[: len(whole) // 2])
    line = refused(call, capsys, "lr", "--data", cut, "--out", folder / "cut")
    assert "cut.tar.gz" in line


@pytest.mark.parametrize("name", ["file/below", "file", "x" * 300])
def test_a_folder_that_cannot_be_made_is_one_line(name, call, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert "--out" in refused(call, capsys, "lr", "--out", tmp_path / name)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_that_holds_a_run_is_left_as_it_is(call, straight, tmp_path, capsys):
    before = content(straight("lr"))
    assert "--resume" in refused(call, capsys, "lr", "--out", straight("lr"))
    assert "--resume" in refused(call, capsys, "reg", "--out", straight("lr"))
    assert content(straight("lr")) == before
    shutil.copytree(straight("lr"), tmp_path / "beta-0.01")  # the second run of three
    refused(call, capsys, "lr", "--preset", "adam", "--out", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["beta-0.01"]


def test_a_controller_that_is_damaged_or_of_the_other_task_is_one_line(
    call, straight, folder, capsys
):
    out, damaged = folder / "no-controller", folder / "damaged.h5"
    image = bytearray((straight("lr") / "run.h5").read_bytes())
    image[len(image) // 2] ^= 1
    damaged.write_bytes(image)
    assert "damaged" in refused(call, capsys, "lr", "--controller", damaged, "--out", out)
    other = straight("reg") / "run.h5"
    assert "run_lr.py" in refused(call, capsys, "lr", "--controller", other, "--out", out)
    checkpoint = straight("lr") / "checkpoint.h5"
    assert "run_lr.py" in refused(call, capsys, "lr", "--controller", checkpoint, "--out", out)
    assert not out.exists()


def test_a_full_disk_is_one_line_and_the_last_checkpoint_is_good(
    call, straight, folder, capsys, monkeypatch
):
    out, fsync, calls = folder / "full", os.fsync, []

    def full(handle):
        calls.append(handle)
        if len(calls) > 5:  # two saves of a file and a folder, then a file and no more
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(handle)

    flags = ["--episodes", EPISODES, "--checkpoint-episodes", 1, "--out", out]
    with monkeypatch.context() as patch:
        patch.setattr(runfile.os, "fsync", full)
        assert "No space left" in refused(call, capsys, "lr", *flags)
    assert runfile.read(out / "checkpoint.h5")["training"]["done"] in (2, 3)
    assert not list(out.glob(".*"))
    assert call("lr", *flags, "--resume") == 0
    assert differences(run(straight("lr")), run(out)) == []


# -- resuming -----------------------------------------------------------------------------------


@both
def test_a_run_resumed_at_any_episode_or_at_all_of_them_equals_the_straight_one(
    task, call, straight, folder
):
    steps = folder / f"resumed-{task}-often"
    for k in range(1, EPISODES):
        once = folder / f"resumed-{task}-{k}"
        for out, episodes in ((steps, k), (once, k), (once, EPISODES)):
            assert call(task, "--episodes", episodes, "--out", out, "--resume") == 0
        assert differences(run(straight(task)), run(once)) == []
    assert call(task, "--episodes", EPISODES, "--out", steps, "--resume") == 0
    assert differences(run(straight(task)), run(steps)) == []


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
    images, *rest = make_arrays(RECORDS)
    images[3, 5] ^= 1  # one pixel, one bit
    data.write_bytes(pack(binary_files((images, *rest))))
    flags = ["--data", data, "--episodes", EPISODES, "--out", out, "--resume"]
    assert "(data_sha256: " in refused(call, capsys, "lr", *flags)
    images[3, 5] ^= 1
    images[240, 5] ^= 1  # neither trained on nor tested on
    data.write_bytes(pack(binary_files((images, *rest))))
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


@pytest.mark.parametrize("schema", range(1, runfile.SCHEMA + 1))
def test_a_run_of_every_schema_goes_on_and_its_controller_is_used(
    schema, call, folder, capsys, monkeypatch
):
    out = folder / f"schema-{schema}"
    out.mkdir()
    unpack_kept(schema, out)
    before = run(out)["train"]
    monkeypatch.setattr(backend, "blas_threads", lambda: 1)
    # --force: fields of the config and versions may have come since
    flags = [*TINY, "--episodes", 3, "--out", out, "--resume", "--force"]
    assert call("lr", *flags) == 0
    assert ("compared by name only" in capsys.readouterr().out) == (schema == 1)
    after = run(out)
    assert after["data_sha256"] and after["train"]["objective"].shape == (3, 5)
    kept = {name: values[:2] for name, values in after["train"].items()}
    assert differences(before, kept) == []
    unpack_kept(schema, out)
    for name in ("run", "controller"):
        flags = ["--controller", out / f"{name}.h5", "--out", folder / f"schema-{schema}-{name}"]
        assert call("lr", *TINY, *flags) == 0


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


def test_a_hundred_kills_in_small(environment):
    words = [sys.executable, str(ROOT / "tests" / "kill_resume.py"), "3"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("kills: 3, in a save: ")


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
    done = runfile.read(saved)["training"]["done"]
    assert f"{done} of 10000 episodes are saved" in error and not (out / "run.h5").exists()
    printed = shlex.split(error.splitlines()[-1])
    assert printed[:2] == ["python", words[1]] and printed[-1] == "--resume"
    monkeypatch.setattr(sys, "argv", printed[1:])
    assert command.main(TASKS[task], [*printed[2:], "--episodes", str(done + 1)]) == 0
    assert call(task, "--out", folder / f"not {name}", "--episodes", done + 1) == 0
    assert differences(run(folder / f"not {name}"), run(out)) == []


def test_a_signal_in_the_comparison_leaves_only_that_to_be_done_again(
    small, call, folder, environment
):
    out = folder / "comparing"
    flags = ["--out", out, "--episodes", 2]
    words = command_line("lr", small, *flags, "--iterates", 100000)
    saved = out / "checkpoint.h5"
    status, error, seconds = interrupted(words, environment, signal.SIGTERM, saved.exists)
    assert status == 143 and error.endswith("--resume\n") and seconds < 4
    assert "Traceback" not in error and not (out / "run.h5").exists()
    trained = runfile.read(saved)["training"]
    assert call("lr", *flags, "--resume") == 0
    assert differences({"train": trained["train"]}, {"train": run(out)["train"]}) == []
    assert np.array_equal(trained["train"]["seconds"], run(out)["train"]["seconds"])


def test_a_signal_within_a_save_is_not_swallowed(call, straight, folder, monkeypatch, capsys):
    out, pack, saves = folder / "within-a-save", runfile._content_hash, []

    def and_a_signal(tree):
        saves.append(1)
        if len(saves) == 3:
            signal.raise_signal(signal.SIGINT)
        return pack(tree)

    flags = ["--out", out, "--episodes", EPISODES, "--checkpoint-episodes", 2]
    with monkeypatch.context() as patch:
        patch.setattr(runfile, "_content_hash", and_a_signal)
        assert call("lr", *flags) == 130
    assert f"2 of {EPISODES} episodes are saved" in capsys.readouterr().err
    assert call("lr", *flags, "--resume") == 0
    assert differences(run(straight("lr")), run(out)) == []


# -- controllers and several seeds --------------------------------------------------------------


@both
def test_a_controller_is_evaluated_without_training(task, call, straight, folder):
    out, path = folder / f"controlled-{task}", straight(task) / "run.h5"
    assert call(task, "--controller", path, "--out", out) == 0
    assert differences(run(straight(task))["evaluation"], run(out)["evaluation"]) == []
    assert "train" not in run(out) and not list(out.glob("checkpoint*"))
    assert call(task, "--controller", out / "run.h5", "--out", folder / f"again-{task}") == 0
    assert differences(run(out), run(folder / f"again-{task}")) == []


@both
def test_a_controller_is_used_at_other_sizes_and_its_m_keeps_its_share_of_the_steps(
    task, call, straight, folder
):
    tree = run(straight(task))
    sizes = ["--train-size", 120, "--hidden", 6, 5, "--validation-size", 0]
    for T in (3, 20):
        M = max(1, round(tree["dqn"]["M"] * T / tree["dqn"]["steps"]))
        out = folder / f"sizes-{task}-{T}"
        flags = ["--steps", T, "--controller", straight(task) / "run.h5", "--out", out]
        assert call(task, *sizes, *flags) == 0
        assert run(out)["evaluation"]["qgd"]["objective"].shape == (1, T)
        assert run(out)["dqn"]["M"] == json.loads(run(out)["config"])["M"] == M


def test_several_seeds_are_trained_once_and_a_failed_one_is_named(small, folder, environment):
    out = folder / "seeds"
    words = command_line("lr", small, "--episodes", 2, "--seeds", "0:2", "--out", out)
    seeds = lambda: subprocess.run(words, env=environment, capture_output=True, text=True)  # noqa: E731
    (out / "seed-1").mkdir(parents=True)
    (out / "seed-1" / "checkpoint.h5").write_bytes(b"no checkpoint")
    done = seeds()
    assert done.returncode == 2 and "seed 1: failed, error: " in done.stdout
    assert done.stderr == "error: seeds [1] failed; their messages stand above\n"
    (out / "seed-1" / "checkpoint.h5").unlink()
    before, done = content(out), seeds()
    assert done.returncode == 0 and "1 of 2 seeds are done" in done.stdout
    assert before.items() <= content(out).items()
    assert [json.loads(run(out / f"seed-{k}")["config"])["seed"] for k in (0, 1)] == [0, 1]
    before, done = content(out), seeds()
    assert done.returncode == 0 and "2 of 2 seeds are done" in done.stdout
    assert content(out) == before and {"seed-0:", "seed-1:"} <= set(done.stdout.split())


def test_a_signal_stops_several_seeds_and_their_processes_save(small, folder, environment):
    out = folder / "stopped-seeds"
    flags = ["--episodes", 10000, "--checkpoint-episodes", 5, "--workers", 1]
    words = command_line("lr", small, *flags, "--seeds", "0:3", "--out", out)
    saved = out / "seed-0" / "checkpoint.h5"
    status, error, seconds = interrupted(words, environment, signal.SIGTERM, saved.exists)
    assert status == 143 and "Traceback" not in error and seconds < 6
    assert [path.name for path in out.iterdir()] == ["seed-0"]  # the others never began
    done = runfile.read(saved)["training"]["done"]
    time.sleep(0.3)
    assert runfile.read(saved)["training"]["done"] == done  # nobody trains on


def table(**accuracies):
    """The table of policies with these final accuracies, one per iterate."""

    def policy(accuracy):
        last, K = np.array(accuracy), len(accuracy)
        return {
            "objective": np.tile([3.0, 1.0, 2.0], (K, 1)),
            "test_accuracy": np.stack([last, last + 0.5, last], axis=1),
            "action": np.ones((K, 3), np.int8),
            "seconds": np.ones(K),
        }

    runs = {name: policy(accuracy) for name, accuracy in accuracies.items()}
    seeds = np.arange(len(accuracies["qgd"]))
    return report.table({"data": "synthetic", "iterate_seeds": seeds, "evaluation": runs})


def test_the_table_compares_pairs_and_says_what_the_best_accepted_iterate_was():
    values = {"gd": [0.1, 0.2, 0.3], "qgd": [0.2, 0.3, 0.5]}
    text = table(**values)
    assert "SYNTHETIC" in text
    assert re.search(r"1\.0000 +0\.7000", text)  # gd's candidate 2, f = 1, was accepted at t = 3
    low, high = re.search(r"qgd - gd +\+13\.3 \[\+(.*), \+(.*)\], higher on 3 of 3", text).groups()
    assert 10 <= float(low) < 13.3 < float(high) <= 20
    assert text == table(**values)


def test_equal_differences_have_no_interval_and_those_that_are_nan_are_said_to_be():
    text = table(gd=[0.3, 0.4, 0.5], armijo=[0.1, np.nan, np.nan], qgd=[0.2, 0.3, 0.4])
    assert text.splitlines()[-2:] == [
        "qgd - gd            -10.0, higher on 0 of 3",
        "qgd - armijo          NaN on 2 of 3",
    ]


def test_the_table_of_the_coefficient_shows_the_error_on_every_set_of_images():
    each = {"objective": np.ones((3, 2)), "lambda": np.ones((3, 2)), "action": np.ones((3, 2), int),
            "seconds": np.ones(3)}  # fmt: skip
    accuracy = {"test": 0.3, "validation": 0.32, "train": 0.9}
    each |= {f"{name}_accuracy": np.full((3, 2), value) for name, value in accuracy.items()}
    runs = {"gd": each, "qgd": each | {"validation_accuracy": np.full((3, 2), 0.34)}}
    text = report.table({"data": "cifar10", "iterate_seeds": np.arange(3), "evaluation": runs})
    assert "train error" in text and "0.1000       0.6800" in text and "0.1000       0.6600" in text
    assert text.splitlines()[-1] == "qgd - gd             +2.0, higher on 3 of 3"


@pytest.mark.parametrize("K", [1, 2])
def test_fewer_than_three_iterates_are_not_compared_in_pairs(K):
    assert "paired" not in table(gd=[0.1] * K, qgd=[0.2] * K)
