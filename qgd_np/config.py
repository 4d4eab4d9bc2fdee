"""Every parameter once: its default, one line on it, its source. The command line is made of it.

A D-number points to the table of decisions in README.md beside this file, "paper 4.2" to the
section that prints the value.
"""

import dataclasses
import math
from dataclasses import dataclass, field

LARGEST = 10**6  # of any length; longer ones are slips of the keyboard, and NumPy stumbles
COUNT = (lambda v: 1 <= v <= LARGEST, f"from 1 to {LARGEST}")  # whether a value is in its range
LENGTH = (lambda v: 0 <= v <= LARGEST, f"from 0 to {LARGEST}")
ABOVE_0 = (lambda v: 0 < v < math.inf, "above 0 and finite")
AT_LEAST_0 = (lambda v: 0 <= v < math.inf, "at least 0 and finite")
SHARE = (lambda v: 0 <= v <= 1, "from 0 to 1")
BELOW_1 = (lambda v: 0 <= v < 1, "from 0 to below 1")
NUMBER = (lambda v: abs(v) < math.inf, "a finite number")
ANY = (lambda v: True, "")


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do."""


class ConfigError(UserError, ValueError):
    """A value that cannot be used; the message says which and what would be."""


def option(default, text, *values, metavar=None):
    """A field of the config and flag of the command line; values: one of the ranges, or choices."""
    choices = values if values and isinstance(values[0], str) else None
    in_range = (choices.__contains__, " or ".join(choices)) if choices else (*values, ANY)[0]
    about = {"text": text, "choices": choices, "range": in_range, "metavar": metavar}
    return field(default=default, metadata=about)


@dataclass(frozen=True)
class Config:
    """The parameters of a run, under the paper's names where it has one."""

    # the objective net and its data
    train_size: int = option(2000, "first N training images; 50000 is all of CIFAR-10 (D30)", COUNT)
    validation_size: int = option(0, "validation images, after the training images (D14)", LENGTH)
    hidden: tuple = option((100,), "hidden layers of the objective net (D1)", COUNT)
    loss: str = option("softmax", "loss of the objective net (D2)", "softmax", "eq2")
    alpha_c: float = option(1.0, "learning rate after an accept (paper 4.2)", ABOVE_0)
    momentum: float = option(0.0, "share of the direction before in the next (D36)", BELOW_1)
    alpha: float = option(0.5, "fixed learning rate of Algorithms 2 and 4 (D29)", ABOVE_0)
    lambda_c: float = option(0.01, "regularization coefficient after an accept (D29)", AT_LEAST_0)
    problems: str = option("images", "what f is made of (D43)", "images", "random")
    # the environment
    steps: int = option(100, "candidates in an episode, T (paper 4.2)", COUNT)
    gradients: int = option(0, "gradients that end an episode; 0: only T does (D37)", LENGTH)
    factors: tuple = option((1.0,), "of alpha_c, for training episodes in turn (D38)", ABOVE_0)
    map: str = option("near", "maps of the features to [-1, 1] (D8)", "near", "far", "line")
    M: int = option(10, "length of Eq. 4's list, window of feature three (D6, D18)", COUNT)
    first: float = option(0.8, "first step asked, or share of T; 0: as printed (D18)", AT_LEAST_0)
    f_lb: float = option(0.8, "lower bound in the reward, f_lb, g_lb or h_lb (D12, D25)", NUMBER)
    gap: float = option(0.1, "least value of f - f_lb in the reward (D25)", ABOVE_0)
    unit: str = option("one", "what f is measured in for the reward (D39)", "one", "base")
    c1: float = option(0.01, "reward of a step that is no accept (D12)", AT_LEAST_0)
    c2: float = option(0.01, "reward of an accept (D12)", AT_LEAST_0)
    sees: str = option("g", "what a DQN for the coefficient sees (D46)", "g", "h")
    logarithm: float = option(0.0, "this times its logarithm; 0: as it is (D42)", AT_LEAST_0)
    reward: str = option("error", "reward of Algorithm 4: Eq. 8, or g (D14)", "error", "g")
    returns: str = option("lower", "what is returned (D10)", "printed", "last", "lower", "lowest")
    starts: int = option(20, "x_1 used in turn; 1: as printed, 0: always new (D21)", LENGTH)
    # Q-learning
    episodes: int = option(200, "training episodes, E (paper 4.2)", COUNT)
    dqn_hidden: tuple = option((32, 16), "hidden layers of the DQN (D1)", COUNT)
    beta: float = option(0.001, "learning rate of the DQN, alpha_2 (D24)", ABOVE_0)
    beta_last: float = option(1e-5, "learning rate of the DQN from beta_episodes on (D24)", ABOVE_0)
    beta_episodes: int = option(100, "episodes over which beta falls, linearly (D24)", COUNT)
    gamma: float = option(0.95, "discount (D18)", SHARE)
    horizon: str = option("returned", "what follows step T (D27, D28)", "endless", "returned")
    batch: int = option(64, "experiences in a minibatch, |S| (paper 4.2)", COUNT)
    A: int = option(40, "most recent episodes in the memory (D17)", COUNT)
    B: int = option(5, "best episodes in the memory (D17)", LENGTH)
    epsilon_first: float = option(1.0, "epsilon in the first episode (D19)", SHARE)
    epsilon_last: float = option(0.0, "epsilon from episode epsilon_episodes on (D19)", SHARE)
    epsilon_episodes: int = option(50, "episodes over which epsilon falls (D19)", COUNT)
    accepts: float = option(0.4, "least share of accepts that an episode may draw (D26)", SHARE)
    explore: str = option("episode", "exploring actions (D26)", "uniform", "episode")
    label: str = option("fresh", "TD target made when sampled or stored (D16)", "fresh", "stored")
    optimizer: str = option("adam", "how theta follows Eq. 10 (D24)", "gd", "adam")
    target_every: int = option(200, "updates between target net copies, 0: none (D24)", LENGTH)
    double: bool = option(True, "double-Q target (D24)")
    n_steps: int = option(25, "rewards in a TD target; 1: as printed (D24)", COUNT)
    # the run
    seed: int = option(0, "the one root seed; everything random follows from it", AT_LEAST_0)
    tf32: bool = option(False, "TensorFloat-32 products on a GPU")

    def of_episode(self, e):
        """The config of training episode e: alpha_c times the factor whose turn it is (D38)."""
        factor = self.factors[e % len(self.factors)]
        return dataclasses.replace(self, alpha_c=factor * self.alpha_c)

    def asked_from(self, printed):
        """The first t at which the DQN is asked: `printed`, unless `first` says otherwise (D18)."""
        step = self.first if self.first >= 1 else self.first * self.steps
        return max(1, round(step)) if self.first else printed


# what differs for the regularization coefficient
REG = dict(
    train_size=1000, validation_size=5000,  # paper 4.5, D14
    f_lb=0.62, gap=0.02, gamma=0.97, n_steps=1,  # D18, D24, D25
    A=20, B=20, accepts=0.0, epsilon_episodes=120, first=0.4,  # D17, D18, D19, D26
    returns="last", beta_episodes=150,  # D10, D24
)  # fmt: skip
TASKS = {"lr": {}, "reg": REG, "joint": REG}  # both at once: beyond/joint.py


def make(task, *changes):
    """The config of a task, "lr" or "reg", with changes on top; ConfigError for what cannot be."""
    if task not in TASKS:
        raise ConfigError(f"task {task!r}: must be one of {', '.join(TASKS)}")
    values = {k: v for change in (TASKS[task], *changes) for k, v in change.items()}
    if unknown := values.keys() - {f.name for f in dataclasses.fields(Config)}:
        raise ConfigError(f"{min(unknown)}: no parameter has this name")
    c = Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})
    check(c)
    for holds, name, wanted in (
        (max(c.c1, c.c2) < 1e300 * c.gap, "gap", "so large that c / gap stays finite"),
        (c.gamma < 1 or c.horizon == "endless", "gamma", "below 1 with --horizon returned"),
        (c.asked_from(c.M) <= c.steps, "first" if c.first else "M", f"at most --steps, {c.steps}"),
        (c.asked_from(c.M) < (c.gradients or math.inf), "gradients", "0 or above the first step"),
        (c.label == "fresh" or c.n_steps == 1, "label", "fresh with --n-steps above 1 (D16)"),
    ):
        if not holds:
            refuse(c, name, wanted)
    return c


def check(options):
    """Raise ConfigError for the first value that is out of its range."""
    for f in dataclasses.fields(options):
        (fits, wanted), value = f.metadata["range"], getattr(options, f.name)
        each = (value or (0,)) if isinstance(value, tuple) else [value]
        if not all(map(fits, each)):
            refuse(options, f.name, wanted)


def refuse(options, name, wanted):
    """Raise ConfigError for this value."""
    value = getattr(options, name)
    shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
    raise ConfigError(f"--{name.replace('_', '-')} {shown}: must be {wanted}")
