"""Experience replay (section 4.1): the A most recent and the B best episodes (D17)."""

import numpy as np


class Memory:
    """Experiences (s, a, r, s', label) of the A most recent and the B best episodes.

    Best means highest return, the sum of the rewards. Each kept episode has a slot of `steps` rows
    in fixed arrays, so memory and the time of a draw do not grow with training.
    """

    def __init__(self, recent, best, steps, features=6):
        slots = recent + best + 1  # one for the episode that is being played
        self.recent_count, self.best_count, self.steps = recent, best, steps
        self.s = np.zeros((slots * steps, features))
        self.s_next = np.zeros((slots * steps, features))
        self.a = np.zeros(slots * steps, np.int64)
        self.r = np.zeros(slots * steps)
        self.end = np.zeros(slots * steps, bool)  # no state after this one (divergence, D23)
        self.label = np.zeros(slots * steps)  # y as it was when the experience was made (D16)
        self.last = np.zeros(slots * steps, np.int64)  # last row so far of the row's episode
        self.returns = np.full(slots, -np.inf)
        self.recent, self.best = [], []  # slots; newest last, highest return first
        self.rows = np.zeros(0, np.int64)
        self.start = self.count = 0  # rows of the current episode: start, start + 1, ...

    def begin_episode(self):
        """Give a free slot to a new episode; forget what is neither recent nor best."""
        kept = sorted(set(self.recent) | set(self.best))
        slot = min(set(range(len(self.returns))) - set(kept))
        filled = [np.arange(k * self.steps, self.last[k * self.steps] + 1) for k in kept]
        self.start, self.count = slot * self.steps, 0
        future = np.arange(self.start, self.start + self.steps)
        self.rows = np.concatenate([*filled, future])
        self.before = len(self.rows) - self.steps

    def add(self, s, a, r, s_next, label=0.0, end=False):
        """Add one experience to the current episode."""
        if not np.isfinite(r):
            raise ValueError("the memory takes finite rewards only")
        row = self.start + self.count
        self.s[row], self.a[row], self.r[row], self.s_next[row] = s, a, r, s_next
        self.label[row], self.end[row] = label, end
        self.last[self.start : row + 1] = row
        self.count += 1

    def sample(self, size, rng):
        """Draw `size` rows uniformly, with replacement, from all experiences in memory."""
        return self.rows[rng.integers(self.before + self.count, size=size)]

    def end_episode(self):
        """Rank the finished episode among the best and the most recent; return its return."""
        if self.count == 0:
            return 0.0
        slot, rows = self.start // self.steps, slice(self.start, self.start + self.count)
        self.returns[slot] = self.r[rows].sum()
        self.best = sorted([*self.best, slot], key=lambda k: -self.returns[k])[: self.best_count]
        self.recent = [*self.recent, slot][-self.recent_count :] if self.recent_count else []
        return float(self.returns[slot])

    def tree(self):
        """Everything in here, for a checkpoint."""
        arrays = ("s", "s_next", "a", "r", "end", "label", "last", "returns")
        tree = {name: getattr(self, name).copy() for name in arrays}
        tree["recent"] = np.array(self.recent, np.int64)
        return tree | {"best": np.array(self.best, np.int64)}

    def restore(self, tree):
        """The inverse of `tree`."""
        for name, value in tree.items():
            setattr(self, name, value.tolist() if name in ("recent", "best") else value.copy())
