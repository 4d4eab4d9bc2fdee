"""One DQN for the learning rate and the coefficient at once, in the manner of Algorithms 1 to 4.

The paper's 3.3: "the actions are the combinations of how we want to change the learning rate as
well as regularization parameter"; its section 4 then trains two DQNs (D20). Here are the 2 x 3
combinations: half or accept, times half, keep or 1.25. lambda is turned first, so that an accept
takes the gradient of g with the new one; an accept resets alpha and not lambda (D48). The state is
that of Algorithm 3 for alpha, on g, and lambda is its seventh feature (D49).
"""

import math
from dataclasses import replace
from functools import partial
from itertools import cycle
from types import SimpleNamespace

import numpy as np

from ..algorithms import plain_steps_lambda
from ..dqn import DQN
from ..environment import ACCEPT, TINY, Features, ending, returned

TURN = 0.5, 1.0, 1.25  # a // 2 is what lambda is turned by, a % 2 half or accept


class BothDQN(DQN):
    """A DQN that explores so that lambda rises as much as it falls, and each episode otherwise."""

    def new_episode(self, e):
        """As for one of them; of the actions the shares of half, keep and 1.25 are drawn (D48)."""
        super().new_episode(e)
        if self.p.explore == "episode":
            share, turns = self.weights[ACCEPT], self.rng.dirichlet((1, 3, 3))
            self.weights[:] = np.outer(turns, (1 - share, share)).ravel()


class BothFeatures(Features):
    """The six features for alpha, and lambda_t relative to lambda_c as the hyper-parameter is."""

    def __init__(self, g, G, d_before, p, m):
        super().__init__(g, G, d_before, p.alpha_c, p.alpha_c, p, m)
        self.lambda_c = p.lambda_c

    def __call__(self, x, d, alpha, lam):
        """s_t (7,) at the candidate x_t on the line of d_t, with alpha_t and lambda_t."""
        six = super().__call__(x, d, alpha, lam)
        octaves = math.log2(max(lam, TINY) / max(self.lambda_c, TINY))
        return np.append(six, np.clip(octaves / (4 if self.p.map == "near" else 10), -1.0, 1.0))


def q_gradient_descent_both(g, m, x_1, Q, p, log):
    """As Algorithms 1 and 2: the DQN is used. Returns x* (D10)."""
    x, d_before, G, t_1 = plain_steps_lambda(g, x_1, fixed(p), p.asked_from(1), log, m)
    features = BothFeatures(g, G, d_before, p, m)
    xbar, d, alpha, lam = x, -g.gradient(x, p.lambda_c), p.alpha_c, p.lambda_c
    for t in range(t_1, p.steps + 1):
        s = features(x, d, alpha, lam)
        a = Q.greedy(s)
        if a % 2 == ACCEPT and features.gradients == p.gradients:  # D37
            break
        lam = TURN[a // 2] * lam
        if a % 2 == ACCEPT:
            xbar, d, alpha = x, -g.gradient(x, lam), p.alpha_c
        else:
            alpha = alpha / 2
        x = xbar + alpha * d
        log(t, x, lam, a, s=s, alpha=alpha)
        if not math.isfinite(g(x, lam)):  # D23
            break
    return returned(features, x, xbar, g, p)


def q_learning_both(episode, Q, theta_0, memory, p, logs, e_1=1):
    """As Algorithms 3 and 4: the DQN is trained. episode(e) gives g, m, x_1 and p."""
    Q.theta = theta_0
    for e in range(e_1, p.episodes + 1):
        g, m, x_1, p = episode(e)
        log = logs(e)
        Q.new_episode(e)
        x, d_before, G, t_1 = plain_steps_lambda(g, x_1, fixed(p), p.asked_from(p.M), log, m)
        features = BothFeatures(g, G, d_before, p, m)
        xbar, d, alpha, lam = x, -g.gradient(x, p.lambda_c), p.alpha_c, p.lambda_c
        s_next = features(x, d, alpha, lam)
        for t in range(t_1, p.steps + 1):
            s, lam_t = s_next, lam
            unit = m(xbar, lam) if p.unit == "base" else 1.0  # D39
            a = Q.act(s)
            if a % 2 == ACCEPT and features.gradients == p.gradients:  # D37
                break
            lam = TURN[a // 2] * lam
            if a % 2 == ACCEPT:
                xbar, d, alpha = x, -g.gradient(x, lam), p.alpha_c
            else:
                alpha = alpha / 2
            x = xbar + alpha * d
            x_star = returned(features, x, xbar, g, p)
            s_next = features(x, d, alpha, lam)
            if a % 2 != ACCEPT:
                r = p.c1 / max(m(x, lam_t) / unit - p.f_lb, p.gap)
            else:
                r = p.c2 / max(m(xbar, lam_t) / unit - p.f_lb, p.gap)
            r, over = ending(t, r, g(x, lam), m(x_star, lam_t) / unit, p)  # D23, D27, D28
            memory.add(e, s, a, r, s_next, over)
            loss = Q.update(memory, memory.sample(p.batch))
            log(t, x, lam, a, r, loss, s, alpha)
            if not math.isfinite(g(x, lam)):  # D23
                break
        yield x_star
    return Q.theta


def fixed(p):
    """p with alpha_c as the rate of the plain steps of Algorithm 4."""
    return replace(p, alpha=p.alpha_c)


def rhythm(problem, x_1, p, log, actions=(3,), **changes):
    """The same actions over and over, 2 and 3: half and accept, lambda kept; p so changed."""
    turn = cycle(actions)
    Q, p = SimpleNamespace(greedy=lambda s: next(turn)), replace(p, first=1, **changes)
    return q_gradient_descent_both(problem.f, problem.measure(p), x_1, Q, p, log)


BOTH = {
    "gd": rhythm,
    "gd lambda 0": partial(rhythm, lambda_c=0.0),
    "1 half": partial(rhythm, actions=(2, 3)),
    "2 halves": partial(rhythm, actions=(2, 2, 3)),
    "2 halves lambda 0": partial(rhythm, actions=(2, 2, 3), lambda_c=0.0),
}
