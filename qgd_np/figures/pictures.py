"""The pictures of the paper's experiments, one function each: runs (drawing.load) to a figure.

The log holds alpha_{t+1} and f(x_{t+1}) for step t = 1, ..., T; K is the number of initial iterates
in the comparison.
"""

from itertools import cycle

import matplotlib
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch

from ..environment import ACCEPT
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
    STEP,
    SYMBOL,
    TYPICAL,
    canvas,
    curve,
    plain,
    scale,
)


def settings(p):
    """What the paper's captions say of a training: alpha_2, epsilon, and the rule for theta."""
    epsilon = rf"$\epsilon$ = {p.epsilon_last:g}"
    if p.epsilon_first != p.epsilon_last:
        epsilon = rf"$\epsilon$ from {p.epsilon_first:g} to {p.epsilon_last:g}"
        epsilon += f" over {p.epsilon_episodes} episodes"
    method = {"gd": "plain gradient descent", "adam": "Adam"}[p.optimizer]
    return rf"$\alpha_2$ = {p.beta:g}", epsilon, method


def told_apart(runs):
    """The settings that all runs share, as one text, and for each run the others, as its label."""
    each = [settings(run.p) for run in runs]
    same = [len(set(part)) == 1 for part in zip(*each, strict=True)]
    shared = ", ".join(part for part, common in zip(each[0], same, strict=True) if common)
    labels = [", ".join(p for p, common in zip(s, same, strict=True) if not common) for s in each]
    if len(set(labels)) < len(runs):
        labels = [", ".join(filter(None, [label, plain(run.folder.name)]))
                  for label, run in zip(labels, runs, strict=True)]  # fmt: skip
    return shared, labels


def draw_td_loss(ax, runs):
    """The TD loss; marks below and above where f or theta left the finite numbers (D23)."""
    labels = told_apart(runs)[1] if len(runs) > 1 else [None]
    for run, label, colour in zip(runs, labels, cycle(SERIES), strict=False):
        curve(ax, run.train["td_loss"], colour, label)
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
    title = f"Loss of the DQN that controls {SYMBOL[runs[0].value][:-7]}$\n{told_apart(runs)[0]}"
    fig, axes = canvas(runs, title)
    draw_td_loss(axes[0, 0], runs)
    return fig


def training(runs):
    """TD loss, mean of max_a Q, return and epsilon over the episodes: does the DQN converge?"""
    fig, axes = canvas(runs, "Training of the DQN", 2, 2, sharex=True)
    draw_td_loss(axes[0, 0], runs)
    names = ("q_mean", "return", "epsilon")
    end = ", end included" if runs[0].p.horizon == "returned" else ""  # D28
    texts = (r"mean of $\max_a Q(s;\theta)$", f"return{end}", r"$\epsilon$")
    for ax, name, text in zip(axes.flat[1:], names, texts, strict=True):
        curve(ax, runs[0].train[name], BLUE)
        if name != "epsilon":
            scale(ax)
        ax.set(ylabel=text, xlabel=EPISODE)
    for ax in axes[0]:
        ax.set(xlabel="")
    return fig


def objective_net(runs):
    """Figures 3 and 4: f over the steps of some episodes, test accuracy over the episodes."""
    title = "Loss and test accuracy of the objective net in several episodes (Figures 3 and 4)\n"
    title += ", ".join(settings(runs[0].p))
    fig, ((left, right),) = canvas(runs, title, 1, 2)
    objective = runs[0].train["objective"]
    chosen = np.unique(np.linspace(0, len(objective) - 1, 6).astype(int))
    shades = matplotlib.colormaps["viridis_r"](np.linspace(0.1, 1, len(chosen)))
    for e, shade in zip(chosen, shades, strict=True):
        curve(left, objective[e], shade, f"e = {e + 1}")
    scale(left)
    left.legend()
    left.set(xlabel=STEP, ylabel=OBJECTIVE)
    accuracy = runs[0].train["test_accuracy"]
    curve(right, accuracy, BLUE)
    right.set_ylim(np.nanmin(accuracy) - 0.03, np.nanmax(accuracy) + 0.03)  # small changes look so
    right.set(xlabel=EPISODE, ylabel="test accuracy at the end of the episode")
    return fig


def comparison(runs):
    """Figures 10 and 11: Q-gradient descent (red), gradient descent (blue) and the others."""
    evaluation, note = runs[0].evaluation, "lines: mean over K unseen $x_1$; bands: their range"
    title = "Accuracy and loss under Q-gradient descent and others"
    title += " (Figures 10 and 11)" * (runs[0].value == "alpha")
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
    colour, style = COLOURS.get(name, (RED, ":") if name.startswith("qgd") else (GREY, "-"))
    y = np.ma.masked_invalid(y)
    ended = int(np.ma.getmaskarray(y)[:, -1].sum())
    label = NAMES.get(name, name) + f"\n({ended} of {len(y)} end early)" * (ended > 0)
    if name.startswith("qgd "):  # one entry in the legend for all of them
        others = "the other\ncontrollers"
        label = None if others in ax.get_legend_handles_labels()[1] else others
    curve(ax, y.mean(axis=0).filled(np.nan), colour, label, style)
    ax.lines[-1].set_zorder(3 if name == "qgd" else 2)
    if band and len(y) > 1:
        low, high = (v.filled(np.nan) for v in (y.min(axis=0), y.max(axis=0)))
        ax.fill_between(np.arange(1, y.shape[1] + 1), low, high, color=colour, alpha=0.2, lw=0)


def trace(runs):
    """The first unseen iterate's episode under the greedy DQN beside the one under Armijo."""
    run, names = runs[0], ("qgd", "armijo")
    title = "One episode of Q-gradient descent and one of Armijo backtracking"
    fig, axes = canvas(runs, title, 2, 2, sharex=True, sharey="row",
                       note="dots: accepts; the first of K unseen $x_1$")  # fmt: skip
    for (top, bottom), name in zip(axes.T, names, strict=True):
        log, colour = run.evaluation[name], COLOURS[name][0]
        accepts = log["action"][0] == ACCEPT
        for ax, values in ((top, log["alpha"][0]), (bottom, log["objective"][0])):
            curve(ax, values, colour)
            ax.scatter(np.flatnonzero(accepts) + 1, values[accepts], s=6, color=colour)
        top.set_yscale("log", base=2)
        top.set(title=f"{NAMES.get(name, name)}: test accuracy {log['test_accuracy'][0, -1]:.3f}")
        bottom.set(xlabel=STEP)
    axes[0, 0].set(ylabel=SYMBOL["alpha"])
    axes[1, 0].set(ylabel=OBJECTIVE)
    return fig


def rule(runs):
    """The learned rule: the greedy action over the slope and three other features."""
    run, grid = runs[0], np.linspace(-1, 1, 121)
    formulas = [*run.dqn["feature_map"].split(", "), *[""] * 4]  # of another version, maybe
    others = ", ".join(f"{n} {v:g}" for n, v in zip(run.dqn["features"], TYPICAL, strict=True))
    note = f"features that are not on the axes: {others}\nlines: lead of the best action in Q"
    fig, axes = canvas(runs, "The learned rule: greedy action of the DQN", 1, 3, sharey=True,
                       note=note)  # fmt: skip
    names = (SYMBOL[run.value].replace("{t+1}", "t"), *AXES)
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
        ax.set(xlabel=f"{names[i]}\n{formulas[i]}", ylabel=f"{names[3]}\n{formulas[3]}")
        ax.label_outer()
    patches = [Patch(color=c, label=a) for c, a in zip(colours, run.dqn["actions"], strict=True)]
    fig.legend(handles=patches, loc="outside right center", title="greedy action")
    return fig
