"""The DQN Q(s; theta), the epsilon-greedy policy, experience replay (4.1) and the update, Eq. 10.

It lives on the host, also in a GPU run. As printed it is trained by plain gradient descent; Adam,
a target network, the double-Q target and targets of several rewards are switches (D24).

Shapes: S states in a minibatch, k actions, P parameters.
"""

import numpy as np

from .environment import ACCEPT, FEATURES
from .mlp import MLP


def schedule(e, first, last, episodes):
    """The value in episode e = 1, 2, ...: linear, `last` from episode `episodes` on (D19)."""
    return first + (last - first) * min(1.0, (e - 1) / (episodes - 1) if episodes > 1 else 1.0)


class DQN:
    """Q(s; theta), an MLP with identity output, trained by Eq. 10.

    sizes: (6, ..., k); p: the config; rng: generator of the exploring actions; theta (P,).
    """

    def __init__(self, sizes, p, rng=None, theta=None):
        self.net, self.p, self.rng, self._theta = MLP(sizes), p, rng, None
        self.theta = np.zeros(self.net.n_parameters) if theta is None else theta
        self.epsilon, self.beta, self.rejected = p.epsilon_first, p.beta, 0
        self.powers = p.gamma ** np.arange(p.n_steps + 1)  # 1, gamma, gamma^2, ...
        self.weights = np.full(sizes[-1], 1 / sizes[-1])  # (k,): of the exploring actions
        self.values, self.explored = np.full(sizes[-1], np.nan), False  # at the last s_t

    @property
    def theta(self):
        """The parameters (P,). Set to others, what belongs to the present ones begins anew."""
        return self._theta

    @theta.setter
    def theta(self, theta):
        if theta is not self._theta:
            self._theta = self.frozen = theta  # frozen: the target network's parameters
            self.m = self.v = np.zeros_like(theta)  # Adam's moments
            self.updates = 0

    def q(self, s):
        """Q(s; theta) of states (S, 6) -> (S, k)."""
        return self.net.forward(self._theta, s)[-1]

    def greedy(self, s):
        """argmax_a Q(s; theta) of one state (6,); leaves Q(s) (k,) in `values`."""
        self.values, self.explored = self.q(s[None])[0], False
        return int(np.argmax(self.values))

    def act(self, s):
        """The epsilon-greedy action; an exploring one is drawn with probabilities `weights`."""
        a = self.greedy(s)
        self.explored = self.rng.random() < self.epsilon
        return int(self.rng.choice(len(self.weights), p=self.weights)) if self.explored else a

    def new_episode(self, e):
        """Set what changes from episode to episode: epsilon (D19), beta (D24), weights (D26)."""
        p = self.p
        self.epsilon = schedule(e, p.epsilon_first, p.epsilon_last, p.epsilon_episodes)
        self.beta = schedule(e, p.beta, p.beta_last, p.beta_episodes)
        if p.explore == "episode":  # returns then differ by what was done throughout
            share = self.rng.uniform(p.accepts, 1.0)
            self.weights[:] = (1 - share) / (len(self.weights) - 1)
            self.weights[ACCEPT] = share

    def value_of(self, s):
        """The value (S,) of the states that a target ends in: max_a Q, by the target network."""
        Q = self.net.forward(self.frozen if self.p.target_every else self._theta, s)[-1]  # (S, k)
        chosen = self.q(s).argmax(axis=1) if self.p.double else Q.argmax(axis=1)  # (S,)
        return Q[np.arange(len(s)), chosen]

    def label(self, r, s_next, over):
        """y of one experience as of now, r_{t+1} + gamma max_a Q(s_{t+1}, a) (D16)."""
        return r if over else r + self.p.gamma * float(self.value_of(s_next[None])[0])

    def target(self, memory, rows):
        """y (S,): y_i = r_{i+1} + gamma max_a Q(s_{i+1}, a), or the same over n_steps rewards."""
        if memory.label:
            return memory.y[rows]
        n = self.p.n_steps
        last = np.minimum(rows + n - 1, memory.last[rows])  # (S,)
        path = rows[:, None] + np.arange(n)  # (S, n_steps)
        counted = path <= last[:, None]  # not beyond the episode, nor beyond the memory
        r = (memory.r.take(path, mode="clip") * counted) @ self.powers[:-1]  # (S,)
        follow = self.powers[last - rows + 1] * ~memory.over[last]
        return r + follow * self.value_of(memory.s_next.take(last, axis=0))

    def update(self, memory, rows):
        """Eq. 10 on these rows; return their TD loss, 1/(2S) sum (yhat - y)^2, before the step."""
        with np.errstate(over="ignore", invalid="ignore"):
            s, each, a = memory.s.take(rows, axis=0), np.arange(len(rows)), memory.a[rows]
            y = self.target(memory, rows)  # (S,)
            activations = self.net.forward(self._theta, s)
            error = activations[-1][each, a] - y  # (S,): yhat - y
            delta = np.zeros_like(activations[-1])  # (S, k)
            delta[each, a] = error / len(rows)
            gradient = self.net.backward(self._theta, s, activations, delta)  # (P,)
            moments = self.m, self.v
            theta = self._theta - self.beta * self._preconditioned(gradient)  # Eq. 10
            loss = 0.5 * float(error @ error) / len(rows)
            self.updates += 1
            if np.isfinite(theta @ theta):
                self._theta = theta
            else:  # not taken (D23)
                (self.m, self.v), self.rejected = moments, self.rejected + 1
        if self.p.target_every and self.updates % self.p.target_every == 0:
            self.frozen = self._theta
        return loss

    def _preconditioned(self, gradient):
        """The gradient as it is (the paper), or as Adam scales it (D24)."""
        if self.p.optimizer == "gd":
            return gradient
        t = self.updates + 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient * gradient
        return self.m / (1 - 0.9**t) / (np.sqrt(self.v / (1 - 0.999**t)) + 1e-8)


class Memory:
    """Experiences (s, a, r, s', label) of the A most recent and the B best episodes (4.1, D17).

    Best means highest return, the sum of the rewards. Each kept episode has a slot of T rows, so
    neither memory nor the time of a draw grows. rng: of the draws; label: for stored ones (D16).
    """

    def __init__(self, p, rng, label=None, features=None):
        self.p, self.rng, self.label = p, rng, label
        slots = p.A + p.B + 1  # one for the episode that is being played
        rows = slots * p.steps
        self.s, self.s_next = np.zeros((2, rows, features or len(FEATURES)))
        self.a, self.last = np.zeros((2, rows), np.int64)  # last: the row's episode's last row
        self.r, self.y = np.zeros((2, rows))
        self.over = np.zeros(rows, bool)  # no state after this one (D23, D27)
        self.returns = np.full(slots, -np.inf)
        self.recent, self.best = [], []  # slots; newest last, highest return first
        self.e = self.start = self.count = self.before = 0  # episode e has the rows from start on

    def add(self, e, s, a, r, s_next, over=False):
        """Add one experience of episode e; with a new e the one before is ranked."""
        if not np.isfinite(r):
            raise ValueError("the memory takes finite rewards only")
        if e != self.e:
            self._begin(e)
        row = self.start + self.count
        self.s[row], self.a[row], self.r[row], self.s_next[row] = s, a, r, s_next
        self.over[row], self.y[row] = over, self.label(r, s_next, over) if self.label else 0.0
        self.last[self.start : row + 1] = row
        self.count += 1

    def sample(self, size):
        """Draw `size` rows uniformly, with replacement, from all experiences in memory (D33)."""
        return self.rows[self.rng.integers(self.before + self.count, size=size)]

    def _begin(self, e):
        """Rank the finished episode, forget what is neither recent nor best, take a free slot."""
        T = self.p.steps
        if self.count:
            slot = self.start // T
            self.returns[slot] = self.r[self.start : self.start + self.count].sum()
            ranked = sorted([*self.best, slot], key=lambda k: -self.returns[k])
            self.best, self.recent = ranked[: self.p.B], [*self.recent, slot][-self.p.A :]
        kept = sorted({*self.recent, *self.best})
        self.start = T * min(set(range(len(self.returns))) - set(kept))
        self.e, self.count = e, 0
        filled = [np.arange(k * T, self.last[k * T] + 1) for k in kept]
        self.rows = np.concatenate([*filled, np.arange(self.start, self.start + T)])
        self.before = len(self.rows) - T
