"""Every experiment of the paper is one command: its settings, its runs, its picture, its table."""

import gc
import re
import shutil
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import SMALL, TASKS, make_archive

from qgd_np import config
from qgd_np.figures import __main__ as figures
from qgd_np.figures import causes, patterns
from qgd_np.lab import command, presets
from qgd_np.lab.flags import parser

README = Path(__file__).resolve().parent.parent / "README.md"
TINY = ["--train-size", "40", "--hidden", "3", "--steps", "6", "--episodes", "2"]
EVERY = [(task, name) for name, (tasks, _) in presets.PRESETS.items() for task in tasks]
PICTURES = ["training", "comparison", "pattern", "rule"]  # of a preset that is no figure


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """Return call(task, preset, out, *flags) -> exit status, of two short episodes a run."""
    archive = str(make_archive(tmp_path_factory.mktemp("archive")))
    flags = ["--data", archive, *(word for word in SMALL if word != "--no-figures"), *TINY]
    return lambda task, preset, out, *more: command.main(
        TASKS[task], [*flags, "--policies", "gd", "--preset", preset, "--out", str(out), *more]
    )


# -- the settings ---------------------------------------------------------------------------------


def readme_rows():
    """{first cell: other cells} of the tables in README's section on the experiments."""
    section = README.read_text().split("## The experiments of the paper\n")[1].split("\n## ")[0]
    tables = section.split("\n|---|")
    rows = [re.findall(r"^\| `(\S+)` \|(.*)\|$", table, re.M) for table in tables[1:]]
    return [{name: rest.split("|") for name, rest in table} for table in rows]


def parsed(task, cell):
    """{name of a run: config fields} of a cell of code spans, each `flags` or `name: flags`."""
    runs = {}
    for span in re.findall("`(.+?)`", cell) or [""]:
        name, flags = re.fullmatch(r"(?:([\w.-]+): )?(.*)", span).groups()
        runs[name or ""] = config.chosen(parser(task).parse_args(flags.split()))
    return runs


def test_every_preset_has_the_settings_that_the_readme_lists():
    table = readme_rows()[0]
    assert set(table) == set(presets.PRESETS)
    for name, (_, base, own) in table.items():
        tasks, runs = presets.PRESETS[name]
        base = presets.PAPER if "`paper`" in base else {}
        listed = {k: base | fields for k, fields in parsed(TASKS[tasks[0]], own).items()}
        if name in presets.TEN_SEEDS:
            listed = {f"seed-{k}": listed[""] | {"seed": k} for k in range(10)}
        if name == "causes":
            assert presets.CAUSES_BASE == listed[""]
        else:
            assert runs == listed


def test_every_row_of_the_causes_makes_the_change_that_the_readme_lists():
    table = readme_rows()[1]
    assert list(table) == list(presets.CAUSES)
    for row, (own,) in table.items():
        change = parsed(TASKS["lr"], own)[""]
        assert presets.PRESETS["causes"][1][row] == presets.CAUSES_BASE | change


def test_the_paper_presets_print_what_section_4_2_prints():
    p = config.make("lr", presets.PAPER)
    assert (p.beta, p.beta_last, p.batch, p.episodes, p.steps, p.alpha_c) == (
        0.05, 0.05, 64, 200, 100, 1.0
    )  # fmt: skip
    assert (p.optimizer, p.target_every, p.double, p.n_steps, p.starts) == ("gd", 0, False, 1, 1)


# -- the runs and the pictures --------------------------------------------------------------------


@pytest.mark.parametrize(("task", "preset"), EVERY)
def test_each_preset_makes_its_runs_and_its_picture(task, preset, call, tmp_path, capsys):
    out = tmp_path / f"{task}-{preset}-0"
    assert call(task, preset, out) == 0
    assert all((out / name / "run.h5").exists() for name in presets.PRESETS[preset][1])
    expected = PICTURES if preset in ("default", "paper") else [preset]
    assert sorted(p.stem for p in out.rglob("*.png")) == sorted(expected)
    before = capsys.readouterr().out
    for picture in out.rglob("*.png"):
        picture.unlink()
    assert figures.main([str(out)]) == 0  # again, without running
    again = capsys.readouterr().out
    assert sorted(p.stem for p in out.rglob("*.png")) == sorted(expected)
    assert before.endswith(again)  # the same table, if there is one, and the same pictures


def test_a_preset_of_several_runs_goes_on_with_those_that_are_missing(call, tmp_path):
    out = tmp_path / "adam"
    assert call("lr", "adam", out) == 0
    files = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in out.rglob("*.h5")}
    shutil.rmtree(out / "beta-0.01")
    assert call("lr", "adam", out) == 2  # holds runs
    assert call("lr", "adam", out, "--resume") == 0
    for path, (content, time) in files.items():
        same = path.parent.name != "beta-0.01"
        assert (path.stat().st_mtime_ns == time) == same
        assert path.read_bytes() == content or not same
    assert call("lr", "adam", out, "--resume", "--episodes", "3") == 0
    assert all(path.stat().st_mtime_ns != files[path][1] for path in out.rglob("run.h5"))


def test_the_images_of_a_run_are_freed_before_the_next(call, tmp_path, monkeypatch):
    original, made = command.Problem, []

    def watched(*args):
        assert not any(before() for before in made)
        problem = original(*args)
        made.append(weakref.ref(problem.f))
        return problem

    monkeypatch.setattr(command, "Problem", watched)
    gc.disable()
    try:
        assert call("lr", "adam", tmp_path) == 0 and len(made) == 3
    finally:
        gc.enable()


def test_a_gallery_holds_small_pictures_of_all_its_runs(call, tmp_path, capsys):
    from matplotlib.image import imread

    for preset in ("fig6", "fig5"):
        assert call("lr", preset, tmp_path / f"lr-{preset}-0") == 0
    folder = tmp_path / "gallery"
    runs = [str(tmp_path / f"lr-{preset}-0") for preset in ("fig6", "fig5")]
    assert figures.main(["--gallery", str(folder), *runs]) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["fig5.png", "fig6.png"]
    for picture in folder.iterdir():
        assert imread(picture).shape[1] == 630 and picture.stat().st_size < 80_000


# -- the tables -----------------------------------------------------------------------------------


def trained(loss, q=(1.0,), rejected=0, row="paper"):
    """A run with this TD loss and mean Q over its episodes, and two greedy steps."""
    train = {"td_loss": np.array(loss, float), "q_mean": np.resize(q, len(loss)).astype(float),
             "rejected": np.full(len(loss), rejected)}  # fmt: skip
    qgd = {"action": np.array([[1, 0], [1, 1]]), "test_accuracy": np.array([[0, 0.3], [0, 0.5]])}
    p = SimpleNamespace(train_size=1, episodes=len(loss), steps=2)
    return SimpleNamespace(train=train, qgd=qgd, folder=Path(row), data="made up", p=p)


@pytest.mark.parametrize(
    "exploded, loss, rejected",
    [
        (False, np.linspace(1, 0.1, 20), 0),
        (False, [1] * 10 + [0.1] * 5 + [0.9] * 5, 0),
        (True, [1] * 10 + [0.01] * 5 + [0.9] * 5, 0),
        (False, [1] * 10 + [0.01] * 5 + [0.9] + [0.01] * 4, 0),
        (True, [1] * 20, 1),
        (True, [1] * 19 + [np.inf], 0),
        (True, [1] * 10 + [np.nan] * 10, 0),
    ],
)
def test_a_loss_that_rose_tenfold_or_left_the_finite_numbers_is_an_explosion(
    exploded, loss, rejected
):
    assert causes.measures(trained(loss, rejected=rejected))["exploded"] == exploded


def test_the_measures_of_a_run_by_hand():
    loss, q = [4] * 2 + [1] * 16 + [2] * 2, [5] * 15 + [10, 9, 11, 10, 10]
    m = causes.measures(trained(loss, q))
    assert (m["first"], m["lowest"], m["last"]) == (4, 1, 2)
    assert m["error"] == pytest.approx(100 * 2 / 10) and m["drift"] == pytest.approx(20)
    assert m["accepts"] == 75 and m["accuracy"] == pytest.approx(0.4)


def test_the_causes_table_has_a_line_per_row_over_its_seeds():
    runs = [trained([1] * 10, row=row) for row in ("all", "paper", "paper")]
    lines = causes.table(runs).splitlines()[-2:]
    assert [line.split()[:2] for line in lines] == [["paper", "2"], ["all", "1"]]
    assert all("0 of " in line and "0.400 [0.400, 0.400]" in line for line in lines)


def greedy(name, *curves):
    """A run whose greedy DQN shows these alpha curves, with test accuracy 0.1, 0.2, ..."""
    n = len(curves)
    action = np.where(np.array(curves) == 1, 1, 0)
    final = 0.1 * np.arange(1, n + 1)[:, None] * np.ones((n, 100))
    qgd = {"alpha": np.array(curves), "action": action, "test_accuracy": final}
    return SimpleNamespace(value="alpha", qgd=qgd, folder=Path(name), data="made up",
                           evaluation={"qgd": qgd, "gd": {"test_accuracy": final + 0.3}},
                           p=SimpleNamespace(train_size=1))  # fmt: skip


def test_the_pattern_table_counts_what_most_iterates_of_a_run_show():
    halving, accepting = 0.5 ** np.arange(100), np.ones(100)
    runs = [greedy("seed-0", halving, accepting, halving), greedy("seed-1", accepting)]
    lines = patterns.table(runs).splitlines()
    assert lines[3].split() == "seed-0 pattern 2 2 0 2 0.200 0.500".split()
    assert lines[4].split() == "seed-1 none of the three 0 0.100 0.400".split()
    assert lines[5::2] == ["pattern 1: 0 of 2", "pattern 3: 0 of 2"]
    assert lines[6] == "pattern 2: 1 of 2, accuracy 0.200"
    assert lines[8] == "none of the three: 1 of 2, accuracy 0.100"
