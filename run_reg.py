"""Train the DQN that controls the regularization coefficient (Algorithm 4), then run Algorithm 2.

    python run_reg.py --episodes 200
    python run_reg.py --joint           one DQN for the learning rate, too (qgd_np/beyond/joint.py)
"""

import sys

from qgd_np.algorithms import q_gradient_descent_lambda, q_learning_lambda
from qgd_np.beyond.joint import BOTH, BothDQN, q_gradient_descent_both, q_learning_both
from qgd_np.lab.command import main
from qgd_np.lab.policies import COEFFICIENT
from qgd_np.lab.training import ACTIONS, Task


def learn(problem, x_1, Q, theta_0, memory, p, *rest):
    """Algorithm 4 on g, which is f with a lambda, and on m, the validation error h or g (D14)."""
    episode = lambda e: (problem.f, problem.measure(p), x_1(e), p)  # noqa: E731
    return q_learning_lambda(episode, Q, theta_0, memory, p, *rest)


def apply(problem, x_1, Q, p, log):
    """Algorithm 2 on g, and on m where the DQN sees it or chooses by it what to return."""
    return q_gradient_descent_lambda(problem.f, problem.measure(p), x_1, Q, p, log)


def learn_both(problem, x_1, Q, theta_0, memory, p, *rest):
    """The same with both hyper-parameters under one DQN."""
    episode = lambda e: (problem.f, problem.measure(p), x_1(e), p.of_episode(e))  # noqa: E731
    return q_learning_both(episode, Q, theta_0, memory, p, *rest)


def apply_both(problem, x_1, Q, p, log):
    """That DQN in use."""
    return q_gradient_descent_both(problem.f, problem.measure(p), x_1, Q, p, log)


TASK = Task(
    name="reg",
    value="lambda",
    about=__doc__,
    learn=learn,
    apply=apply,
    policies=COEFFICIENT,
    default=("gd", "gd lambda 0"),
    lines={"half": ("A2:6", "A4:10"), "accept": ("A2:10", "A4:14"), "raise": ("A2:8", "A4:12")},
    joint=Task(
        name="joint",
        value="lambda",
        about=__doc__,
        learn=learn_both,
        dqn=BothDQN,
        apply=apply_both,
        policies=BOTH,
        default=("gd", "gd lambda 0"),
        lines=dict.fromkeys(ACTIONS["joint"], ("-", "-")),
    ),
)

if __name__ == "__main__":
    sys.exit(main(TASK))
