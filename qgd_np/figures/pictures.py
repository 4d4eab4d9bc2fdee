"""The pictures of a training and of the closing comparison: runs (drawing.load) to a figure."""

import matplotlib
import numpy as np

from ..beyond.anywhere import place
from ..lab import report
from ..lab.presets import CAUSES
from ..lab.report import PATTERNS, pattern_of
from ..lab.training import accepts
from . import drawing
from .drawing import BETTER, BLUE, OBJECTIVE, POLICIES, VALUE, canvas, curve, plain, scale

LOGS = ("td_loss", "q_mean", "return", "epsilon")
LABELS = ("TD loss", r"mean of $\max_a Q$", "return", r"$\epsilon$")


def settings(p):
    """What the paper's captions say of a training: alpha_2, epsilon, and the rule for theta."""
    epsilon = f"{p.epsilon_first:g}"
    if p.epsilon_first != p.epsilon_last:
        epsilon += f" to {p.epsilon_last:g} over {p.epsilon_episodes} episodes"
    return rf"$\alpha_2$ = {p.beta:g}", rf"$\epsilon$ = {epsilon}", f"optimizer {p.optimizer}"


def training(runs, panels=4):
    """TD loss, mean of max_a Q, return and epsilon over the episodes: does the DQN converge?

    panels: 1 for the TD loss (Figures 1, 2, 5, 6, 12), 3 for what several seeds end at beside.
    """
    shared = [text for text in settings(runs[0].p) if all(text in settings(r.p) for r in runs)]
    note = r"TD loss: mean of an episode, x: f or $\theta$ diverged"
    end = "; return: its end included" * (runs[0].p.horizon == "returned")  # D28
    note += (r"; $\max_a Q$: mean of held-out states" + end) * (panels > 1)
    fig = canvas(runs, f"Training of the DQN for $\\{runs[0].value}$\n{', '.join(shared)}", note)
    colours = matplotlib.colormaps["viridis"](np.linspace(0.2, 0.85, len(runs)))
    looks = list(zip(runs, colours, strict=True))
    if panels == 3:
        rows = [(plain(run.folder.name), run.qgd, c, "-") for run, c in looks if run.qgd]
        rows += [row for row in policies(runs[0]) if row[1] is not runs[0].qgd]
        axes = beside(fig, rows, 3)
    else:
        axes = fig.subplots(1 + (panels > 1), 1 + (panels > 1), squeeze=False).flatten()
    for ax, name, label in zip(axes, LOGS, LABELS, strict=False):
        for run, colour in looks:
            curve(ax, run.train[name], color=colour, label=plain(run.folder.name))
        if name != "epsilon":
            scale(ax)
        ax.set(ylabel=label, xlabel="episode e" * ax.get_subplotspec().is_last_row())
    if panels == 1 < len(runs):
        axes[0].legend()
    for run, colour in looks:
        bad = (run.train["diverged_at"] > 0) | (np.diff(run.train["rejected"], prepend=0) > 0)
        at, frame = np.flatnonzero(bad) + 1, axes[0].get_xaxis_transform()
        axes[0].plot(at, 0 * at + 0.03, "x", color=colour, ms=4, transform=frame)  # D23
    return fig


def objective_net(runs):
    """Figures 3 and 4: f over the steps of some episodes, test accuracy over the episodes."""
    run, E = runs[0], len(runs[0].train["objective"])
    title = "The objective net over the episodes (Figures 3 and 4)\n"
    fig = canvas(runs, title + ", ".join(settings(run.p)))
    left, right = fig.subplots(1, 2)
    for e in np.unique(np.linspace(0, E - 1, 6).astype(int)):
        colour = matplotlib.colormaps["viridis_r"]((e + 1) / E)
        curve(left, run.train["objective"][e], color=colour, label=f"e = {e + 1}")
    scale(left)
    left.legend()
    left.set(xlabel="step t", ylabel=OBJECTIVE)
    curve(right, run.train["test_accuracy"], color=BLUE)
    right.margins(y=0.5)  # small changes look so
    right.set(xlabel="episode e", ylabel="test accuracy at the end of the episode")
    return fig


def policies(run):
    """(name, log, colour, line style) of the policies compared, the most accurate one first."""
    rows = []
    for policy, log in run.evaluation.items():
        name, *look = POLICIES.get(policy) or (plain(policy), f"C{len(rows) % 10}", ":")
        if ended := (~np.isfinite(log["objective"][:, -1])).sum():
            name += f"\n({ended} of {run.K} diverged)"
        rows.append((name, log, *look))
    return sorted(rows, key=lambda row: -np.nan_to_num(row[1]["test_accuracy"][:, -1].mean()))


def beside(fig, rows, count):
    """Draw the test accuracies at which rows as of `policies` end; return axes left of them."""
    left, right = fig.subfigures(1, 2, width_ratios=[5, 4])
    ax = right.subplots()
    ends = [(name, log["test_accuracy"][:, -1], *look) for name, log, *look in rows]
    drawing.dots(ax, [(*end, np.isnan(end[1])) for end in ends])
    ax.set(xlabel="test accuracy at the end\ndots: each $x_1$, bars: means")
    return left.subplots(count, 1, sharex=True)


def comparison(runs):
    """Figures 10 and 11: each policy's mean accuracy and f, and what it ends at from each x_1."""
    run, rows = runs[0], policies(runs[0])
    title = "Q-gradient descent and others" + " (Figures 10 and 11)" * (run.value == "alpha")
    note = "left: mean over K unseen $x_1$; dot at the end: what is returned"
    fig = canvas(runs, title, note + BETTER * (run.p.returns == "lower"))
    top, bottom = beside(fig, rows, 2)
    for _, log, colour, style in rows:
        width = 2 if log is run.qgd else 1
        for ax, name in ((top, "test_accuracy"), (bottom, "objective")):
            mean = np.ma.masked_invalid(log[name]).mean(axis=0).filled(np.nan)
            curve(ax, mean, returned=True, color=colour, ls=style, lw=width)
    scale(bottom)
    top.set(ylabel="test accuracy")
    bottom.set(xlabel="step t", ylabel=OBJECTIVE)
    return fig


def anywhere(runs):
    """The lowest f by the number of gradients, a panel for each kind of problem and alpha_c."""
    run = runs[0]
    places = [place(seed)[:2] for seed in run.iterate_seeds]
    kinds = list(dict.fromkeys(kind for kind, _ in places))
    factors = sorted({factor for _, factor in places} & {1.0, 4.0, 16.0, 64.0}) or [places[0][1]]
    note = "medians over the problems of a panel; L: the largest curvature at $x_1$"
    fig = canvas(runs, "On problems it never saw: the lowest f so far / $f(x_1)$", note)
    fig.set_size_inches(7, 1 + 1.1 * len(kinds))
    panels = fig.subplots(len(kinds), len(factors), squeeze=False, sharex=True)
    for kind, row in zip(kinds, panels, strict=True):
        for factor, ax in zip(factors, row, strict=True):
            here = [k for k, one in enumerate(places) if one == (kind, factor)]
            for name, log in run.evaluation.items() if here else ():
                label, colour, style = POLICIES.get(name, (name, drawing.GREY, ":"))
                lowest = np.median([by_gradients(log, k) for k in here], axis=0)
                ax.plot(lowest, color=colour, ls=style, lw=1 + (name == "qgd"), label=label)
            ax.set_yscale("log")
            name = kind.__name__.replace("_", " ")
            ax.set_title(rf"{name}, $\alpha_c$ = {factor:g}/L", fontsize=6)
            ax.tick_params(labelsize=5, which="both")
    fig.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside right upper")
    panels[-1, 0].set_xlabel("gradients", fontsize=6)
    return fig


def by_gradients(log, k):
    """The lowest f (T + 1,) with at most 0, 1, 2, ... gradients, of one x_1."""
    f = np.minimum.accumulate(np.fmin(np.r_[log["objective_1"][k], log["objective"][k]], 1e300))
    taken = np.r_[0, np.cumsum(log["action"][k] == 1)]  # after each step
    last = np.searchsorted(taken, np.arange(len(f)), side="right") - 1
    return np.maximum(f[last], 1e-16)


def causes(runs):
    """Why the paper's DQN does not converge: a dot a seed, bars at medians, crosses: exploded."""
    note = f"{runs[0].p.episodes} episodes a run; dots: training seeds, bars: their median"
    title = "Does the paper's DQN converge? Its rule, and one change at a time"
    fig = canvas(runs, title, note + ", crosses: exploded")
    found = report.several((run.folder.name, vars(run)) for run in runs)
    rows = {row: found[row] for row in CAUSES if row in found} or found
    colours = dict.fromkeys(rows, drawing.GREY) | {"paper": BLUE, "all": drawing.RED}
    names = ("TD error, %", "max-Q ranges by, %", "accepts, %", "accuracy")
    for ax, name in zip(fig.subplots(1, 4, sharey=True), names, strict=True):
        values = [value for m in rows.values() for value in m[name] if 0 < value < np.inf]
        if name in names[:2] and values and max(values) > 10 * min(values):
            ax.set_xscale("log")
        each = [(row, m[name], colours[row], ":", m["explodes"]) for row, m in rows.items()]
        drawing.dots(ax, each, np.median)
        ax.set(title=name)
    return fig


def pattern(runs):
    """alpha or lambda, and f, under the greedy DQN from up to three unseen x_1 (Figures 7 to 9)."""
    run = runs[0]
    title, values = f"{VALUE % run.value} and f under the greedy DQN", run.qgd[run.value]
    names = [f": {PATTERNS[pattern_of(alpha)]}" * (run.value == "alpha") for alpha in values]
    if run.value == "alpha":
        found = {pattern_of(alpha) for alpha in values}
        shown = [f"{PATTERNS[k]} (Figure {k + 6})" for k in (1, 2, 3) if k in found]
        title += ": " + (", ".join(shown) or "none of the paper's three patterns")
    columns = [(f"iterate {k + 1}{name}", "qgd", k) for k, name in enumerate(names[:3])]
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
        accepted = np.flatnonzero(accepts(log["action"][k, 1:]))
        asked = policy == "qgd" and np.isfinite(log["state"][k]).all(axis=1)  # (T,)
        for ax, values in ((top, value), (bottom, f)):
            ax.plot(accepted + 1, values[accepted], ".", color=colour, ms=3)
            scale(ax)
            if np.any(asked):
                ax.axvline(np.argmax(asked) + 1, color="black", lw=0.8, ls=":")
            ax.label_outer()
    return fig
