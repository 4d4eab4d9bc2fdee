"""The pictures of the paper, drawn from run files; nothing is trained here.

    python -m qgd_np.figures RUN [RUN ...]

RUN is a run.h5, or a folder with one, or a folder of such folders. The log holds alpha_{t+1} and
f(x_{t+1}) for step t = 1, ..., T; K is the number of initial iterates in the comparison.
"""

import argparse
import sys
from functools import partial
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from . import causes, config, patterns
from .drawing import (
    ACTION_COLOURS,
    AXES,
    BLUE,
    COLOURS,
    EPISODE,
    GREY,
    NAMES,
    OBJECTIVE,
    RED,
    SERIES,
    SHOWN,
    STEP,
    STYLE,
    SYMBOL,
    TYPICAL,
    canvas,
    curve,
    load,
    save,
    scale,
)
from .environment import ACCEPT
from .runfile import RunFileError


def draw_td_loss(ax, runs):
    """The TD loss; marks below and above where f or theta left the finite numbers (D23)."""
    for run, colour in zip(runs, cycle(SERIES), strict=False):
        curve(ax, run.train["td_loss"], colour, run.folder.name if len(runs) > 1 else None)
    for i, (run, colour) in enumerate(zip(runs, cycle(SERIES), strict=False)):
        log = run.train
        exploded = np.isinf(log["td_loss"]) | (np.diff(log["rejected"], prepend=0) > 0)
        mark(ax, exploded, 0.97 - 0.03 * i, "x", colour, r"$\theta$ diverged: update not taken")
        mark(ax, log["diverged_at"] > 0, 0.03 + 0.03 * i, "|", colour, "f diverged")
    scale(ax)
    ax.set(xlabel=EPISODE, ylabel="TD loss")
    if ax.get_legend_handles_labels()[0]:
        ax.legend()


def mark(ax, episodes, height, marker, colour, text):
    """Mark the episodes that are True at a height of the axes; text stands once in the legend."""
    at = np.flatnonzero(episodes) + 1
    if len(at):
        text = None if text in ax.get_legend_handles_labels()[1] else text
        ax.scatter(at, [height] * len(at), s=14, color=colour, marker=marker, lw=0.8, label=text,
                   transform=ax.get_xaxis_transform())  # fmt: skip


def td_loss(runs):
    """Figures 1, 2, 6 and 12; several runs in one picture: Figure 5 and the Adam trials."""
    fig, axes = canvas(runs, f"Loss of the DQN that controls {SYMBOL[runs[0].value][:-7]}$")
    draw_td_loss(axes[0, 0], runs)
    return fig


def training(runs):
    """TD loss, mean of max_a Q, return and epsilon over the episodes: does the DQN converge?"""
    fig, axes = canvas(runs, "Training of the DQN", 2, 2, sharex=True)
    draw_td_loss(axes[0, 0], runs)
    names = ("q_mean", "return", "epsilon")
    texts = (r"mean of $\max_a Q(s;\theta)$", "return", r"$\epsilon$")
    for ax, name, text in zip(axes.flat[1:], names, texts, strict=True):
        curve(ax, runs[0].train[name], BLUE)
        scale(ax)
        ax.set(ylabel=text, xlabel=EPISODE)
    for ax in axes[0]:
        ax.set(xlabel="")
    return fig


def objective_net(runs):
    """Figures 3 and 4: f over the steps of some episodes, test accuracy over the episodes."""
    title = "The objective net in several episodes (Figures 3 and 4)"
    fig, ((left, right),) = canvas(runs, title, 1, 2)
    objective = runs[0].train["objective"]
    chosen = np.unique(np.linspace(0, len(objective) - 1, 6).astype(int))
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.1, 1, len(chosen)))
    for e, shade in zip(chosen, shades, strict=True):
        curve(left, objective[e], shade, f"e = {e + 1}")
    scale(left)
    left.legend()
    left.set(xlabel=STEP, ylabel=OBJECTIVE)
    curve(right, runs[0].train["test_accuracy"], BLUE)
    right.set(xlabel=EPISODE, ylabel="test accuracy at the end of the episode")
    return fig


def comparison(runs):
    """Figures 10 and 11: Q-gradient descent (red), gradient descent (blue) and the others."""
    evaluation, note = runs[0].evaluation, "lines: mean over K unseen $x_1$; bands: their range"
    title = "Accuracy and loss under Q-gradient descent and others (Figures 10 and 11)"
    fig, ((left, right),) = canvas(runs, title, 1, 2, note=note)
    names = [*(n for n in COLOURS if n in evaluation), *(n for n in evaluation if n not in COLOURS)]
    for name in names:
        band = len(names) <= 3 or name in ("gd", "qgd")
        policy_curve(left, evaluation[name]["test_accuracy"], name, band)
        policy_curve(right, evaluation[name]["objective"], name, band)
    scale(right)
    left.set(xlabel=STEP, ylabel="test accuracy")
    right.set(xlabel=STEP, ylabel=OBJECTIVE)
    finite = [f[np.isfinite(f)] for f in (run["objective"] for run in evaluation.values())]
    highest = [f.max() for f in finite if f.size]
    if highest and max(highest) > 2 * np.median(highest):  # who diverged would flatten the others
        right.set_ylim(top=2 * np.median(highest))
    fig.legend(*right.get_legend_handles_labels(), loc="outside right center")
    return fig


def policy_curve(ax, y, name, band):
    """The mean of y (K, T) over the iterates that are finite, with their range."""
    colour, style = COLOURS.get(name, (GREY, "-"))
    y = np.ma.masked_invalid(y)
    ended = int(np.ma.getmaskarray(y)[:, -1].sum())
    label = NAMES.get(name, name) + f"\n({ended} of {len(y)} end early)" * (ended > 0)
    curve(ax, y.mean(axis=0).filled(np.nan), colour, label, style)
    ax.lines[-1].set_zorder(3 if name == "qgd" else 2)
    if band and len(y) > 1:
        low, high = (v.filled(np.nan) for v in (y.min(axis=0), y.max(axis=0)))
        ax.fill_between(np.arange(1, y.shape[1] + 1), low, high, color=colour, alpha=0.2, lw=0)


def pattern(runs):
    """One run's alpha or lambda, and f, over the steps under the greedy DQN (Figures 7 to 9)."""
    qgd, value = runs[0].qgd, runs[0].value
    title = "Adjusting pattern under the greedy DQN (Figures 7 to 9)"
    if value == "lambda":
        title = "$\\lambda$ under the greedy DQN; shaded: no accept, so $x_{t+1} = x_t$"
    columns = min(3, len(qgd["objective"]))
    fig, axes = canvas(runs, title, 2, columns, sharex=True, sharey="row")
    for k, (top, bottom) in enumerate(axes.T):
        curve(top, qgd[value][k], RED)
        curve(bottom, qgd["objective"][k], RED)
        scale(bottom)
        top.set(title=f"iterate {k + 1}", ylabel=SYMBOL[value])
        bottom.set(xlabel=STEP, ylabel=OBJECTIVE)
        if value == "alpha":
            which = patterns.classify(qgd[value][k], qgd["action"][k])
            top.set_title(f"iterate {k + 1}: {patterns.LABELS[which]}")
            top.set_ylim(bottom=0)
        else:
            scale(top)
            shade_waits((top, bottom), qgd["action"][k])
    for ax in axes.flat:
        ax.label_outer()
    return fig


def shade_waits(axes, action):
    """Shade the steps that are no accept: they turn lambda and leave x and f as they are (D15)."""
    spans = [(t + 0.5, 1) for t in np.flatnonzero((action >= 0) & (action != ACCEPT))]
    for ax in axes:
        place = ax.get_xaxis_transform()
        ax.broken_barh(spans, (0, 1), color="0.88", zorder=0, transform=place)


def pattern_of_runs(runs, wanted):
    """Figures 7, 8 and 9: the runs that show the wanted pattern, and how many showed each."""
    shown = [list(map(patterns.classify, run.qgd[run.value], run.qgd["action"])) for run in runs]
    found = [max(k, key=k.count) for k in shown]  # what most of a run's iterates show
    title = f"Adjusting pattern {wanted} (Figure {wanted + 6}), shown by {found.count(wanted)}"
    title += f" of {len(runs)} runs\nall runs: "
    title += ", ".join(f"{name}: {found.count(k)}" for k, name in patterns.LABELS.items())
    hits = [i for i, k in enumerate(found) if k == wanted]
    drawn = (hits or range(len(runs)))[:SHOWN]
    columns = min(5, len(drawn))
    fig, axes = canvas(runs, title, -(-len(drawn) // columns), columns, sharex=True, sharey=True)
    for ax, i in zip(axes.flat, drawn, strict=False):
        k = shown[i].index(found[i])
        curve(ax, runs[i].qgd[runs[i].value][k], RED if hits else GREY)
        ax.set(title=runs[i].folder.name, xlabel=STEP, ylabel=SYMBOL[runs[i].value])
        ax.set_ylim(bottom=0)
        ax.label_outer()
    for ax in axes.flat[len(drawn) :]:
        ax.remove()
    return fig


def rule(runs):
    """The learned rule: the greedy action over the slope and three other features."""
    run, grid = runs[0], np.linspace(-1, 1, 121)
    formulas = [*run.dqn["feature_map"].split(", "), *[""] * 4]  # of another version, maybe
    others = ", ".join(f"{n} {v:g}" for n, v in zip(run.dqn["features"], TYPICAL, strict=True))
    note = f"features that are not on the axes: {others}\nlines: lead of the best action in Q"
    fig, axes = canvas(runs, "The learned rule: greedy action of the DQN", 1, 3, sharey=True,
                       note=note)  # fmt: skip
    colours = [ACTION_COLOURS.get(name, GREY) for name in run.dqn["actions"]]
    for i, ax in enumerate(axes[0]):
        states = np.tile(TYPICAL, (grid.size**2, 1))
        states[:, i], states[:, 3] = (v.ravel() for v in np.meshgrid(grid, grid))
        Q = run.net.forward(run.theta, states)[-1]
        action, Q = Q.argmax(axis=1), np.sort(Q, axis=1)
        lead = (Q[:, -1] - Q[:, -2]).reshape(grid.size, -1)
        ax.imshow(action.reshape(lead.shape), ListedColormap(colours), vmin=0, aspect="auto",
                  vmax=len(colours) - 1, extent=(-1, 1, -1, 1), origin="lower")  # fmt: skip
        if np.ptp(lead) > 0:
            ax.clabel(ax.contour(grid, grid, lead, 5, colors="0.25", linewidths=0.5), fontsize=5)
        ax.set(xlabel=f"{AXES[i]}\n{formulas[i]}", ylabel=f"{AXES[3]}\n{formulas[3]}")
        ax.label_outer()
    patches = [Patch(color=c, label=a) for c, a in zip(colours, run.dqn["actions"], strict=True)]
    fig.legend(handles=patches, loc="outside right center", title="greedy action")
    return fig


# -- which pictures belong to a preset --------------------------------------------------------

LOSSES = ("fig1", "fig2", "fig5", "fig6", "fig12", "adam")
TOGETHER = {name: td_loss for name in LOSSES} | {"causes": causes.picture}  # one of all runs
TOGETHER |= {f"fig{k + 6}": partial(pattern_of_runs, wanted=k) for k in (1, 2, 3)}
EACH = {"fig3": {"fig3": objective_net}, "fig10": {"fig10": comparison}}
EVERY = {"training": training, "comparison": comparison, "pattern": pattern, "rule": rule}
FROM_TRAINING = {*LOSSES, "fig3", "training", "causes"}
TABLES = {"causes": causes.table}


def draw(files, preset, out):
    """Draw the pictures of a preset from its run files into the folder out; return their paths.

    A preset with a table prints it.
    """
    runs, out = [load(path) for path in files], Path(out)
    trained = [run for run in runs if run.train]
    if preset in FROM_TRAINING and not trained:
        preset = "default"
    with matplotlib.rc_context(STYLE):
        if preset in TOGETHER:
            chosen = trained if preset in FROM_TRAINING else runs
            if preset in TABLES:
                print(TABLES[preset](chosen))
            return [save(TOGETHER[preset](chosen), out / f"{preset}.png")]
        return [
            save(figure([run]), (out if len(runs) == 1 else run.folder) / f"{name}.png")
            for run in runs
            for name, figure in EACH.get(preset, EVERY).items()
            if run.train or name not in FROM_TRAINING
        ]


def files_of(path):
    """The run files that an argument of the command line stands for."""
    if not path.is_dir():
        return [path]
    files = [path / "run.h5"] if (path / "run.h5").exists() else list(path.glob("*/run.h5"))
    files = files or list(path.glob("*/*/run.h5"))  # several seeds of a preset of several runs
    if not files:
        raise RunFileError(f"{path}: holds no run.h5; give a run.h5 or a folder of runs")
    return sorted(files, key=lambda file: (len(file.parent.name), file.parent.name))


def main(argv=None):
    """Draw again: the pictures of --preset or, without it, of the preset in the folder's name."""
    parser = argparse.ArgumentParser("python -m qgd_np.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run.h5 or a folder")
    parser.add_argument("--preset", choices=config.PRESETS, help="[the one in the folder's name]")
    arguments = parser.parse_args(argv)
    try:
        for path in arguments.runs:
            out = path if path.is_dir() else path.parent
            words = out.resolve().name.split("-")
            preset = next((w for w in words if w in config.PRESETS), "default")
            for picture in draw(files_of(path), arguments.preset or preset, out):
                print(f"picture  {picture}")
    except RunFileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
