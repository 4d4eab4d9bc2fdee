"""What the parabola's slope (D34) changes: shipped controllers on images, with it and without.

python tests/long/slope.py [DATA]
"""

import sys

import numpy as np

from qgd_np import config, q_gradient_descent_alpha
from qgd_np.images import load
from qgd_np.lab.comparison import load_controller
from qgd_np.lab.training import Problem


class Parabola:
    """The objective on images with the slope as a user's f has it; keeps both slopes."""

    def __init__(self, f):
        self.f, self.point, self.gradient, self.slopes = f, f.point, f.gradient, []

    def __call__(self, x, lam=0.0):
        return self.f(x, lam)

    def observe(self, x, d, d_before, lam=0.0):
        """As f.observe, but for the slope away from xbar."""
        value, slope, alignment = self.f.observe(x, d, d_before, lam)
        if x.vector is d.vector:
            at_xbar = d.scale * float(d.vector @ d.vector)
            found = 2 * (value - self.f(x.base)) * d.scale / x.scale - at_xbar
            self.slopes.append((slope, found))
            slope = found
        return value, slope, alignment


def main():
    """Print f at the end on five x_1, and how far off the slope is."""
    p = config.make("lr")
    problem = Problem(load(*sys.argv[1:2], train_size=p.train_size), p)
    for name in ("lr", "lr-seed-0", "lr-seed-2", "lr-seed-3"):
        Q, own = load_controller("lr", name, p)
        ends, parabola = [], Parabola(problem.f)
        for f in (problem.f, parabola):
            for seed in range(1000, 1005):
                x_1 = problem.iterate(seed)
                x = q_gradient_descent_alpha(f, x_1, Q, own, lambda *step, **more: None)
                ends.append(f"{problem.f(x):.4f}")
        exact, found = np.array(parabola.slopes).T
        off = np.sqrt(np.mean((exact - found) ** 2) / np.mean(exact**2))
        sign = np.mean(np.sign(exact) == np.sign(found))
        print(f"{name}: {ends[:5]} and {ends[5:]}, off by {off:.3f}, sign right for {sign:.3f}")


if __name__ == "__main__":
    main()
