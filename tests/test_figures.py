"""What qgd_np.figures promises: a picture for every kind of run, patterns and causes told apart."""

import json
from unittest import mock

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from qgd_np import config, figures, files
from qgd_np.environment import ACTIONS, FEATURES, MAPS
from qgd_np.figures import __main__ as command
from qgd_np.figures import drawing, pictures
from qgd_np.lab import flags, presets, report
from qgd_np.mlp import MLP

LR, REG = ("gd", "armijo", "nonmonotone", "pattern9", "qgd"), ("gd", "gd lambda 0", "qgd")
EVERY = ["training.png", "comparison.png", "pattern.png", "trace.png"]


def curve(T, *pieces):
    """alpha (T,) and actions (T,) for pieces (from step, to step, "half" or "alternate")."""
    action, alpha = np.ones(T, np.int8), np.ones(T)
    for start, end, kind in pieces:
        action[start:end] = 0 if kind == "half" else np.arange(end - start) % 2
    for t in range(T):
        alpha[t] = 1.0 if action[t] else (alpha[t - 1] if t else 1.0) / 2
    return alpha, action


def log_of(value, f, K, T, rng):
    """A policy in /evaluation, which shows pattern 1 and is asked in the last fifth."""
    f = f + np.exp(-np.arange(T) / 30) + 0.1 * rng.random((K, T))
    alpha, action = curve(T, (0, T // 5, "alternate"))
    state = rng.uniform(-1, 1, (K, T, len(FEATURES)))
    state[:, : 4 * T // 5] = np.nan
    return {"objective": f, "test_accuracy": 0.7 - 0.18 * f, "state": state,
            "action": np.tile(action, (K, 1)), value: np.tile(alpha, (K, 1))}  # fmt: skip


def run_tree(task="lr", K=3, T=30, E=12, seed=0, policies=(), **root):
    """A run file's tree; root: attributes and groups at the root."""
    rng, e, none = np.random.default_rng(seed), np.arange(E), np.zeros(E, np.int64)
    p = vars(config.make(task, dict(steps=T, episodes=E, seed=seed)))
    net = MLP((len(FEATURES), 32, 16, len(ACTIONS[task])))
    dqn = {"features": list(FEATURES), "feature_map": MAPS["near"], "actions": list(ACTIONS[task])}
    for i, (W, b) in enumerate(net.layers(net.initialise(rng, np.float64)), 1):
        dqn |= {f"W{i}": 2 * W, f"b{i}": b}
    train = {
        "td_loss": rng.random(E) * np.exp(-e / 9), "q_mean": 40 - 40 * 0.9**e, "return": e / 9,
        "epsilon": 0.9**e, "test_accuracy": 0.4 - 0.1 * 0.9**e, "diverged_at": none,
        "rejected": none.copy(), "objective": 2 + rng.random((E, T)),
    }  # fmt: skip
    value, names = ("alpha", LR) if task == "lr" else ("lambda", REG)
    logs = [log_of(value, 1.6 + i / 20, K, T, rng) for i in range(len(names) + len(policies))]
    return {
        "kind": "run", "task": task, "config": json.dumps(p), "data": "cifar10", "train": train,
        "dqn": dqn | {"sizes": np.array(net.sizes)},
        "evaluation": dict(zip([*names, *policies], logs, strict=True)),
    } | root  # fmt: skip


def write(folder, tree):
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "run.h5", tree)
    return folder / "run.h5"


def loaded(folder, **of_tree):
    return drawing.load(write(folder, run_tree(**of_tree)))


def drawn(paths, out):
    """Draw; the names of the pictures, which are in `out` and show something."""
    found = figures.draw(paths, out)
    assert all(p.parent == out and imread(p).std() > 0.05 for p in found)
    return [p.name for p in found]


@pytest.mark.parametrize("preset", ["default", "fig1", "adam", "fig3", "fig8", "fig12", "causes"])
def test_a_preset_draws_its_pictures(preset, tmp_path):
    none = {"default", "paper", "momentum", "joint"}
    assert {*figures.OWN} - {"seeds"} == {*presets.PRESETS} - none
    names = {"causes": ["paper", "all"], "adam": "ab"}.get(preset, [""])
    task = "reg" if preset == "fig12" else "lr"
    trees = [run_tree(task, seed=i, preset=preset) for i in range(len(names))]
    paths = [write(tmp_path / k, tree) for k, tree in zip(names, trees, strict=True)]
    assert drawn(paths, tmp_path) == (EVERY if preset == "default" else [f"{preset}.png"])


@pytest.mark.filterwarnings("error")
def test_what_diverges_is_drawn_without_a_warning(tmp_path):
    tree = run_tree(T=100, policies=("l-bfgs", "cosine", "step", "qgd $b$"))
    logs, train = tree["evaluation"], tree["train"]
    for name in ("gd", "l-bfgs", "qgd"):
        for values in (logs[name]["objective"], logs[name]["test_accuracy"]):
            values[0, 40], values[0, 41:] = np.inf, np.nan
    logs["step"]["objective"][:], logs["cosine"]["objective"][:, 50:] = np.nan, 1e30
    train["td_loss"][8:] = 1e9, 1e200, np.inf, np.nan
    train["q_mean"][8:], train["rejected"][8:] = -train["td_loss"][8:], range(4)
    train["diverged_at"][8:], train["objective"][8:, 50:] = 51, np.nan
    assert drawn([write(tmp_path, tree | {"preset": "fig3"})], tmp_path)
    path = write(tmp_path, tree)
    assert drawn([path], tmp_path)
    names = [row[0] for row in pictures.policies(drawing.load(path))]
    assert "Q-gradient descent\n(1 of 3 diverged)" in names and r"qgd \$b\$" in names


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("task", ["lr", "reg"])
def test_one_step_one_episode_and_one_iterate_are_enough(task, tmp_path):
    expected = [name for name in EVERY if task == "lr" or name != "trace.png"]
    assert drawn([write(tmp_path, run_tree(task, K=1, T=1, E=1))], tmp_path) == expected


def test_without_a_training_or_a_comparison_the_rest_is_drawn(tmp_path):
    given, alone = run_tree(T=5), run_tree(T=5)
    del given["train"], alone["evaluation"]
    assert drawn([write(tmp_path, given | {"preset": "fig1"})], tmp_path) == EVERY[1:]
    for preset, tree in (("fig7", alone), ("causes", run_tree(K=0))):
        assert drawn([write(tmp_path, tree | {"preset": preset})], tmp_path) == EVERY[:1]
    assert drawn([write(tmp_path, alone)] * 2, tmp_path) == ["seeds.png"]


def test_the_comparison_says_on_what_and_what_is_returned(tmp_path):
    run = loaded(tmp_path, data="synthetic", seed=7)
    fig = pictures.comparison([run])
    assert fig.get_suptitle().startswith("SYNTHETIC IMAGES, NOT CIFAR-10")
    for fact in ("synthetic", "n = 2000", "T = 30", "hidden 100", "seed 7", "K = 3", "the better"):
        assert fact in fig.get_supxlabel()
    end, accuracy, _ = fig.axes
    rows = {text.get_text(): to_hex(text.get_color()) for text in end.get_yticklabels()}
    assert rows["Q-gradient descent"] == drawing.RED.lower() and "Figure 9's shape" in rows
    finals = [log["test_accuracy"][:, -1].mean() for log in run.evaluation.values()]
    dots = [line.get_xydata()[0] for line in accuracy.get_lines() if line.get_marker() == "o"]
    assert sorted(y for x, y in dots if x == 30) == pytest.approx(sorted(finals))
    run.train, run.controller = None, "mine.h5"
    caption = pictures.comparison([run]).get_supxlabel()
    assert "controller mine.h5" in caption and "seed" not in caption


def test_a_picture_of_a_pattern_claims_a_figure_only_if_it_shows_it(tmp_path):
    run = loaded(tmp_path, T=100)
    assert "pattern 1 (Figure 7)" in pictures.pattern([run]).get_suptitle()
    run.qgd["alpha"][:] = 1.0
    fig = pictures.pattern([run])
    assert "Figure" not in fig.get_suptitle() and "none of the paper's" in fig.get_suptitle()
    first = [line.get_xdata()[0] for line in fig.axes[0].get_lines() if line.get_linestyle() == ":"]
    assert first == [81]  # where the DQN is asked


def test_several_seeds_lie_over_one_another_beside_what_they_end_at(tmp_path):
    runs = [loaded(tmp_path / f"seed-{k}", seed=k) for k in range(3)]
    end, *left = pictures.training(runs, panels=3).axes
    names = [text.get_text() for text in end.get_yticklabels()]
    assert names[:3] == ["seed-0", "seed-1", "seed-2"] and "Armijo" in names and len(names) == 7
    loss = [line.get_ydata() for line in left[0].get_lines() if len(line.get_xdata()) == 12]
    assert np.array_equal(loss, [run.train["td_loss"] for run in runs])


def test_what_cannot_be_drawn_is_an_error_of_one_line(tmp_path, monkeypatch, capsys):
    path = write(tmp_path / "run", run_tree(T=2, E=2, preset="fig1"))
    other = write(tmp_path / "controller", {"kind": "controller"})
    (tmp_path / "empty").mkdir()

    def refused(*words):
        assert flags.one_line(lambda: command.redraw(list(map(str, words)))) == 2
        return capsys.readouterr().err.count("\n") == 1

    assert refused(other) and refused(tmp_path / "empty") and refused("none.h5") and refused()
    (path.parent / "fig1.png").write_text("old")
    full = mock.Mock(side_effect=OSError(28, "No space left on device"))
    monkeypatch.setattr(files.os, "replace", full)
    assert refused(path) and (path.parent / "fig1.png").read_text() == "old"
    assert len(list(path.parent.iterdir())) == 2


def test_the_command_draws_what_each_run_drew_whatever_the_folders_are_called(tmp_path):
    for k in range(2):
        write(tmp_path / "adam" / f"beta-{k}", run_tree(T=20, E=2, seed=k, preset="adam"))
        write(tmp_path / "$x$" / f"a$b_{{^{k}", run_tree(E=2, preset="fig6"))
    write(tmp_path / "n", run_tree(E=2, preset="fig10"))
    command.redraw(list(map(str, tmp_path.iterdir())))
    expected = ["$x$/seeds.png", "adam/adam.png", "n/fig10.png"]
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")) == expected


def test_a_pattern_is_told_by_its_curve_at_any_length_and_rate():
    cases = [
        (1, [(0, 15, "half")]),
        (2, [(0, 40, "alternate"), (40, 100, "half")]),
        (3, [(5, 25, "alternate"), (90, 100, "alternate")]),
        (0, []),
        (0, [(0, 100, "alternate")]),
        (0, [(90, 100, "alternate")]),
        (0, [(k, k + 10, "half") for k in range(0, 99, 11)]),  # a saw
        (0, [(40, 60, "half")]),
    ]
    for wanted, pieces in cases:
        for k in (1, 3):
            alpha, _ = curve(100 * k, *[(k * a, k * b, kind) for a, b, kind in pieces])
            assert report.pattern_of(alpha) == report.pattern_of(0.1 * alpha) == wanted
    diverged = np.where(np.arange(100) < 60, 0.5 ** np.arange(100), np.nan)
    assert not any(report.pattern_of(diverged[:T]) for T in (0, 1, 9, 100))  # 9: too short
