"""Episodes of the greedy DQN, and the three adjusting patterns of section 4.4 (Figures 7 to 9)."""

import numpy as np

from ..environment import ACCEPT
from ..lab.report import aligned
from .drawing import BETTER, GREY, OBJECTIVE, POLICIES, RED, VALUE, canvas, curve, plain, scale

LABELS = {1: "pattern 1", 2: "pattern 2", 3: "pattern 3", 0: "none of the three"}
RESET, DECREASED, ALMOST_ZERO = -0.25, -0.4, -5.0  # log2(alpha / alpha_c)


def classify(alpha):
    """Return which pattern a curve alpha_2, ..., alpha_{T+1} (T,) shows, 0 for none of them.

    1 is small at first, then reset for the rest; 2 decreases to almost zero and stays there; 3
    decreases, is reset, and decreases near the end. A level is the mean of log2(alpha / alpha_c)
    over a tenth of the episode: 0 for accepts only, -1/2 for half and accept in turn. Fewer than
    ten steps and an episode that diverged show none.
    """
    if len(alpha) < 10 or not np.isfinite(alpha).all() or alpha.max() <= 0:
        return 0
    tenths = np.array_split(np.log2(np.maximum(alpha, 1e-300) / alpha.max()), 10)
    level = np.array([tenth.mean() for tenth in tenths])
    if level[:3].min() < DECREASED and np.median(level[4:8]) > RESET:
        return 3 if level[8:].min() < DECREASED else 1
    return 2 if tenths[-1].max() < ALMOST_ZERO else 0


def shown_by(run):
    """Patterns from each unseen x_1, what most show, accuracy, gradient descent's (NaN: none)."""
    each = list(map(classify, run.qgd[run.value]))
    logs = run.qgd, run.evaluation.get("gd", {"test_accuracy": np.full((1, 1), np.nan)})
    return each, max(each, key=each.count), *(log["test_accuracy"][:, -1].mean() for log in logs)


def table(runs):
    """One line per run: its patterns, its test accuracy and gradient descent's; then the counts."""
    rows = []
    for run in runs:
        each, most, accuracy, gd = shown_by(run)
        rows.append((run.folder.name, LABELS[most], str(each), f"{accuracy:.3f}", f"{gd:.3f}"))
    lines = aligned(("run", "shows", "on each x_1", "accuracy", "gradient descent"), rows)
    shown = [row[1] for row in rows]
    counts = ", ".join(f"{name}: {shown.count(name)} of {len(runs)}" for name in LABELS.values())
    return f"\n{runs[0].data}, n = {runs[0].p.train_size}, greedy DQNs\n{lines}\n{counts}"


def several(runs, wanted):
    """Figures 7 to 9: alpha of each run under its greedy DQN; red: it shows the pattern."""
    shown = list(map(shown_by, runs))
    hits = sum(most == wanted for _, most, *_ in shown)
    title = f"Adjusting pattern {wanted} (Figure {wanted + 6}): {hits} of {len(runs)} runs show it"
    note = f"above each: test accuracy; gradient descent's: {np.mean([s[-1] for s in shown]):.3f}"
    fig, columns = canvas(runs, title + " (red)" * (hits > 0), note), min(5, len(runs))
    axes = fig.subplots(-(-len(runs) // columns), columns, sharex=True, sharey=True, squeeze=False)
    for ax, run, (each, most, accuracy, _) in zip(axes.flat, runs, shown, strict=False):
        curve(ax, run.qgd[run.value][each.index(most)], color=RED if most == wanted else GREY)
        title = f"{plain(run.folder.name)}, {accuracy:.3f}\n{LABELS[most]}"
        ax.set(title=title, xlabel="step t", ylabel=VALUE % run.value, ylim=(0, None))
        ax.label_outer()
    return fig


def pattern(runs):
    """alpha or lambda, and f, under the greedy DQN from up to three unseen x_1 (Figures 7 to 9)."""
    run, found = runs[0], shown_by(runs[0])[0]
    title = f"{VALUE % run.value} and f under the greedy DQN"
    if run.value == "alpha":
        shown = [f"{LABELS[k]} (Figure {k + 6})" for k in (1, 2, 3) if k in found]
        title += ": " + (", ".join(shown) or "none of the paper's three patterns")
    names = [f": {LABELS[k]}" * (run.value == "alpha") for k in found[:3]]
    columns = [(f"iterate {k + 1}{name}", "qgd", k) for k, name in enumerate(names)]
    return episodes(run, title, columns)


def trace(runs):
    """The first unseen iterate's episode under the greedy DQN beside the one under Armijo."""
    title = "One episode of Q-gradient descent and one of Armijo backtracking, from the same $x_1$"
    return episodes(runs[0], title, [(POLICIES[name][0], name, 0) for name in ("qgd", "armijo")])


def episodes(run, title, columns):
    """alpha or lambda above f over the steps; columns: title, policy and which unseen x_1."""
    note = "small dots: candidates that are accepted in the next step; large dot: what is returned"
    note += BETTER * (run.p.returns == "lower") + "\ndotted line: from here on the DQN is asked"
    fig = canvas([run], title, note)
    axes = fig.subplots(2, len(columns), sharex=True, sharey="row", squeeze=False)
    for (top, bottom), (name, policy, k) in zip(axes.T, columns, strict=True):
        log, colour = run.evaluation[policy], POLICIES[policy][1]
        value, f = log[run.value][k], log["objective"][k]
        curve(top, value, color=colour)
        curve(bottom, f, returned=True, color=colour)
        top.set(title=name, ylabel=VALUE % run.value)
        bottom.set(xlabel="step t", ylabel=OBJECTIVE)
        accepted = np.flatnonzero(log["action"][k, 1:] == ACCEPT)
        asked = policy == "qgd" and np.isfinite(log["state"][k]).all(axis=1)  # (T,)
        for ax, values in ((top, value), (bottom, f)):
            ax.plot(accepted + 1, values[accepted], ".", color=colour, ms=3)
            scale(ax)
            if np.any(asked):
                ax.axvline(np.argmax(asked) + 1, color="black", lw=0.8, ls=":")
            ax.label_outer()
    return fig
