"""The DQN Q(s; theta), the epsilon-greedy policy and the update rule, Eq. 10.

The DQN has fewer than 1,000 parameters and lives on the host, also in a GPU run. As printed it is
trained by plain gradient descent; Adam, a target network, the double-Q target, returns over several
steps and gradient clipping are switches (D24).

Shapes: S states in a minibatch, k actions, P parameters.
"""

import numpy as np

from .environment import ACCEPT
from .mlp import MLP


class DQN:
    """Q(s; theta), an MLP with identity output, trained by Eq. 10.

    sizes: (6, ..., k). beta: learning rate alpha_2. gamma: discount. See config.py for the rest.
    """

    def __init__(self, sizes, rng, beta, gamma, optimizer="gd", target_every=0, double=False,
                 clip=0.0, n_steps=1, label="fresh", explore="uniform",
                 accepts=0.0):  # fmt: skip
        self.net = MLP(sizes)
        self.theta = self.net.initialise(rng, np.float64)  # (P,)
        self.frozen = self.theta.copy()  # the target network's parameters
        self.beta, self.gamma, self.n_steps = beta, gamma, n_steps
        self.powers = gamma ** np.arange(n_steps + 1)  # 1, gamma, gamma^2, ...
        self.optimizer, self.target_every, self.double = optimizer, target_every, double
        self.clip, self.label = clip, label
        self.explore, self.accepts = explore, accepts
        self.weights = np.full(sizes[-1], 1 / sizes[-1])  # (k,): of the exploring actions
        self.m, self.v = np.zeros_like(self.theta), np.zeros_like(self.theta)  # Adam's moments
        self.updates = self.rejected = 0

    def q(self, s):
        """Q(s; theta) of one state (6,) -> (k,) or of several (S, 6) -> (S, k)."""
        return self.net.forward(self.theta, s)[-1]

    def greedy(self, s):
        """argmax_a Q(s; theta) of one state."""
        return int(np.argmax(self.q(s[None])))

    def act(self, s, epsilon, rng):
        """The epsilon-greedy action; an exploring one is drawn with probabilities `weights`."""
        if rng.random() < epsilon:
            return int(rng.choice(len(self.weights), p=self.weights))
        return self.greedy(s)

    def draw_exploration(self, rng):
        """Before an episode: with explore = "episode" its share of accepts is drawn anew (D26).

        Returns then differ from episode to episode by what was done throughout, which single
        exploring actions cannot show.
        """
        if self.explore == "episode":
            share = rng.uniform(self.accepts, 1.0)
            self.weights[:] = (1 - share) / (len(self.weights) - 1)
            self.weights[ACCEPT] = share

    def value_of(self, s):
        """The value (S,) of the states that a target ends in: max_a Q, by the target network."""
        target = self.frozen if self.target_every else self.theta
        Q = self.net.forward(target, s)[-1]  # (S, k)
        chosen = self.q(s).argmax(axis=1) if self.double else Q.argmax(axis=1)  # (S,)
        return Q[np.arange(len(s)), chosen]

    def target(self, memory, rows):
        """y (S,): y_i = r_{i+1} + gamma max_a Q(s_{i+1}, a), or the same over n_steps rewards."""
        if self.label == "stored":
            return memory.label[rows]
        last = np.minimum(rows + self.n_steps - 1, memory.last[rows])  # (S,)
        path = rows[:, None] + np.arange(self.n_steps)  # (S, n_steps)
        counted = path <= last[:, None]  # not beyond the episode, nor beyond the memory
        r = (memory.r.take(path, mode="clip") * counted) @ self.powers[:-1]  # (S,)
        follow = self.powers[last - rows + 1] * ~memory.end[last]
        return r + follow * self.value_of(memory.s_next.take(last, axis=0))

    def label_now(self, r, s_next, end):
        """The label stored with an experience, y as of now (D16); not made where it is not used."""
        if self.label == "fresh":
            return 0.0
        return r if end else r + self.gamma * float(self.value_of(s_next[None])[0])

    def update(self, memory, rows):
        """Eq. 10 on a minibatch; return its TD loss, 1/(2|S|) sum (yhat - y)^2, before the step.

        A step to parameters that are not finite is not taken; it is counted in `rejected` (D23).
        """
        with np.errstate(over="ignore", invalid="ignore"):
            s, each, a = memory.s.take(rows, axis=0), np.arange(len(rows)), memory.a[rows]
            y = self.target(memory, rows)  # (S,)
            activations = self.net.forward(self.theta, s)
            error = activations[-1][each, a] - y  # (S,): yhat - y
            delta = np.zeros_like(activations[-1])  # (S, k)
            delta[each, a] = error / len(rows)
            gradient = self.net.backward(self.theta, s, activations, delta)  # (P,)
            moments = self.m, self.v
            theta = self.theta - self.beta * self._preconditioned(gradient)  # Eq. 10
            loss = 0.5 * float(error @ error) / len(rows)
            self.updates += 1
            if np.isfinite(theta @ theta):
                self.theta = theta
            else:
                (self.m, self.v), self.rejected = moments, self.rejected + 1
        if self.target_every and self.updates % self.target_every == 0:
            self.frozen = self.theta
        return loss

    def _preconditioned(self, gradient):
        """The gradient as it is (the paper), clipped to a norm, or as Adam scales it."""
        if self.clip:
            gradient = gradient * min(1.0, self.clip / max(np.sqrt(gradient @ gradient), 1e-300))
        if self.optimizer == "gd":
            return gradient
        t = self.updates + 1
        self.m = 0.9 * self.m + 0.1 * gradient
        self.v = 0.999 * self.v + 0.001 * gradient * gradient
        return self.m / (1 - 0.9**t) / (np.sqrt(self.v / (1 - 0.999**t)) + 1e-8)

    def tree(self):
        """Everything that training goes on from, for a checkpoint."""
        arrays = {name: getattr(self, name) for name in ("theta", "frozen", "m", "v")}
        return arrays | {"updates": self.updates, "rejected": self.rejected}

    def restore(self, tree):
        """The inverse of `tree`."""
        for name, value in tree.items():
            setattr(self, name, value)
