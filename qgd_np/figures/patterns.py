"""The three adjusting patterns of section 4.4 (Figures 7 to 9): told apart by a rule, and drawn."""

import numpy as np

from ..environment import ACCEPT
from .drawing import GREY, OBJECTIVE, RED, SHOWN, STEP, SYMBOL, canvas, curve, plain, scale

# 1: small at first, then reset for the rest; 2: decreases to almost zero; 3: decreases, is reset,
# and decreases again near the end
LABELS = {1: "pattern 1", 2: "pattern 2", 3: "pattern 3", 0: "none of the three"}
WINDOWS = 10  # each a tenth of the episode
RESET, DECREASED, ALMOST_ZERO = -0.25, -0.4, -5.0  # levels


def classify(alpha, action=None):
    """Return the pattern 1, 2 or 3 of a curve alpha (T,), 0 for none of them.

    alpha: alpha_{t+1} after each step, alpha_c where the step was an accept; action (T,), if
    given, says which were, else the largest alpha is taken for alpha_c.

    early   one of the first three windows is decreased: its level is below -0.4
    reset   the median level of windows 5 to 8 is above -0.25
    late    one of the last two windows is decreased

    3: early, reset and late. 1: early and reset, not late. 2: neither, and the last window lies
    below -5 (alpha_c / 32). 0: all else, such as accepts only, halves spread evenly, fewer than ten
    steps, or an episode that diverged (NaN).
    """
    alpha = np.asarray(alpha, float)
    if len(alpha) < WINDOWS or not np.isfinite(alpha).all() or alpha.max() <= 0:
        return 0
    accepted = [] if action is None else alpha[np.asarray(action) == ACCEPT]
    level = levels(alpha, max(accepted) if len(accepted) else alpha.max())
    early, late = level[:3].min() < DECREASED, level[8:].min() < DECREASED
    if early and np.median(level[4:8]) > RESET:
        return 3 if late else 1
    return 2 if level[-1] < ALMOST_ZERO else 0


def levels(alpha, alpha_c):
    """The level of each window: the mean of log2(alpha / alpha_c) over a tenth of the steps.

    0 for accepts only, -1/2 for half and accept in turn, lower for halves in a row.
    """
    steps = np.log2(np.maximum(alpha, 1e-300) / alpha_c)  # (T,)
    return np.array([window.mean() for window in np.array_split(steps, WINDOWS)])


# -- which pattern a run shows --------------------------------------------------------------------


def shown_by(run):
    """The patterns of a run's greedy episodes, one for each unseen x_1, and what most show."""
    each = list(map(classify, run.qgd[run.value], run.qgd["action"]))
    return each, max(each, key=each.count)


def accuracy(run, policy="qgd"):
    """Test accuracy after the last candidate, mean over the unseen x_1; NaN: not compared."""
    if policy not in run.evaluation:
        return float("nan")
    return float(run.evaluation[policy]["test_accuracy"][:, -1].mean())


def counts(runs):
    """For each pattern: how many runs show it, and their mean test accuracy."""
    found, lines = [shown_by(run)[1] for run in runs], []
    for k, name in LABELS.items():
        a = [accuracy(run) for run, pattern in zip(runs, found, strict=True) if pattern == k]
        mean = f", accuracy {np.mean(a):.3f}" if a else ""
        lines.append(f"{name}: {len(a)} of {len(runs)}{mean}")
    return lines


def table(runs):
    """One line per run: its patterns, its test accuracy and gradient descent's; then the counts."""
    K = len(runs[0].qgd["action"])
    lines = [
        f"\n{runs[0].data}, n = {runs[0].p.train_size}: each run's greedy DQN on {K} unseen x_1",
        f"{'run':12} {'shows':18} {'on each x_1':12} {'accuracy':>8} {'gradient descent':>17}",
    ]
    for run in runs:
        each, most = shown_by(run)
        text = " ".join(map(str, each))
        lines.append(
            f"{run.folder.name:12} {LABELS[most]:18} {text:12} {accuracy(run):8.3f} "
            f"{accuracy(run, 'gd'):17.3f}"
        )
    return "\n".join([*lines, *counts(runs)])


# -- the pictures ---------------------------------------------------------------------------------


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
            which = classify(qgd[value][k], qgd["action"][k])
            top.set_title(f"iterate {k + 1}: {LABELS[which]}")
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
    """Figures 7 to 9: alpha of each run under its greedy DQN; red: it shows the pattern."""
    shown = [shown_by(run) for run in runs]
    hits = [i for i, (_, most) in enumerate(shown) if most == wanted]
    found = counts(runs)
    title = f"Adjusting pattern {wanted} (Figure {wanted + 6}), shown by {len(hits)} of "
    title += f"{len(runs)} runs (red)\n{'; '.join(found[:2])}\n{'; '.join(found[2:])}"
    drawn = sorted([*hits, *(i for i in range(len(runs)) if i not in hits)][:SHOWN])
    columns = min(5, len(drawn))
    gd = np.mean([accuracy(run, "gd") for run in runs])
    note = "above each: run, final test accuracy as a mean over K unseen $x_1$, pattern"
    note += f"; gradient descent: {gd:.3f}" * bool(np.isfinite(gd))
    fig, axes = canvas(runs, title, -(-len(drawn) // columns), columns, sharex=True, sharey=True,
                       note=note)  # fmt: skip
    for ax, i in zip(axes.flat, drawn, strict=False):
        run, (each, most) = runs[i], shown[i]
        curve(ax, run.qgd[run.value][each.index(most)], RED if i in hits else GREY)
        text = f"{plain(run.folder.name)}, {accuracy(run):.3f}\n{LABELS[most]}"
        ax.set(title=text, xlabel=STEP, ylabel=SYMBOL[run.value], ylim=(0, None))
        ax.label_outer()
    for ax in axes.flat[len(drawn) :]:
        ax.remove()
    return fig
