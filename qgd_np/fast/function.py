"""A user's f on points that know their line: no value and no gradient is computed twice."""

import numpy as np

from ..objective import quiet
from .line import Direction, Point


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
