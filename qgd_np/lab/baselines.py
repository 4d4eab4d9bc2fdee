"""What Q-gradient descent is compared with.

The first four are rules for the same two actions on the same line as Algorithm 1. The others are
what a user would pick instead, at the same number T of gradients.
"""

import math
from itertools import cycle, islice, product

import numpy as np

from ..backend import namespace, to_device, to_host
from ..environment import ACCEPT, HALF, RAISE, returned

ARMIJO = 1e-4  # share of the predicted decrease that counts as sufficient
EARLY, LATE = 10, 15  # candidates at either end of Figure 9 in which the rate is halved first


def gradient_descent(t, T, alpha, values, slope, last):
    """Plain gradient descent at alpha_c: accept always."""
    return ACCEPT


def armijo(t, T, alpha, values, slope, last):
    """Armijo backtracking: accept on sufficient decrease from the accepted values, else half.

    With the last accepted value it is monotone, with the highest of the last five nonmonotone.
    """
    bound = max(values[:-1]) + ARMIJO * alpha * slope
    return ACCEPT if t == 1 or values[-1] <= bound else HALF


def pattern9(t, T, alpha, values, slope, last):
    """The shape of Figure 9: one half before each accept at the beginning and at the end."""
    if EARLY < t <= T - LATE:
        return ACCEPT
    return ACCEPT if last == HALF else HALF


RULES = {
    "gd": gradient_descent,
    "armijo": armijo,
    "nonmonotone": armijo,
    "pattern9": pattern9,
}
MEMORY = {"armijo": 1, "nonmonotone": 5}  # accepted values a rule looks back on


def follow(name, f, x_1, p, history):
    """Algorithm 1 with a rule in place of the DQN: T candidates from x_1; returns the last one."""
    rule, keep = RULES[name], MEMORY.get(name, 1)
    x, xbar, d, alpha = x_1, x_1, -f.gradient(x_1), p.alpha_c
    accepted, last = [f(x)], None
    slope = f.observe(xbar, d, d)[1]
    for t in range(1, p.steps + 1):
        last = rule(t, p.steps, alpha, [*accepted, f(x)], slope, last)
        if last == HALF:
            alpha = alpha / 2
        else:
            accepted = [*accepted, f(x)][-keep:]
            xbar, d, alpha = x, -f.gradient(x), p.alpha_c
            slope = f.observe(xbar, d, d)[1]
        x = xbar + alpha * d
        x = returned(t, x, xbar, f, p)
        history.add(t, f(x), alpha, last, x=x)
        if not math.isfinite(f(x)):
            break
    return x


def fixed_lambda(g, x_1, p, lam, history):
    """Plain gradient descent on g_lambda at a fixed lambda: the baseline of the second task."""
    x = x_1
    for t in range(1, p.steps + 1):
        x = x - p.alpha * g.gradient(x, lam)
        history.add(t, g(x), lam, ACCEPT, x=x)
    return x


def play_lambda(g, x_1, p, actions, history):
    """Algorithm 2 with the given actions a_1, a_2, ... in place of the DQN; returns the last x."""
    place = start_lambda(g, x_1, p)
    for t, a in zip(range(1, p.steps + 1), actions, strict=False):
        _, _, lam, x = place = step_lambda(g, p, place, a)
        history.add(t, g(x), lam, a, x=x)
    return x


def rhythm_lambda(name, g, x_1, p, history):
    """The same actions over and over, as RHYTHMS names them."""
    return play_lambda(g, x_1, p, cycle(RHYTHMS[name]), history)


def search_lambda(g, h, x_1, p, history):
    """Play the best sequence of actions that a beam search finds from x_1; returns the last x.

    The search extends the BEAM best sequences by BLOCK steps in every way of SEARCHED and keeps
    those with the lowest validation error h. It looks where it is going, which no controller can:
    a measure of what the actions allow, not a rival.
    """
    beam = [(1.0, [], start_lambda(g, x_1, p))]
    while len(beam[0][1]) < p.steps:
        longer = []
        for (_, actions, place), rhythm in product(beam, SEARCHED):
            block = list(islice(cycle(rhythm), min(BLOCK, p.steps - len(actions))))
            for a in block:
                place = step_lambda(g, p, place, a)
            longer.append((h(place[-1]), actions + block, place))
        beam = sorted(longer, key=lambda entry: entry[0])[:BEAM]
    return play_lambda(g, x_1, p, beam[0][1], history)


def start_lambda(g, x_1, p):
    """Where Algorithm 2 begins: (xbar, d(xbar), lambda_1, x_1)."""
    return x_1, -g.gradient(x_1, p.lambda_c), p.lambda_c, x_1


def step_lambda(g, p, place, a):
    """Take action a at the place (xbar, d, lambda_t, x_t); return the next place."""
    xbar, d, lam, x = place
    if a == ACCEPT:
        xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c
    else:
        lam = lam / 2 if a == HALF else 1.25 * lam
    return xbar, d, lam, xbar + p.alpha * d


def scheduled(f, x_1, p, rate, history):
    """Gradient descent at the learning rate rate(t, T), t = 1, ..., T."""
    x = x_1
    for t in range(1, p.steps + 1):
        x = x - rate(t, p.steps) * f.gradient(x)
        history.add(t, f(x), rate(t, p.steps), ACCEPT, x=x)
    return x


def adam(f, x_1, p, rate, history):
    """Adam at a fixed rate and its usual moments (0.9, 0.999, 1e-8), T gradients."""
    x = x_1
    m = v = 0 * x.x
    for t in range(1, p.steps + 1):
        gradient = f.gradient(x).vector
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = namespace(v).sqrt(v / (1 - 0.999**t)) + 1e-8
        x = f.point(x.x - rate * (m / (1 - 0.9**t)) / root)
        history.add(t, f(x), rate, ACCEPT, x=x)
    return x


def lbfgs(f, x_1, p, history):
    """SciPy's L-BFGS-B with at most T evaluations of f and its gradient; logs the best so far."""
    from scipy.optimize import minimize  # slow to import

    start = x_1
    device = "cpu" if namespace(start.x) is np else "gpu"
    best = [math.inf, start]

    def value_and_gradient(vector):
        if value_and_gradient.count == p.steps:
            raise StopIteration
        x = f.point(to_device(vector.astype(start.x.dtype), device))
        value_and_gradient.count += 1
        if f(x) < best[0]:
            best[:] = f(x), x
        history.add(value_and_gradient.count, best[0], math.nan, ACCEPT, x=best[1])
        return f(x), to_host(f.gradient(x).vector).astype(np.float64)

    value_and_gradient.count = 0
    try:
        minimize(value_and_gradient, to_host(start.x).astype(np.float64), jac=True,
                 method="L-BFGS-B", options=dict(maxiter=p.steps, maxfun=p.steps))  # fmt: skip
    except StopIteration:
        pass
    return best[1]


def cosine(t, T):
    """alpha from 1 to 0 along half a cosine."""
    return 0.5 * (1 + math.cos(math.pi * (t - 1) / T))


def step_schedule(t, T):
    """alpha 1, then 0.5 from T/2 on and 0.25 from 3T/4 on."""
    return 1.0 if t <= T // 2 else 0.5 if t <= 3 * T // 4 else 0.25


RHYTHMS = {
    "1 half": (HALF, ACCEPT),
    "2 halves": (HALF, HALF, ACCEPT),
    "3 halves": (HALF, HALF, HALF, ACCEPT),
    "1 raise": (RAISE, ACCEPT),
    "2 raises": (RAISE, RAISE, ACCEPT),
}
SEARCHED = [(ACCEPT,), (HALF,), *RHYTHMS.values()]  # move at once, wait, or a rhythm
BLOCK, BEAM = 10, 4  # of the search: steps added at a time, sequences kept

OTHERS = {
    "adam 1e-3": lambda f, x_1, p, h: adam(f, x_1, p, 1e-3, h),
    "adam 3e-3": lambda f, x_1, p, h: adam(f, x_1, p, 3e-3, h),
    "l-bfgs": lbfgs,
    "alpha 0.1": lambda f, x_1, p, h: scheduled(f, x_1, p, lambda t, T: 0.1, h),
    "alpha 0.3": lambda f, x_1, p, h: scheduled(f, x_1, p, lambda t, T: 0.3, h),
    "alpha 0.5": lambda f, x_1, p, h: scheduled(f, x_1, p, lambda t, T: 0.5, h),
    "cosine": lambda f, x_1, p, h: scheduled(f, x_1, p, cosine, h),
    "step": lambda f, x_1, p, h: scheduled(f, x_1, p, step_schedule, h),
}
