"""What a run prints: the banner, every step for a reader, the table."""

import math

import numpy as np

from .. import config
from ..environment import ACCEPT, ACTIONS, FEATURES


def banner(about, data):
    """Say on what the run is made; synthetic data loudly."""
    n, test = len(data.train_images), len(data.test_images)
    print(f"{about['data']}: {n} training, {test} test images; {about['device']}, "
          f"{about['threads']} BLAS threads; qgd_np {about['version']}")  # fmt: skip
    if data.name == "synthetic":
        print("*** SYNTHETIC IMAGES, NOT CIFAR-10: give --data PATH for the real ones ***")


def report_divergence(training):
    """Say how many episodes and updates ended in numbers that are not finite (D23)."""
    episodes = int((training.log["diverged_at"] > 0).sum())
    if episodes or training.Q.rejected:
        print(f"diverged: {episodes} of {training.p.episodes} episodes; "
              f"{training.Q.rejected} updates of theta not taken")  # fmt: skip


def images(tree):
    """What a run file's images are, for a heading; synthetic ones in capitals."""
    return "SYNTHETIC images" if tree["data"] == "synthetic" else tree["data"]


def table(tree):
    """One row per policy, mean and standard deviation over the K iterates, then the differences.

    Of a single iterate there is no deviation.

    "at the end" is what is returned (D10). Then, for the learning rate, the accepted iterate with
    the lowest f, and the return; for the coefficient, the error on the training and on the
    validation images.
    """
    K = len(tree["iterate_seeds"])
    reg = "lambda" in tree["evaluation"]["qgd"]
    more = ("train error", "valid. error") if reg else ("accepted: f", "accuracy", "return")
    p = config.from_json(tree["config"])
    width = max(12, *map(len, tree["evaluation"]))
    iterates = f"{K} initial iterates" if K > 1 else "one initial iterate"
    rows = [
        f"\n{images(tree)}, {iterates} never trained on; mean +- standard deviation",
        f"{'policy':{width}} {'f at the end':>18} {'test accuracy':>20} "
        + "".join(f"{name:>12} " for name in more)
        + f"{'seconds':>8}",
    ]
    for name, run in tree["evaluation"].items():
        f, accuracy = run["objective"][:, -1], run["test_accuracy"][:, -1]
        values = errors(run) if reg else (*best_accepted(run), mean_return(run, p))
        rows.append(
            f"{name:{width}} {f.mean():9.4f} +- {deviation(f)} {accuracy.mean():11.4f} +- "
            f"{deviation(accuracy)} "
            + "".join(f"{value:12.4f} " for value in values)
            + f"{run['seconds'].mean():8.2f}"
        )
    if K >= 3:
        rows += differences(tree, "test_accuracy")
        rows += differences(tree, "validation_accuracy") if reg else []
    rows += each_controller(tree["evaluation"])
    rows += [] if reg else below_bound(tree["evaluation"], p.f_lb)
    return "\n".join(rows)


def deviation(values):
    """The standard deviation as text of six characters; a dash for a single value."""
    return f"{values.std():.4f}" if len(values) > 1 else f"{'-':6}"


def each_controller(evaluation):
    """If there are several controllers, a row for each of them against every other policy.

    For each other policy: the mean difference of the test accuracy in points, on how many of the
    iterates the controller's accuracy is higher, and on how many its f is lower.
    """
    ours = {name: run for name, run in evaluation.items() if name.startswith("qgd")}
    others = {name: run for name, run in evaluation.items() if name not in ours}
    if len(ours) == 1:
        return []
    heading = "".join(f"   {'against ' + name:>22}" for name in others)
    rows = ["the first controller's seconds hold the plain steps that controllers of one M share",
            "each controller: test accuracy, its lowest; points, higher on, f lower on",
            f"{'':14} {'accuracy':>8} {'lowest':>7}{heading}"]  # fmt: skip
    for name, run in ours.items():
        f, accuracy = (run[key][:, -1] for key in ("objective", "test_accuracy"))
        row = f"{name:14} {accuracy.mean():8.4f} {accuracy.min():7.4f}"
        for other in others.values():
            gain, lower = accuracy - other["test_accuracy"][:, -1], f < other["objective"][:, -1]
            row += f"   {100 * gain.mean():+10.1f} {(gain > 0).sum():5d} {lower.sum():5d}"
        rows.append(row)
    return rows


def below_bound(evaluation, f_lb):
    """A line that names the policies under which f falls below f_lb (D25), if there are any."""
    below = [name for name, run in evaluation.items() if (run["objective"] < f_lb).any()]
    line = f"f falls below --f-lb {f_lb:g} under {', '.join(below)}: from there on its "
    return [line + "reward is the same at any f; give a lower bound"] if below else []


def errors(run):
    """The error at the end on the training and the validation images, means over the K."""
    known = [run.get(f"{images}_accuracy") for images in ("train", "validation")]
    return [math.nan if accuracy is None else 1 - accuracy[:, -1].mean() for accuracy in known]


def best_accepted(run):
    """f and test accuracy of the accepted iterate with the lowest f, means over the K iterates."""
    accepted = run["action"][:, 1:] == ACCEPT  # the action after candidate t = 1, ..., T - 1
    f = np.where(accepted & np.isfinite(run["objective"][:, :-1]), run["objective"][:, :-1], np.inf)
    if not np.isfinite(f.min(axis=1, initial=np.inf)).all():  # of one x_1 none is known
        return math.nan, math.nan
    each, best = np.arange(len(f)), f.argmin(axis=1)
    return f[each, best].mean(), run["test_accuracy"][each, best].mean()


def mean_return(run, p):
    """The sum of r_{t+1} (Eq. 7) over t = 2, ..., T by the c_1, c_2 and f_lb of p, mean over the K.

    Any policy has one, so this says which of them the reward prefers. It takes no discount and no
    more than the printed lines 16 and 18 of Algorithm 3: an accept at t makes x_t to xbar.
    """
    f, accepted = run["objective"], run["action"][:, 1:] == ACCEPT
    r = np.where(accepted, p.c2 / np.maximum(f[:, :-1] - p.f_lb, p.gap),
                 p.c1 / np.maximum(f[:, 1:] - p.f_lb, p.gap))  # fmt: skip
    return np.nansum(r, axis=1).mean()


def differences(tree, name):
    """Q-gradient descent against each other policy: paired differences of a final accuracy.

    In points, with a 95 % interval by the bootstrap over the K iterates, if the differences differ.
    """
    if name not in tree["evaluation"]["qgd"]:
        return []
    rows = [f"{name.replace('_', ' ')}, paired differences in points [95 % bootstrap interval]"]
    ours = tree["evaluation"]["qgd"][name][:, -1]
    for policy, run in tree["evaluation"].items():
        difference = 100 * (ours - run[name][:, -1])
        unknown = (~np.isfinite(difference)).sum()
        result = f"   NaN on {unknown} of {len(difference)}" if unknown else paired(difference)
        if policy != "qgd":
            rows.append(f"qgd - {policy:12} {result}")
    return rows


def paired(difference):
    """The mean, its interval unless all are equal but for rounding, and how many are above 0."""
    from scipy.stats import bootstrap  # slow to import

    interval = ""
    if np.ptp(difference) > 1e-6:
        low, high = bootstrap(
            (difference,), np.mean, method="percentile", batch=100, rng=np.random.default_rng(0)
        ).confidence_interval
        interval = f" [{low:+.1f}, {high:+.1f}]"
    higher = f"higher on {(difference > 0).sum()} of {len(difference)}"
    return f"{difference.mean():+6.1f}{interval}, {higher}"


def tracer(task, Q):
    """A function that prints each step: t, features, Q(s_t), the action, the value, f, the line."""
    names = [*FEATURES, *(f"Q {name}" for name in ACTIONS[task.name])]
    widths, value = [max(8, len(name)) for name in names], task.value
    f_or_g = "f" if task.name == "lr" else "f or g"  # Algorithm 4 logs g
    print("t    " + "  ".join(f"{name:>{w}}" for name, w in zip(names, widths, strict=True))
          + f"  action  {value:>9}  {f_or_g:>8}  line")  # fmt: skip

    def trace(t, s, action, value, f):
        numbers = zip([*s, *Q.q(s[None])[0]], widths, strict=True)
        numbers = "  ".join(f"{v:{w}.4f}" for v, w in numbers)
        print(f"{t:<4d} {numbers}  {ACTIONS[task.name][action]:6}"
              f"  {value:9.4g}  {f:8.5f}  {task.lines[action]}")  # fmt: skip

    return trace
