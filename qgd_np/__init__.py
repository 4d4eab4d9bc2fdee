"""Q-gradient descent: hyper-parameters of a neural network under the control of a DQN."""

__version__ = "1.0.0"
