"""A user's f on points that know their line, and several such problems in turn."""

import math
from dataclasses import replace

import numpy as np

from .. import config
from ..algorithms import plain_steps_alpha, q_gradient_descent_alpha
from ..environment import TINY
from ..fast.line import Direction, Point
from ..lab.comparison import load_controller
from ..objective import Function, quiet


class LineFunction:
    """A user's f for Algorithms 1 and 3; nothing is computed twice (D34).

    f(x) -> float and gradient(x) -> (P,) take float64 vectors (P,); lower: a number below every
    value of f, as the state is made of ratios of f - lower (D8). nfev, njev: calls so far.
    """

    def __init__(self, f, gradient, lower=0.0):
        self.f, self.df, self.lower, self.nfev, self.njev = f, gradient, lower, 0, 0
        self.taken = (None, None)  # the point of the newest gradient, and the gradient

    def point(self, x):
        """Make an iterate of a vector (P,)."""
        return Point(np.array(x, np.float64))

    @quiet
    def value(self, x):
        """f(x), a float; infinite where Python's own arithmetic overflows."""
        if self not in x.value:
            self.nfev += 1
            try:
                value = np.asarray(self.f(x.x.copy()), np.float64)
            except OverflowError:
                value = np.array(np.inf)
            if value.size != 1:
                raise ValueError(f"f must return a number, not an array of shape {value.shape}")
            x.value[self] = value.item()
        return x.value[self]

    def __call__(self, x, lam=0.0):
        """f(x) - lower, which stands for f in the state and in the reward."""
        return self.value(x) - self.lower

    def gradient(self, x, lam=0.0):
        """grad f(x) as a Direction."""
        if self.taken[0] is not x:
            self.taken = x, Direction(self._vector(x.x))
        return self.taken[1]

    @quiet
    def _vector(self, x):
        self.njev += 1
        vector = np.array(self.df(x.copy()), np.float64)
        if vector.shape != x.shape:
            raise ValueError(f"the gradient has shape {vector.shape}, x has {x.shape}")
        return vector

    @quiet
    def observe(self, x, d, d_before, lam=0.0):
        """f(x) - lower, the slope of f along d, and the alignment of Eq. 6 (D7).

        The slope is exact where the gradient is known. Else it is the slope at x of the parabola
        through f(xbar), the slope there, and f(x): exact for a quadratic f, and free (D34).
        """
        v, alignment = d.vector, np.mean(np.sign(d.vector) * np.sign(d_before.vector))
        alignment = float(alignment * np.sign(d.scale * d_before.scale))
        if x.vector is not v or self.taken[0] is x:
            return self(x), d.scale * float(v @ self.gradient(x).vector), alignment
        alpha, at_xbar = x.scale / d.scale, d.scale * float(v @ self.gradient(x.base).vector)
        return self(x), 2 * (self.value(x) - self.value(x.base)) / alpha - at_xbar, alignment

    @quiet
    def starting_rate(self, x):
        """1.75 / curvature, within the edge of stability, from the gradient at x and four nearby.

        The curvature is the largest that a power iteration on differences of gradients finds (D35).
        """
        gradient = v = self.gradient(x).vector
        curvature = 0.0
        for _ in range(4):
            v = v * (1e-6 * max(1.0, np.linalg.norm(x.x)) / max(np.linalg.norm(v), 1e-300))
            change = self._vector(x.x + v) - gradient
            curvature, v = np.linalg.norm(change) / max(np.linalg.norm(v), 1e-300), change
            if not 0 < curvature < np.inf:
                return 1.0  # nothing to go by: a straight line, a flat place or a cliff
        return float(1.75 / curvature)


class Problems:
    """Problems whose turn it is one after the other, each with a config of its own (D35).

    In it alpha_c is the problem's, and the reward looks at f in units of what the shipped
    controller reaches from x_1, so that f_lb and gap mean the same on each.
    """

    def __init__(self, problems, alpha_c, changes):
        pairs = [problems] if isinstance(problems, tuple) else list(problems)
        changes = changes if alpha_c is None else changes | {"alpha_c": alpha_c}
        self.p = replace(config.make("lr", {"f_lb": 0.0}, changes), starts=len(pairs))
        self.errors, self.all = {"test": lambda x: math.nan}, []
        for k, (f, x_1) in enumerate(pairs, 1):
            if type(f) is Function:
                f = LineFunction(f.f, f.df)
            x_1 = f.point(getattr(x_1, "x", x_1))
            if not 0 < f(x_1) < math.inf:
                raise config.ConfigError(f"problem {k}: f(x_1) = {f(x_1)}; add a constant to f "
                                         "that makes it positive, or start elsewhere")  # fmt: skip
            limit, rates = math.inf, [self.p.alpha_c]
            if alpha_c is None and isinstance(f, LineFunction):
                limit, rates = f(x_1), f.starting_rate(x_1) / 2.0 ** np.arange(20)
            self.all.append((f, *self._prepared(f, x_1, rates, limit, k)))
        self.episode(0)

    def _prepared(self, f, x_1, rates, limit, k):
        """x_1 and the config of problem k: the first rate whose plain steps end below the limit."""
        look = lambda t, x, *rest, **more: f(x)  # noqa: E731
        for alpha_c in rates:
            x_1, p = f.point(x_1.x), replace(self.p, alpha_c=float(alpha_c))
            x, _, _, t = plain_steps_alpha(f, x_1, p, p.asked_from(p.M), look)
            if math.isfinite(f(x)) and f(x) <= limit:
                break
        else:
            said = f"f leaves the finite numbers within {t - 1} plain steps"
            raise config.ConfigError(f"alpha_c={p.alpha_c:.3g}: problem {k}: {said}; give a smaller"
                                     " one, or an earlier first asked step, first=1")  # fmt: skip
        Q, shipped = load_controller("lr", "lr", p, {"first": 1})
        unit = max(f(q_gradient_descent_alpha(f, x_1, Q, shipped, look)), TINY)
        units = {name: unit * getattr(p, name) for name in ("c1", "c2", "f_lb", "gap")}
        return x_1, replace(p, **units)

    def episode(self, e):
        """The f, x_1 and config of episode e; f is the present one from here on."""
        self.f, x_1, p = self.all[e % len(self.all)]
        return self.f, x_1, p

    def iterate(self, seed, stream, k=0):
        """The x_1 of problem k."""
        return self.all[k][1]
