"""What happened in one episode, step by step."""

import math
import time

import numpy as np

from .environment import ACCEPT


class History:
    """The log of one episode of T candidates; steps that were not reached stay NaN, action -1.

    objective, value (alpha or lambda), reward, td_loss: (T,) floats; action: (T,) int8.
    errors: {name: ErrorRate} evaluated at every step, kept in `error[name]` (T,).
    trace: called with (t, s, action, value, f) after every step, for a reader.
    """

    def __init__(self, steps, errors=None, trace=None):
        self.started = time.perf_counter()
        self.objective, self.value, self.reward, self.td_loss = np.full((4, steps), np.nan)
        self.action = np.full(steps, -1, np.int8)
        self.errors, self.trace = errors or {}, trace
        self.error = {name: np.full(steps, np.nan) for name in self.errors}
        self.diverged_at = 0

    def add(self, t, f_x, value, a, r=math.nan, loss=math.nan, x=None, s=None):
        """Log step t: f(x_{t+1}), alpha_{t+1} or lambda_{t+1}, a_t, r_{t+1} and the TD loss."""
        k = t - 1
        self.objective[k], self.value[k], self.reward[k], self.td_loss[k] = f_x, value, r, loss
        self.action[k] = a
        for name, error in self.errors.items():
            self.error[name][k] = error(x)
        if not math.isfinite(f_x):
            self.diverged_at = t
        if self.trace and s is not None:
            self.trace(t, s, a, value, f_x)

    def add_plain(self, objective, value):
        """Log the plain steps t = 1, ..., M - 1 that open an episode: their f or g, all accepts."""
        k = len(objective)
        self.objective[:k], self.value[:k], self.action[:k] = objective, value, ACCEPT

    def close(self, x, episode_return, epsilon):
        """Log what is known at the end: the last iterate and the return."""
        self.x, self.episode_return, self.epsilon = x, episode_return, epsilon
        self.seconds = time.perf_counter() - self.started
