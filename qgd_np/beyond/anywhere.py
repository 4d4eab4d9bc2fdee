"""A controller asked from the first step, trained on many small random problems.

Each episode is another problem with another alpha_c; `Problems` stands where the objective net does
in `lab`. The comparison is on problems of the kinds of the training and of others.
"""

import math
from dataclasses import replace
from functools import partial

import numpy as np

from ..algorithms import q_gradient_descent_alpha, q_learning_alpha
from ..environment import ACCEPT
from ..images import Dataset
from ..lab.policies import LEARNING_RATE
from ..lab.report import aligned
from ..lab.training import Scripted
from .problems import NEVER, TRAINED, draw

FACTORS = 2.0 ** np.arange(-2, 7)  # alpha_c L: from 1/4 to 64
LIMIT = 1e4  # f / f(x_1) that ends a training episode as infinity would (D43)
KINDS = TRAINED + NEVER


def place(seed):
    """Kind, alpha_c L and size of the problem of a seed: all kinds in turn, then the next alpha_c;
    every other round of all these is of large ones."""
    turn, kind = divmod(seed, len(KINDS))
    large, factor = divmod(turn, len(FACTORS))
    return KINDS[kind], FACTORS[factor], large % 2 == 1


class Problems:
    """Random problems in the place of lab.training.Problem: f is that of the x_1 asked last."""

    def __init__(self):
        self.f, self.errors, self.dtype = self, {"test": lambda x: math.nan}, np.float64

    def iterate(self, seed, stream=None, k=0):
        """The x_1 of problem k of a training's stream; without one, of a problem to compare on."""
        if stream is not None:
            rng, kind = np.random.default_rng([seed, stream, k]), TRAINED[k % len(TRAINED)]
            self.now, x_1 = draw(kind, rng, FACTORS, limit=LIMIT)
            return x_1
        kind, factor, large = place(seed)
        self.now, x_1 = draw(kind, np.random.default_rng(seed), [factor], large)
        return x_1

    def __call__(self, x, lam=0.0):
        self.now = getattr(x, "function", self.now)
        return self.now(x)

    def gradient(self, x, lam=0.0):
        """grad f(x)."""
        return self.now.gradient(x)

    def observe(self, *at):
        """As f.observe."""
        return self.now.observe(*at)

    def point(self, x):
        """Make an iterate of a vector (P,)."""
        return self.now.point(x)

    def config(self, p, x_1):
        """p with the alpha_c of the problem that x_1 belongs to."""
        return replace(p, alpha_c=x_1.function.alpha_c)


def learn(problems, x_1, Q, theta_0, memory, p, *rest):
    """Algorithm 3 on another problem each episode.

    The logarithm is in units of what gradient descent at 1 / L gains there in T steps (D42).
    """

    def episode(e):
        start = x_1(e)
        f, own = start.function, problems.config(p, start)
        best = f(start)
        accept, plain = Scripted(lambda t: ACCEPT), replace(own, alpha_c=1 / f.L)
        end = q_gradient_descent_alpha(f, start, accept, plain, lambda *_, s: None)
        gain = max(math.log(best / max(f(end), 1e-300)), 0.5)
        return problems, start, replace(own, logarithm=p.logarithm / gain)

    return q_learning_alpha(episode, Q, theta_0, memory, p, *rest)


def apply(problems, x_1, Q, p, log):
    """Algorithm 1 on the problem that x_1 belongs to."""
    return q_gradient_descent_alpha(problems, x_1, Q, problems.config(p, x_1), log)


def on(policy, problems, x_1, p, log):
    """A policy to compare with, on the problem that x_1 belongs to."""
    return policy(problems, x_1, problems.config(p, x_1), log)


def ends(run):
    """log10 of the lowest f / f(x_1) (K,) that a policy has seen, and of what is there at last."""
    f = np.column_stack([run["objective_1"], run["objective"]])
    lowest = np.log10(np.maximum(np.nanmin(f, axis=1), 1e-300))
    return lowest, np.nan_to_num(run["objective_last"], nan=np.inf) > run["objective_1"]


def table(tree, names):
    """The median of each kind at each alpha_c, and what must hold over all."""
    if not (runs := tree["evaluation"]):
        return "no comparison: --iterates 0"
    names = list(dict.fromkeys(["qgd", *names, *runs]))
    found = {name: ends(runs[name])[0] for name in names}
    places = [place(seed)[:2] for seed in tree["iterate_seeds"]]
    lines = []
    for cell in sorted(set(places), key=lambda cell: (KINDS.index(cell[0]), cell[1])):
        here = np.array([one == cell for one in places])
        medians = [f"{np.median(found[name][here]):.2f}" for name in names]
        lines.append([cell[0].__name__, f"{cell[1]:g}", *medians])
    text = aligned(["log10 f/f(x_1), median", "alpha_c L", *names], lines)
    text += f"\n{len(places)} problems; Q-gradient descent ends above f(x_1) on "
    text += f"{(found['qgd'] > 0).sum()}, its last candidate on {ends(runs['qgd'])[1].sum()}"
    kind, factor = np.array([KINDS.index(one) for one, _ in places]), np.array(places)[:, 1]
    small, large = factor <= 1, factor >= 2
    medians = lambda f, part: np.array([np.median(f[part & (kind == k)])  # noqa: E731
                                        for k in sorted(set(kind[part]))])  # fmt: skip
    if "gd" in found and small.any():
        share = (medians(found["qgd"], small) / medians(found["gd"], small)).min()
        text += f"\nalpha_c L <= 1: at least {share:.1%} of gd's, in the median of each kind"
    rivals = [found[name] for name in ("armijo", "nonmonotone") if name in found]
    if rivals and large.any():
        best = np.min([medians(f, large) for f in rivals], axis=0)
        lower = medians(found["qgd"], large) < best - 1e-6
        gap = (np.min(rivals, axis=0) - found["qgd"])[large]
        text += f"\nalpha_c L >= 2: below both line searches on {(gap > 1e-6).mean():.1%}, level "
        text += f"with the better on {(abs(gap) <= 1e-6).mean():.1%}, below both in the median of "
        text += f"{lower.sum()} kinds of {len(lower)}"
    return text


NO_IMAGES = Dataset("random problems", *(np.zeros((0, 0)),) * 6, sha256="")
OTHER = dict(  # than in run_lr.py, with --problems random
    learn=learn, apply=apply, problem=lambda *_: Problems(), load=lambda *_: NO_IMAGES, table=table,
    policies={name: partial(on, policy) for name, policy in LEARNING_RATE.items()},
)  # fmt: skip
