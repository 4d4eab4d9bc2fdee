"""Why the paper's DQN does not converge: its rule with one change at a time, as table and picture.

    python run_lr.py --preset causes --seeds 0:5 --policies qgd --iterates 1

Each run is one row of presets.CAUSES, trained with one seed; a row is the runs of all its seeds.
"""

import numpy as np

from ..environment import ACCEPT
from ..files import FileError
from ..lab import presets
from ..lab.experiment import convergence
from .drawing import BLUE, GREY, RED, canvas

EXPLODED = 10  # times the lowest TD loss
COLUMNS = ("error", "drift", "accepts", "accuracy")
TITLES = ("TD error, % of |Q|", "drift of Q, %", "accepts, %", "test accuracy")


def measures(run):
    """What the table says of one run, as a dict of numbers.

    first, last   TD loss, mean over the first and the last tenth of the episodes
    lowest        the lowest of its ten tenths
    error         root mean square TD error in the last tenth, in % of |mean max_a Q|: the loss
                  itself grows with the square of the rewards
    drift         how far the mean of max_a Q on fixed held-out states ranges over the last quarter
                  of the episodes, (max - min) / |mean|, in %; inf if the loss is not finite
    exploded      whether the TD loss of the last tenth is above ten times the lowest (it converged
                  and then rose), an update led out of the finite numbers and was not taken (D23),
                  or a loss is not finite
    accepts       share of accepts among the greedy DQN's actions, in %
    accuracy      test accuracy after the last candidate, mean over the unseen x_1
    """
    loss, q = run.train["td_loss"], run.train["q_mean"]
    tenth, drift = -(-len(loss) // 10), convergence(run.train)[0]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        first, last = loss[:tenth].mean(), loss[-tenth:].mean()
        lowest = min(part.mean() for part in np.array_split(loss, min(10, len(loss))))
        error = 100 * np.sqrt(2 * last) / abs(q[-tenth:].mean())
        drift = drift if np.isfinite(last) else np.inf
    exploded = last > EXPLODED * lowest or run.train["rejected"][-1] or not np.isfinite(loss).all()
    return {
        "first": first, "lowest": lowest, "last": last, "error": error, "drift": drift,
        "exploded": bool(exploded),
        "accepts": 100 * (run.qgd["action"] == ACCEPT).mean(),
        "accuracy": run.qgd["test_accuracy"][:, -1].mean(),
    }  # fmt: skip


def rows_of(runs):
    """{row: {measure: (seeds,) array}} in the order of presets.CAUSES; FileError if none is."""
    found = {row: [measures(r) for r in runs if r.folder.name == row] for row in presets.CAUSES}
    if not any(found.values()):
        wanted = f"a run of {', '.join(presets.CAUSES)} has a folder of that name"
        raise FileError(f"{runs[0].folder}: no row of the preset causes; {wanted}")
    return {
        row: {name: np.array([one[name] for one in each], float) for name in each[0]}
        for row, each in found.items()
        if each
    }


def table(runs):
    """One line per row: medians over its seeds, how many exploded, accuracy with its range."""
    p = runs[0].p
    lines = [
        f"\n{runs[0].data}, n = {p.train_size}, {p.episodes} episodes of {p.steps} steps; the "
        "paper's rule, then one change at a time;\nmedians over the seeds, accuracy: mean [range]",
        f"{'change':15} {'seeds':>5} {'TD loss: first':>15} {'lowest':>9} {'last tenth':>11} "
        f"{'error %':>8} "
        f"{'drift %':>8} {'explodes':>8} {'accepts %':>9}  test accuracy",
    ]
    for row, m in rows_of(runs).items():
        seeds, k = len(m["first"]), int(m["exploded"].sum())
        median, a = {name: np.median(m[name]) for name in m}, m["accuracy"]
        lines.append(
            f"{row:15} {seeds:5} {median['first']:15.2g} {median['lowest']:9.2g} "
            f"{median['last']:11.2g} {median['error']:8.3g} {median['drift']:8.2g} "
            f"{f'{k} of {seeds}':>8} {median['accepts']:9.0f}  "
            f"{a.mean():.3f} [{a.min():.3f}, {a.max():.3f}]"
        )
    return "\n".join(lines)


def picture(runs):
    """A dot per seed and a bar at the median, for each row; crosses: runs that exploded."""
    rows, E = rows_of(runs), runs[0].p.episodes
    note = f"{E} episodes a run; dots: training seeds, bars: their median, crosses: exploded"
    fig, axes = canvas(runs, "Does the paper's DQN converge? Its rule, and one change at a time",
                       1, len(COLUMNS), sharey=True, note=note)  # fmt: skip
    for ax, name, title in zip(axes[0], COLUMNS, TITLES, strict=True):
        for y, (row, m) in enumerate(rows.items()):
            colour = {"paper": BLUE, "all": RED}.get(row, GREY)
            dots(ax, m[name], m["exploded"] > 0, y, colour)
        if "paper" in rows:
            ax.axvline(np.median(rows["paper"][name]), color=BLUE, lw=0.6, ls=":")
        if name in ("error", "drift") and any((m[name] > 0).any() for m in rows.values()):
            ax.set_xscale("log")
            ax.xaxis.set_major_formatter("{x:g}")
        ax.set(title=title)
    axes[0, 0].set_yticks(range(len(rows)), labels=list(rows))
    axes[0, 0].invert_yaxis()
    return fig


def dots(ax, values, exploded, y, colour):
    """The values of one row at height y; what is not finite is a cross at the right edge."""
    look = dict(s=14, color=colour, lw=0.8, alpha=0.7)
    finite = np.isfinite(values)
    for which, marker in ((~exploded, "o"), (exploded, "x")):
        x = values[which & finite]
        ax.scatter(x, [y] * len(x), marker=marker, **look)
    if not finite.all():
        ax.scatter([0.96], [y], marker="x", transform=ax.get_yaxis_transform(), **look)
    median = np.median(values)
    if np.isfinite(median):
        ax.plot([median, median], [y - 0.35, y + 0.35], color=colour, lw=1.8)
