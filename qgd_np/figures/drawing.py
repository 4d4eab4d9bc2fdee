"""What every picture shares: reading a run file to draw from it, colours, canvas and curves."""

import contextlib
import os
import textwrap
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image  # matplotlib brings it

from .. import config
from ..files import FileError, read
from ..mlp import MLP

STYLE = {"font.size": 8, "axes.titlesize": 8, "axes.grid": True, "grid.alpha": 0.3,
         "legend.fontsize": 7, "lines.linewidth": 1.2, "axes.axisbelow": True}  # fmt: skip
BLUE, RED, GREY = "#1f5fc4", "#d62728", "0.55"
COLOURS = {  # of a policy, the same in every picture; after Okabe and Ito
    "gd": (BLUE, "-"), "qgd": (RED, "-"), "armijo": ("#E69F00", "-"),
    "nonmonotone": ("#009E73", "-"), "pattern9": ("#9467bd", "-"), "gd lambda 0": ("#56B4E9", "--"),
    "adam 1e-3": ("black", ":"), "adam 3e-3": ("black", "--"), "l-bfgs": ("black", "-."),
    "alpha 0.1": ("0.6", ":"), "alpha 0.3": ("0.6", "--"), "alpha 0.5": ("0.6", "-."),
    "cosine": ("#8c564b", "--"), "step": ("#8c564b", ":"), "search": ("black", "-"),
    "1 half": ("#E69F00", ":"), "2 halves": ("#E69F00", "--"), "3 halves": ("#E69F00", "-."),
    "1 raise": ("#009E73", ":"), "2 raises": ("#009E73", "--"),
}  # fmt: skip
SERIES = (BLUE, "#E69F00", "#009E73", RED, "#9467bd", "#56B4E9", "black")  # several runs
ACTION_COLOURS = {"half": "#8fc1e8", "accept": "#f5c97a", "raise": "#7ccbb0"}
NAMES = {"gd": "gradient descent", "qgd": "Q-gradient descent"}
VALUE = {"lr": "alpha", "reg": "lambda"}
SYMBOL = {"alpha": r"$\alpha_{t+1}$", "lambda": r"$\lambda_{t+1}$"}
STEP, EPISODE, OBJECTIVE = "step t", "episode e", r"$f(x_{t+1})$"
AXES = ("$f(x_t)$", "max f of the past steps", "slope along $d_t$")
TYPICAL = (0.0, 0.1, -0.3, 0.2, 0.0, 0.5)  # features late in an episode
LOGGED = ("td_loss", "q_mean", "return", "epsilon", "objective", "test_accuracy", "diverged_at",
          "rejected")  # fmt: skip
DECADES = 12  # on a log axis, at most
SHOWN = 15  # panels in a picture of many runs, at most


def load(path):
    """A run file as folder, value (alpha or lambda), data, p, theta, dqn, evaluation and train.

    train is None for a run with --controller. Raises FileError for a file without results.
    """
    tree = read(path)
    try:
        value, dqn, evaluation = VALUE[tree["task"]], tree["dqn"], tree["evaluation"]
        net, keys = MLP(dqn["sizes"]), (value, "objective", "test_accuracy")
        layers = range(1, len(net.sizes))
        theta = np.concatenate([dqn[f"{name}{i}"].ravel() for i in layers for name in "Wb"])
        shapes = {evaluation[policy][key].shape for policy in {"qgd", *evaluation} for key in keys}
        if missing := set(LOGGED) - set(tree.get("train", LOGGED)):
            raise KeyError(f"train/{min(missing)}")
        fits = len(theta) == net.n_parameters and len(dqn["features"]) == len(TYPICAL)
        if not fits or len(shapes) != 1 or len(shape := shapes.pop()) != 2 or 0 in shape:
            raise ValueError("shapes that do not fit together")
        return SimpleNamespace(
            folder=Path(path).resolve().parent, value=value, data=tree["data"], theta=theta,
            controllers=tree.get("controllers"),
            p=config.from_json(tree["config"]), net=net, dqn=dqn, evaluation=evaluation,
            qgd=evaluation["qgd"], train=tree.get("train"),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = f"no {error}" if isinstance(error, KeyError) else error
        raise FileError(f"{path}: no results to draw in it ({why}); give a run.h5") from error


def canvas(runs, title, rows=1, columns=1, sharex=False, sharey=False, note=""):
    """An empty figure and its axes, with title and caption; synthetic images stand in the title.

    The caption: the note, then data set, n, T, hidden sizes, seed or the file of a controller that
    was given, K; a list where they differ.
    """
    fig = Figure(figsize=(7, 4), layout="constrained")
    synthetic = any(run.data == "synthetic" for run in runs)
    fig.suptitle("SYNTHETIC IMAGES, NOT CIFAR-10\n" * synthetic + title, fontsize=9, weight="bold")
    facts = [
        ("", run.data, "n = ", run.p.train_size, "T = ", run.qgd["objective"].shape[1],
         "hidden ", "-".join(map(str, run.p.hidden)),
         "seed " if run.train else "controller ", run.p.seed if run.train else given(run),
         "K = ", len(run.qgd["objective"])) for run in runs
    ]  # fmt: skip
    columns_of = list(zip(*facts, strict=True))
    pairs = zip(columns_of[::2], columns_of[1::2], strict=True)
    text = "; ".join(names[0] + ", ".join(map(str, dict.fromkeys(v))) for names, v in pairs)
    text = "\n".join(filter(None, [note, plain(textwrap.fill(text, 120))]))
    fig.supxlabel(text, fontsize=6.5, color="0.3")
    return fig, fig.subplots(rows, columns, squeeze=False, sharex=sharex, sharey=sharey)


def plain(text):
    """The text with its dollars as such: matplotlib takes what stands between two for a formula."""
    return text.replace("$", r"\$")


def given(run):
    """The file name of the controller that a run was given, the first if they are several."""
    return (run.controllers or ["of an older version"])[0]


def save(fig, path, small=False):
    """Write a picture; afterwards the whole new one is there, or still the old one.

    small: three quarters of the size and a palette of 128 colours, a fifth of the bytes.
    """
    temp = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fig.savefig(temp, format="png", dpi=90 if small else 120)  # 630 or 840 pixels wide
        if small:
            with Image.open(temp) as picture:
                picture = picture.convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=0)
            picture.save(temp, "png", optimize=True)
        os.replace(temp, path)
    except OSError as error:
        why = error.strerror or error
        raise FileError(f"{path}: the picture cannot be written ({why})") from error
    finally:
        with contextlib.suppress(OSError):
            temp.unlink(missing_ok=True)
    return path


def curve(ax, y, colour, label=None, style="-"):
    """Plot y over 1, 2, ...; gaps where it is not finite, dots where a line would not show.

    Beyond 1e100, where an axis can fail, counts as not finite.
    """
    y = np.where(np.abs(y) < 1e100, y, np.nan)
    marker = "." if np.isfinite(y).sum() <= 20 else None
    ax.plot(np.arange(1, len(y) + 1), y, style, color=colour, label=label, marker=marker)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def scale(ax):
    """A log axis if the curves span over 1.5 decades; what explodes may leave the picture."""
    y = np.concatenate([line.get_ydata() for line in ax.get_lines()])
    size = np.log10(np.abs(y[np.isfinite(y) & (y != 0)]))
    if not size.size or np.ptp(size) <= 1.5:
        return
    if not (y < 0).any():
        ax.set_yscale("log", nonpositive="mask")
        if np.ptp(size) > DECADES:
            ax.set_ylim(10 ** (size.min() - 0.5), 10 ** (size.min() + DECADES))
    elif size.max() - np.median(size) > 2:
        limit = 10 ** (np.median(size) + 1)
        ax.set_ylim(max(-limit, np.nanmin(y)), min(limit, 1.1 * np.nanmax(y)))
