"""What every picture shares: run files, colours, the canvas, curves and rows of dots."""

import io
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from matplotlib.figure import Figure
from PIL import Image  # matplotlib brings it

from .. import config, files

STYLE = {"font.size": 8, "axes.titlesize": 8, "axes.grid": True, "grid.alpha": 0.3,
         "legend.fontsize": 7, "lines.linewidth": 1.2, "axes.axisbelow": True}  # fmt: skip
# after Okabe and Ito: the colour-blind can tell them apart
BLUE, RED, ORANGE, GREEN = "#0072B2", "#CC3311", "#E69F00", "#009E73"
SKY, PINK, GREY = "#56B4E9", "#CC79A7", "#8C8C8C"
POLICIES = {  # name in the pictures, colour and line
    "gd": ("gradient descent", BLUE, "-"),
    "qgd": ("Q-gradient descent", RED, "-"),
    "armijo": ("Armijo", ORANGE, "--"),
    "nonmonotone": ("nonmonotone", SKY, "-."),
    "pattern9": ("Figure 9's shape", "black", "--"),
    "heavy ball": ("heavy ball", GREEN, "--"),
    "adam 3e-3": ("Adam", SKY, ":"),
}
RIVALS = ("armijo", "heavy ball")  # the first that was run is shown step by step beside the DQN
OBJECTIVE, VALUE = r"$f(x_{t+1})$", r"$\%s_{t+1}$"
BETTER = ", the better of the last candidate and the accepted iterate"  # D10


def load(path):
    """A run file to draw from: its tree as attributes, and path, folder, config p, value, K.

    Of the closing comparison, if any: qgd and the name of a rival.
    """
    run = SimpleNamespace(train=None, evaluation={}, preset="default", flags="{}")
    vars(run).update(files.read(path, "run"), path=Path(path).resolve())
    run.folder, run.p = run.path.parent, config.make(run.task, json.loads(run.config))
    flags = json.loads(run.flags)
    run.controller = Path((flags.get("controller") or [""])[0]).name
    run.value = "alpha" if run.task == "lr" else "lambda"
    run.evaluation = {k: log for k, log in run.evaluation.items() if log["objective"].size}
    run.qgd = run.evaluation.get("qgd")
    run.random = run.p.problems == "random" and run.qgd
    run.rival = next((name for name in RIVALS if name in run.evaluation), None)
    run.K = len(run.qgd["action"]) if run.qgd else 0
    return run


def canvas(runs, title, note=""):
    """A figure with a title, in which synthetic images stand; its caption says how it was made."""
    run, p = runs[0], runs[0].p
    fig = Figure(figsize=(7, 4), layout="constrained")
    synthetic = any(run.data == "synthetic" for run in runs)
    fig.suptitle("SYNTHETIC IMAGES, NOT CIFAR-10\n" * synthetic + title, fontsize=9, weight="bold")
    seeds = ", ".join(dict.fromkeys(str(run.p.seed) for run in runs))
    made_by = f"seed {seeds}" if run.train else f"controller {run.controller}"
    net = f"n = {p.train_size}; hidden {'-'.join(map(str, p.hidden))}; "
    text = f"{run.data}; {net if p.problems == 'images' else ''}T = {p.steps}; {made_by}"
    caption = note + "\n" * bool(note) + plain(f"{text}; K = {run.K}")
    fig.supxlabel(caption, fontsize=6.5, color="0.3")
    return fig


def plain(text):
    """The text with its dollars as such: matplotlib takes what stands between two for a formula."""
    return text.replace("$", r"\$")


def save(fig, path):
    """Write a picture in 128 colours, 840 pixels wide."""
    buffer, packed = io.BytesIO(), io.BytesIO()
    fig.savefig(buffer, format="png", dpi=120)
    picture = Image.open(buffer).convert("RGB").quantize(128, Image.Quantize.FASTOCTREE, dither=0)
    picture.save(packed, "png", optimize=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    files.save(path, packed.getvalue())
    return path


def curve(ax, y, returned=False, **look):
    """Plot y over 1, 2, ..., gaps where not finite; returned: its last as a dot apart (D10)."""
    y, t = np.where(np.abs(y) < 1e100, y, np.nan), np.arange(1, len(y) + 1)  # or an axis may fail
    if returned:  # beside the last step that was reached (D37)
        end, y[-1] = y[-1], np.nan
        ax.plot(1 + max(t[np.isfinite(y)], default=0), end, "o", color=look["color"], ms=3.5)
    ax.plot(t, y, marker="." if np.isfinite(y).sum() <= 20 else None, **look)
    ax.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)


def scale(ax):
    """A log axis if the curves span over 1.5 decades; what explodes may leave the picture."""
    y = np.concatenate([line.get_ydata() for line in ax.get_lines()])
    size = np.abs(y[np.isfinite(y) & (y != 0)])
    if size.size and size.max() > 30 * size.min() and not (y < 0).any():
        ax.set_yscale("log", nonpositive="mask")
        if size.max() > 1e12 * size.min():  # else the axis stays free for its neighbours' curves
            ax.set_ylim(top=1e12 * size.min())
    elif size.size and size.max() > 100 * np.median(size):
        ax.set_yscale("symlog", linthresh=np.median(size))


def dots(ax, rows, middle=np.mean):
    """Rows of dots (name, values, colour, style, which are crosses), a bar at each middle."""
    ax.set_yticks(range(len(rows)), labels=[row[0] for row in rows])
    for text, row in zip(ax.get_yticklabels(), rows, strict=False):  # none where they are shared
        text.set_color(row[2])
    for y, (_, values, colour, style, crosses) in enumerate(rows):
        ax.axhline(y, color=colour, ls=style, lw=0.8, alpha=0.5)
        for x, cross in zip(values, crosses, strict=True):  # what is not finite: the right edge
            x, frame = (x, ax.transData) if np.isfinite(x) else (0.96, ax.get_yaxis_transform())
            ax.plot(x, y, "x" if cross else "o", color=colour, ms=4, alpha=0.7, transform=frame)
        ax.plot([middle(values)] * 2, [y - 0.35, y + 0.35], color=colour, lw=1.8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
