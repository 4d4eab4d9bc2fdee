"""Both run files through their command line: results, errors, controllers, presets, seeds."""
# ruff: noqa: I001

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import h5py
import numpy as np
import pytest
from small_runs import (
    ROOT, TASKS, both, checkpoint, content, differences, refused, run, training,
)  # fmt: skip

from qgd_np import backend, config
from qgd_np.lab import command, comparison, flags, presets, report, seeds


@both
def test_a_run_ends_with_a_verdict_and_leaves_every_dataset(task, small, tmp_path, environment):
    K, E, T = 2, 3, 10
    words = [sys.executable, ROOT / f"run_{task}.py", *small, "--episodes", E, "--out", tmp_path]
    words = [*map(str, words), *f"--iterates {K} --iterate-seed 7".split()]
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    lines, policies = done.stdout.splitlines(), [*TASKS[task].default, "qgd"]
    rows = [line.split("  ")[0] for line in lines]
    assert [name for name in rows if name in policies] == policies
    assert "Too few" in lines[-4] and "points of test accuracy" in lines[-3]
    assert str(tmp_path / "run.h5") in lines[-2] and "draw" in lines[-1]
    with h5py.File(tmp_path / "run.h5") as file:
        shapes = dict.fromkeys("td_loss return epsilon seconds q_mean test_accuracy".split(), (E,))
        shapes |= dict.fromkeys(["objective", TASKS[task].value, "action", "reward"], (E, T))
        assert shapes.items() <= {name: a.shape for name, a in file["train"].items()}.items()
        assert set(file["evaluation"]) == {*TASKS[task].default, "qgd"}
        for policy in file["evaluation"].values():
            for name in ("objective", "test_accuracy", TASKS[task].value, "action"):
                assert policy[name].shape == (K, T)
            accepts = (policy["action"][()] == 1).sum(axis=1)
            assert (abs(policy["gradients"][()] - accepts) <= 1).all()
            assert policy["objective_1"].shape == (K,)
        asked = np.isfinite(file["evaluation/qgd/state"][()])
        first = config.make(task, {"steps": T}).asked_from(1)
        assert asked.shape == (K, T, 6) and (asked[0, :, 0] == (np.arange(T) >= first - 1)).all()
        wanted = dict(task=task, data="tiny.tar.gz", device="cpu", preset="default", kind="run")
        assert {name: file.attrs[name] for name in wanted} == wanted and "version" in file.attrs
        assert json.loads(file.attrs["config"])["episodes"] == E and file.attrs["threads"] >= 1
        assert file["dqn"]["W1"].shape == (6, 32) and list(file["dqn/sizes"])[:1] == [6]
        assert file["iterate_seeds"][()].tolist() == [7, 8]
    names = ["checkpoint.h5", "checkpoint.previous.h5", "controller.h5", "index.html", "run.h5"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names


@pytest.mark.parametrize("words", ["", "--hidden 1 --dqn-hidden 1 --batch 1 --A 1 --B 0"])
@both
def test_one_step_and_no_iterates_are_a_run(task, words, call, tmp_path, capsys):
    words = ["--steps", 1, "--episodes", 1, "--iterates", 0, *words.split(), "--out", tmp_path]
    assert call(task, *words) == 0
    assert "no comparison" in capsys.readouterr().out and run(tmp_path)["evaluation"] == {}
    assert run(tmp_path)["train"]["action"].shape == (1, 1)


@both
def test_a_seed_gives_the_same_bits_and_ten_seeds_ten_runs(task, small):
    def trained(seed):
        one = training(task, small, episodes=2, seed=seed, train_size=60)
        assert len(list(one.episodes())) == 2
        controllers = {"qgd": (one.Q, one.p)}
        seen = comparison.evaluate(TASKS[task], one.problem, controllers, one.p, [1000], [])
        return one.tree() | {"evaluation": seen}

    before = np.random.get_state()[1].tobytes()
    trees = [trained(seed) for seed in range(10)]
    assert differences(trees[0], trained(0)) == []
    for array in ("objective", "q_mean"):
        assert len({tree["train"][array].tobytes() for tree in trees}) == 10
    assert np.random.get_state()[1].tobytes() == before


@pytest.mark.parametrize("task, value, returns", [
    ("lr", "alpha", "printed"), ("reg", "lambda", "last"),
])  # fmt: skip
def test_a_trace_prints_each_step_asked(task, value, returns, call, tmp_path, capsys):
    words = ["--episodes", 2, "--trace", "--first", 8, "--iterates", 2, "--returns", returns]
    assert call(task, *words, "--out", tmp_path) == 0
    text, tree = capsys.readouterr().out, run(tmp_path)
    assert ("D10" in text) == (returns == "printed")  # where not the last candidate is returned
    blocks = text[text.index("training episode 1") :].split("\n\n")[:3]
    assert "epsilon 1.00" in blocks[0] and "seed 1000" in blocks[2] and "seed 1001" not in text
    for e, block in enumerate(blocks):
        names, *rows = (line for line in block.splitlines()[1:] if "D10" not in line)
        assert len(rows) == 3 and max(map(len, [names, *rows])) <= 160
        for name in ("hyper-parameter objective max objective   slope encoding alignment", "Q half",
                     "Q accept", "f(x_t)", "reward", "TD loss", f"{value}_t"):  # fmt: skip
            assert name in names
        log, k = (tree["train"], e) if e < 2 else (tree["evaluation"]["qgd"], 0)
        for row, t in zip(rows, (8, 9, 10), strict=True):
            cells = row.split()
            action = [*TASKS[task].lines][log["action"][k, t - 1]]
            assert cells[0] == f"{t}" and TASKS[task].lines[action][e < 2] in cells
            assert action in cells or f"{action}*" in cells and e < 2
            assert f"{log['objective'][k, t - 2]:.5f}" in cells
            assert e == 2 or f"{log['reward'][k, t - 1]:.2g}" in cells
            assert cells.count("-") == (0 if e < 2 else 2)


@both
def test_help_is_one_screen_and_help_all_has_every_flag(task, capsys):
    with pytest.raises(SystemExit):
        command.main(TASKS[task], ["--help"])
    short = capsys.readouterr().out
    assert command.main(TASKS[task], ["--help-all"]) == 0
    everything = capsys.readouterr().out.replace(",", " ")
    assert len(short.splitlines()) <= 40 and max(map(len, short.splitlines())) <= 100
    contract = "episodes steps preset list-presets data train-size hidden loss seed seeds device"
    contract += " out resume controller iterates iterate-seed policies trace no-figures quiet"
    assert all(f"--{name} " in short for name in [*contract.split(), "help-all"])
    fields = {f"--{name.replace('_', '-')}" for name in vars(config.make(task))}
    assert all(f"{name} " in everything for name in fields)


@both
def test_list_presets_shows_what_each_changes_in_flags_that_are_understood(task, capsys):
    assert command.main(TASKS[task], ["--list-presets"]) == 0
    text = capsys.readouterr().out
    assert len(text) < 5000 and "D25" in text and "D23" in text
    words = " ".join(text.split())
    for names, preset in presets.TABLE.items():
        assert f"{names} {preset.base}".strip() in words
        for change in (preset.changes, *preset.runs.values()):
            shown = " ".join(flags.written(*each) for each in change.items())
            own = (TASKS | {"joint": TASKS["reg"].joint})[preset.tasks[0]]
            assert vars(flags.parser(own).parse_args(shown.split())) == change
            assert shown in words


def test_every_preset_is_a_config_for_each_of_its_runs():
    for task, name in ((task, k) for k, preset in presets.PRESETS.items() for task in preset.tasks):
        runs = presets.runs(name, task, 3).values()
        assert {config.make(task, change).seed for change in runs} == {3}, (task, name)


def test_the_paper_presets_print_what_section_4_2_prints():
    p = config.make("lr", presets.runs("paper", "lr", 0)[""])
    assert (p.beta, p.beta_last, p.batch, p.episodes, p.steps) == (0.05, 0.05, 64, 200, 100)
    assert (p.optimizer, p.target_every, p.double, p.n_steps, p.starts) == ("gd", 0, False, 1, 1)
    assert (p.first, p.returns, p.label, p.horizon) == (0, "printed", "fresh", "endless")
    assert (p.alpha_c, p.asked_from(1), p.asked_from(p.M)) == (1, 1, 5)


def test_each_cause_is_one_change_on_top_of_the_papers_rule():
    runs = {k: config.make("lr", v) for k, v in presets.runs("causes", "lr", 0).items()}
    paper, default = vars(runs["paper"]), vars(config.make("lr"))
    changed = {row: {k for k, v in vars(p).items() if v != paper[k]} for row, p in runs.items()}
    assert changed["label"] == {"label"} and changed["starts"] == {"starts"}
    assert changed["adam"] == {"optimizer", "beta", "beta_last"}
    for row in runs.keys() - {"paper", "summed", "label", "adam", "all"}:
        assert all(getattr(runs[row], k) == default[k] for k in changed[row]) and changed[row]
    kept = {k for k, v in vars(runs["all"]).items() if v != default[k]}
    assert kept == {"M", "first", "alpha", "returns", "episodes",
                    "beta_episodes", "epsilon_episodes"}  # fmt: skip


NAMED = [  # the error names the first flag, which is not to be abbreviated either
    "--epsiodes 3", "--episode 3", "--hidden 0", "--hidden x", "--train-size 0", "--steps 0",
    "--lambda-c -1", "--alpha-c nan", "--f-lb inf", "--iterates -1", "--iterate-seed -1",
    "--seed -1", "--checkpoint-episodes 0", "--label stored --n-steps 2",
]  # fmt: skip
LAST = [  # it names the last flag
    "--seeds 0:2 --gamma 2", "--seeds 0:2 --seed 5", "--seeds 0:2 --controller c.h5",
    "--seeds 0:2 --trace", "--seeds 0:2 --workers -1", "--c1 1e200 --gap 1e-200",
    "--controller c.h5 --iterates 0", "--seeds 0:2 --only seed-2",
]  # fmt: skip
BAD = {words: words.split()[0] for words in NAMED}
BAD |= {words: re.search(r".* (--\S+)", words)[1] for words in LAST}
BAD |= {
    "--preset fig99": "--preset fig99: is not known",
    "--scheduler tcp://h:1": "--scheduler is for several runs",
    "--data /no/such/archive": "/no/such/archive",
    "--data EMPTY": "no CIFAR-10 batches",
    "--hidden 1000000 1000000": "ask for fewer",
    "--hidden 5 1000001": "--hidden 5 1000001: must be from 1 to",
    "--steps 1000000 --A 1000000": "ask for fewer",
    "--train-size 251": "250 training images",
    "--validation-size 51": "200 training and 51 validation",
    "--episodes 99999999999999999999": "from 1 to 1000000",
    "--gamma 2": "--gamma 2.0: must be from 0 to 1",
    "--first 11": "--first 11",
    "--seeds nonsense": "A:B",
    "--seeds 3:2": "A < B",
    "--loss hinge": "softmax",
    "--policies armillo": "armillo",
    "--controller /no/such/file.h5": "/no/such/file.h5",
    "--controller EMPTY": "directory",
    "--out FILE/below": "Not a directory",
    "--out FILE": "File exists",
    "--out " + 300 * "x": "File name too long",
}
BAD_HERE = {
    "lr": {"--preset fig12": "run_reg.py", "--preset fig5 --controller lr": "several runs",
           "--controller reg": "run_lr.py"},
    "reg": {"--preset fig7": "run_lr.py", "--validation-size 0": "--reward g",
            "--validation-size 0 --reward g --policies all": "and search need"},
}  # fmt: skip
BAD_CASES = [(task, *case) for task in TASKS for case in (BAD | BAD_HERE[task]).items()]


@pytest.mark.parametrize("task, words, wanted", BAD_CASES)
def test_bad_input_is_one_line(task, words, wanted, call, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "FILE").write_text("mine")
    assert wanted in refused(call, capsys, task, "--out", tmp_path / "bad", *words.split())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["EMPTY", "FILE"]
    assert (tmp_path / "FILE").read_text() == "mine"


def test_archives_of_strange_names(call, small, tmp_path):
    whole = Path(small[1]).read_bytes()
    for k, name in enumerate((b"y\xff.tar.gz", b"a$b_{^$.tar.gz")):
        path, out = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)), tmp_path / str(k)
        path.write_bytes(whole)
        assert call("lr", "--episodes", 1, "--data", path, "--out", out) == 0
        assert run(out)["data"] == name.decode("utf-8", "replace").replace("\ufffd", "?")
        assert call("lr", "--episodes", 2, "--data", path, "--out", out, "--resume") == 0


def test_no_gpu_and_too_little_memory_are_one_line(call, tmp_path, capsys, monkeypatch):
    no_memory = mock.Mock(side_effect=MemoryError("Unable to allocate 7 TiB"))
    monkeypatch.setattr(backend, "cupy", None)
    monkeypatch.setattr(command, "Problem", no_memory)
    for more, said in (["--device", "gpu"], "cupy-cuda12x"), ([], "7 TiB; ask for fewer images"):
        assert said in refused(call, capsys, "lr", *more, "--out", tmp_path / "out")
    assert not content(tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("large", [
    "lr --alpha-c 1000", "lr --alpha-c 1000 --preset paper", "reg --alpha 1000 --lambda-c 0.03",
    "reg --alpha 1000 --lambda-c 0.03 --preset paper", "reg --alpha 1000 --lambda-c 1e30",
    "lr --alpha-c 1e30", "lr --alpha-c 1e38 --label stored --n-steps 1",
])  # fmt: skip
def test_divergence_is_a_result_that_is_counted(large, call, tmp_path, capsys):
    task, *words = f"{large} --beta 10 --steps 30 --episodes 8 --out".split()
    assert call(task, *words, tmp_path) == 0
    end, p = capsys.readouterr().out, config.make(task, json.loads(run(tmp_path)["config"]))
    log, Q, memory = run(tmp_path)["train"], *map(checkpoint(tmp_path).get, ("Q", "memory"))
    finite = (*map(memory.get, ("s", "s_next", "r", "y")), Q["_theta"], Q["frozen"], log["return"])
    assert all(np.isfinite(array).all() for array in finite)
    assert Q["updates"] == np.isfinite(log["reward"]).sum()
    for e, t in enumerate(log["diverged_at"]):
        reached, f = log["action"][e] >= 0, log["objective"][e]
        assert reached.sum() == (t or 30) and reached[: t or 30].all()
        assert np.isfinite(f[p.asked_from(p.M) - 1 : t - 1 if t else None]).all()
        assert not t or (log["reward"][e, t - 1] == 0 and not np.isfinite(f[t - 1]))
    diverged, rejected = (log["diverged_at"] > 0).sum(), log["rejected"][-1]
    counted = f"iverged: {diverged} of 8 episodes; {rejected} updates" in end
    assert counted == (diverged + rejected > 0)
    assert counted or large == "lr --alpha-c 1000"  # a saturated net, large and finite


@both
def test_a_controller_is_evaluated_without_training(task, call, straight, tmp_path):
    for path, out in ((straight(task), tmp_path / "1"), (tmp_path / "1", tmp_path / "2")):
        assert call(task, "--controller", path / "run.h5", "--out", out) == 0
        assert differences(run(path)["evaluation"], run(out)["evaluation"]) == []
        assert "train" not in run(out)
        assert sorted(file.name for file in out.iterdir()) == ["index.html", "run.h5"]
    before, words = content(out), ["--resume", "--out", str(out), "--quiet", "--no-figures"]
    assert command.main(TASKS[task], words) == 0 and content(out) == before
    assert command.main(TASKS[task], [*words, "--iterates", "2"]) == 2 and content(out) == before


@both
def test_a_shipped_controller_works_at_other_sizes_with_its_first_step(task, call, tmp_path):
    words = ["--train-size", 120, "--hidden", 6, 5, "--validation-size", 0, "--steps", 20]
    own = config.make(task, {"steps": 20}).asked_from(1)
    for more, first in (([], own), (["--first", 3], 3)):
        out = tmp_path / str(first)
        assert call(task, *words, *more, "--controller", task, "--out", out) == 0
        state = run(out)["evaluation"]["qgd"]["state"]
        assert np.isfinite(state[0, :, 0]).sum() == 21 - first
        assert json.loads(run(out)["config"])["hidden"] == [6, 5]


@both
def test_several_controllers_are_compared_by_name(task, call, copied, tmp_path, capsys):
    here = copied(task)
    paths = [here / "controller.h5", here / "other.h5", tmp_path / "again" / "controller.h5"]
    paths[2].parent.mkdir()
    for path in paths[1:]:
        shutil.copy(paths[0], path)
    words = ["--policies", "gd", "--iterates", 2, "--controller"]
    assert call(task, "--out", tmp_path / "out", *words, *paths) == 0
    assert "points that qgd" in capsys.readouterr().out
    runs = run(tmp_path / "out")["evaluation"]
    assert sorted(runs) == ["gd", "qgd", "qgd again", "qgd other"]
    for name in ("objective", "test_accuracy", "action"):  # one shares the other's plain steps
        assert np.array_equal(runs["qgd"][name], runs["qgd other"][name])
    line = refused(call, capsys, task, "--out", tmp_path / "more", *words, *paths[:1] * 3)
    assert "a second one named qgd copied; rename it" in line
    none = here / "checkpoint.h5"
    assert f"run_{task}.py" in refused(call, capsys, task, "--out", tmp_path / "x", *words, none)


def test_several_seeds_are_trained_once_shown_in_a_table_and_a_failed_one_is_named(
    call, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_lr.py")])  # what each seed is a process of

    def trained(*words):
        status = call("lr", "--episodes", 2, "--seeds", "0:2", "--out", tmp_path, *words)
        return status, *capsys.readouterr()

    (tmp_path / "seed-1").mkdir()
    (tmp_path / "seed-1" / "checkpoint.h5").write_bytes(b"no checkpoint")
    status, text, error = trained()
    assert status == 2 and "seed-1 holds a run" in error
    status, text, error = trained("--resume")
    assert status == 2 and "seed-1: failed, error: " in text and "seed-0: done" in text
    assert error == "error: seed-1 failed; the messages stand above\n"
    (tmp_path / "seed-1" / "checkpoint.h5").unlink()
    before, (status, text, error) = content(tmp_path), trained("--resume")
    assert status == 0 and before.items() <= content(tmp_path).items()
    assert [json.loads(run(tmp_path / f"seed-{k}")["config"])["seed"] for k in (0, 1)] == [0, 1]
    rows = [line for line in text.splitlines() if re.match(r"seed-\d  ", line)]
    assert len(rows) == 2 and "above armijo" in text and "settled on 0 of 2" in text
    before = content(tmp_path)
    assert command.main(TASKS["lr"], ["--resume", "--out", str(tmp_path), "--no-figures"]) == 0
    assert content(tmp_path) == before


STAND_IN = """
import os, sys
from pathlib import Path
threads = [os.environ[k] for k in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
Path(f"called{sys.argv[-1]}").write_text(" ".join([*threads, *sys.argv[1:]]))
if sys.argv[-1] == "--only=seed-3":
    os.kill(os.getpid(), 9)
sys.exit("a line\\nerror: no luck" if sys.argv[-1] == "--only=seed-2" else 0)
"""


@pytest.mark.parametrize("cores, workers, threads", [(8, 2, 4), (8, 3, 2), (2, 4, 1)])
def test_each_seed_is_a_process_with_its_share_of_the_cores_and_fails_alone(
    cores, workers, threads, tmp_path, monkeypatch, capsys
):
    start = seeds.job

    def refuse_one(file, words, name, *rest):
        if name == "seed-1":
            raise OSError(11, os.strerror(11))
        return start(file, words, name, *rest)

    (tmp_path / "run_lr.py").write_text(STAND_IN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "run_lr.py")])
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    monkeypatch.setattr(
        seeds, "finish", lambda paths, *_: print("finish", *(p.parent.name for p in paths))
    )
    monkeypatch.setattr(seeds, "job", refuse_one)
    given = dict(workers=workers, quiet=True, out=tmp_path, seeds="0:4", device="cpu")
    a = SimpleNamespace(**flags.DEFAULTS | given)
    runs = {f"seed-{k}": (2, "hash") for k in range(4)}
    assert seeds.run_seeds("run_lr.py", a, runs, ["--M=3"]) == 2
    for k in (0, 2, 3):
        wanted = f"{threads} {threads} --M=3 --data-sha256=hash --out={tmp_path} --only=seed-{k}"
        assert Path(f"called--only=seed-{k}").read_text() == wanted
    printed = capsys.readouterr()
    assert "seed-2: failed, error: no luck" in printed.out and "finish seed-0\n" in printed.out
    assert "seed-1: failed, [Errno 11]" in printed.out and "seed-2" in printed.err
    assert "seed-3: failed, killed by signal 9" in printed.out


def tree_of(task="lr", train=None, **accuracies):
    """A run file's tree with these final accuracies, one per iterate."""
    runs = {}
    for name, accuracy in accuracies.items():
        K, curve = len(accuracy), np.tile(np.array(accuracy)[:, None], (1, 3))
        runs[name] = {f"{images}_accuracy": curve for images in ("test", "validation", "train")}
        runs[name] |= {"objective": np.tile([3.0, 1.0, 2.0], (K, 1)), "gradients": np.full(K, 91),
                       "seconds": np.ones(K)}  # fmt: skip
    tree = {"data": "tiny", "task": task, "evaluation": runs}
    tree["iterate_seeds"] = np.arange(len(accuracies.get("qgd", ())))
    return tree | ({"train": train} if train else {})


def test_the_table_has_means_deviations_gradients_errors_and_paired_differences():
    tree = tree_of(qgd=[0.2, 0.3, 0.5], gd=[0.1, 0.2, 0.3], armijo=[0.1, np.nan, 0.1])
    lines = report.table(tree, ["gd", "armijo"]).splitlines()
    assert [line.split()[0] for line in lines[-3:]] == ["gd", "armijo", "qgd"]
    assert "2.0000 +- 0.0000  0.2000 +- 0.0816  " in lines[-3] and " 91     1.00 " in lines[-3]
    assert lines[-3].endswith("+13.3 on 3 of 3") and lines[-2].endswith("diverged")
    text = report.table(tree_of(gd=[0.1], qgd=[0.2]), ["gd"])
    assert "+-" not in text and "+10.0 on 1 of 1" in text
    runs = {"gd": [0.1, 0.2], "qgd": [0.2, 0.3], "qgd other": [0.0, 0.1]}
    lines = report.table(tree_of("reg", **runs), ["gd"]).splitlines()
    assert "train error" in lines[2] and "validation error" in lines[2] and "0.8500" in lines[3]
    assert lines[-1].startswith("qgd other") and lines[-1].endswith("+20.0 on 2 of 2")


@pytest.mark.parametrize("q, loss, expected", [
    ([1.0] * 8, [3.0] * 8, "has settled"), ([1.0] * 7 + [1.1], [3.0] * 8, "NOT settled"),
    ([1.0] * 8, [1.0] * 6 + [2.0] * 2, "NOT settled"), ([1.0] * 7, [1.0] * 7, "Too few"),
])  # fmt: skip
def test_the_verdict_says_whether_the_training_has_settled(q, loss, expected):
    zeros = np.zeros(len(q), int)
    train = {"q_mean": np.array(q), "td_loss": np.array(loss), "diverged_at": zeros,
             "rejected": zeros, "return": zeros}  # fmt: skip
    assert expected in report.verdict(tree_of(train=train))


def test_the_verdict_names_the_best_other_policy_and_how_far_it_is():
    accuracies = dict(gd=[0.1, 0.2], armijo=[0.31, 0.36], step=[np.nan, 1.0], qgd=[0.3, 0.4])
    text = report.verdict(tree_of(**accuracies))
    assert "1.5 points of test accuracy above armijo" in text and "on 1 of 2 x_1" in text


def of_seed(loss, q=(1.0,), rejected=0):
    """A run's tree with this TD loss and mean Q over its episodes, and two greedy steps."""
    train = {"td_loss": np.array(loss, float), "q_mean": np.resize(q, len(loss)).astype(float),
             "rejected": np.full(len(loss), rejected)}  # fmt: skip
    tree = tree_of("lr", train, qgd=[0.3, 0.5], gd=[0.1, 0.3])
    tree["evaluation"]["qgd"] |= {"action": np.array([[1, 0], [1, 1]]), "alpha": np.ones((2, 20))}
    return tree


@pytest.mark.parametrize("exploded, loss, rejected", [
    (True, [1] * 10 + [0.01] * 5 + [0.9] * 5, 0), (False, [1] * 10 + [0.1] * 5 + [0.9] * 5, 0),
    (False, [1] * 10 + [0.1] * 5 + [0.9] + [0.1] * 4, 0), (True, [1] * 20, 1),
    (True, [1] * 19 + [np.inf], 0), (True, [1] * 10 + [np.nan] * 10, 0),
])  # fmt: skip
def test_a_loss_that_rose_tenfold_or_left_the_finite_numbers_explodes(exploded, loss, rejected):
    assert report.convergence(of_seed(loss, rejected=rejected)["train"])["explodes"] is exploded


def test_the_measures_of_several_runs_by_hand_and_their_table():
    tree = of_seed([4] * 5 + [1] * 10 + [2] * 5, [5] * 15 + [10, 9, 11, 10, 10])
    tree["evaluation"]["qgd"]["alpha"][:] = 0.5 ** np.arange(20)
    m = report.measures(tree)
    assert list(m.values()) == pytest.approx([20, 2, 20, 100, 0, False, False, 75, 2, 2, 0.4, 0.2])
    text = report.overview([("all", tree), ("paper", of_seed([1] * 10)), ("paper", tree)])
    *_, head, first, second, count = text.splitlines()
    assert head.split()[-4:] == ["f", "accuracy", "above", "gd"] and "settled on 1 of 3" in count
    assert first.split()[0] == "all" and "0 of 2" in second and "0,2" in second
    assert second.split()[1] == "10" and second.split()[-1] == "0.2"  # medians
