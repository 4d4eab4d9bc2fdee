"""Every default, once, with its source; the command line is made from it.

A D-number points to the table of decisions in README.md, "paper 4.2" to the section that prints the
value.
"""

import argparse
import dataclasses
import json
import sys
from dataclasses import dataclass, field, replace

LARGEST = 10**6  # of any length; longer ones are slips of the keyboard, and NumPy stumbles


class UserError(Exception):
    """What the user can put right; one line says what is wrong and what to do."""


class ConfigError(UserError):
    """A value that cannot be used; the message says which and what would be."""


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line, without the usage of all flags."""

    def error(self, message):
        raise ConfigError(f"{message}; --help lists all flags")


def one_line(run, *errors):
    """Call run(); return the exit status, after one line on standard error if it is not 0.

    errors: which, beside ConfigError and OSError, are the user's to mend, status 2; Ctrl-C is 130.
    """
    try:
        run()
    except (ConfigError, OSError, *errors) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    return 0


def option(default, text, choices=None):
    """A field of the config and, with the same name, a flag of the command line."""
    return field(default=default, metadata={"text": text, "choices": choices})


REWARDS, LABELS = ("error", "g"), ("fresh", "stored")
DRAWS, HORIZONS = ("uniform", "episode"), ("endless", "episode", "returned")
RETURNS = ("last", "lower")


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
    M: int = option(0, "M; 0: four fifths of the steps, for lambda two fifths (D18, D22)")
    f_lb: float = option(0.8, "lower bound in the reward, f_lb, g_lb or h_lb (D12, D25)")
    gap: float = option(0.1, "least value of f - f_lb in the reward (D25)")
    c1: float = option(0.01, "reward of a step that is no accept (D12)")
    c2: float = option(0.01, "reward of an accept (D12)")
    reward: str = option("error", "reward of Algorithm 4: Eq. 8, or g as printed (D14)", REWARDS)
    returns: str = option("lower", "the last candidate, or xbar if f is lower (D10)", RETURNS)
    starts: int = option(20, "x_1 used in turn; 1: as printed, 0: a new one each episode (D21)")

    # Q-learning
    episodes: int = option(200, "training episodes, E (paper 4.2)")
    dqn_hidden: tuple = option((32, 16), "hidden layers of the DQN (D1)")
    beta: float = option(0.001, "learning rate of the DQN, alpha_2 (D24)")
    beta_last: float = option(1e-5, "learning rate of the DQN after beta_episodes episodes (D24)")
    beta_episodes: int = option(100, "episodes over which beta falls, linearly (D24)")
    gamma: float = option(0.95, "discount (D18)")
    horizon: str = option("returned", "what follows the last step, T (D27, D28)", HORIZONS)
    batch: int = option(64, "experiences in a minibatch, |S| (paper 4.2)")
    A: int = option(40, "most recent episodes in the memory (D17)")
    B: int = option(5, "best episodes in the memory (D17)")
    epsilon_first: float = option(1.0, "epsilon in the first episode (D19)")
    epsilon_last: float = option(0.0, "epsilon after epsilon_episodes episodes (D19)")
    epsilon_episodes: int = option(50, "episodes over which epsilon falls (D19)")
    accepts: float = option(0.4, "least share of accepts that an episode may draw (D26)")
    explore: str = option("episode", "share of accepts: drawn per episode, or uniform (D26)", DRAWS)
    label: str = option("fresh", "TD target: made when sampled, or when stored (D16)", LABELS)
    optimizer: str = option("adam", "how theta follows Eq. 10 (D24)", ("gd", "adam"))
    target_every: int = option(200, "updates between copies to the target network, 0: none (D24)")
    double: bool = option(True, "double-Q target (D24)")
    n_steps: int = option(25, "rewards in a TD target; 1: as printed (D24)")
    clip: float = option(0.0, "largest norm of the gradient of Eq. 10, 0: none (D24)")

    # the run
    seed: int = option(0, "the one root seed; everything random follows from it")
    tf32: bool = option(False, "TensorFloat-32 products on a GPU")


# what differs for the regularization coefficient
REG = dict(
    train_size=1000, validation_size=5000,  # paper 4.5, D14
    f_lb=0.62, gap=0.02, gamma=0.97, n_steps=1,  # D18, D24, D25
    A=20, B=20, accepts=0.0, epsilon_episodes=120,  # D17, D19, D26
    returns="last", beta_episodes=150,  # D10, D24
)  # fmt: skip


def make(task, *changes):
    """The config of a task with changes on top, the last one winning; checked."""
    values = dict(REG) if task == "reg" else {}
    for change in changes:
        values |= change
    config = Config(**values)
    check(config)
    fifths = 4 if task == "lr" else 2  # which converges best (D18)
    return config if config.M else replace(config, M=max(1, fifths * config.steps // 5))


def check(config):
    """Raise ConfigError for the first value that is out of its range."""
    c = config
    positive = ("train_size", "steps", "episodes", "batch", "A", "n_steps")
    positive += ("epsilon_episodes", "beta_episodes")
    rules = [(1 <= getattr(c, k) <= LARGEST, k, f"from 1 to {LARGEST}") for k in positive]
    above_0 = ("alpha_c", "alpha", "gap", "beta", "beta_last")
    rules += [(getattr(c, k) > 0, k, "above 0") for k in above_0]
    lengths = ("validation_size", "M", "starts", "B", "target_every")
    rules += [(0 <= getattr(c, k) <= LARGEST, k, f"from 0 to {LARGEST}") for k in lengths]
    at_least_0 = ("lambda_c", "clip", "seed", "c1", "c2")
    rules += [(getattr(c, k) >= 0, k, "at least 0") for k in at_least_0]
    shares = ("gamma", "epsilon_first", "epsilon_last", "accepts")
    rules += [(0 <= getattr(c, k) <= 1, k, "from 0 to 1") for k in shares]
    rules += [
        (all(1 <= n <= LARGEST for n in getattr(c, k) or [0]), k, f"sizes from 1 to {LARGEST}")
        for k in ("hidden", "dqn_hidden")
    ]
    rules += [(max(c.c1, c.c2) < 1e300 * c.gap, "gap", "so large that c / gap stays finite")]
    rules += [(c.gamma < 1 or c.horizon != "returned", "gamma", "below 1 with --horizon returned")]
    rules += [(c.M <= c.steps, "M", f"at most the number of steps, {c.steps}")]
    for holds, name, wanted in rules:
        if not holds:
            flag = "--" + name.replace("_", "-")
            value = getattr(c, name)
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ConfigError(f"{flag} {shown}: must be {wanted}")


def to_json(config):
    """The config as text, for the run file."""
    return json.dumps(dataclasses.asdict(config), sort_keys=True)


def from_json(text):
    """The inverse of to_json; fields a file of another version has not take their defaults."""
    known = {f.name: f for f in dataclasses.fields(Config)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in json.loads(text).items()}
    return Config(**{k: v for k, v in values.items() if k in known})


def add_flags(parser, task):
    """Add a flag for every field; a flag that is not given stays out of the parsed values."""
    defaults = make(task)
    group = parser.add_argument_group("parameters, each a field of the config")
    for f in dataclasses.fields(Config):
        default = getattr(defaults, f.name)
        shown = " ".join(map(str, default)) if isinstance(default, tuple) else default
        kind = dict(type=type(default))
        if isinstance(default, bool):
            kind = dict(action=argparse.BooleanOptionalAction)
        elif isinstance(default, tuple):
            kind = dict(type=int, nargs="+")
        elif f.metadata["choices"]:
            kind = dict(choices=f.metadata["choices"])
        elif isinstance(default, int):
            kind = dict(type=int, metavar="N")
        elif isinstance(default, float):
            kind = dict(type=number, metavar="X")
        flag = "--" + f.name.replace("_", "-")
        text = f"{f.metadata['text']} [{shown}]"
        group.add_argument(flag, dest=f.name, default=argparse.SUPPRESS, help=text, **kind)


def number(text):
    """A finite float, for argparse."""
    value = float(text)
    if value - value != 0:
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def count(text):
    """A whole number of at least 1, for argparse."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return value


def chosen(arguments):
    """The fields of the config that were given on the command line."""
    names = {f.name for f in dataclasses.fields(Config)}
    return {
        k: tuple(v) if isinstance(v, list) else v
        for k, v in vars(arguments).items()
        if k in names
    }
