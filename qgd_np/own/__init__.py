"""Q-gradient descent: a DQN accepts a candidate of gradient descent or halves its learning rate.

On a problem of your own:
    minimize(fun, x0, jac=...)  Algorithm 1, also as scipy.optimize.minimize(method=qgd_np.minimize)
    train((f, x_1))             Algorithm 3; returns a Controller, which has save(path)
    load(name or path)          a Controller again; "anywhere", "lr" are shipped
On CIFAR-10, from the shell:    python -m run_lr, python -m run_reg; --help
For agents of other libraries:  qgd_np.own.gym, an environment of gymnasium

The pieces, for help() on each; README.md in this folder has the order and the decisions:
    MLP                         the sigmoid net, forward and backward; both nets
    Objective, ErrorRate        f and g (Eq. 2, 3), h (Eq. 9) on images, by definition
    Function                    an f of your own with its gradient
    Features                    the state s_t: six numbers in [-1, 1] (section 3.2)
    DQN, Memory                 Q(s; theta) and Eq. 10; the experiences it learns from (section 4.1)
    q_gradient_descent_alpha, q_gradient_descent_lambda     Algorithms 1 and 2
    q_learning_alpha, q_learning_lambda                     Algorithms 3 and 4
    config.make(task, changes)  the parameters of all four
"""

from .minimize import minimize
from .train import Controller, load, train

__all__ = ["Controller", "load", "minimize", "train"]
