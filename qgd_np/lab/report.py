"""What a run prints: its progress, every step for a reader, the table, the verdict."""

import numpy as np

from ..environment import ACTIONS, FEATURES
from .training import convergence


def tracer(task, p, heading):
    """A function trace(log, t) that prints step t of an episode, after heading.format(log) once.

    *: the action was explored; -: nothing is trained.
    """
    value_c = p.alpha_c if task.name == "lr" else p.lambda_c

    def trace(log, t):
        k, action = t - 1, ACTIONS[task.name][log.action[t - 1]]
        value, f = (log.value[k - 1], log.objective[k - 1]) if k else (value_c, log.objective_1)
        trains = bool(np.isfinite(log.td_loss[k]))
        numbers = dict(zip(FEATURES, log.state[k], strict=True))
        numbers |= {f"Q {a}": q for a, q in zip(ACTIONS[task.name], log.q[k], strict=True)}
        cells = {"  t": t} | {f"{name:>7}": f"{number:.4f}" for name, number in numbers.items()}
        cells |= {
            " action": f"{action}*" if log.explored[k] else action,
            f"{task.value + '_t->_t+1':>16}": f"{value:.3g}->{log.value[k]:.3g}",
            " f(x_t)": f"{f:.5f}", "f(x_t+1)": f"{log.objective[k]:.5f}",
            " reward": f"{log.reward[k]:.2g}" if trains else "-",
            "TD loss": f"{log.td_loss[k]:.2g}" if trains else "-",
            "line": task.lines[action][trains],
        }  # fmt: skip
        if np.isnan(log.state[:k, 0]).all():  # the first that is asked
            print(f"\n{heading.format(log)}", " ".join(cells), sep="\n")
        print(" ".join(f"{cell:>{len(name)}}" for name, cell in cells.items()))

    return trace


def aligned(headings, rows):
    """A table as text: rows of strings under their headings, all but the first to the right."""
    first, *others = (max(map(len, column)) for column in zip(headings, *rows, strict=True))
    rows = [[row[0].ljust(first), *map(str.rjust, row[1:], others)] for row in (headings, *rows)]
    return "\n".join("  ".join(row).rstrip() for row in rows)


def table(tree, names):
    """A row per policy: means and deviations over the K iterates of what it returns (D10)."""
    runs, K = tree["evaluation"], len(tree["iterate_seeds"])
    if not runs:
        return "no comparison: --iterates 0"
    errors = [k for k in ("train", "validation") if f"{k}_accuracy" in runs["qgd"]]
    rows = []
    for name in dict.fromkeys([*names, *runs]):
        run = runs[name]
        cells = [spread(run["objective"][:, -1]), spread(run["test_accuracy"][:, -1])]
        cells += [f"{1 - run[f'{k}_accuracy'][:, -1].mean():.4f}" for k in errors]
        cells += [f"{run['gradients'].mean():.4g}", f"{run['seconds'].mean():.2f}"]
        rows.append([name, *cells, margin(runs["qgd"], run) if name != "qgd" else ""])
    headings = ["policy", "f at the end", "test accuracy", *(f"{k} error" for k in errors)]
    headings += ["gradients", "seconds", "points that qgd is above"]
    over = f"{K} initial iterates, mean +- standard deviation" if K > 1 else "one initial iterate"
    return f"\n{tree['data']}; {over}, never trained on\n{aligned(headings, rows)}"


def spread(values):
    """The mean and, of several values, the standard deviation."""
    return f"{values.mean():.4f}" + (f" +- {values.std():.4f}" if len(values) > 1 else "")


def margin(ours, theirs):
    """Points of final test accuracy above another policy, and on how many iterates."""
    points = 100 * (ours["test_accuracy"] - theirs["test_accuracy"])[:, -1]
    if not np.isfinite(points).all():
        return "diverged"
    return f"{points.mean():+.1f} on {(points > 0).sum()} of {len(points)}"


def settled(train):
    """Whether a training has settled; the range of max-Q, the TD loss and its change as text."""
    drift, loss, change, error = convergence(train)
    good = len(train["return"]) >= 8 and drift < 1 and abs(change) < 10
    return good, f"{drift:.2g} %", f"{loss:.2g}", f"{change:+.1f} +- {error:.1f} %"


def verdict(tree):
    """Sentences computed from a run: did the training settle, and how does it compare."""
    runs, text = tree["evaluation"], []
    if train := tree.get("train"):
        E, (good, drift, _, change) = len(train["return"]), settled(train)
        diverged, rejected = (train["diverged_at"] > 0).sum(), train["rejected"][-1]
        said = f"Too few episodes, {E}, to say whether the training settles."
        if E >= 8:
            said = (f"The training has {'' if good else 'NOT '}settled: over its last quarter "
                    f"max-Q ranges by {drift} and the TD loss changes by {change}.")  # fmt: skip
        text.append(said)
        if diverged or rejected:
            text.append(f"Diverged: {diverged} of {E} episodes; {rejected} updates not taken.")
    final = {name: run["test_accuracy"][:, -1].mean() for name, run in runs.items()}
    others = {k: v for k, v in final.items() if np.isfinite(v) and not k.startswith("qgd")}
    if others and np.isfinite(final["qgd"]):
        best = max(others, key=others.get)
        points, _, count = margin(runs["qgd"], runs[best]).partition(" on ")
        text.append(f"Q-gradient descent ends {points.lstrip('+-')} points of test accuracy "
                    f"{'above' if final['qgd'] > final[best] else 'below'} {best}, the best of "
                    f"the others; it is above it on {count} x_1.")  # fmt: skip
    return "\n".join(text)


def draw(paths, preset, out):
    """Draw the pictures of these run files into the folder out; returns their paths."""
    from .. import figures  # matplotlib is slow to import

    pictures = figures.draw(paths, preset, out)
    print(*(f"picture  {path}" for path in pictures), sep="\n")
    return pictures
