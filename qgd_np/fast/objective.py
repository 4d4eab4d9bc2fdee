"""f, g_lambda and h of objective.py along a line: a drop-in with fewer products.

f and the slope d . grad f(x) (D9) at a candidate need no product with the images: Z_1 comes from
the line, and the slope is <delta_1, DZ> plus the same for the later layers. x^T x along the line
is a quadratic in alpha, so a change of lambda alone touches no image at all.

Shapes: n images, m of them in a block, p pixels, q units in the first hidden layer, k classes,
P parameters of the net.
"""

import numpy as np

from ..backend import namespace, to_host
from ..mlp import shaped
from ..objective import LOSSES, quiet
from .line import Direction, FirstLayer, Point, blocks


class Objective:
    """f(x), the mean loss over the images (Eq. 2); g_lambda(x) = f(x) + lambda x^T x (Eq. 3, D3).

    net: an MLP; images (n, p) and integer labels (n,) on the device; loss: "softmax" or "eq2" (D2).
    `lam` is lambda; left out, it is 0 and g is f.
    """

    def __init__(self, net, images, labels, loss="softmax"):
        xp = namespace(images)
        self.net, self.loss = net, LOSSES[loss]
        self.layer = FirstLayer(net, images, basis=images)
        one_hot = xp.eye(net.sizes[-1], dtype=images.dtype)[labels]  # (n, k)
        self.targets = one_hot.T.copy()  # (k, n): a reduction over the classes runs along the rows
        self.delta = xp.empty_like(self.layer.Zbar)  # (n, q): d f / d Z_1 at the last point
        self.later = xp.empty(net.n_parameters - net.first, images.dtype)  # (P - first,): gradient
        self.last = None
        self.taken = self.line = self.pair = (None, None)  # what is known of the newest gradient,
        self.squares, self.agreement = None, 0.0  # the newest line and the newest two directions
        self.signs = [(None, None)]

    def point(self, x):
        """Make an iterate of a vector (P,) of parameters."""
        return Point(namespace(self.targets).asarray(x, self.targets.dtype))

    def __call__(self, x, lam=0.0):
        """g_lambda(x), a float; f(x) if lambda is 0."""
        f, _, xx, _ = self._numbers(x)
        return f + lam * xx

    @quiet
    def gradient(self, x, lam=0.0):
        """grad g_lambda(x) as a Direction: one product here, one at the first look along it."""
        if self.taken[0] is x and self.taken[1] == lam:
            return self.taken[2]
        if not x.is_at(self.last):
            self._evaluate(x)
        xp, first = namespace(self.delta), self.net.first
        vector = xp.empty(self.net.n_parameters, self.delta.dtype)  # (P,)
        gW, gb = shaped(vector[:first], self.net.sizes[:2])[0]
        xp.matmul(self.layer.images.T, self.delta, out=gW)  # (p, q)
        self.delta.sum(axis=0, out=gb)  # (q,)
        vector[first:] = self.later
        if lam:
            vector += (2 * lam) * x.x
        few = self.layer.basis is not None
        dual = (x, lam, self.layer.images, self.delta.copy()) if few else None
        self.taken = x, lam, Direction(vector, dual=dual)
        return self.taken[2]

    def observe(self, x, d, d_previous, lam=0.0):
        """Return g_lambda(x), the slope d . grad g_lambda(x) (D9) and the alignment of Eq. 6."""
        f, slope, xx, vx = self._numbers(x, d.vector, d_previous.vector)
        if x.vector is d.vector:  # the usual case, a candidate on the line of d
            slope = d.scale * (slope + 2 * lam * vx)
        else:
            gradient = self.gradient(x, lam).vector
            slope = d.scale * float(namespace(gradient).vdot(d.vector, gradient))
        return f + lam * xx, slope, float(np.sign(d.scale * d_previous.scale)) * self.agreement

    def _numbers(self, x, u=None, v=None):
        """f, slope along x.vector, x^T x and vector^T x as floats: one transfer from the device.

        Leaves the alignment of u and v, if they are given, in `agreement`.
        """
        xp, parts = namespace(self.delta), []
        if self not in x.value and x.is_at(self.last):
            x.value[self] = self.last.value.get(self)
        if x.value.get(self) is None:
            parts = [self._evaluate(x)]
            if u is None and self.pair[0] is not None:  # what the next `observe` will ask for
                u, v = x.vector, self.pair[0]
        stale = u is not None and not (u is self.pair[0] and v is self.pair[1])
        if stale:
            parts.append(xp.vdot(self._sign(u), self._sign(v))[None] / len(u))  # Eq. 6
        numbers = to_host(xp.concatenate(parts)).tolist() if parts else []
        if stale:
            self.pair, self.agreement = (u, v), numbers.pop()
        if numbers:
            f, slope, bb, bv, vv = numbers
            s = x.scale  # x = base + s vector, so both squares are polynomials in s
            x.value[self] = (f, slope, bb + 2 * s * bv + s * s * vv, bv + s * vv)
        return x.value[self]

    def _sign(self, vector):
        """sign(vector) (P,), kept for the newest two directions."""
        if not any(known is vector for known, _ in self.signs):
            self.signs = [self.signs[-1], (vector, namespace(vector).sign(vector))]
        return next(sign for known, sign in self.signs if known is vector)

    @quiet
    def _evaluate(self, x):
        """Return device numbers (5,): f, slope, and the squares of x's line.

        Leaves d f / d Z_1 in `delta` and the later layers' gradient in `later`.
        """
        xp, net, n = namespace(self.delta), self.net, len(self.delta)
        scale = self.layer.follow(x)
        layers = shaped(x.tail(net.first), net.sizes[1:])
        part = xp.empty_like(self.later)
        slots = shaped(part, net.sizes[1:])
        self.later[:] = 0
        f = slope = xp.zeros((), np.float64)
        for rows in blocks(self.delta):
            activations = net.forward_from(self.layer.Z(scale, rows), layers)
            Z = activations[-1].T.copy()  # (k, m)
            loss, delta = self.loss(Z, self.targets[:, rows])  # (), (k, m)
            delta *= 1 / n
            delta = net.backward_to(layers, slots, activations, delta.T, self.delta[rows])  # (m, q)
            self.later += part
            f = f + loss
            if x.base is not None:
                slope = slope + xp.vdot(delta, self.layer.DZ[rows])
        if x.base is not None:
            slope = slope + xp.vdot(self.later, x.vector[net.first :])
        b, v = (x, None) if x.base is None else (x.base, x.vector)
        if not (b is self.line[0] and v is self.line[1]):  # the squares: computed once a line
            self.line = b, v
            b, v = b.x, 0 * b.x if v is None else v
            self.squares = xp.stack([xp.vdot(b, b), xp.vdot(b, v), xp.vdot(v, v)])
            self.squares = self.squares.astype(np.float64)
        self.last = x
        return xp.concatenate([xp.stack([f / n, slope]), self.squares])


class ErrorRate:
    """h(x), the share of wrong predictions on a set of images (Eq. 9, D13).

    Followed along the same lines; basis: the objective's images, which make that cheaper if they
    are few. lambda does not enter; it is taken so that h can stand for g.
    """

    def __init__(self, net, images, labels, basis=None):
        self.net, self.labels, self.layer = net, labels, FirstLayer(net, images, basis)
        self.last = None

    def __call__(self, x, lam=0.0):
        if self not in x.value:
            known = x.is_at(self.last)
            x.value[self] = self.last.value[self] if known else self._evaluate(x)
            self.last = x
        return x.value[self]

    @quiet
    def _evaluate(self, x):
        scale, wrong = self.layer.follow(x), 0
        layers = shaped(x.tail(self.net.first), self.net.sizes[1:])
        for rows in blocks(self.layer.Zbar):
            Z = self.net.forward_from(self.layer.Z(scale, rows), layers)[-1]  # (b, k)
            wrong = wrong + (Z.argmax(axis=1) != self.labels[rows]).sum()
        return float(wrong) / len(self.labels)
