"""Both run files through their command line: results, errors, controllers, seeds."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_runs import (
    EPISODES,
    POLICIES,
    ROOT,
    TASKS,
    both,
    checkpoint,
    command_line,
    content,
    differences,
    refused,
    run,
    training,
)  # fmt: skip

from qgd_np import backend, config
from qgd_np.figures import __main__ as figures
from qgd_np.lab import command, comparison, presets, report

VALUE = {"lr": "alpha", "reg": "lambda"}


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


@pytest.mark.parametrize("flags", ["", "--hidden 1 --dqn-hidden 1 --batch 1 --A 1 --B 0", "--M 0"])
@both
def test_one_step_is_an_episode(task, flags, call, tmp_path, capsys):
    words = ["--steps", 1, "--episodes", 1, *flags.split(), "--out", tmp_path]
    assert call(task, *words) == 0
    assert "nan" not in capsys.readouterr().err
    assert run(tmp_path)["train"]["action"].shape == (1, 1)


@both
def test_the_same_seed_gives_the_same_bits_and_another_seed_another_run(
    task, call, straight, folder
):
    for seed in (0, 1):
        out = folder / f"{task}-seed-{seed}"
        assert call(task, "--episodes", EPISODES, "--out", out, "--seed", seed) == 0
        found = differences(run(straight(task)), run(out))
        assert bool(found) == bool(seed)
    assert {"/config", "/train/td_loss", "/dqn/W1", "/evaluation/qgd/objective"} & set(found)


@both
def test_a_seed_gives_the_same_bits_ten_times_of_ten_and_ten_seeds_ten_runs(task, small):
    def trained(seed):
        one = training(task, small, episodes=2, seed=seed, train_size=60)
        assert len(list(one.episodes())) == 2
        policies = {"qgd": (one.Q, one.p)}
        seen = comparison.evaluate(TASKS[task], one.problem, policies, one.p, [1000], [])
        return one.tree() | {"evaluation": seen}

    before = np.random.get_state()[1].tobytes()
    first, others = trained(0), [trained(seed) for seed in range(1, 10)]
    assert all(differences(first, trained(0)) == [] for _ in range(9))
    for value in ("theta", "m"):
        assert len({tree["Q"][value].tobytes() for tree in [first, *others]}) == 10
    assert len({tree["train"]["reward"].tobytes() for tree in [first, *others]}) == 10
    assert np.random.get_state()[1].tobytes() == before


def test_ten_seeds_start_at_the_given_one_and_one_run_takes_it(call, folder):
    for preset, names in (("fig8", [f"seed-{k}" for k in range(7, 17)]), ("fig6", [""])):
        out = folder / f"{preset}-from-7"
        flags = ["--preset", preset, "--seed", 7, "--episodes", 1, "--policies", "gd"]
        assert call("lr", *flags, "--out", out) == 0
        assert sorted(out.rglob("run.h5")) == sorted(out / name / "run.h5" for name in names)
        seeds = [json.loads(run(out / name)["config"])["seed"] for name in names]
        assert seeds == list(range(7, 7 + len(names)))


@both
def test_list_presets_prints_every_preset_in_flags_that_are_understood(task, capsys):
    assert command.main(TASKS[task], ["--list-presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    shown = {line.split(":")[0].split()[0] for line in lines}
    assert shown == {name for name, (tasks, _) in presets.PRESETS.items() if task in tasks}
    for line in lines:
        flags = line.split(": ")[1]
        if flags != "the defaults":
            given = config.chosen(command.parser(TASKS[task]).parse_args(flags.split()))
            name, part = (line.split(":")[0].split() + [""])[:2]
            assert given == presets.PRESETS[name][1][part]


def test_a_trace_prints_every_step_with_the_printed_line_that_fired(call, folder, capsys):
    assert call("lr", "--episodes", 1, "--trace", "--M", 3, "--out", folder / "trace") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    traced = [line for line in lines if line[-2:-1] in (["A1:6,"], ["A1:8,"])]
    assert [int(line[0]) for line in traced][-8:] == list(range(3, 11))
    assert {line[-1] for line in traced} <= {"A3:10", "A3:12"}


# -- bad input ----------------------------------------------------------------------------------

BAD = {
    "unknown preset": (["--preset", "fig99"], "has the presets default, paper"),
    "unknown flag": (["--epsiodes", "3"], "--epsiodes"),
    "an abbreviated flag": (["--episode", "3"], "--episode"),
    "no such data": (["--data", "/no/such/archive"], "/no/such/archive"),
    "empty folder as data": (["--data", "EMPTY"], "no CIFAR-10 batches"),
    "no name of a folder": (["--out", ""], "--out is empty"),
    "hidden 0": (["--hidden", "0"], "--hidden"),
    "a huge net": (["--hidden", "1000000", "1000000"], "ask for fewer"),
    "a huger net": (["--hidden", "5", "1000001"], "--hidden 5 1000001: must be sizes from 1 to"),
    "a huge memory": (["--steps", "1000000", "--A", "1000000"], "ask for fewer"),
    "a huger memory": (["--B", "9" * 20], "--B"),
    "hidden not a number": (["--hidden", "x"], "--hidden"),
    "train size 0": (["--train-size", "0"], "--train-size"),
    "train size above what is there": (["--train-size", "251"], "250 training images"),
    "no room for validation": (["--validation-size", "51"], "200 training and 51 validation"),
    "validation size below 0": (["--validation-size", "-1"], "--validation-size"),
    "steps 0": (["--steps", "0"], "--steps"),
    "episodes 0": (["--episodes", "0"], "--episodes"),
    "lambda_c below 0": (["--lambda-c", "-1"], "--lambda-c"),
    "NaN": (["--alpha-c", "nan"], "--alpha-c"),
    "infinity": (["--f-lb", "inf"], "--f-lb"),
    "NaN seconds": (["--checkpoint-seconds", "nan"], "--checkpoint-seconds"),
    "seconds below 0": (["--checkpoint-seconds", "-1"], "--checkpoint-seconds"),
    "infinite rewards": (["--c1", "1e200", "--gap", "1e-200"], "--gap"),
    "gamma above 1": (["--gamma", "2"], "--gamma"),
    "M above T": (["--M", "11"], "--M 11"),
    "no iterates": (["--iterates", "0"], "--iterates"),
    "iterate seed below 0": (["--iterate-seed", "-1"], "--iterate-seed"),
    "seed below 0": (["--seed", "-1"], "--seed"),
    "seeds nonsense": (["--seeds", "nonsense"], "A:B"),
    "seeds empty": (["--seeds="], "A:B"),
    "seeds backwards": (["--seeds", "3:2"], "A < B"),
    "seeds of a bad config": (["--seeds", "0:2", "--gamma", "2"], "--gamma"),
    "seeds of many runs": (["--seeds", "0:2", "--preset", "fig7"], "preset fig7"),
    "seeds of a controller": (["--seeds", "0:2", "--controller", "c.h5"], "choose one"),
    "seeds and a seed": (["--seeds", "0:2", "--seed", "5"], "--seed: --seeds gives"),
    "seeds and a trace": (["--seeds", "0:2", "--trace"], "--trace"),
    "all policies and some": (["--compare-more", "--policies", "gd"], "choose one"),
    "workers below 0": (["--seeds", "0:2", "--workers", "-1"], "--workers"),
    "a choice that is not there": (["--loss", "hinge"], "softmax"),
    "a slip of the keyboard": (["--episodes", "9" * 20], "from 1 to 1000000"),
    "no controller": (["--controller", "/no/such/file.h5"], "/no/such/file.h5"),
    "a folder as controller": (["--controller", "EMPTY"], "not a file"),
}


@both
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_and_status_2(case, task, call, tmp_path, capsys):
    flags, wanted = BAD[case]
    out, empty = tmp_path / "bad", tmp_path / "empty"
    empty.mkdir()
    flags = [str(empty) if flag == "EMPTY" else flag for flag in flags]
    assert wanted in refused(call, capsys, task, "--out", out, *flags)
    assert not content(tmp_path)


def test_a_controller_is_for_one_run(call, copied, tmp_path, capsys):
    controller = ("--controller", copied("lr") / "controller.h5", "--out", tmp_path / "out")
    for preset in ("fig5", "fig7"):
        assert "DQNs" in refused(call, capsys, "lr", "--preset", preset, *controller)
    assert not (tmp_path / "out").exists()


def test_any_name_of_an_archive_is_run_saved_and_drawn(call, small, tmp_path, capsys):
    for k, name in enumerate((b"y\xff.tar.gz", b"a$b_{^$.tar.gz", b"$x$.tar.gz")):
        path, out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)), tmp_path / str(k)
        shutil.copy(small[1], path)
        assert call("lr", "--episodes", 1, "--data", path, "--out", out) == 0
        assert figures.main([str(out)]) == 0
        assert run(out)["data"] == name.decode("utf-8", "replace")


def test_a_net_too_large_for_the_memory_is_one_line(call, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "free_memory", lambda device: 2**24)
    for net, *flags in (
        ("a net of 3072-500-10", "--hidden", 500), ("a DQN of 6-99999-2", "--dqn-hidden", 99999),
    ):  # fmt: skip
        line = refused(call, capsys, "lr", *flags, "--out", tmp_path)
        assert net in line and "are free; ask for fewer units or images" in line


def test_a_bad_flag_in_a_process_of_its_own_is_one_line_and_status_2(small, environment):
    words = command_line("reg", small, "--gamma", "2")
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "error: --gamma 2.0: must be from 0 to 1\n"


def test_the_coefficient_cannot_be_trained_on_no_validation_images(call, folder, capsys):
    flags = ["--validation-size", 0, "--episodes", 1, "--out", folder / "no-validation"]
    assert "--reward g" in refused(call, capsys, "reg", *flags)
    flags += ["--reward", "g"]
    for more in (["--compare-more"], ["--policies", "search"]):
        assert "validation images" in refused(call, capsys, "reg", *flags, *more)
    assert call("reg", *flags) == 0


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


# -- divergence ---------------------------------------------------------------------------------


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("preset", ["default", "paper"])
@both
def test_divergence_is_a_result_that_is_marked_counted_and_never_remembered(
    task, preset, call, tmp_path, capsys
):
    large = {"lr": ["--alpha-c", 1000], "reg": ["--alpha", 1000, "--lambda-c", 0.03]}[task]
    flags = [*large, "--beta", 10, "--steps", 30, "--episodes", 8, "--preset", preset]
    assert call(task, *flags, "--out", tmp_path) == 0
    end = capsys.readouterr().out
    log, memory = run(tmp_path)["train"], checkpoint(tmp_path)["memory"]
    assert all(np.isfinite(memory[name]).all() for name in ("s", "s_next", "r", "label"))
    assert np.isfinite(log["return"]).all()
    diverged, rejected = (log["diverged_at"] > 0).sum(), log["rejected"][-1]
    for e, t in enumerate(log["diverged_at"]):
        reached = log["action"][e] >= 0
        assert reached.sum() == (t or 30) and reached[: t or 30].all()
        f, before = log["objective"][e], t - 1 if t else None
        assert np.isfinite(f[:before]).all()
        assert not t or (log["reward"][e, t - 1] == 0 and not np.isfinite(f[t - 1]))
    counted = f"diverged: {diverged} of 8 episodes; {rejected} updates of theta not taken" in end
    assert counted == (diverged + rejected > 0)
    assert counted or (task, preset) == ("lr", "default")  # a saturated net, large and finite


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


@both
def test_several_controllers_are_compared_each_under_its_files_name(task, call, copied, tmp_path):
    here = copied(task)
    files = [here / "controller.h5", here / "other.h5", tmp_path / "again" / "controller.h5"]
    files[2].parent.mkdir()
    for file in files[1:]:
        shutil.copy(files[0], file)
    flags = ["--policies", "gd", "--iterates", 2, "--controller", *files]
    assert call(task, *flags, "--out", tmp_path / "out") == 0
    runs = run(tmp_path / "out")["evaluation"]
    assert sorted(runs) == ["gd", "qgd", "qgd again", "qgd other"]
    for name in ("objective", "test_accuracy", "action"):  # one shares the other's plain steps
        assert np.array_equal(runs["qgd"][name], runs["qgd other"][name])
    assert np.isfinite(runs["qgd other"]["test_accuracy"]).all()


def test_two_controllers_of_one_name_and_unknown_policies_are_refused(
    call, capsys, copied, tmp_path
):
    file, out = copied("lr") / "controller.h5", ("--out", tmp_path / "out")
    line = refused(call, capsys, "lr", "--controller", file, file, file, *out)
    assert "a second one named qgd copied; rename it" in line
    assert "no policy armillo" in refused(call, capsys, "lr", "--policies", "armillo", *out)
    assert not (tmp_path / "out").exists()


def test_several_seeds_are_trained_once_and_a_failed_one_is_named(
    call, folder, monkeypatch, capsys
):
    out = folder / "seeds"
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])  # what each seed is a process of

    def seeds(*flags):
        status = call("lr", "--episodes", 2, "--seeds", "0:2", "--out", out, *flags)
        return status, *capsys.readouterr()

    (out / "seed-1").mkdir(parents=True)
    (out / "seed-1" / "checkpoint.h5").write_bytes(b"no checkpoint")
    status, text, error = seeds()
    assert status == 2 and "seed 1: failed, error: " in text
    assert error == "error: seeds [1] failed; their messages stand above\n"
    (out / "seed-1" / "checkpoint.h5").unlink()
    before, (status, text, error) = content(out), seeds()
    assert status == 0 and "seed 1: done" in text
    assert before.items() <= content(out).items()
    assert [json.loads(run(out / f"seed-{k}")["config"])["seed"] for k in (0, 1)] == [0, 1]
    before, (status, text, error) = content(out), seeds()
    assert status == 0 and content(out) == before and {"seed-0", "seed-1"} <= set(text.split())
    seconds = run(out / "seed-1")["train"]["seconds"].tolist()
    status, text, error = seeds("--policies", "armijo")  # compared anew, but not trained
    after = run(out / "seed-1")
    assert status == 0 and set(after["evaluation"]) == {"armijo", "qgd"}
    assert after["train"]["seconds"].tolist() == seconds
    file = out / "seed-1" / "run.h5"
    file.write_bytes(file.read_bytes()[:-100])
    status, text, error = seeds("--policies", "armijo")
    assert status == 0 and differences(after, run(out / "seed-1")) == []
    before, (status, text, error) = content(out), seeds("--data", "synthetic")
    assert status == 2 and text.count("made with other settings") == 2 and content(out) == before


def test_a_controller_brings_its_M_unless_one_is_given(call, copied, tmp_path):
    own, given = tmp_path / "own", tmp_path / "given"
    file = copied("lr") / "controller.h5"
    M = json.loads(run(file.parent)["config"])["M"]
    for out, flags in ((own, ()), (given, ("--M", 1))):
        assert call("lr", "--controller", file, "--out", out, *flags) == 0
    assert [json.loads(run(out)["config"])["M"] for out in (own, given)] == [M, 1]
    assert M > 1 and run(own)["dqn"]["M"] == M and run(given)["dqn"]["M"] == 1


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
    about = {"data": "synthetic", "config": config.to_json(config.make("lr"))}
    return report.table(about | {"iterate_seeds": seeds, "evaluation": runs})


def test_the_table_compares_pairs_and_says_what_the_best_accepted_iterate_was():
    values = {"gd": [0.1, 0.2, 0.3], "qgd": [0.2, 0.3, 0.5]}
    text = table(**values)
    assert "SYNTHETIC" in text
    assert re.search(r"1\.0000 +0\.7000", text)  # gd's candidate 2, f = 1, was accepted at t = 3
    low, high = re.search(r"qgd - gd +\+13\.3 \[\+(.*), \+(.*)\], higher on 3 of 3", text).groups()
    assert 10 <= float(low) < 13.3 < float(high) <= 20
    assert text == table(**values)


def test_the_return_is_the_sum_of_the_printed_rewards():
    p = config.make("lr", {"c1": 1.0, "c2": 2.0, "f_lb": 0.0, "gap": 0.5})
    f = np.array([[4.0, 2.0, 1.0, 0.1]])
    run = {"objective": f, "action": np.array([[1, 0, 1, 0]])}  # accept, half, accept, half
    assert report.mean_return(run, p) == pytest.approx(1 / 2.0 + 2 / 2.0 + 1 / 0.5)


def test_several_controllers_are_each_compared_with_every_other_policy():
    text = table(gd=[0.1, 0.2, 0.3], armijo=[0.2, 0.5, 0.4], qgd=[0.2, 0.3, 0.5],
                 **{"qgd other": [0.1, 0.1, 0.1]})  # fmt: skip
    lines = text.splitlines()
    assert lines[-2].split() == "qgd 0.3333 0.2000 +13.3 3 0 -3.3 1 0".split()
    assert lines[-1].split() == "qgd other 0.1000 0.1000 -10.0 0 0 -26.7 0 0".split()


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
    about = {"data": "cifar10", "config": config.to_json(config.make("reg"))}
    text = report.table(about | {"iterate_seeds": np.arange(3), "evaluation": runs})
    assert "train error" in text and "0.1000       0.6800" in text and "0.1000       0.6600" in text
    assert text.splitlines()[-1] == "qgd - gd             +2.0, higher on 3 of 3"


@pytest.mark.parametrize("K", [1, 2])
def test_fewer_than_three_iterates_are_not_compared_in_pairs(K):
    assert "paired" not in table(gd=[0.1] * K, qgd=[0.2] * K)
