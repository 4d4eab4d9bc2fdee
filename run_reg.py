"""Train the DQN that controls the regularization coefficient (Algorithm 4), then run Algorithm 2.

    python run_reg.py --episodes 200
"""

import sys
from functools import partial

from qgd_np.algorithms import q_gradient_descent_lambda, q_learning_lambda
from qgd_np.lab.baselines import RHYTHMS, fixed_lambda, rhythm_lambda, search_lambda
from qgd_np.lab.command import main
from qgd_np.lab.experiment import Task


def learn(problem, *rest):
    """Algorithm 4 on g, which is f with a lambda, and the validation error h."""
    return q_learning_lambda(problem.f, problem.validation, *rest)


def apply(problem, *rest):
    """Algorithm 2 on g."""
    return q_gradient_descent_lambda(problem.f, *rest)


def at_lambda_c(problem, x_1, p, history):
    """Gradient descent on g at lambda_c, the baseline."""
    return fixed_lambda(problem.f, x_1, p, p.lambda_c, history)


def at_zero(problem, x_1, p, history):
    """Gradient descent without regularization."""
    return fixed_lambda(problem.f, x_1, p, 0.0, history)


def rhythm(name, problem, *rest):
    """The same actions over and over: what any policy can be measured against."""
    return rhythm_lambda(name, problem.f, *rest)


def search(problem, *rest):
    """The best sequence of actions that a search finds: what the actions allow."""
    return search_lambda(problem.f, problem.validation, *rest)


TASK = Task(
    name="reg",
    value="lambda",
    about=__doc__,
    learn=learn,
    apply=apply,
    baselines={"gd": at_lambda_c, "gd lambda 0": at_zero},
    more={name: partial(rhythm, name) for name in RHYTHMS} | {"search": search},
    lines=("A2:6, A4:10", "A2:10, A4:14", "A2:8, A4:12"),
)

if __name__ == "__main__":
    sys.exit(main(TASK))
