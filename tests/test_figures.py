"""What figures.py and patterns.py promise: a picture for every kind of run, patterns told apart."""

import subprocess
import sys

import numpy as np
import pytest

from qgd_np import config, files
from qgd_np.bench import __main__ as bench
from qgd_np.environment import ACTIONS, FEATURE_MAP, FEATURES
from qgd_np.figures import __main__ as figures
from qgd_np.figures import drawing, patterns, pictures
from qgd_np.lab import presets
from qgd_np.mlp import MLP

VALUE = {"lr": "alpha", "reg": "lambda"}
LR = ("gd", "armijo", "nonmonotone", "pattern9", "qgd")
REG = ("gd", "gd lambda 0", "qgd")
MORE = ("adam 1e-3", "adam 3e-3", "l-bfgs", "alpha 0.1", "alpha 0.3", "alpha 0.5", "cosine", "step")


def actions_of(kind, T, rng):
    """Actions (T,) whose alpha shows a pattern; 0 half, 1 accept."""
    alternate = np.arange(T) % 2
    a = np.ones(T, int)
    if kind == 1:
        a[: T // 5] = alternate[: T // 5]
    if kind == 2:
        a[T // 10 :] = 0
    if kind == 3:
        a[: T // 10], a[T - T // 7 :] = alternate[: T // 10], alternate[T - T // 7 :]
    if kind == "random":
        a = (rng.random(T) < 0.6).astype(int)
    return a


def values_of(actions, start):
    """alpha_{t+1} or lambda_{t+1} after each action (T,)."""
    value, values = start, []
    for a in actions:
        value = (value / 2, start, value * 1.25)[a]
        values.append(value)
    return np.array(values)


def evaluation(task, K, T, kind, more, rng):
    """/evaluation: accuracies and losses (K, T) that look like CIFAR-10's."""
    tree, t = {}, np.arange(1, T + 1) / 100
    names = (LR if task == "lr" else REG) + (MORE if more else ())
    for i, name in enumerate(names):
        noise = rng.standard_normal((K, T)) * (0.25 if name == "gd" else 0.03) * np.exp(-t)
        f = 1.6 + 0.07 * i + 0.9 * np.exp(-3 * t) + np.abs(noise)
        action = np.array([actions_of(kind if name == "qgd" else 0, T, rng) for _ in range(K)])
        if task == "reg" and name == "qgd":
            action = rng.integers(0, 3, (K, T))
        tree[name] = {
            "objective": f,
            "test_accuracy": 0.7 - 0.18 * f,
            "action": action.astype(np.int8),
            VALUE[task]: np.array([values_of(a, 1.0 if task == "lr" else 0.01) for a in action]),
            "seconds": np.ones(K),
        }
    return tree


def train_log(task, E, T, diverging, rng):
    """/train of E episodes; a diverging one explodes in its last third."""
    e = np.arange(E)
    loss = np.exp(-e / 40 + 0.3 * rng.standard_normal(E)) / 10
    log = {
        "td_loss": loss, "return": 60 - 20 * np.exp(-e / 20) + rng.standard_normal(E),
        "epsilon": np.maximum(0.1, 1 - e / 50), "seconds": np.ones(E),
        "q_mean": 40 * (1 - np.exp(-e / 15)), "test_accuracy": 0.4 - 0.1 * np.exp(-e / 30),
        "diverged_at": np.zeros(E, np.int64), "rejected": np.zeros(E, np.int64),
    }  # fmt: skip
    log["objective"] = 2.4 - 0.7 * np.arange(T) / T + 0.05 * rng.standard_normal((E, T))
    log["reward"] = log[VALUE[task]] = np.ones((E, T))
    log["action"] = np.ones((E, T), np.int8)
    if diverging:
        late = np.arange(2 * E // 3, E)
        log["td_loss"][late] = 10.0 ** np.minimum(12 * (late - late[0]), 300)
        log["td_loss"][late[-3:]] = [np.inf, np.nan, np.nan][-len(late[-3:]) :]
        log["q_mean"][late], log["rejected"][late[1:]] = -log["td_loss"][late], late[1:]
        log["diverged_at"][late[::2]] = T
        log["objective"][late[::2], T // 2 :] = np.nan
    return log


def run_tree(task="lr", K=3, T=100, E=60, kind=3, seed=0, more=False, diverging=False,
             data="cifar10"):  # fmt: skip
    """A run file's tree, in the shape that command.py writes."""
    rng = np.random.default_rng(seed)
    p = config.make(task, dict(steps=T, episodes=E, seed=seed, M=min(5, T)))
    net = MLP((len(FEATURES), 32, 16, len(ACTIONS[task])))
    dqn = {"features": list(FEATURES), "feature_map": FEATURE_MAP, "actions": list(ACTIONS[task])}
    dqn |= {"sizes": np.array(net.sizes), "M": p.M}
    for i, (W, b) in enumerate(net.layers(net.initialise(rng, np.float64)), 1):
        dqn |= {f"W{i}": 2 * W, f"b{i}": b}
    return {
        "task": task, "config": config.to_json(p), "version": "1.0.0", "data": data,
        "device": "cpu", "threads": 1, "iterate_seeds": np.arange(1000, 1000 + K),
        "train": train_log(task, E, T, diverging, rng), "dqn": dqn,
        "evaluation": evaluation(task, K, T, kind, more, rng),
    }  # fmt: skip


def write(folder, tree):
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / "run.h5", tree)
    return folder / "run.h5"


def sound(pictures):
    """Whether the files are PNG pictures that show something."""
    from matplotlib.image import imread

    return pictures and all(p.stat().st_size > 8000 and imread(p).std() > 0.05 for p in pictures)


# -- every preset draws ---------------------------------------------------------------------------


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_each_preset_draws_its_pictures(preset, tmp_path):
    tasks, runs = presets.PRESETS[preset]
    files = [
        write(tmp_path / name, run_tree(tasks[-1], E=12, T=30, seed=i, kind=i % 4))
        for i, name in enumerate(list(runs)[:4])
    ]
    pictures = figures.draw(files, preset, tmp_path)
    every = ["training", "comparison", "pattern", "rule"]
    expected = every if preset in ("default", "paper") else [preset]
    assert [p.name for p in pictures] == [f"{name}.png" for name in expected]
    assert {p.parent for p in pictures} == {tmp_path}
    assert sound(pictures)


@pytest.mark.filterwarnings("error")
def test_episodes_and_policies_that_diverge_are_drawn_without_a_warning(tmp_path):
    tree = run_tree(E=30, diverging=True, more=True, data="synthetic")
    for name in ("gd", "l-bfgs", "qgd"):
        for values in (tree["evaluation"][name][key] for key in ("objective", "test_accuracy")):
            values[0, 40], values[0, 41:] = np.inf, np.nan
    tree["evaluation"]["step"]["objective"][:] = np.nan
    tree["evaluation"]["cosine"]["objective"][:, 50:] = 1e30
    path = write(tmp_path, tree)
    assert sound(figures.draw([path], "default", tmp_path))
    assert sound(figures.draw([path], "fig3", tmp_path))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("task", ["lr", "reg"])
def test_one_step_one_episode_and_one_iterate_are_enough(task, tmp_path):
    path = write(tmp_path, run_tree(task, K=1, T=1, E=1))
    assert sound(figures.draw([path], "default", tmp_path))


def test_a_run_with_a_given_controller_has_no_picture_of_a_training(tmp_path):
    tree = run_tree(T=2, K=1)
    del tree["train"]
    path = write(tmp_path, tree)
    for preset in ("default", "fig1"):
        names = [p.name for p in figures.draw([path], preset, tmp_path)]
        assert names == ["comparison.png", "pattern.png", "trace.png", "rule.png"]


def test_the_title_says_synthetic_and_the_caption_names_the_run(tmp_path):
    run = drawing.load(write(tmp_path, run_tree(data="synthetic", seed=7)))
    fig = pictures.comparison([run])
    assert fig.get_suptitle().startswith("SYNTHETIC IMAGES")
    for fact in ("synthetic", "n = 2000", "T = 100", "hidden 100", "seed 7", "K = 3"):
        assert fact in fig.get_supxlabel()
    real = drawing.load(write(tmp_path, run_tree()))
    assert "SYNTHETIC" not in pictures.comparison([real]).get_suptitle()


def test_q_gradient_descent_is_red_and_gradient_descent_blue(tmp_path):
    for task in ("lr", "reg"):
        run = drawing.load(write(tmp_path, run_tree(task)))
        lines = pictures.comparison([run]).axes[0].get_lines()
        colours = {line.get_label(): line.get_color() for line in lines}
        assert colours["Q-gradient descent"] == drawing.RED
        assert colours["gradient descent"] == drawing.BLUE


# -- errors and the command line ------------------------------------------------------------------


@pytest.mark.parametrize("part", ["evaluation", "evaluation/qgd", "dqn", "train/rejected"])
def test_a_file_without_results_is_an_error_of_one_line(part, tmp_path, capsys):
    tree = run_tree(T=2, E=2)
    *groups, name = part.split("/")
    del (tree[groups[0]] if groups else tree)[name]
    assert figures.main([str(write(tmp_path, tree))]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_full_disk_is_an_error_of_one_line_and_leaves_the_old_picture(tmp_path, monkeypatch):
    path = write(tmp_path, run_tree(T=2, E=2))
    (tmp_path / "fig10.png").write_text("old")

    def full(*paths):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(drawing.os, "replace", full)
    with pytest.raises(files.FileError, match="cannot be written") as error:
        figures.draw([path], "fig10", tmp_path)
    assert "\n" not in str(error.value)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["fig10.png", "run.h5"]
    assert (tmp_path / "fig10.png").read_text() == "old"


def test_the_command_draws_what_the_folder_is_named_after(tmp_path, capsys):
    for i in range(2):
        write(tmp_path / "lr-fig7-0" / f"seed-{i}", run_tree(T=20, E=2, seed=i))
    single = write(tmp_path / "lr-fig10-3", run_tree(T=20, E=2))
    assert figures.main([str(tmp_path / "lr-fig7-0"), str(single), "--preset", "fig7"]) == 0
    assert (single.parent / "fig7.png").exists()
    (tmp_path / "lr-fig7-0" / "fig7.png").unlink()
    assert figures.main([str(tmp_path / "lr-fig7-0")]) == 0
    assert (tmp_path / "lr-fig7-0" / "fig7.png").exists()
    assert figures.main([str(single)]) == 0
    assert (single.parent / "fig10.png").exists()
    (tmp_path / "empty").mkdir()
    assert figures.main([str(tmp_path / "empty")]) == 2
    assert figures.main([str(tmp_path / "none.h5")]) == 2
    assert figures.main([]) == 2
    assert figures.main([str(single), "--preset", "causes"]) == 2
    assert capsys.readouterr().err.count("\n") == 4


def test_a_gallery_of_several_runs_has_a_folder_for_each_and_touches_no_run(tmp_path):
    for name in ("one", "two"):
        write(tmp_path / "runs" / name, run_tree(T=20, E=2))
    assert figures.main([str(tmp_path / "runs"), "--gallery", str(tmp_path / "small")]) == 0
    drawn = {path.parent.name for path in (tmp_path / "small").glob("*/training.png")}
    assert drawn == {"one", "two"} and not list((tmp_path / "runs").rglob("*.png"))


def test_a_folder_of_any_name_is_drawn(tmp_path):
    for k, name in enumerate(("a$b_{^$", "$x$")):
        write(tmp_path / name, run_tree(T=20, E=2, seed=k))
    for preset in ("fig1", "fig7"):
        assert figures.main([str(tmp_path), "--preset", preset]) == 0


def test_an_interrupt_is_one_line(tmp_path, monkeypatch, capsys):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "draw", stop)
    assert figures.main([str(write(tmp_path, run_tree(T=2, E=2)))]) == 130
    monkeypatch.setattr(bench, "measure", stop)
    assert bench.main(["--sizes", "10"]) == 130
    assert capsys.readouterr().err == "stopped\nstopped\n"


def test_the_caption_names_the_controller_of_a_run_without_training(tmp_path):
    tree = run_tree(T=5, E=2)
    trained = drawing.load(write(tmp_path / "a", tree))
    del tree["train"]
    old = drawing.load(write(tmp_path / "b", tree))
    given = drawing.load(write(tmp_path / "c", tree | {"controllers": ["mine.h5", "b.h5"]}))
    captions = [drawing.canvas([run], "")[0].get_supxlabel() for run in (trained, old, given)]
    assert "seed 0" in captions[0] and "seed" not in captions[1]
    assert "controller mine.h5" in captions[2] and "seed" not in captions[2]


def test_drawing_needs_no_pyplot_and_so_no_screen():
    code = "import sys, qgd_np.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# -- the patterns ---------------------------------------------------------------------------------


def curve(T, *pieces):
    """alpha (T,) for pieces (from step, to step, "accept", "half" or "alternate")."""
    action = np.ones(T, int)
    for start, end, kind in pieces:
        action[start:end] = 0 if kind == "half" else np.arange(end - start) % 2
    return values_of(action, 1.0), action


@pytest.mark.parametrize(
    "wanted, pieces",
    [
        (1, [(0, 20, "alternate")]),
        (1, [(0, 15, "half")]),
        (2, [(0, 100, "half")]),
        (2, [(30, 100, "half")]),
        (2, [(0, 40, "alternate"), (40, 100, "half")]),
        (3, [(0, 10, "alternate"), (85, 100, "alternate")]),
        (3, [(0, 12, "half"), (88, 100, "half")]),
        (3, [(5, 25, "alternate"), (90, 100, "alternate")]),
        (0, []),
        (0, [(0, 100, "alternate")]),
        (0, [(90, 100, "alternate")]),
        (0, [(40, 60, "half")]),
    ],
)
def test_a_pattern_is_told_by_its_curve_at_any_length_and_rate(wanted, pieces):
    for scale in (1, 3):
        alpha, action = curve(100 * scale, *[(scale * a, scale * b, k) for a, b, k in pieces])
        assert patterns.classify(alpha, action) == wanted
        assert patterns.classify(0.1 * alpha) == wanted


def test_short_and_diverged_episodes_show_no_pattern():
    alpha, action = curve(100, (0, 100, "half"))
    alpha[60:] = np.nan
    assert patterns.classify(alpha, action) == 0
    for T in (0, 1, 2, 9):
        assert patterns.classify(np.full(T, 0.5) ** np.arange(T)) == 0


def test_random_actions_seldom_show_a_pattern():
    rng = np.random.default_rng(0)
    episodes = [values_of((rng.random(100) < 0.6).astype(int), 1.0) for _ in range(50)]
    assert sum(patterns.classify(alpha) > 0 for alpha in episodes) <= 10
