"""The line xbar + alpha d(xbar): iterates and directions that remember where they came from.

Every candidate of the paper is x = xbar + alpha d, so the first layer's pre-activation is linear
in alpha: Z_1(alpha) = Zbar + alpha DZ, where DZ = X D + db is the direction's own. One product with
the images X per direction, and Z_1 at any alpha on that line needs none.

In the algorithms an iterate is a `Point` and a direction a `Direction`, so that the printed
`xbar + alpha * d` stands there as printed, and `FirstLayer` finds the line in it. A point that is
on no line it knows costs one product, never a wrong number.

Shapes: n images, p pixels (3072), q units in the first hidden layer, P parameters.
"""

import numpy as np

from .backend import namespace
from .mlp import shaped

BLOCK = 1024  # rows at a time on a CPU, so that what lies between the layers stays in cache
REFRESH = 32  # accepts after which Zbar is computed from x again, so that rounding cannot add up
quiet = np.errstate(over="ignore", invalid="ignore")  # divergence is a result (D23)


class Direction:
    """scale * vector, where vector (P,) is a gradient; `origin` is the point it was taken at."""

    __slots__ = ("vector", "scale", "origin")
    __array_ufunc__ = None  # a NumPy scalar times a direction is left to __rmul__

    def __init__(self, vector, origin, scale=1.0):
        self.vector, self.origin, self.scale = vector, origin, float(scale)

    def __mul__(self, factor):
        return Direction(self.vector, self.origin, self.scale * factor)

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1.0


class Point:
    """An iterate: a vector x (P,), or base + scale * vector, added up only when it is needed."""

    __slots__ = ("_x", "base", "vector", "scale", "value", "__weakref__")
    __array_ufunc__ = None

    def __init__(self, x=None, base=None, direction=None):
        self._x, self.base = x, base
        self.vector = None if direction is None else direction.vector
        self.scale = 0.0 if direction is None else direction.scale
        self.value = {}  # what an objective has found here: {objective: (f, slope along vector)}
        if base is not None and base.base is not None:
            _ = base.x
            base.base.base = base.base.vector = None  # only the last line is ever followed

    @property
    @quiet
    def x(self):
        """The vector (P,) of this iterate."""
        if self._x is None:
            self._x = self.base.x + self.scale * self.vector
        return self._x

    @quiet
    def tail(self, first):
        """x[first:], the parameters after the first layer, without adding up the first layer."""
        if self._x is not None:
            return self._x[first:]
        return self.base.x[first:] + self.scale * self.vector[first:]

    def __add__(self, direction):
        return Point(base=self, direction=direction)

    def __sub__(self, direction):
        return Point(base=self, direction=-direction)

    def is_at(self, other):
        """True if both are the same multiple of the same direction from the same base."""
        return self is other or (
            self.base is not None
            and other is not None
            and self.base is other.base
            and self.vector is other.vector
            and self.scale == other.scale
        )


class FirstLayer:
    """Z_1 of a fixed set of images (n, p), followed along lines with one product per direction."""

    def __init__(self, net, images):
        self.net, self.images = net, images
        xp, shape = namespace(images), (len(images), net.sizes[1])
        self.Zbar = xp.empty(shape, images.dtype)  # (n, q) at the anchor
        self.DZ = xp.empty(shape, images.dtype)  # (n, q) along the vector
        self.anchor = self.vector = None
        self.moves = 0

    @quiet
    def follow(self, point):
        """Set Zbar and DZ so that Z_1(point) = Zbar + alpha DZ, and return that alpha."""
        base = point if point.base is None else point.base
        if base is not self.anchor:
            self._move(base)
        if point.base is None:
            return 0.0
        if point.vector is not self.vector:
            self._product(point.vector, self.DZ)
            self.vector = point.vector
        return point.scale

    def _move(self, base):
        on_line = base.base is not None and base.base is self.anchor and base.vector is self.vector
        self.moves += 1
        if on_line and self.moves % REFRESH:
            for rows in blocks(self.Zbar):
                self.Zbar[rows] += base.scale * self.DZ[rows]
        else:
            self._product(base.x, self.Zbar)
            self.moves = 0
        self.anchor, self.vector = base, None

    def _product(self, theta, out):
        W, b = shaped(theta, self.net.sizes[:2])[0]  # (p, q), (q,)
        namespace(out).matmul(self.images, W, out=out)
        out += b


    def Z(self, alpha, rows):
        """Z_1 (m, q) = Zbar + alpha DZ for a slice of the images, a fresh array."""
        if not alpha:
            return self.Zbar[rows].copy()
        Z = alpha * self.DZ[rows]
        Z += self.Zbar[rows]
        return Z


def blocks(array):
    """Slices over the rows: of BLOCK rows on a CPU, all at once on a GPU."""
    step = BLOCK if namespace(array) is np else len(array)
    return [slice(start, start + step) for start in range(0, len(array), step)]
