"""Why the paper's DQN does not converge: its rule with one change at a time, as table and picture.

A run is a row of presets.CAUSES, by its folder's name, trained with one seed of several.
"""

import numpy as np

from ..environment import ACCEPT
from ..files import FileError
from ..lab.presets import CAUSES
from ..lab.report import aligned
from ..lab.training import convergence
from .drawing import BLUE, GREY, RED, canvas, dots


def measures(run):
    """What the table says of one run, {heading: number}.

    The TD error is the root mean square one of the last tenth of the episodes, in % of the mean
    max_a Q. A run explodes if the TD loss of the last tenth is above ten times that of the lowest
    tenth, if an update was not taken (D23) or if a loss is not finite. Accepts and accuracy are
    the greedy DQN's.
    """
    loss, q = run.train["td_loss"], run.train["q_mean"]
    tenth, finite = -(-len(loss) // 10), np.isfinite(loss).all()
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        first, last = loss[:tenth].mean(), loss[-tenth:].mean()
        lowest = min(part.mean() for part in np.array_split(loss, min(10, len(loss))))
        error = np.sqrt(2 * last) / abs(q[-tenth:].mean())
    return {
        "TD loss: first": first,
        "last tenth": last,
        "TD error, %": 100 * error,
        "drift of Q, %": convergence(run.train)[0] if np.isfinite(last) else np.inf,
        "explodes": last > 10 * lowest or run.train["rejected"][-1] > 0 or not finite,
        "accepts, %": 100 * (run.qgd["action"] == ACCEPT).mean(),
        "accuracy": run.qgd["test_accuracy"][:, -1].mean(),
    }


def rows_of(runs):
    """{row: {heading: (seeds,) array}} in the order of presets.CAUSES; FileError if none is."""
    rows = {}
    for row in CAUSES:
        if each := [measures(run) for run in runs if run.folder.name == row]:
            rows[row] = {name: np.array([m[name] for m in each]) for name in each[0]}
    if not rows:
        raise FileError(f"{runs[0].folder}: no run of the preset causes; give a folder with some")
    return rows


def table(runs):
    """One line per row: medians over its seeds, how many exploded, the range of the accuracy."""
    p, lines = runs[0].p, []
    for row, m in rows_of(runs).items():
        texts = {name: f"{np.median(values):.3g}" for name, values in m.items()}
        texts["explodes"] = f"{m['explodes'].sum()} of {len(m['explodes'])}"
        texts["accuracy"] += f" ({m['accuracy'].min():.3f} to {m['accuracy'].max():.3f})"
        lines.append((row, *texts.values()))
    about = f"{runs[0].data}, n = {p.train_size}, {p.episodes} episodes; medians over the seeds"
    return f"\n{about}\n{aligned(('change', *texts), lines)}"


def picture(runs):
    """A dot per seed and a bar at the median, for each row; crosses: runs that exploded."""
    note = f"{runs[0].p.episodes} episodes a run; dots: training seeds, bars: their median"
    title = "Does the paper's DQN converge? Its rule, and one change at a time"
    fig, rows = canvas(runs, title, note + ", crosses: exploded"), rows_of(runs)
    looks = {"paper": BLUE, "all": RED}
    names = ("TD error, %", "drift of Q, %", "accepts, %", "accuracy")
    for ax, name in zip(fig.subplots(1, 4, sharey=True), names, strict=True):
        values = [value for m in rows.values() for value in m[name] if 0 < value < np.inf]
        if name in names[:2] and values and max(values) > 10 * min(values):
            ax.set_xscale("log")
        each = [(row, m[name], looks.get(row, GREY), ":", m["explodes"]) for row, m in rows.items()]
        dots(ax, each, np.median)
        ax.set(title=name)
    return fig
