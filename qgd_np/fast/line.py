"""The line xbar + alpha d(xbar): iterates and directions that remember where they came from.

Every candidate of the paper is x = xbar + alpha d, so the first layer's pre-activation is linear
in alpha: Z_1(alpha) = Zbar + alpha DZ, where DZ = X D + db is the direction's own. One product with
the images X per direction, and Z_1 at any alpha on that line needs none.

In the algorithms an iterate is a `Point` and a direction a `Direction`, so that the printed
`xbar + alpha * d` stands there as printed, and `FirstLayer` finds the line in it. A point that is
on no line it knows costs one product, never a wrong number.

With few training images X the product per direction is cheaper still. The first layer's part of
grad g_lambda(xbar) is D = X^T delta + 2 lambda W(xbar), so on any images Y

    Y D + db = (Y X^T + 1) delta + 2 lambda Zbar,

a product with n columns, not p; the 1 is the bias's, whose input is one. Y X^T + 1 is made once.

Shapes: n training images X, m images Y, p pixels (3072), q units in the first hidden layer,
P parameters.
"""

import numpy as np

from ..backend import fused, namespace
from ..mlp import shaped
from ..objective import quiet

# Rows at a time on a CPU: what lies between the layers stays in cache, and the products with the
# later layers stay small enough for one BLAS thread. More threads gain nothing here, and on a busy
# machine each such product waits for one: measured, 0.1 s for a half step instead of 1.4 ms.
BLOCK = 512
REFRESH = 32  # accepts after which Zbar is computed from x again, so that rounding cannot add up
GRAM = 0.7  # Y X^T is used up to n = GRAM p: measured to pay, and smaller than the images Y


class Direction:
    """scale * vector, where vector (P,) is a gradient.

    dual: None, or (xbar, lambda, X, delta (n, q)), from which the first layer's part was made.
    """

    __array_ufunc__ = None  # a NumPy scalar times a direction is left to __rmul__

    def __init__(self, vector, scale=1.0, dual=None):
        self.vector, self.scale, self.dual = vector, float(scale), dual

    def __mul__(self, factor):
        return Direction(self.vector, self.scale * factor, self.dual)

    __rmul__ = __mul__

    def __neg__(self):
        return self * -1.0

    def __add__(self, other):
        """The sum; without lambda that of the duals belongs to it."""
        vector, dual = self.scale * self.vector + other.scale * other.vector, None
        if self.dual and other.dual and not (self.dual[1] or other.dual[1]):
            delta = self.scale * self.dual[3] + other.scale * other.dual[3]
            dual = (*self.dual[:3], delta)
        return Direction(vector, dual=dual)


NO_DIRECTION = Direction(None, 0.0)


class Point:
    """An iterate: a vector x (P,), or base + direction, added up only when it is needed.

    value: what an Objective or an ErrorRate has found here, by itself; memory: {(steps, first,
    alpha_c, sees): what plain steps from here gave}.
    """

    __array_ufunc__ = None

    def __init__(self, x=None, base=None, direction=NO_DIRECTION):
        self._x, self.base, self.direction, self.value, self.memory = x, base, direction, {}, {}
        if base is not None and base.base is not None:
            _, older = base.x, base.base.base  # h may be asked at xbar when x is already there:
            if older is not None:  # two lines are followed, all before are forgotten
                older.base, older.direction = None, NO_DIRECTION

    vector = property(lambda self: self.direction.vector)  # (P,), None without a line
    scale = property(lambda self: self.direction.scale)  # alpha with its sign

    @property
    def x(self):
        """The vector (P,) of this iterate."""
        if self._x is None:
            self._x = self.tail(0)
        return self._x

    @quiet
    def tail(self, first):
        """x[first:], the parameters after the first layer, without adding up the first layer."""
        if self._x is not None:
            return self._x[first:]
        base, vector = self.base.x[first:], self.vector[first:]
        return along(namespace(base).empty_like(base), base, vector, self.scale)

    def once(self, steps, f, p, first, log, *m):
        """steps(f, x_1, p, ...) from this x_1, taken once; then the log is told them again.

        What is kept of each step are the numbers found at its iterate, not the iterate's vector.
        """
        key = steps.__name__, first, p.alpha_c, p.sees
        if key in self.memory:
            for step in self.memory[key][1]:
                log(*step)
            return self.memory[key][0]
        taken = []

        def both(t, x, *rest):
            log(t, x, *rest)
            known = Point()
            known.value = x.value
            taken.append((t, known, *rest))

        x, *others = steps(f, self, p, first, both, *m)
        self.memory[key] = (f.point(x.x), *others), taken
        return self.memory[key][0]

    def __add__(self, direction):
        return Point(base=self, direction=direction)

    def __sub__(self, direction):
        return self + -direction

    def is_at(self, other):
        """True if both are the same multiple of the same direction from the same base."""
        if self is other or other is None or self.base is None:
            return self is other
        same_line = self.base is other.base and self.vector is other.vector
        return same_line and self.scale == other.scale


class FirstLayer:
    """Z_1 of a fixed set of images Y (m, p), followed along lines, one product per direction.

    basis: the images X (n, p) of the objective whose directions will be followed.
    """

    def __init__(self, net, images, basis=None):
        self.net, self.images = net, images
        xp, shape = namespace(images), (len(images), net.sizes[1])
        self.Zbar = xp.empty(shape, images.dtype)  # (m, q) at the anchor
        self.DZ = xp.empty(shape, images.dtype)  # (m, q) along the vector
        self.room = xp.empty_like(self.DZ[blocks(self.DZ)[0]])  # for one block of Z_1
        self.anchor = self.vector = None
        self.moves = 0
        self.activation_along = activation_along(net)
        few = basis is not None and len(basis) <= GRAM * net.sizes[0]
        self.basis, self.gram = basis if few else None, None  # (m, n): Y X^T + 1, once it is needed

    @quiet
    def follow(self, point):
        """Set Zbar and DZ so that Z_1(point) = Zbar + alpha DZ, and return that alpha."""
        base = point if point.base is None else point.base
        if base is not self.anchor:
            self._move(base)
        if point.base is None:
            return 0.0
        if point.vector is not self.vector:
            self._turn(point.direction)
            self.vector = point.vector
        return point.scale

    def _move(self, base):
        on_line = base.base is not None and base.base is self.anchor and base.vector is self.vector
        self.moves += 1
        if on_line and self.moves % REFRESH:
            for rows in blocks(self.Zbar):
                along(self.DZ[rows], self.Zbar[rows], self.DZ[rows], base.scale)
            self.Zbar, self.DZ = self.DZ, self.Zbar  # the next direction overwrites it
        else:
            self._product(base.x, self.Zbar)
            self.moves = 0
        self.anchor, self.vector = base, None

    def _turn(self, direction):
        """Set DZ to that of a new direction from the anchor."""
        xbar, lam, X, delta = direction.dual or (None,) * 4
        if X is None or X is not self.basis or xbar is not self.anchor:
            return self._product(direction.vector, self.DZ)
        if self.gram is None:
            self.gram = self.images @ X.T
            self.gram += 1
        namespace(delta).matmul(self.gram, delta, out=self.DZ)
        if lam:
            self.DZ += (2 * lam) * self.Zbar

    def _product(self, theta, out):
        W, b = shaped(theta, self.net.sizes[:2])[0]  # (p, q), (q,)
        namespace(out).matmul(self.images, W, out=out)
        out += b

    def A(self, alpha, rows):
        """A_1 (b, q) of a block of the images, Z_1 = Zbar + alpha DZ; valid until the next call."""
        Zbar, DZ = self.Zbar[rows], self.DZ[rows]
        A = self.room[: len(DZ)]  # made once: an array this large costs more to make than to fill
        if alpha:
            return self.activation_along(A, Zbar, DZ, alpha)
        A[:] = Zbar
        return self.net.activation(A)


@fused
def along(xp, Z, Zbar, DZ, alpha):
    """Set Z to Zbar + alpha DZ; Z may be DZ."""
    xp.multiply(alpha, DZ, out=Z)
    Z += Zbar


def activation_along(net):
    """A function (A, Zbar, DZ, alpha): `along`, then the net's activation, returned."""

    def both(xp, *line):
        net.activation(along(*line))

    if hasattr(net.activation, "__wrapped__"):  # fused itself: one kernel on a GPU
        return fused(both)
    return lambda *line: net.activation(along(*line))


def blocks(array):
    """Slices over the rows: of BLOCK rows on a CPU, all at once on a GPU."""
    step = BLOCK if namespace(array) is np else len(array)
    return [slice(start, start + step) for start in range(0, len(array), step)]
