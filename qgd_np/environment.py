"""The environment of sections 3.1 to 3.4: actions, the six features, the schedules.

The rewards of Eq. 7 and 8 are printed lines of Algorithms 3 and 4 and stand there, the alignment of
Eq. 6 is a reduction over all parameters and stands in objective.py.
"""

import math

import numpy as np

HALF, ACCEPT, RAISE = 0, 1, 2  # RAISE, times 1.25, is for the coefficient only
ACTIONS = {"lr": ("half", "accept"), "reg": ("half", "accept", "raise")}
FEATURES = ("hyper-parameter", "objective", "max objective", "slope", "encoding", "alignment")
TINY = 1e-12
FEATURE_MAP = "log2(v/v_c)/4, tanh 4ln(f/min F), tanh 16ln(max F/f_1), tanh(rate s/f), Eq. 4, Eq. 6"


def state(value, value_c, rate, seen, F, p):
    """Return the six features s_t (6,) of section 3.2, each mapped monotonically to [-1, 1] (D8).

    value, value_c  alpha_t and alpha_c, or lambda_t and lambda_c
    rate            the learning rate at a reset; frees the slope of the scale of f
    seen            f(x_t), the slope d . grad f(x_t) (D9) and the alignment of Eq. 6
    F               objective values f(x_1), ..., f(x_{t-1}); with none yet, [f(x_1)] (D11)
    p.M             length of the list of Eq. 4 and of feature three's "past M steps" (D6)

    f(x_t) enters relative to the lowest value so far, the maximum relative to f(x_1): so neither
    the number of images nor that of the parameters shows, nor how low f can get. Where a number
    is not finite, its feature is 1, that of Eq. 4 -1 (D23).
    """
    f_x, slope, alignment = seen
    F = F or [f_x]
    features = (
        math.log2(max(value, TINY) / max(value_c, TINY)) / 4,
        math.tanh(4 * _log_ratio(f_x, min(F))),
        math.tanh(16 * _log_ratio(max(F[-p.M :]), F[0])),
        math.tanh(rate * slope / max(f_x, TINY)) if math.isfinite(slope + f_x) else 1.0,
        encoding(f_x, F, p.M),
        alignment if math.isfinite(alignment) else 1.0,
    )
    return np.clip(features, -1.0, 1.0)


def encoding(f_x, F, M):
    """Eq. 4: 1, 0 or -1 for f(x_t) below, among or above the M lowest values of F."""
    lowest = sorted(F)[:M]
    if f_x <= lowest[0]:
        return 1.0
    return 0.0 if f_x <= lowest[-1] else -1.0


def schedule(e, first, last, episodes):
    """The value in episode e = 1, 2, ...: linear from `first` to `last` over `episodes` (D19)."""
    return last + (first - last) * max(0.0, 1 - (e - 1) / max(episodes, 1))


def returned(t, x, xbar, f, p):
    """The candidate x of step t or, in the last step, xbar if f is lower there (D10).

    No step follows that could reject the last candidate. p.returns "last": x, as printed.
    """
    last = t == p.steps and p.returns == "lower"
    return xbar if last and f(xbar) < f(x) < math.inf else x


def _log_ratio(value, reference):
    if not (math.isfinite(value) and math.isfinite(reference)):
        return math.inf
    return math.log(max(value, TINY) / max(reference, TINY))
