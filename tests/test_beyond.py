"""Random problems, and a controller that is trained and compared on them."""

import json

import numpy as np
import pytest
from small_runs import run

import run_lr
from qgd_np import figures
from qgd_np.beyond import anywhere
from qgd_np.beyond.problems import NEVER, TRAINED, draw
from qgd_np.lab.command import main


@pytest.mark.parametrize("kind", TRAINED + NEVER, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("large", (False, True))
def test_a_random_problem_and_its_gradient(kind, large):
    f, x_1 = draw(kind, np.random.default_rng(5), [4.0], large)
    assert f(x_1) == pytest.approx(1.0) and f.alpha_c * f.L == pytest.approx(4.0)
    rng = np.random.default_rng(0)
    x, v = x_1.x + 0.01 * rng.standard_normal(len(x_1.x)), rng.standard_normal(len(x_1.x))
    h = 1e-5 / np.linalg.norm(v)
    assert f.df(x) @ v == pytest.approx((f.f(x + h * v) - f.f(x - h * v)) / (2 * h), rel=1e-4)


def test_the_curvature_of_a_quadratic_and_the_limit():
    f, x_1 = draw(TRAINED[0], np.random.default_rng(1), [1.0], limit=10.0)
    H = np.array([f.df(e) for e in np.eye(len(x_1.x))])
    assert f.L == pytest.approx(np.linalg.eigvalsh(H).max(), rel=0.05)
    assert f(f.point(3 * x_1.x)) == pytest.approx(9.0) and f(f.point(4 * x_1.x)) == np.inf


def test_problems_in_turn_and_the_present_one():
    cells = {anywhere.place(seed) for seed in range(2 * 9 * 9)}
    assert len(cells) == 162 and {factor for _, factor, _ in cells} == set(anywhere.FACTORS)
    problems = anywhere.Problems()
    first, second = problems.iterate(0), problems.iterate(1)
    assert problems(first) == 1.0 and problems.now is first.function
    assert problems(second) == 1.0 and problems.now is second.function
    assert (problems.iterate(7, 3, 4).x == problems.iterate(7, 3, 4).x).all()


def test_a_run_on_random_problems_and_its_dqn_on_images(tmp_path, capsys, call):
    flags = ["--preset", "anywhere", "--episodes", "4", "--steps", "15", "--iterates", "18"]
    policies = ["--policies", "gd", "armijo"]
    assert main(run_lr.TASK, [*flags, *policies, "--quiet", "--out", str(tmp_path)]) == 0
    said, tree = capsys.readouterr().out, run(tmp_path)
    assert "ends above f(x_1) on 0" in said and "rosenbrock" in said
    qgd = tree["evaluation"]["qgd"]
    assert (qgd["objective"][:, -1] <= qgd["objective_1"]).all()
    assert np.isfinite(tree["train"]["td_loss"]).all() and (tmp_path / "anywhere.png").exists()
    flags = ["--preset", "anywhere", "--problems", "images", "--alpha-c", 4, "--policies", "armijo"]
    out = tmp_path / "images"
    assert call("lr", *flags, "--controller", tmp_path / "controller.h5", "--out", out) == 0
    tree = run(out)
    assert json.loads(tree["config"])["map"] == "line"
    assert figures.draw([out / "run.h5"], out)[0].name == "comparison.png"
    assert tree["evaluation"]["qgd"]["objective_1"] != 1.0
