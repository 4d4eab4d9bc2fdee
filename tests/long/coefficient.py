"""What turning lambda is worth, under two rules of what is returned: the last candidate, or the one
with the lowest validation error h so far (D47). The test images are looked at once, at the end.

    python tests/long/coefficient.py DATA reg [--controllers reg ...]    100 candidates, alpha = 0.5
    python tests/long/coefficient.py DATA joint --controllers joint      30 gradients, alpha_c = 1
    python tests/long/coefficient.py DATA search                         100 candidates, alpha = 0.5

search: for each ten gradients the best lambda of a few, found by looking at h; turning costs no
step, so the actions of Algorithm 2 cannot do better.
"""

import argparse
import math
from dataclasses import replace
from functools import partial
from itertools import product

import numpy as np
from scipy.stats import bootstrap

from qgd_np import config
from qgd_np.algorithms import q_gradient_descent_alpha, q_gradient_descent_lambda
from qgd_np.beyond.joint import BOTH, q_gradient_descent_both
from qgd_np.environment import ACCEPT
from qgd_np.images import load
from qgd_np.lab.comparison import load_controller
from qgd_np.lab.policies import COEFFICIENT
from qgd_np.lab.presets import JOINT
from qgd_np.lab.training import Problem, accepts

LAMBDAS = 0.0, 0.01, 0.02, 0.03


class Look:
    """The log of an episode: its last candidate, the one with the lowest h, and what was done."""

    def __init__(self, h):
        self.h, self.lowest, self.actions, self.values = h, None, [], []

    def __call__(self, t, x, value, a, *rest, s=None, alpha=None):
        self.last, self.lowest = x, min(self.lowest or x, x, key=self.h)
        if s is not None:
            self.actions.append(a)
            self.values.append(value)


class Frozen:
    """A joint DQN whose turns of lambda are not taken: it is asked with this lambda throughout."""

    def __init__(self, Q, lam, lambda_c):
        self.Q, self.seventh = Q, np.clip(np.log2(max(lam, 1e-12) / lambda_c) / 10, -1, 1)

    def greedy(self, s):
        """a_t, lambda kept."""
        return 2 + self.Q.greedy(np.append(s[:6], self.seventh)) % 2


def reg(problem, n, controllers):
    """{name: play(x_1, log)}: lambda fixed, and controllers."""
    p = config.make("reg", {"train_size": n})

    def fixed(x_1, log, lam):
        COEFFICIENT["gd"](problem, x_1, replace(p, lambda_c=lam), log)

    def used(x_1, log, name):
        Q, own = load_controller("reg", name, p)
        q_gradient_descent_lambda(problem.f, problem.measure(own), x_1, Q, own, log)

    found = {f"lambda {lam}": partial(fixed, lam=lam) for lam in LAMBDAS}
    return found | {name: partial(used, name=name) for name in controllers}


def joint(problem, n, controllers):
    """{name: play(x_1, log)}: both under one DQN, lambda frozen, rhythms, one DQN for either."""
    p, h = config.make("joint", JOINT, {"train_size": n}), problem.errors["validation"]
    reg, lr = config.make("reg", {"train_size": n}), config.make("lr", {"train_size": n})
    known = {name: load_controller("joint", name, p) for name in controllers}
    Q_lr, lr = load_controller("lr", "lr", lr)
    Q_reg, reg = load_controller("reg", "reg", reg)

    def used(x_1, log, name, lam=None):
        Q, own = known[name]
        if lam is not None:
            Q, own = Frozen(Q, lam, p.lambda_c), replace(own, lambda_c=lam)
        q_gradient_descent_both(problem.f, h, x_1, Q, own, log)

    def rhythm(x_1, log, name, lam):
        BOTH[name](problem, x_1, replace(p, lambda_c=lam), log)

    def alone(x_1, log, steps=100):
        return q_gradient_descent_alpha(problem.f, x_1, Q_lr, replace(lr, steps=steps), log)

    def after(x_1, log):
        x = alone(x_1, log, 50)
        begun = replace(reg, steps=50, first=1)
        q_gradient_descent_lambda(problem.f, h, problem.f.point(x.x), Q_reg, begun, log)

    found = {name: partial(used, name=name) for name in controllers}
    for lam in (0.0, 0.013):  # the latter is the mean under the shipped one
        found[f"the first, lambda {lam}"] = partial(used, name=controllers[0], lam=lam)
    for name, lam in (("1 half", 0.01), *(("2 halves", lam) for lam in (0.0, 0.01, 0.02))):
        found[f"{name}, lambda {lam}"] = partial(rhythm, name=name, lam=lam)
    by_reg = partial(q_gradient_descent_lambda, problem.f, h)
    found |= {"lr alone": alone, "reg alone": lambda x_1, log: by_reg(x_1, Q_reg, reg, log)}
    return found | {"lr, then reg": after}


def search(problem, n, controllers, beam=2, block=10, blocks=10):
    """{name: play(x_1, log)}: the lowest h that a beam search over lambda a block reaches."""
    p, h = config.make("reg", {"train_size": n}), problem.errors["validation"]

    def searched(x_1, log):
        kept = [(2.0, x_1, x_1)]
        for _ in range(blocks):
            longer = []
            for (_, begun, lowest), lam in product(kept, LAMBDAS):
                x = begun
                for _ in range(block):
                    x = x - p.alpha * problem.f.gradient(x, lam)
                    lowest = min(lowest, x, key=h)
                longer.append((h(lowest), problem.f.point(x.x), lowest))
            kept = sorted(longer, key=lambda k: (k[0], h(k[1])))[:beam]
        log(1, kept[0][2], math.nan, ACCEPT, s=0)
        log(2, kept[0][1], math.nan, ACCEPT, s=0)

    return {"searched": searched}


PARTS = {"reg": reg, "joint": joint, "search": search}


def main():
    """Play every policy from the same x_1; then what the controllers gain over each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--controllers", nargs="*", default=[])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--iterates", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=1000)
    a = parser.parse_args()
    p = config.make("reg", {"train_size": a.n})
    problem, ends = Problem(load(a.data, a.n, p.validation_size), p), {}
    h, test = problem.errors["validation"], problem.errors["test"]
    for name, play in PARTS[a.part](problem, a.n, a.controllers).items():
        rows, done = [], []
        for seed in range(a.first_seed, a.first_seed + a.iterates):
            play(problem.iterate(seed), log := Look(h))
            rows.append([100 - 100 * test(log.last), 100 - 100 * test(log.lowest), h(log.lowest)])
            done.append([100 * accepts(np.array(log.actions)).mean(), np.mean(log.values)])
        ends[name] = np.array(rows)
        (last, lowest, error), (share, value) = np.mean(rows, 0), np.mean(done, 0)
        print(f"{name:24} last {last:.2f}, lowest {lowest:.2f} (h {error:.4f}); "
              f"accepts {share:.0f} %, mean value {value:.2g}", flush=True)  # fmt: skip
    for ours in a.controllers:
        for other in (name for name in ends if name != ours):
            for column, rule in enumerate(("last", "lowest")):
                d = (ends[ours] - ends[other])[:, column]
                several = len(d) > 1 and d.any()
                low, high = (
                    bootstrap((d,), np.mean, rng=0).confidence_interval if several else (0, 0)
                )
                print(f"{ours} over {other}, {rule}: {d.mean():+.2f} [{low:+.2f}, {high:+.2f}], "
                      f"{(d > 0).sum()} of {len(d)}")  # fmt: skip


if __name__ == "__main__":
    main()
