"""Algorithms 3 and 4 as an environment of gymnasium, for agents of other libraries ('.[gym]').

An agent sees s_t and answers a_t, from the first step at which the DQN would be asked.
"""

import math

import gymnasium
import numpy as np

from .. import config
from ..algorithms import plain_steps_alpha, plain_steps_lambda
from ..environment import ACCEPT, ACTIONS, FEATURES, HALF, Features, descent, ending, returned
from ..images import load
from ..lab.training import Problem, initial_iterates
from .train import Problems


class Environment(gymnasium.Env):
    """The environment of Algorithm 3, or of 4; `on_images` and `on_problems` make one.

    episode(e): the (f, x_1, p) of episode e, p a config; the e of a reset is drawn from `starts`
    ones, or options["episode"]. task: "lr" or "reg"; m: what the reward looks at, f if left out.
    Observations: s_t (6,). Actions: 0 half, 1 accept, for "reg" 2 times 1.25. Step T and divergence
    are `terminated`; info has f at the x* of an episode that ends here, `x_star` is it (D10).
    """

    def __init__(self, episode, starts, task="lr", m=None):
        self.episode, self.starts, self.reg, self.m = episode, starts, task == "reg", m
        self.observation_space = gymnasium.spaces.Box(-1.0, 1.0, (len(FEATURES),), np.float64)
        self.action_space = gymnasium.spaces.Discrete(len(ACTIONS[task]))

    def reset(self, *, seed=None, options=None):
        """Take the plain steps of an episode; return its first s_t."""
        super().reset(seed=seed)
        e = (options or {}).get("episode", self.np_random.integers(self.starts))
        f, x_1, p = self.f, _, self.p = self.episode(int(e))
        self.value_c, rate = (p.lambda_c, p.alpha) if self.reg else (p.alpha_c, p.alpha_c)
        steps = plain_steps_lambda if self.reg else plain_steps_alpha
        m = (self.m or f,) * self.reg
        x, self.d, F, self.t = steps(f, x_1, p, p.asked_from(p.M), lambda *step: None, *m)
        self.features = Features(f, F, self.d, self.value_c, rate, p, self.m)
        return self._moved(x, x, self._direction(x, self.value_c), self.value_c), {}

    def step(self, a):
        """Lines 9 to 18 of Algorithm 3, 9 to 20 of 4: s_{t+1}, r_{t+1}, over, False, {f: f(x*)}."""
        f, p, m, x_t, lam_t = self.f, self.p, self.m or self.f, self.x, self.reg * self.value
        if a == ACCEPT and not self.reg and self.features.gradients == p.gradients:  # D37
            return self.s, 0.0, True, False, {"f": f(self.x_star)}
        unit = f(self.xbar) if p.unit == "base" and not self.reg else 1.0  # D39
        xbar, d, value = self.xbar, self.d, self.value / 2 if a == HALF else 1.25 * self.value
        if a == ACCEPT:
            xbar, d, value = x_t, self._direction(x_t, lam_t), self.value_c
        x = xbar + (p.alpha if self.reg else value) * d
        self.x_star = returned(self.features, x, xbar, f, p)
        s = self._moved(x, xbar, d, value)
        c, judged = (p.c2, xbar) if a == ACCEPT else (p.c1, x)
        r = c / max(m(judged, lam_t) / unit - p.f_lb, p.gap)
        r, _ = ending(self.t, r, f(x, self.reg * value), m(self.x_star, lam_t) / unit, p)
        over = self.t == p.steps or not math.isfinite(f(x, self.reg * value))
        self.t += 1
        return s, r, over, False, {"f": f(self.x_star)}

    def _direction(self, x, lam):
        return -self.f.gradient(x, lam) if self.reg else descent(self.f, x, self.d, self.p)

    def _moved(self, x, xbar, d, value):
        self.x, self.xbar, self.d, self.value = x, xbar, d, value
        self.s = self.features(x, d, lam=value) if self.reg else self.features(x, d, value)
        return self.s


def on_images(task="lr", data="auto", **changes):
    """The environment of run_lr.py or run_reg.py, its x_1 too; data as --data, changes as flags."""
    p = config.make(task, changes)
    problem = Problem(load(data, p.train_size, p.validation_size), p)
    x_1, m = initial_iterates(problem, p), problem.measure(p) if task == "reg" else None
    episode = lambda e: (problem.f, x_1(e), p.of_episode(e))  # noqa: E731
    return Environment(episode, p.starts or config.LARGEST, task, m)


def on_problems(problems, alpha_c=None, **changes):
    """The environment in which `train` trains, with the same arguments."""
    problems = Problems(problems, alpha_c, changes)
    return Environment(problems.episode, len(problems.all))


class Policy:
    """An agent in place of the DQN, in Algorithms 1 and 2 and lab.comparison.evaluate."""

    def __init__(self, agent):
        self.agent = agent  # with predict(s, deterministic=True) -> (a, ...), as Stable-Baselines3

    def greedy(self, s):
        """a_t."""
        return int(self.agent.predict(s, deterministic=True)[0])
