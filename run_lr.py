"""Train the DQN that controls the learning rate (Algorithm 3), then run Algorithm 1 with it.

    python run_lr.py --episodes 200
"""

import sys

from qgd_np.algorithms import q_gradient_descent_alpha, q_learning_alpha
from qgd_np.beyond import anywhere
from qgd_np.lab.command import main
from qgd_np.lab.policies import LEARNING_RATE
from qgd_np.lab.training import Task


def learn(problem, x_1, Q, theta_0, memory, p, *rest):
    """Algorithm 3 on f."""
    episode = lambda e: (problem.f, x_1(e), p.of_episode(e))  # noqa: E731
    return q_learning_alpha(episode, Q, theta_0, memory, p, *rest)


def apply(problem, *rest):
    """Algorithm 1 on f."""
    return q_gradient_descent_alpha(problem.f, *rest)


TASK = Task(
    name="lr",
    value="alpha",
    about=__doc__,
    learn=learn,
    apply=apply,
    policies=LEARNING_RATE,
    default=("gd", "armijo", "nonmonotone", "pattern9"),
    lines={"half": ("A1:6", "A3:10"), "accept": ("A1:8", "A3:12")},
    other={"random": anywhere.OTHER},
)

if __name__ == "__main__":
    sys.exit(main(TASK))
