"""What a run prints: its progress, every step for a reader, the table, the verdict."""

import numpy as np
from tqdm import tqdm

from ..environment import ACCEPT, ACTIONS, FEATURES
from .training import convergence


def banner(about, data, before):
    """Say on what the run is made, synthetic images loudly, and what differs from `before`."""
    n, test = len(data.train_images), len(data.test_images)
    print(f"{data.name}: {n} training, {test} test images; {about['device']}, "
          f"{about['threads']} BLAS threads; qgd_np {about['version']}")  # fmt: skip
    if data.name == "synthetic":
        print("*** SYNTHETIC IMAGES, NOT CIFAR-10: give --data PATH for the real ones ***")
    for name in ("version", "device", "threads"):
        if before[name] != about[name]:
            print(f"note: {name} was {before[name]}, is {about[name]}: last digits may differ")


def shown(training, episodes, quiet):
    """Yield the logs of a training's episodes behind a bar: the time left, what the last one gave.

    The first episode on each x_1 takes its plain steps too, so it is announced and timed apart.
    """
    E, log, seconds = training.p.episodes, training.log, []
    new = min(training.p.starts or E, E - training.done)  # episodes here at another x_1
    shape, name = "{desc}|{bar}| {n_fmt}/{total_fmt}{postfix}", f"new x_1 1/{new}"
    with tqdm(desc=name, total=E, initial=training.done, disable=quiet, bar_format=shape) as bar:
        for episode in episodes:
            e, asked = training.done - 1, np.isfinite(episode.state[:, 0]).mean()
            seconds.append(episode.seconds)
            left = tqdm.format_interval(seconds_left(seconds, new, E - training.done, asked))
            bar.set_postfix_str(
                f"{left} left, loss {log['td_loss'][e]:.1e}, return {log['return'][e]:.2f}, "
                f"accuracy {log['test_accuracy'][e]:.2f}, epsilon {log['epsilon'][e]:.2f}", False
            )  # fmt: skip
            k = len(seconds) + 1
            bar.set_description(f"new x_1 {k}/{new}" if k <= new else "training", False)
            bar.update()
            yield episode


def seconds_left(seconds, new, left, asked):
    """Estimate the rest: `new` episodes take plain steps too, `asked` is the others' share."""
    first, known = np.mean(seconds[:new]), seconds[new:][-20:]
    new_left = max(0, new - len(seconds))
    return new_left * first + (left - new_left) * (np.mean(known) if known else asked * first)


def tracer(task, p, heading):
    """A function trace(log, t) that prints step t of an episode, after heading.format(log) once.

    *: the action was explored; -: nothing is trained; D10: not the last candidate is returned.
    """
    value_c, latest = p.alpha_c if task.name == "lr" else p.lambda_c, []

    def trace(log, t):
        k, action = t - 1, ACTIONS[task.name][log.action[t - 1]]
        value, f = (log.value[k - 1], log.objective[k - 1]) if k else (value_c, log.objective_1)
        trains, asked = bool(np.isfinite(log.td_loss[k])), np.isfinite(log.state[:, 0])
        xbar = max([asked.argmax(), *np.flatnonzero(asked & (log.action == ACCEPT))])  # x_{xbar+1}
        f_xbar = log.objective[xbar - 1] if xbar else log.objective_1
        other = p.returns == "printed" or p.returns == "lower" and f_xbar < log.objective[k]
        numbers = dict(zip(FEATURES, log.state[k], strict=True))
        numbers |= {f"Q {a}": q for a, q in zip(ACTIONS[task.name], log.q[k], strict=True)}
        cells = {"  t": t} | {f"{name:>7}": f"{number:.4f}" for name, number in numbers.items()}
        cells |= {
            " action": f"{action}*" if log.explored[k] else action,
            f"{task.value + '_t->_t+1':>16}": f"{value:.3g}->{log.value[k]:.3g}",
            " f(x_t)": f"{f:.5f}", "f(x_t+1)": f"{log.objective[k]:.5f}",
            " reward": f"{log.reward[k]:.2g}" if trains else "-",
            "TD loss": f"{log.td_loss[k]:.2g}" if trains else "-",
            "line": task.lines[action][trains] + (" D10" if other and t == p.steps else ""),
        }  # fmt: skip
        if latest != [log]:
            latest[:] = [log]
            print(f"\n{heading.format(log)}", " ".join(cells), sep="\n")
        print(" ".join(f"{cell:>{len(name)}}" for name, cell in cells.items()))

    return trace


def aligned(headings, rows):
    """A table as text: rows of strings under their headings, all but the first to the right."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = []
    for first, *others in (headings, *rows):
        cells = [f"{cell:>{w}}" for cell, w in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:{widths[0]}}", *cells]).rstrip())
    return "\n".join(lines)


def table(tree, names):
    """A row per policy: means and deviations over the K iterates of what it returns (D10).

    Then, of several controllers, a row for each against each other policy.
    """
    runs, K = tree["evaluation"], len(tree["iterate_seeds"])
    if not runs:
        return "no comparison: --iterates 0"
    runs = {name: runs[name] for name in [*names, *runs]}
    errors = [k for k in ("train", "validation") if f"{k}_accuracy" in runs["qgd"]]
    errors = errors if tree["task"] == "reg" else []
    rows = []
    for name, run in runs.items():
        cells = [spread(run["objective"][:, -1]), spread(run["test_accuracy"][:, -1])]
        cells += [f"{1 - run[f'{k}_accuracy'][:, -1].mean():.4f}" for k in errors]
        cells += [f"{run['gradients'].mean():.4g}", f"{run['seconds'].mean():.2f}"]
        rows.append([name, *cells, margin(runs["qgd"], run, True) if name != "qgd" else ""])
    headings = ["policy", "f at the end", "test accuracy", *(f"{k} error" for k in errors)]
    headings += ["gradients", "seconds", "points that qgd is above"]
    over = f"{K} initial iterates, mean +- standard deviation" if K > 1 else "one initial iterate"
    text = f"\n{tree['data']}; {over}, never trained on\n{aligned(headings, rows)}"
    ours = [name for name in runs if name.startswith("qgd")]
    others = [name for name in runs if name not in ours]
    if len(ours) > 1:
        rows = [[name, *(margin(runs[name], runs[other]) for other in others)] for name in ours]
        text += f"\n\n{aligned(['points above', *others], rows)}"
    return text


def spread(values):
    """The mean and, of several values, the standard deviation."""
    return f"{values.mean():.4f}" + (f" +- {values.std():.4f}" if len(values) > 1 else "")


def margin(ours, theirs, interval=False):
    """Points of final test accuracy above another policy, [95 % bootstrap interval], how often."""
    points = 100 * (ours["test_accuracy"] - theirs["test_accuracy"])[:, -1]
    if not np.isfinite(points).all():
        return "diverged"
    text = f"{points.mean():+.1f}"
    if interval and len(points) > 2:
        means = np.random.default_rng(0).choice(points, (9999, len(points))).mean(axis=1)
        text += " [{:+.1f}, {:+.1f}]".format(*np.percentile(means, [2.5, 97.5]))
    return f"{text} on {(points > 0).sum()} of {len(points)}"


def settled(train):
    """Whether a training has settled, and (range of max-Q, TD loss, its change) that say so."""
    drift, loss, change, error = convergence(train)
    good = len(train["return"]) >= 8 and drift < 1 and abs(change) < 10
    return bool(good), (f"{drift:.2g} %", f"{loss:.2g}", f"{change:+.1f} +- {error:.1f} %")


def verdict(tree):
    """Sentences computed from a run: did the training settle, and how does it compare."""
    train, runs, text = tree.get("train"), tree["evaluation"], []
    if train:
        E, (good, (drift, _, change)) = len(train["return"]), settled(train)
        diverged, rejected = (train["diverged_at"] > 0).sum(), train["rejected"][-1]
        said = f"Too few episodes, {E}, to say whether the training settles."
        if E >= 8:
            said = (f"The training has {'' if good else 'NOT '}settled: over its last quarter "
                    f"max-Q ranges by {drift} and the TD loss changes by {change}.")  # fmt: skip
        text.append(said)
        if diverged or rejected:
            text.append(f"Diverged: {diverged} of {E} episodes; {rejected} updates not taken.")
    final = {name: run["test_accuracy"][:, -1] for name, run in runs.items()}
    finite = [name for name, values in final.items() if np.isfinite(values).all()]
    others = [name for name in finite if not name.startswith("qgd")]
    if others and "qgd" in finite:
        best = max(others, key=lambda name: final[name].mean())
        points = 100 * (final["qgd"] - final[best])
        text.append(f"Q-gradient descent ends {abs(points.mean()):.1f} points of test accuracy "
                    f"{'above' if points.mean() > 0 else 'below'} {best}, the best of the others; "
                    f"it is above it on {(points > 0).sum()} of {len(points)} x_1.")  # fmt: skip
    return "\n".join(text)
