"""Episodes of the greedy DQN, and the three adjusting patterns of section 4.4 (Figures 7 to 9)."""

import numpy as np

from ..environment import ACCEPT
from ..lab.report import PATTERNS, pattern_of
from .drawing import BETTER, GREY, OBJECTIVE, POLICIES, RED, VALUE, canvas, curve, plain, scale


def shown_by(run):
    """Patterns from each unseen x_1, what most show, accuracy, gradient descent's (NaN: none)."""
    each = list(map(pattern_of, run.qgd[run.value]))
    logs = run.qgd, run.evaluation.get("gd", {"test_accuracy": np.full((1, 1), np.nan)})
    return each, max(each, key=each.count), *(log["test_accuracy"][:, -1].mean() for log in logs)


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
        title = f"{plain(run.folder.name)}, {accuracy:.3f}\n{PATTERNS[most]}"
        ax.set(title=title, xlabel="step t", ylabel=VALUE % run.value, ylim=(0, None))
        ax.label_outer()
    return fig


def pattern(runs):
    """alpha or lambda, and f, under the greedy DQN from up to three unseen x_1 (Figures 7 to 9)."""
    run, found = runs[0], shown_by(runs[0])[0]
    title = f"{VALUE % run.value} and f under the greedy DQN"
    if run.value == "alpha":
        shown = [f"{PATTERNS[k]} (Figure {k + 6})" for k in (1, 2, 3) if k in found]
        title += ": " + (", ".join(shown) or "none of the paper's three patterns")
    names = [f": {PATTERNS[k]}" * (run.value == "alpha") for k in found[:3]]
    columns = [(f"iterate {k + 1}{name}", "qgd", k) for k, name in enumerate(names)]
    return episodes(run, title, columns)


def trace(runs):
    """The first unseen iterate's episode under the greedy DQN beside the one under a fixed rule."""
    names = "qgd", runs[0].rival
    title = "One episode of Q-gradient descent and one of " + POLICIES[names[1]][0]
    columns = [(POLICIES[name][0], name, 0) for name in names]
    return episodes(runs[0], title + ", from the same $x_1$", columns)


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
