"""python -m qgd_np.bench: what each step costs here, beside its floor measured in the same process.

One table in under two minutes; `measure.py` says what is timed. On a GPU the same command measures
there: python -m qgd_np.bench --device gpu [--tf32].
"""

import json
import sys

import numpy as np

from .. import backend
from ..config import Parser, count, one_line
from ..environment import ACCEPT
from ..fast.objective import footprint
from .growth import growth, growth_lines
from .measure import (
    SIZES,
    Scripted,
    T,
    episode_times,
    problem,
    step_times,
    training,
    update_times,
)

HOST_STEPS = 10_000  # n above which a CPU's episodes are extrapolated from their first steps
RUN = 200  # episodes of a training run


def measure(n, device):
    """Every figure for n images, as a dict, in milliseconds."""
    f, x = problem(n, device)
    few = device == "cpu" and n > HOST_STEPS
    row = {"n": n, "extrapolated": few} | step_times(f, x, device, 3 if few else 25)
    row |= episode_times(f, x, device, not few)
    accepts = Scripted(T).actions.count(ACCEPT)
    row["episode floor"] = accepts * row["products"] + T * row["pass"]
    return row


COLUMNS = (  # heading, width, decimals, the figure or the two whose ratio it is
    ("n", 6, 0, "n"),
    ("half", 8, 2, "half"),
    ("pass", 8, 3, "pass"),
    ("ratio", 6, 1, ("half", "pass")),
    ("floor", 7, 2, "half floor"),
    ("ratio", 6, 2, ("half", "half floor")),
    ("turn", 7, 3, "turn"),
    ("accept", 8, 2, "accept"),
    ("products", 9, 2, "products"),
    ("ratio", 6, 2, ("accept", "products")),
    ("naive step", 11, 2, "naive step"),
    ("episode", 9, 0, "episode"),
    ("floor", 8, 0, "episode floor"),
    ("ratio", 6, 2, ("episode", "episode floor")),
    ("naive", 8, 0, "naive"),
    ("gain", 5, 2, ("naive", "episode")),
    ("torch", 8, 0, "torch"),
    ("gain", 5, 2, ("torch", "episode")),
)


def table(rows):
    """The rows as text; a dash where something is not installed."""
    lines = ["".join(f"{heading:>{width}}" for heading, width, _, _ in COLUMNS)]
    for row in rows:
        cells = []
        for _, width, decimals, what in COLUMNS:
            parts = [row[name] for name in ([what] if isinstance(what, str) else what)]
            known = None not in parts
            value = parts[0] / (parts[1] if len(parts) > 1 else 1) if known else 0
            cells.append(f"{value:{width}.{decimals}f}" if known else f"{'-':>{width}}")
        lines.append("".join(cells))
    return "\n".join(lines)


def outside_share(n, device):
    """The share of a training episode's time outside of the objective and the DQN."""
    (seconds, outside), = training(*problem(n, device), 1, 40)  # fmt: skip
    return outside / seconds


def training_run(n, device, episodes):
    """Seconds of RUN episodes of T steps, from `episodes` of them."""
    seconds = [s for s, _ in training(*problem(n, device), episodes + 1)][1:]  # the first warms up
    return {"n": n, "measured": episodes, "seconds": RUN * float(np.mean(seconds))}


def parse(argv):
    """The arguments of the command line."""
    parser = Parser(prog="python -m qgd_np.bench", description=__doc__)
    add = parser.add_argument
    add("--sizes", type=count, nargs="+", default=[1000, 5000, 50000], metavar="N")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"))
    add("--tf32", action="store_true", help="TensorFloat-32 products on a GPU")
    add("--episodes", type=count, metavar="E", help=f"of a training run of {RUN}, the rest is"
        " extrapolated; by default 3 on a GPU and none on a CPU")  # fmt: skip
    add("--growth", action="store_true", help="fit how time and memory grow, on the CPU")
    add("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args(argv)
    device = backend.choose(arguments.device, arguments.tf32)
    if arguments.json:
        open(arguments.json, "a").close()  # whether it can be written shows before the measuring
    return arguments, device


def main(argv=None):
    """The command line of the bench; returns the exit status."""
    return one_line(lambda: run(*parse(argv)), backend.DeviceError)


def run(arguments, device):
    """Measure and print what is asked for."""
    free = backend.free_memory(device)
    sizes = [n for n in arguments.sizes if footprint(SIZES, n) < free]
    figures = {"device": backend.describe(device), "threads": backend.blas_threads(),
               "numpy": np.__version__, "tf32": arguments.tf32}  # fmt: skip
    print("{device}, {threads} BLAS threads, NumPy {numpy}; milliseconds".format(**figures))
    for n in set(arguments.sizes) - set(sizes):
        print(f"left out: n = {n}, {footprint(SIZES, n) / 2**30:.1f} GiB do not fit in memory")
    figures["rows"] = [measure(n, device) for n in sizes]
    print(table(figures["rows"]))
    for n in (row["n"] for row in figures["rows"] if row["extrapolated"]):
        print(f"n = {n}: episodes of {T} steps extrapolated from the first 2 and the first 12")
    for row in (row for row in figures["rows"] if row["products"] != row["images"]):
        n, images, share = row["n"], row["images"], row["accept"] / row["images"]
        print(f"n = {n}: one of the products has n columns; two products with the images take "
              f"{images:.2f}, the accept {share:.2f} of that")  # fmt: skip
    figures |= (update := update_times())
    us, floor = 1e3 * update["dqn update"], 1e3 * update["dqn floor"]
    print(f"DQN update {us:.0f} microseconds, floor {floor:.0f}, ratio {us / floor:.2f}")
    n = min(5000, max(sizes, default=5000))
    figures["outside"] = share = outside_share(n, device)
    print(f"outside of the objective and the DQN at n = {n}: {share:.2%} of an episode")
    episodes = arguments.episodes or (3 if device == "gpu" and arguments.episodes is None else 0)
    if episodes and sizes:
        figures["training"] = run = training_run(max(sizes), device, episodes)
        how = "run" if episodes >= RUN else f"extrapolated from {episodes}"
        print(f"{RUN} episodes of {T} steps at n = {run['n']}: {run['seconds']:.0f} s, {how}")
    if arguments.growth:
        figures["growth"] = growth()
        print(growth_lines(figures["growth"]))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(figures, file, indent=1)


if __name__ == "__main__":
    sys.exit(main())
