"""Q-gradient descent: hyper-parameters of a neural network under the control of a DQN.

Read README.md beside this file, then mlp, objective, environment, dqn and algorithms: the paper.
"""

__version__ = "2.0.0"
__all__ = ["load", "minimize", "train"]  # what help() shows in full; the others by their names

from .algorithms import q_gradient_descent_alpha, q_gradient_descent_lambda
from .algorithms import q_learning_alpha, q_learning_lambda
from .dqn import DQN, Memory
from .environment import Features
from .mlp import MLP
from .objective import ErrorRate, Function, Objective
from .own import Controller, __doc__, load, minimize, train  # help() begins with what to do
