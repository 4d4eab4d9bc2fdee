"""Every parameter once: its default, one line on it, and its source; the command line is made from it.

A D-number points to the table of decisions in README.md beside this file, "paper 4.2" to the section
that prints the value.
"""

import dataclasses
import json
from dataclasses import dataclass, field

LARGEST = 10**6  # of any length; longer ones are slips of the keyboard, and NumPy stumbles


class UserError(Exception):
    """Something the user can mend: one line that says what is wrong and what to do."""


class ConfigError(UserError):
    """A value that cannot be used; the message says which and what would be."""


def option(default, text, choices=None):
    """A field of the config and, with the same name, a flag of the command line."""
    return field(default=default, metadata={"text": text, "choices": choices})


@dataclass(frozen=True)
class Config:
    """The parameters of a run, under the paper's names where it has one."""

    # the objective net and its data
    train_size: int = option(2000, "first N training images; 50000 is all of CIFAR-10 (D30)")
    validation_size: int = option(0, "validation images, those after the training images (D14)")
    hidden: tuple = option((100,), "hidden layers of the objective net (D1)")
    loss: str = option("softmax", "loss of the objective net (D2)", ("softmax", "eq2"))
    alpha_c: float = option(1.0, "learning rate after an accept (paper 4.2)")
    alpha: float = option(0.5, "fixed learning rate of Algorithms 2 and 4 (D29)")
    lambda_c: float = option(0.01, "regularization coefficient after an accept (D29)")

    # the environment
    steps: int = option(100, "candidates in an episode, T (paper 4.2)")
    M: int = option(10, "length of Eq. 4's list, window of feature three (D6, D18)")
    first: float = option(0.8, "step at which the DQN is asked first, below 1 as a share of T; 0: as printed (D18)")
    f_lb: float = option(0.8, "lower bound in the reward, f_lb, g_lb or h_lb (D12, D25)")
    gap: float = option(0.1, "least value of f - f_lb in the reward (D25)")
    c1: float = option(0.01, "reward of a step that is no accept (D12)")
    c2: float = option(0.01, "reward of an accept (D12)")
    reward: str = option("error", "reward of Algorithm 4: Eq. 8, or g as printed (D14)", ("error", "g"))
    returns: str = option("lower", "x_T, x_{T+1}, or the lower of it and xbar (D10)", ("printed", "last", "lower"))
    starts: int = option(20, "x_1 used in turn; 1: as printed, 0: a new one each episode (D21)")

    # Q-learning
    episodes: int = option(200, "training episodes, E (paper 4.2)")
    dqn_hidden: tuple = option((32, 16), "hidden layers of the DQN (D1)")
    beta: float = option(0.001, "learning rate of the DQN, alpha_2 (D24)")
    beta_last: float = option(1e-5, "learning rate of the DQN after beta_episodes episodes (D24)")
    beta_episodes: int = option(100, "episodes over which beta falls, linearly (D24)")
    gamma: float = option(0.95, "discount (D18)")
    horizon: str = option("returned", "what follows step T (D27, D28)", ("endless", "returned"))
    batch: int = option(64, "experiences in a minibatch, |S| (paper 4.2)")
    A: int = option(40, "most recent episodes in the memory (D17)")
    B: int = option(5, "best episodes in the memory (D17)")
    epsilon_first: float = option(1.0, "epsilon in the first episode (D19)")
    epsilon_last: float = option(0.0, "epsilon after epsilon_episodes episodes (D19)")
    epsilon_episodes: int = option(50, "episodes over which epsilon falls (D19)")
    accepts: float = option(0.4, "least share of accepts that an episode may draw (D26)")
    explore: str = option("episode", "share of accepts: per episode, or uniform (D26)", ("uniform", "episode"))
    label: str = option("fresh", "TD target: made when sampled, or when stored (D16)", ("fresh", "stored"))
    optimizer: str = option("adam", "how theta follows Eq. 10 (D24)", ("gd", "adam"))
    target_every: int = option(200, "updates between copies to the target network, 0: none (D24)")
    double: bool = option(True, "double-Q target (D24)")
    n_steps: int = option(25, "rewards in a TD target; 1: as printed (D24)")

    # the run
    seed: int = option(0, "the one root seed; everything random follows from it")
    tf32: bool = option(False, "TensorFloat-32 products on a GPU")

    def asked_from(self, printed):
        """The first t at which the DQN is asked: `printed` as printed, else what `first` says (D18)."""
        step = self.first if self.first >= 1 else self.first * self.steps
        return max(1, round(step)) if self.first else printed


# what differs for the regularization coefficient
REG = dict(
    train_size=1000, validation_size=5000,  # paper 4.5, D14
    f_lb=0.62, gap=0.02, gamma=0.97, n_steps=1,  # D18, D24, D25
    A=20, B=20, accepts=0.0, epsilon_episodes=120, first=0.4,  # D17, D18, D19, D26
    returns="last", beta_episodes=150,  # D10, D24
)  # fmt: skip
TASKS = {"lr": {}, "reg": REG}


def make(task, *changes):
    """The config of a task ("lr" or "reg") with changes on top, the last one winning.

    Raises ConfigError for a task or a value that is not known or out of its range.
    """
    if task not in TASKS:
        raise ConfigError(f"task {task!r}: must be one of {', '.join(TASKS)}")
    values = {k: v for change in (TASKS[task], *changes) for k, v in change.items()}
    if unknown := values.keys() - {f.name for f in dataclasses.fields(Config)}:
        raise ConfigError(f"{min(unknown)}: no parameter has this name")
    config = Config(**values)
    check(config)
    return config


def check(config):
    """Raise ConfigError for the first value that is out of its range."""
    ranges = {
        f"from 1 to {LARGEST}": (
            lambda v: 1 <= v <= LARGEST,
            "train_size steps M episodes batch A n_steps epsilon_episodes beta_episodes",
        ),
        f"from 0 to {LARGEST}": (
            lambda v: 0 <= v <= LARGEST, "validation_size starts B target_every",
        ),
        f"sizes from 1 to {LARGEST}": (
            lambda v: len(v) > 0 and all(1 <= n <= LARGEST for n in v), "hidden dqn_hidden",
        ),
        "above 0": (lambda v: v > 0, "alpha_c alpha gap beta beta_last"),
        "at least 0": (lambda v: v >= 0, "lambda_c first seed c1 c2"),
        "from 0 to 1": (lambda v: 0 <= v <= 1, "gamma epsilon_first epsilon_last accepts"),
    }  # fmt: skip
    rules = [(holds(getattr(config, name)), name, wanted)
             for wanted, (holds, names) in ranges.items() for name in names.split()]  # fmt: skip
    c = config
    rules += [
        (getattr(c, f.name) in f.metadata["choices"], f.name, " or ".join(f.metadata["choices"]))
        for f in dataclasses.fields(c) if f.metadata["choices"]
    ]  # fmt: skip
    rules += [
        (max(c.c1, c.c2) < 1e300 * c.gap, "gap", "so large that c / gap stays finite"),
        (c.gamma < 1 or c.horizon == "endless", "gamma", "below 1 with --horizon returned"),
        (c.asked_from(c.M) <= c.steps, "first" if c.first else "M", f"at most the steps, {c.steps}"),
        (c.label == "fresh" or c.n_steps == 1, "label", "fresh with --n-steps above 1 (D16)"),
    ]
    for holds, name, wanted in rules:
        if not holds:
            flag, value = "--" + name.replace("_", "-"), getattr(c, name)
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ConfigError(f"{flag} {shown}: must be {wanted}")


def to_json(config):
    """The config as text, for the run file."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_json(text):
    """The inverse of to_json."""
    return Config(**{k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()})
