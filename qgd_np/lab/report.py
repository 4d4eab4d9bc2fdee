"""What is printed: every step for a reader, the table and verdict of a run, a table of several."""

import numpy as np

from .. import files
from .training import ACTIONS, SEEN, accepts

PATTERNS = {1: "pattern 1", 2: "pattern 2", 3: "pattern 3", 0: "none of the three"}
RESET, DECREASED, ALMOST_ZERO = -0.25, -0.4, -5.0  # log2(alpha / alpha_c)


def tracer(task, heading):
    """A function trace(log, t) that prints step t of an episode, after heading.format(log) once.

    *: the action was explored; -: nothing is trained.
    """

    def trace(log, t):
        k, action = t - 1, ACTIONS[task.name][log.action[t - 1]]
        value_c = log.p.alpha_c if task.value == "alpha" else log.p.lambda_c
        value, f = (log.value[k - 1], log.objective[k - 1]) if k else (value_c, log.objective_1)
        trains = bool(np.isfinite(log.td_loss[k]))
        numbers = dict(zip(SEEN[task.name], log.state[k], strict=True))
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


def convergence(train):
    """What the last quarter of its episodes says of a training, {heading: number}.

    max-Q: the mean of max_a Q over the held-out states; ranges by: (max - min) / |mean|. TD error:
    the root mean square one, of that mean. changes by: how far the TD loss lies above that of the
    third quarter, and the standard error of this. A training explodes if the loss ends above ten
    times that of its lowest quarter, is not finite, or if an update was not taken (D23).
    """
    loss, E = train["td_loss"], len(train["td_loss"])
    quarter = -(-E // 4)
    third = loss[-2 * quarter : -quarter] if E > quarter else np.nan * loss
    last, q = loss[-quarter:], train["q_mean"][-quarter:]
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        lowest = min(part.mean() for part in np.array_split(loss, min(4, E)))
        grown = last.mean() > 10 * lowest or train["rejected"][-1] > 0
        ranges, changes = 100 * np.ptp(q) / abs(q.mean()), 100 * (last.mean() / third.mean() - 1)
        return {
            "max-Q ranges by, %": ranges,
            "TD loss": last.mean(),
            "TD error, %": 100 * np.sqrt(2 * last.mean()) / abs(q.mean()),
            "changes by, %": changes,
            "+-": 100 * np.hypot(last.std(), third.std()) / np.sqrt(quarter) / third.mean(),
            "explodes": bool(grown or not np.isfinite(loss).all()),
            "settled": bool(E >= 8 and ranges < 1 and abs(changes) < 10),
        }


def verdict(tree):
    """Sentences computed from a run: did the training settle, and how does it compare."""
    runs, text = tree["evaluation"], []
    if train := tree.get("train"):
        E, m = len(train["return"]), convergence(train)
        diverged, rejected = (train["diverged_at"] > 0).sum(), train["rejected"][-1]
        said = f"Too few episodes, {E}, to say whether the training settles."
        if E >= 8:
            said = (f"The training has {'' if m['settled'] else 'NOT '}settled: over its last "
                    f"quarter max-Q ranges by {m['max-Q ranges by, %']:.2g} % and the TD loss "
                    f"changes by {m['changes by, %']:+.1f} +- {m['+-']:.1f} %.")  # fmt: skip
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


def pattern_of(alpha):
    """Return which pattern of section 4.4 a curve alpha_2, ..., alpha_{T+1} (T,) shows, 0: none.

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


def measures(tree):
    """What a run ended at, {heading: number}: its training, and its greedy DQN on all x_1."""
    runs, found = tree["evaluation"], convergence(tree["train"]) if tree.get("train") else {}
    if runs:
        final = {name: run["test_accuracy"][:, -1].mean() for name, run in runs.items()}
        found["accepts, %"] = 100 * accepts(runs["qgd"]["action"]).mean()
        if "lambda" not in runs["qgd"]:
            shown = [pattern_of(alpha) for alpha in runs["qgd"]["alpha"]]
            found["pattern"] = max(shown, key=shown.count)
        found |= {"f": runs["qgd"]["objective"][:, -1].mean(), "accuracy": final.pop("qgd")}
        found |= {f"above {name}": found["accuracy"] - other for name, other in final.items()}
    return found


def several(runs):
    """Return {name: {heading: its values in those of the runs [(name, tree)] with this name}}."""
    rows = {}
    for name, tree in runs:
        for heading, value in measures(tree).items():
            rows.setdefault(name, {}).setdefault(heading, []).append(value)
    return rows


def overview(runs):
    """A table of several runs [(name, tree)]: medians over those of a name, and counts."""
    rows, lines = several(runs), []
    headings = [*dict.fromkeys(heading for row in rows.values() for heading in row)]
    for name, row in rows.items():
        texts = {heading: f"{np.median(values):.3g}" for heading, values in row.items()}
        for heading in {"explodes", "settled"} & {*row}:
            texts[heading] = f"{sum(row[heading])} of {len(row[heading])}"
        if "pattern" in row:
            texts["pattern"] = ",".join(map(str, row["pattern"]))
        lines.append([name, *(texts.get(heading, "-") for heading in headings)])
    about = "the last quarter of the training, and the greedy DQN; pattern 0: none of the three"
    good = [settled for row in rows.values() for settled in row.get("settled", ())]
    return (f"\n{runs[0][1]['data']}; {about}\n{aligned(['run', *headings], lines)}\n"
            f"The training has settled on {sum(good)} of {len(good)}.")  # fmt: skip


def finish(paths, out, no_figures):
    """Print the table of several runs, draw pictures, write pages, and say what to open first."""
    from .. import page  # its room looks at this one

    if len(paths) > 1:
        print(overview([(path.parent.name, files.read(path)) for path in paths]))
    pictures = []
    if not no_figures:
        from .. import figures  # matplotlib is slow to import

        pictures = figures.draw(paths, out)
        print(*(f"picture  {path}" for path in pictures), sep="\n")
    joint = files.read(paths[0])["task"] == "joint"  # no algorithm of the paper to stand beside
    pages = paths if joint else [page.write(path) for path in paths]
    first = [*pages, *pictures] if len(pages) == 1 else [*pictures, *pages]
    hint = f"; to draw it: python -m qgd_np.figures {out}" * no_figures
    print(f"open first: {first[0]}{hint}")
