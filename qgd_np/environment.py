"""The environment of sections 3.1 to 3.4: actions, the six features, an episode's begin and end.

The rewards are printed lines of Algorithms 3 and 4; the sums behind slope and alignment, `observe`,
stand with the objective.
"""

import functools
import math

import numpy as np

HALF, ACCEPT, RAISE = 0, 1, 2  # RAISE, times 1.25, is for the coefficient only
ACTIONS = {"lr": ("half", "accept"), "reg": ("half", "accept", "raise")}  # D15, D20, D31
FEATURES = ("hyper-parameter", "objective", "max objective", "slope", "encoding", "alignment")
MAPS = {  # s: the slope, s_0: where the line begins, S(z) = z/(1 + |z|)
    "near": "log2(v/v_c)/4, tanh 4ln(f/min F), tanh 16ln(max F/f_1), tanh(rate s/f), Eq. 4, Eq. 6",
    "far": "log2(v/v_c)/10, tanh 4ln(f/min F), tanh ln(max F/f_1), tanh(s/|s_0|), Eq. 4, Eq. 6",
    "line": "log2(v/v_c)/10, S((f-min F)/v|s_0|), S((max F-min F)/v|s_0|), S(s/|s_0|), "
    "Eq. 4, Eq. 6",
}
TINY = 1e-12


class Features:
    """The state s_t (6,) of section 3.2 (D32), each feature mapped monotonically to [-1, 1] (D8).

    f        the objective, or g
    F        its values f(x_1), ..., f(x_{t-1}); with none yet, [f(x_1)] (D11)
    d_before the direction d_{t-1}, None where there is no step before (D11)
    value_c  alpha_c or lambda_c
    rate     the learning rate after an accept; frees the slope of the scale of alpha
    p        the config; M: of the list of Eq. 4 and of feature three's "past M steps" (D6, D8, D46)
    m        what the reward looks at, if not f; may be seen (D46), and is lowest at `lowest` (D47)
    x        the candidate of the last state; gradients: how many directions there were (D37)

    f must be positive, but for the map "line", as it enters in ratios: so the number of images does
    not show. The size of the net does in the slope of "near": |grad f|^2 grows with it. Where a
    number is not finite, its feature is 1, that of Eq. 4 -1 (D23).
    """

    def __init__(self, f, F, d_before, value_c, rate, p, m=None):
        self.f, self.F, self.d_before, self.p = f, list(F), d_before, p
        self.value_c, self.rate, self.m = value_c, rate, m or f
        self.gradients, self.x, self.xbar, self.lowest = len(self.F), None, None, None

    def __call__(self, x, d, alpha=None, lam=0.0):
        """s_t at the candidate x_t on the line of d_t, with alpha_t or, left out, lambda_t."""
        value = lam if alpha is None else alpha
        d_before = d if self.d_before is None else self.d_before
        f_x, slope, alignment = self.f.observe(x, d, d_before, lam)
        seen = self.m(x, lam) if self.p.sees == "h" else f_x
        F = self.F or [seen]
        if self.p.returns == "lowest":
            self.lowest = x if self.lowest is None else min(self.lowest, x, key=self.m)
        if d is not self.d_before:  # a new line, from the candidate before
            xbar = x if self.x is None else self.x
            self.gradients += xbar is not self.xbar
            self.xbar = xbar
            if self.p.map != "near":
                self.s_0 = abs(self.f.observe(xbar, d, d_before, lam)[1])
        octaves = 4 if self.p.map == "near" else 10
        features = (
            math.log2(max(value, TINY) / max(self.value_c, TINY)) / octaves,
            *self._sizes(seen, F, f_x, slope, value),
            encoding(seen, F, self.p.M),
            alignment if math.isfinite(alignment) else 1.0,
        )
        self.F.append(seen)
        self.x, self.d_before = x, d
        return np.clip(features, -1.0, 1.0)

    def _sizes(self, seen, F, f_x, slope, value):
        """Features two to four: f(x_t), the past maximum and the slope, by the map (D8)."""
        low, high = min(F), max(F[-self.p.M :])
        if self.p.map == "line":  # in units of what the slope at xbar promises
            unit = max(value * self.s_0, TINY**20)
            z = [(seen - low) / unit, (high - low) / unit, slope * value / unit]
            z = np.nan_to_num(z, nan=1 / TINY)
            return z / (1 + abs(z))
        rise, rate, unit = (16, self.rate, f_x) if self.p.map == "near" else (1, 1, self.s_0)
        return (
            math.tanh(4 * _log_ratio(seen, low)),
            math.tanh(rise * _log_ratio(high, F[0])),
            math.tanh(rate * slope / max(unit, TINY)) if math.isfinite(slope + f_x) else 1.0,
        )


def encoding(f_x, F, M):
    """Eq. 4: 1, 0 or -1 for f(x_t) below, among or above the M lowest values of F."""
    lowest = sorted(F)[:M]
    if f_x <= lowest[0]:
        return 1.0
    return 0.0 if f_x <= lowest[-1] else -1.0


def _log_ratio(value, reference):
    if not (math.isfinite(value) and math.isfinite(reference)):
        return math.inf
    return math.log(max(value, TINY) / max(reference, TINY))


def descent(f, x, d, p):
    """d(x) = -grad f(x), as printed, + momentum times d, the direction before (D36)."""
    heavy = p.momentum and d is not None
    return -f.gradient(x) + p.momentum * d if heavy else -f.gradient(x)


def remembered(steps):
    """A decorator: an iterate that can remember (fast/line.py) takes its plain steps once (D21)."""

    @functools.wraps(steps)
    def once(f, x_1, p, first, log, *m):
        take = getattr(x_1, "once", None)
        return take(steps, f, p, first, log, *m) if take else steps(f, x_1, p, first, log, *m)

    return once


def returned(features, x, xbar, f, p):
    """x* after step t = T (D10), where x is x_{T+1}, which no step can reject any more.

    p.returns: "printed", x_T; "last", x_{T+1}; "lower", the better of x_{T+1} and xbar; "lowest",
    the first candidate with the lowest measure (D47).
    """
    if p.returns == "printed":
        return features.x
    if p.returns == "lowest":
        return min(features.lowest, x, key=features.m)
    return x if p.returns == "last" or f(x) <= f(xbar) else xbar


def ending(t, r, f_x, m_end, p):
    """(r, over): the reward of step t, and whether no state follows.

    f_x must be finite, else nothing is earned (D23); no state follows step T (D27), and m_end, the
    reward's measure at the x* of an episode that ends here, counts as if for ever (D28).
    """
    if not math.isfinite(f_x):
        return 0.0, True
    r = p.logarithm * math.log(r) if p.logarithm and r > 0 else r  # D42
    if t == p.steps and p.horizon == "returned":
        r += p.gamma / (1 - p.gamma) * p.c1 / max(m_end - p.f_lb, p.gap)
    return r, t == p.steps and p.horizon != "endless"
