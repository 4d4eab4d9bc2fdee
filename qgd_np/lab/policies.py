"""What Q-gradient descent is compared with.

A rule for the same actions is Algorithm 1 or 2 with a policy in place of the DQN, asked from t = 1.
The others are what a user would pick instead, at the same number T of gradients; for them xbar is
the iterate at which the last gradient was taken. `Task` says how each is called.
"""

import contextlib
import math
from dataclasses import replace
from functools import partial
from itertools import cycle, islice, product

import numpy as np

from ..algorithms import q_gradient_descent_alpha, q_gradient_descent_lambda
from ..backend import namespace, to_device, to_host
from ..environment import ACCEPT, HALF, RAISE, descent, returned
from .training import Scripted

ARMIJO = 1e-4  # share of the predicted decrease that counts as sufficient
EARLY, LATE = 10, 15  # candidates at either end of Figure 9 in which the rate is halved first
BLOCK, BEAM = 10, 4  # of the search: steps added at a time, sequences kept
PLAIN = dict(first=1, momentum=0.0, map="near")  # no plain steps, no heavy ball, no look at xbar
RHYTHMS = {
    "1 half": (HALF, ACCEPT),
    "2 halves": (HALF, HALF, ACCEPT),
    "3 halves": (HALF, HALF, HALF, ACCEPT),
    "1 raise": (RAISE, ACCEPT),
    "2 raises": (RAISE, RAISE, ACCEPT),
}
SEARCHED = [(ACCEPT,), (HALF,), *RHYTHMS.values()]  # move at once, wait, or a rhythm


class LineSearch:
    """Armijo backtracking: accept on sufficient decrease from the accepted values, else half.

    It stands in for f as well as for Q, so it sees the values and slopes that the features are made
    of. memory: accepted values looked back on; with 1 it is monotone, with more nonmonotone.
    """

    def __init__(self, f, alpha_c, memory):
        self.f, self.point, self.alpha_c, self.memory = f, f.point, alpha_c, memory
        self.accepted, self.alpha = [], alpha_c

    def __call__(self, x, lam=0.0):
        return self.f(x, lam)

    def gradient(self, x, lam=0.0):
        """The gradient of f; from here on the line is x - alpha gradient."""
        d = -self.f.gradient(x, lam)
        self.slope = self.f.observe(x, d, d)[1]
        return -d

    def observe(self, *at):
        """As f.observe."""
        self.seen = self.f.observe(*at)
        return self.seen

    def greedy(self, s):
        """a_t for the x_t that was observed last."""
        bound = max(self.accepted, default=math.inf) + ARMIJO * self.alpha * self.slope
        if self.seen[0] <= bound:
            self.accepted, self.alpha = [*self.accepted, self.seen[0]][-self.memory :], self.alpha_c
            return ACCEPT
        self.alpha = self.alpha / 2
        return HALF


def line_search(problem, x_1, p, log, memory):
    """Algorithm 1 with a line search that looks back on `memory` accepted values."""
    search = LineSearch(problem.f, p.alpha_c, memory)
    return q_gradient_descent_alpha(search, x_1, search, replace(p, **PLAIN), log)


def pattern9(t, T):
    """The shape of Figure 9: one half before each accept at the beginning and at the end."""
    since = t - 1 if t <= EARLY else t - 1 - max(EARLY, T - LATE)
    return ACCEPT if EARLY < t <= T - LATE or since % 2 else HALF


def rule(problem, x_1, p, log, choose=lambda t, T: ACCEPT, **changes):
    """Algorithm 1 with a_t = choose(t, T), plain gradient descent, and these values of p."""
    Q = Scripted(lambda t: choose(t, p.steps))
    return q_gradient_descent_alpha(problem.f, x_1, Q, replace(p, **PLAIN, **changes), log)


class Seen:
    """What `returned` looks at where there are no features: x_t, and the lowest so far."""

    def __init__(self, x, f):
        self.x, self.lowest, self.m = x, x, f

    def __call__(self, x):
        """x, which is x_t from here on."""
        self.x, self.lowest = x, min(self.lowest, x, key=self.m)
        return x


def scheduled(problem, x, p, log, rate, momentum=0.0, nesterov=False):
    """Gradient descent or the heavy ball at the learning rate rate(t, T), or Nesterov's method."""
    T, d, p, seen = budget(p), None, replace(p, momentum=momentum), Seen(x, problem.f)
    for t in range(1, T + 1):
        d = descent(problem.f, x, d, p)
        ahead = descent(problem.f, x, d, p) if nesterov else d
        xbar, x = seen(x), x + rate(t, T) * ahead
        log(t, x, rate(t, T), ACCEPT)
    return returned(seen, x, xbar, problem.f, p)


def budget(p):
    """How many gradients a rule without halves may take."""
    return min(p.gradients or p.steps, p.steps)


def steps(rate, t, T):
    """The rate, halved for the last fifth."""
    return rate / 2 if t > 0.8 * T else rate


def cosine(rate, t, T):
    """From the rate to 0 along half a cosine."""
    return rate * (1 + math.cos(math.pi * (t - 1) / T)) / 2


def adam(problem, x, p, log, rate):
    """Adam at the learning rate rate(t, T) and its usual moments (0.9, 0.999, 1e-8)."""
    f, m, v, T, seen = problem.f, 0 * x.x, 0 * x.x, budget(p), Seen(x, problem.f)
    for t in range(1, T + 1):
        gradient = f.gradient(x).vector
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        root = namespace(v).sqrt(v / (1 - 0.999**t)) + 1e-8
        xbar, x = seen(x), f.point(x.x - rate(t, T) * (m / (1 - 0.9**t)) / root)
        log(t, x, rate(t, T), ACCEPT)
    return returned(seen, x, xbar, f, p)


def lbfgs(problem, x_1, p, log):
    """SciPy's L-BFGS-B with at most T evaluations of f and its gradient; logs the best so far."""
    from scipy.optimize import minimize  # slow to import

    f, T, device = problem.f, budget(p), "cpu" if namespace(x_1.x) is np else "gpu"
    best, count = x_1, 0

    def value_and_gradient(vector):
        nonlocal best, count
        if count == T:
            raise StopIteration
        x, count = f.point(to_device(vector.astype(x_1.x.dtype), device)), count + 1
        best = x if f(x) < f(best) else best
        log(count, best, math.nan, ACCEPT)
        return f(x), to_host(f.gradient(x).vector).astype(np.float64)

    with contextlib.suppress(StopIteration):
        minimize(value_and_gradient, to_host(x_1.x).astype(np.float64), jac=True,
                 method="L-BFGS-B", options=dict(maxiter=T, maxfun=T))  # fmt: skip
    return best


LEARNING_RATE = {
    "gd": rule,
    "armijo": partial(line_search, memory=1),
    "nonmonotone": partial(line_search, memory=5),
    "pattern9": partial(rule, choose=pattern9),
    "adam 1e-3": partial(adam, rate=lambda t, T: 1e-3),
    "adam 2e-3": partial(adam, rate=lambda t, T: 2e-3),
    "adam 3e-3": partial(adam, rate=lambda t, T: 3e-3),
    "adam cosine": partial(adam, rate=partial(cosine, 2e-3)),
    "l-bfgs": lbfgs,
    "alpha 0.1": partial(rule, alpha_c=0.1),
    "alpha 0.3": partial(rule, alpha_c=0.3),
    "alpha 0.5": partial(rule, alpha_c=0.5),
    "cosine": partial(scheduled, rate=partial(cosine, 1.0)),
    "step": partial(scheduled, rate=lambda t, T: 0.5 ** ((t > T // 2) + (t > 3 * T // 4))),
    "heavy ball": partial(scheduled, rate=partial(steps, 0.6), momentum=0.9),
    "heavy cosine": partial(scheduled, rate=partial(cosine, 0.5), momentum=0.9),
    "nesterov": partial(scheduled, rate=partial(steps, 0.4), momentum=0.9, nesterov=True),
}


def rhythm(problem, x_1, p, log, actions, **changes):
    """Algorithm 2 with the same actions over and over, and these values of p."""
    Q = Scripted(lambda t: actions[(t - 1) % len(actions)])
    p = replace(p, first=1, sees="g", **changes)
    return q_gradient_descent_lambda(problem.f, problem.measure(p), x_1, Q, p, log)


def search(problem, x_1, p, log):
    """Play the best sequence of actions that a beam search finds from x_1; returns the last x.

    The search extends the BEAM best sequences by BLOCK steps in every way of SEARCHED and keeps
    those with the lowest validation error h. It looks where it is going, which no controller can:
    a measure of what the actions allow, not a rival.
    """
    g, h = problem.f, problem.errors["validation"]
    beam = [(1.0, (), (x_1, -g.gradient(x_1, p.lambda_c), p.lambda_c, x_1))]
    for begun in range(0, p.steps, BLOCK):
        longer = []
        for (_, actions, (xbar, d, lam, x)), repeated in product(beam, SEARCHED):
            block = tuple(islice(cycle(repeated), min(BLOCK, p.steps - begun)))
            for a in block:  # as Algorithm 2
                if a == ACCEPT:
                    xbar, d, lam = x, -g.gradient(x, lam), p.lambda_c
                else:
                    lam = lam / 2 if a == HALF else 1.25 * lam
                x = xbar + p.alpha * d
            longer.append((h(x), actions + block, (xbar, d, lam, x)))
        beam = sorted(longer, key=lambda entry: entry[0])[:BEAM]
    return rhythm(problem, x_1, p, log, beam[0][1])


COEFFICIENT = {
    "gd": partial(rhythm, actions=(ACCEPT,)),
    "gd lambda 0": partial(rhythm, actions=(ACCEPT,), lambda_c=0.0),
    **{name: partial(rhythm, actions=actions) for name, actions in RHYTHMS.items()},
    "search": search,
}
