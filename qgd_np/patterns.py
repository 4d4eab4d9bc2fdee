"""The three adjusting patterns of section 4.4 (Figures 7 to 9), told apart by a rule."""

import numpy as np

from .environment import ACCEPT

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
