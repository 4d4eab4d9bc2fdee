"""What happened in one episode, step by step."""

import math
import time

import numpy as np

LOGGED = ("objective", "value", "action", "reward", "td_loss")


class History:
    """The log of one episode of T candidates; steps that were not reached stay NaN, action -1.

    objective, value (alpha or lambda), reward, td_loss: (T,) floats; action: (T,) int8.
    errors: {name: ErrorRate} evaluated at every step, kept in `error[name]` (T,).
    trace: called with (t, s, action, value, f) after every step, for a reader.
    diverged_at: the last step whose f was not finite, at which the episode ended (D23); 0: none.
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
        if math.isfinite(f_x):  # a net of NaN would still name a class for each image
            for name, error in self.errors.items():
                self.error[name][k] = error(x)
        else:
            self.diverged_at = t
        if self.trace and s is not None:
            self.trace(t, s, a, value, f_x)

    def opening(self, M):
        """What is logged of the steps t < M, to be given to `restore`."""
        arrays = {name: getattr(self, name)[: M - 1].copy() for name in LOGGED}
        errors = {name: values[: M - 1].copy() for name, values in self.error.items()}
        return arrays, errors, self.diverged_at

    def restore(self, opening):
        """Log steps that were taken before."""
        arrays, errors, self.diverged_at = opening
        for name, values in arrays.items():
            getattr(self, name)[: len(values)] = values
        for name, values in errors.items():
            self.error[name][: len(values)] = values

    def close(self, x, episode_return, epsilon):
        """Log what is known at the end: the last iterate and the return."""
        self.x, self.episode_return, self.epsilon = x, episode_return, epsilon
        self.seconds = time.perf_counter() - self.started
