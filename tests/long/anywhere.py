"""What the actions allow on random problems: a beam search beside the rules and a controller.

    python tests/long/anywhere.py --seeds 0:162 --factors 4 16 --controller anywhere

It looks where it is going, which no controller can: of all lines that cost t candidates (k halves
and an accept cost k + 1) it goes on from the WIDTH with the lowest f. Medians of log10 f / f(x_1).
"""

import argparse
from dataclasses import replace

import numpy as np

from qgd_np import config
from qgd_np.beyond.anywhere import KINDS, OTHER, Problems, apply, place
from qgd_np.lab.comparison import load_controller
from qgd_np.lab.presets import PRESETS

WIDTH, HALVES, T = 10, 10, 100


def search(f, x_1):
    """The lowest f that the beam search finds with T candidates, x_1 the first of them."""
    beams, lowest = {1: [(f(x_1), x_1.x)]}, f(x_1)
    for t in range(1, T + 1):
        for _, x in sorted(beams.pop(t, []), key=lambda entry: entry[0])[:WIDTH]:
            d = -f.df(x)
            for k in range(min(HALVES, T - t) + 1):
                y = x + f.alpha_c / 2**k * d
                value = f.f(y)
                lowest = min(lowest, value)
                if np.isfinite(value) and t + k + 1 <= T:
                    beams.setdefault(t + k + 1, []).append((value, y))
    return lowest


def main():
    """Print a row for each kind and factor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:162")
    parser.add_argument("--factors", type=float, nargs="+", default=[4.0, 16.0])
    parser.add_argument("--kinds", nargs="+", default=[kind.__name__ for kind in KINDS])
    parser.add_argument("--controller", default="anywhere")
    a = parser.parse_args()
    p = config.make("lr", PRESETS["anywhere"].changes)
    Q, own = load_controller("lr", a.controller, p)
    problems, found = Problems(), {}
    for seed in range(*map(int, a.seeds.split(":"))):
        kind, factor, _ = place(seed)
        if factor not in a.factors or kind.__name__ not in a.kinds:
            continue
        log = lambda *step, **more: None  # noqa: E731
        row = [problems(apply(problems, problems.iterate(seed), Q, own, log))]
        for name in ("gd", "armijo", "nonmonotone"):
            x_1 = problems.iterate(seed)
            problems(x_1)
            row.append(problems(OTHER["policies"][name](problems, x_1, replace(p), log)))
        row.append(search(problems.now, problems.iterate(seed)))
        found.setdefault((kind.__name__, factor), []).append(np.log10(np.maximum(row, 1e-300)))
    print("kind, alpha_c L, problems: qgd, gd, armijo, nonmonotone, search")
    for (name, factor), rows in sorted(found.items()):
        medians = " ".join(f"{value:7.2f}" for value in np.median(rows, axis=0))
        print(f"{name:14} {factor:5g} {len(rows):3d}: {medians}", flush=True)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
