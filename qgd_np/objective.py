"""f (Eq. 2), g_lambda (Eq. 3) and h (Eq. 9) of a net on a set of images, and a user's own f.

This is the plain definition; fast/objective.py gives the same numbers with fewer products.

Shapes: n images, p inputs, k classes; an iterate x (P,) is all parameters of the net, flat.
"""

import numpy as np

from .backend import namespace


def softmax_cross_entropy(Z, targets):
    """The paper's 4.2: softmax output a, cross entropy -ln a_y (D2).

    Z (k, n): the last pre-activation with a row per class, overwritten; targets (k, n): one-hot.
    Returns the sum of the losses and its derivative by Z (k, n).
    """
    xp = namespace(Z)
    Z -= Z.max(axis=0)
    loss = -xp.vdot(Z, targets)
    A = xp.exp(Z, out=Z)  # (k, n)
    total = A.sum(axis=0)  # (n,)
    loss = loss + xp.log(total).sum()
    A /= total
    A -= targets
    return loss, A


def equation_2(Z, targets):
    """Eq. 2 as printed, -[y ln a + (1 - y) ln(1 - a)] of the softmax outputs a (D2); as above."""
    xp = namespace(Z)
    Z -= Z.max(axis=0)
    A = xp.exp(Z)  # (k, n)
    total = A.sum(axis=0)  # (n,)
    others = (1 - xp.eye(len(Z), dtype=Z.dtype)) @ A  # (k, n): total - A without the cancellation
    others = xp.maximum(others, xp.finfo(Z.dtype).tiny)
    loss = -xp.vdot(Z, targets) + xp.log(total).sum()
    loss = loss - xp.vdot(xp.log(others / total), 1 - targets)
    A /= total
    slope = A * (1 - targets) * (total / others) - targets  # (k, n): a d loss / d a
    return loss, slope - A * slope.sum(axis=0)


LOSSES = {"softmax": softmax_cross_entropy, "eq2": equation_2}
quiet = np.errstate(over="ignore", invalid="ignore")  # divergence is a result (D23)


def recent(function):
    """function(x), but not computed again at the last three x that were looked at."""
    known = []

    def once(x):
        entry = next((entry for entry in known if entry[0] is x), None) or (x, function(x))
        known[:] = [entry, *(other for other in known if other is not entry)][:3]
        return entry[1]

    return once


class Function:
    """A user's own f with its gradient, on float64 vectors (P,); Algorithms 1 to 4 run on it.

    f(x) -> float, positive, as it enters the state as a ratio (D8); gradient(x) -> (P,).
    """

    def __init__(self, f, gradient, like=np.zeros(0)):  # noqa: B008
        self.f, self.df, self.like = recent(f), recent(gradient), like

    def point(self, x):
        """Make an iterate of a vector (P,)."""
        return namespace(self.like).array(x, self.like.dtype)

    def __call__(self, x, lam=0.0):
        """g_lambda(x) = f(x) + lambda x^T x (Eq. 3, D3), a float; f(x) if lambda is 0."""
        return float(self.f(x)) + lam * float(namespace(x).vdot(x, x))

    def gradient(self, x, lam=0.0):
        """grad g_lambda(x) (P,)."""
        return self.df(x) + 2 * lam * x

    def observe(self, x, d, d_before, lam=0.0):
        """g_lambda(x), the slope d . grad g_lambda(x) (D9) and the alignment of Eq. 6 (D7)."""
        xp = namespace(x)
        alignment = xp.mean(xp.sign(d) * xp.sign(d_before))
        return self(x, lam), float(xp.vdot(d, self.gradient(x, lam))), float(alignment)


class Objective(Function):
    """f(x), the mean loss over the images (Eq. 2); with lambda g_lambda(x) (Eq. 3, D3).

    net: an MLP; images (n, p) and integer labels (n,) on the device; loss: "softmax" or "eq2" (D2).
    """

    def __init__(self, net, images, labels, loss="softmax"):
        f = lambda x: float(self._forward(x)[1]) / len(images)  # noqa: E731
        super().__init__(f, self._gradient, like=images)
        self.net, self.images, self.loss = net, images, LOSSES[loss]
        self.targets = namespace(images).eye(net.sizes[-1], dtype=images.dtype)[labels].T  # (k, n)

    @quiet
    def _gradient(self, x):
        activations, _, delta = self._forward(x)
        return self.net.backward(x, self.images, activations, delta.T / len(self.images))  # (P,)

    @quiet
    def _forward(self, x):
        activations = self.net.forward(x, self.images)  # A_l (n, q_l) and, last, Z (n, k)
        return activations, *self.loss(activations[-1].T.copy(), self.targets)  # (), (k, n)


class ErrorRate:
    """h(x), the share of wrong predictions on a set of images (Eq. 9, D13)."""

    def __init__(self, net, images, labels):
        self.net, self.images, self.labels = net, images, labels

    @quiet
    def __call__(self, x, lam=0.0):
        """The error rate, from 0 to 1; lambda does not enter, but h can stand for g so."""
        Z = self.net.forward(x, self.images)[-1]  # (n, k)
        return float((Z.argmax(axis=1) != self.labels).mean())
