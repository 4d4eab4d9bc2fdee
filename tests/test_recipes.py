"""Each row of "To change X, touch this" in qgd_np/README.md, done on a copy of the project.

The changed copy trains, traces, saves, draws and goes on; a controller made otherwise is refused.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[1]
TINY = ["--data", "synthetic", "--train-size", "60", "--hidden", "5", "--steps", "10",
        "--iterates", "1"]  # fmt: skip


def edited(tmp_path, edits):
    """A copy of the project in which the texts of some files are replaced: {file: {old: new}}."""
    ignore = shutil.ignore_patterns("__pycache__", "controllers")
    shutil.copytree(TOP / "qgd_np", tmp_path / "qgd_np", ignore=ignore)
    shutil.copy(TOP / "run_lr.py", tmp_path)
    for name, texts in edits.items():
        text = (tmp_path / name).read_text()
        for old, new in texts.items():
            assert old in text, (name, old)
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
    return tmp_path


def run(top, *words, status=0):
    """Run the run file of the copy, which must end so; returns the finished process."""
    done = subprocess.run(
        [sys.executable, "run_lr.py", *TINY, *map(str, words)],
        cwd=top, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(top)},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done


RECIPES = {
    "action": {
        "qgd_np/environment.py": {
            "HALF, ACCEPT, RAISE = 0, 1, 2": "HALF, ACCEPT, RAISE, DOUBLE = 0, 1, 2, 2",
            '"lr": ("half", "accept")': '"lr": ("half", "accept", "double")',
        },
        "qgd_np/algorithms.py": {
            "ACCEPT, HALF, RAISE,": "ACCEPT, DOUBLE, HALF, RAISE,",
            "elif a == ACCEPT:                                           # A1:7":
                "elif a == DOUBLE:\n            alpha = 2 * alpha\n"
                "        elif a == ACCEPT:                                       # A1:7",
            "elif a == ACCEPT:                                       # A3:11":
                "elif a == DOUBLE:\n                alpha = 2 * alpha\n"
                "            elif a == ACCEPT:                                   # A3:11",
        },
        "run_lr.py": {'"accept": (': '"double": ("ours", "ours"), "accept": ('},
    },
    "feature": {"qgd_np/environment.py": {
        '"encoding", "alignment")': '"encoding", "alignment", "age")',
        "Eq. 4, Eq. 6": "Eq. 4, Eq. 6, t/100",
        "alignment if math.isfinite(alignment) else 1.0,":
            "alignment if math.isfinite(alignment) else 1.0, len(F) / 100,",
    }},
    "reward": {"qgd_np/algorithms.py": {
        "r = p.c1 / max(f(x) / unit - p.f_lb, p.gap)": "r = -p.c1 * f(x)",
        "r = p.c2 / max(f(xbar) / unit - p.f_lb, p.gap)": "r = -p.c2 * f(xbar)",
    }},
    "activation": {"qgd_np/lab/training.py": {
        "self.dtype = data": "self.net.activation = lambda Z: np.tanh(Z, out=Z)\n        "
        "self.net.derivative = lambda delta, A: np.multiply(delta, 1 - A * A, out=delta)\n        "
        "self.dtype = data",
    }},
}  # fmt: skip


@pytest.mark.parametrize("name", RECIPES)
def test_a_changed_copy_trains_traces_saves_draws_goes_on_and_is_told_apart(name, tmp_path):
    top = edited(tmp_path, RECIPES[name])
    assert "SYNTHETIC" in run(top, "--episodes", 2, "--trace", "--out", "run").stdout
    assert (top / "run" / "run.h5").exists() and list((top / "run").glob("*.png"))
    run(top, "--episodes", 3, "--resume", "--out", "run")
    run(top, "--controller", "run/controller.h5", "--out", "own")
    controller = TOP / "qgd_np" / "controllers" / "lr.h5"
    refused = name in ("action", "feature")
    other = run(top, "--controller", controller, "--out", "other", status=2 if refused else 0)
    if refused:
        assert len(other.stderr.splitlines()) == 1
        assert f"its {name}s is" in other.stderr and "here" in other.stderr


def test_another_data_set_is_a_dataset_of_ones_own_arrays(tmp_path):
    given = "    name, (images, labels, *test) ="
    mine = """    if source == "mine":
        parts = np.random.default_rng(0).standard_normal((60, 50), np.float32), np.arange(60) % 3
        return Dataset(source, *parts, *(part[:0] for part in parts), *parts, "-")
"""
    top = edited(tmp_path, {"qgd_np/images/__init__.py": {given: mine + given}})
    done = run(top, "--data", "mine", "--episodes", 2, "--out", "run")
    assert "mine: 60 training, 60 test images" in done.stdout
