"""What Q-gradient descent is compared with.

The first four are rules for the same two actions on the same line as Algorithm 1. The others are
what a user would pick instead, at the same number T of gradients.
"""

import math

import numpy as np
from scipy.optimize import minimize

from .backend import namespace, to_device, to_host
from .environment import ACCEPT, HALF, RAISE

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


def periodic_lambda(g, x_1, p, waits, history):
    """Algorithm 2 with a fixed rhythm in place of the DQN: the actions `waits`, then an accept."""
    x = xbar = x_1
    lam, d = p.lambda_c, -g.gradient(x_1, p.lambda_c)
    rhythm = [*waits, ACCEPT]
    for t in range(1, p.steps + 1):
        a = rhythm[(t - 1) % len(rhythm)]
        if a == ACCEPT:
            xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c
        else:
            lam = lam / 2 if a == HALF else 1.25 * lam
        x = xbar + p.alpha * d
        history.add(t, g(x), lam, a, x=x)
    return x


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
    "accept": (),
    "1 half": (HALF,),
    "2 halves": (HALF, HALF),
    "3 halves": (HALF, HALF, HALF),
    "1 raise": (RAISE,),
}

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
