"""f, g_lambda and h of objective.py along a line: a drop-in with fewer products.

f and the slope d . grad f(x) (D9) at a candidate need no product with the images: Z_1 comes from
the line, and the slope is <delta_1, DZ> plus the same for the later layers. x^T x along the line
is a quadratic in alpha, so a change of lambda alone touches no image at all.

Shapes: n images, m of them in a block, p pixels, q units in the first hidden layer, k classes,
P parameters of the net.
"""

import functools

import numpy as np

from ..backend import column_sums, fused, namespace, ones, to_host
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
        by_image = loss == "softmax" and xp is not np
        self.classes = [self.targets[j] for j in range(net.sizes[-1])] if by_image else None
        self.delta = xp.empty_like(self.layer.Zbar)  # (n, q): d f / d Z_1 at the last point
        self.later = xp.empty(net.n_parameters - net.first, images.dtype)  # (P - first,): gradient
        self.last = None
        self.taken = self.line = self.pair = (None, None)  # what is known of the newest gradient,
        self.agreement, self.signs = 0.0, [(None, None)]  # the newest line and two directions
        # what goes to the host: the slope and the loss of each block, the slope in the later
        # layers, the squares b.b, b.v, v.v of the newest line, and the agreement of two directions
        self.sums = xp.zeros(2 * len(blocks(self.delta)) + 5, images.dtype)

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
        column_sums(self.delta, out=gb)  # (q,)
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
        if self not in x.value and x.is_at(self.last):
            x.value[self] = self.last.value.get(self)
        new = x.value.get(self) is None
        if new:
            self._evaluate(x)
            if u is None and self.pair[0] is not None:  # what the next `observe` will ask for
                u, v = x.vector, self.pair[0]
        stale = u is not None and not (u is self.pair[0] and v is self.pair[1])
        if stale:
            inner(self._sign(u), self._sign(v), out=self.sums[-1:])
        if not (new or stale):
            return x.value[self]
        sums = to_host(self.sums)
        if stale:
            self.pair, self.agreement = (u, v), float(sums[-1] / sums.dtype.type(len(u)))  # Eq. 6
        if new:
            *parts, bb, bv, vv, _ = sums.tolist()
            slope, f = (functools.reduce(float.__add__, parts[i::2]) for i in (0, 1))
            s = x.scale  # x = base + s vector, so both squares are polynomials in s
            x.value[self] = f / len(self.delta), slope, bb + 2 * s * bv + s * s * vv, bv + s * vv
        return x.value[self]

    def _sign(self, vector):
        """sign(vector) (P,), kept for the newest two directions."""
        if not any(known is vector for known, _ in self.signs):
            self.signs = [self.signs[-1], (vector, namespace(vector).sign(vector))]
        return next(sign for known, sign in self.signs if known is vector)

    @quiet
    def _evaluate(self, x):
        """Put the slopes and losses of the blocks and the squares of x's line into `sums`.

        Leaves d f / d Z_1 in `delta` and the later layers' gradient in `later`.
        """
        xp, net, sums = namespace(self.delta), self.net, self.sums
        scale = self.layer.follow(x)
        layers = shaped(x.tail(net.first), net.sizes[1:])
        part = self.later  # the first block's gradient lies there already
        for i, rows in enumerate(blocks(self.delta)):
            slope, loss = sums[2 * i : 2 * i + 1], sums[2 * i + 1 : 2 * i + 2]
            slots = shaped(part, net.sizes[1:])
            activations = net.forward_from(self.layer.A(scale, rows), layers)
            delta = self._loss(activations[-1], rows, loss)  # (m, k)
            delta = net.backward_to(layers, slots, activations, delta, self.delta[rows])  # (m, q)
            if i:
                self.later += part
            else:
                part = xp.empty_like(part)
            if x.base is not None:
                inner(delta, self.layer.DZ[rows], out=slope)
        b, v = (x, None) if x.base is None else (x.base, x.vector)
        if x.base is None:
            sums[:-4:2] = 0  # no line, no slope
        else:
            inner(self.later, v[net.first :], out=sums[-5:-4])
        if not (b is self.line[0] and v is self.line[1]):  # the squares: computed once a line
            self.line = b, v
            b, v = b.x, 0 * b.x if v is None else v
            for i, pair in enumerate([(b, b), (b, v), (v, v)], -4):
                inner(*pair, out=sums[i : i + 1])
        self.last = x

    def _loss(self, Z, rows, out):
        """Put the sum of a block's losses into out (1,); return d f / d Z, both (m, k)."""
        scale = 1 / len(self.delta)
        if self.classes:  # on a GPU, where the number of kernels counts
            xp, columns = namespace(Z), [Z[:, j] for j in range(len(self.classes))]
            losses = xp.empty(len(Z), Z.dtype)  # (n,)
            softmax_by_image(losses, scale, *columns, *self.classes)
            inner(losses, ones(xp, len(Z), Z.dtype), out=out)
            return Z
        loss, delta = self.loss(Z.T.copy(), self.targets[:, rows])  # (), (k, m)
        out[:] = loss
        delta *= scale
        return delta.T


def inner(a, b, out):
    """Put the inner product of two contiguous arrays into out (1,)."""
    if (xp := namespace(a)) is np:
        out[0] = np.vdot(a, b)
    else:  # CuPy's vdot makes an array of the products, a fused sum of them runs in one block
        xp.cublas.dot(a.reshape(-1), b.reshape(-1), out=out)


@fused
def softmax_by_image(xp, losses, scale, *rows):
    """softmax_cross_entropy with a row (n,) for each class: on a GPU one kernel, a thread an image.

    rows: those of Z, overwritten with scale times the derivative, then those of the targets.
    """
    Z, targets = rows[: len(rows) // 2], rows[len(rows) // 2 :]
    top = functools.reduce(xp.maximum, Z)  # (n,)
    for z in Z:
        xp.subtract(z, top, out=z)
    losses[:] = functools.reduce(xp.add, map(xp.multiply, Z, targets))
    for z in Z:
        xp.exp(z, out=z)
    total = functools.reduce(xp.add, Z)  # (n,)
    xp.subtract(xp.log(total), losses, out=losses)
    for z, target in zip(Z, targets, strict=True):
        xp.divide(z, total, out=z)
        xp.subtract(z, target, out=z)
        xp.multiply(z, scale, out=z)


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
            Z = self.net.forward_from(self.layer.A(scale, rows), layers)[-1]  # (b, k)
            wrong = wrong + (Z.argmax(axis=1) != self.labels[rows]).sum()
        return float(wrong) / len(self.labels)
