"""Train the DQN that controls the learning rate (Algorithm 3), then run Algorithm 1 with it.

    python run_lr.py --episodes 200
"""

import sys
from functools import partial

from qgd_np.algorithms import q_gradient_descent_alpha, q_learning_alpha
from qgd_np.lab.baselines import OTHERS, RULES, follow
from qgd_np.lab.command import main
from qgd_np.lab.experiment import Task


def learn(problem, *rest):
    """Algorithm 3 on f."""
    return q_learning_alpha(problem.f, *rest)


def apply(problem, *rest):
    """Algorithm 1 on f."""
    return q_gradient_descent_alpha(problem.f, *rest)


def baseline(name, problem, *rest):
    """One of the rules that Q-gradient descent is compared with, on f."""
    return follow(name, problem.f, *rest)


def other(name, problem, *rest):
    """What a user would pick instead, at the same number of gradients."""
    return OTHERS[name](problem.f, *rest)


TASK = Task(
    name="lr",
    value="alpha",
    about=__doc__,
    learn=learn,
    apply=apply,
    baselines={name: partial(baseline, name) for name in RULES},
    more={name: partial(other, name) for name in OTHERS},
    lines=("A1:6, A3:10", "A1:8, A3:12"),
)

if __name__ == "__main__":
    sys.exit(main(TASK))
