"""The losses of the objective net: softmax cross entropy, and Eq. 2 as printed (D2).

Each takes Z (k, m), the last pre-activation with a row per class, and one-hot targets (k, m). It
returns the sum of the losses and its derivative by Z (k, m). Z is overwritten.
"""

from .backend import namespace


def softmax_cross_entropy(Z, targets):
    """The paper's 4.2: softmax output, cross entropy -ln a_y (D2)."""
    xp = namespace(Z)
    Z -= Z.max(axis=0)
    loss = -xp.vdot(Z, targets)
    A = xp.exp(Z, out=Z)
    total = A.sum(axis=0)
    loss = loss + xp.log(total).sum()
    A /= total
    A -= targets
    return loss, A


def equation_2(Z, targets):
    """Eq. 2 as printed, y ln a + (1 - y) ln(1 - a) summed over the softmax outputs a (D2)."""
    xp = namespace(Z)
    Z -= Z.max(axis=0)
    A = xp.exp(Z)
    total = A.sum(axis=0)
    others = (1 - xp.eye(len(Z), dtype=Z.dtype)) @ A  # total - A without the cancellation
    others = xp.maximum(others, xp.finfo(Z.dtype).tiny)
    loss = -xp.vdot(Z, targets) + xp.log(total).sum()
    loss = loss - xp.vdot(xp.log(others / total), 1 - targets)
    A /= total
    slope = A * (1 - targets) * (total / others) - targets  # a d loss / d a
    return loss, slope - A * slope.sum(axis=0)


LOSSES = {"softmax": softmax_cross_entropy, "eq2": equation_2}
