"""Named sets of values for the flags: one for each experiment of the paper, and what it lacks.

What the paper does not give keeps its default (config.py). So in the presets that follow its rule
two things are ours: f - f_lb is at least `gap` (D25), and an episode that diverges ends, as an
update that would is not taken (D23).
"""

from typing import NamedTuple

from ..config import Config, ConfigError
from .flags import written
from .training import COMMANDS


class Preset(NamedTuple):
    """What a preset changes against the one it starts from, in all its runs and in each."""

    base: str
    changes: dict
    runs: dict = {"": {}}  # {name: changes}
    tasks: tuple = ("lr",)


def epsilon(first, last, episodes):
    """The three fields of an epsilon schedule."""
    return dict(epsilon_first=first, epsilon_last=last, epsilon_episodes=episodes)


def of_default(*names):
    """The defaults of these fields, as one change on top of the paper's rule."""
    return {name: getattr(Config, name) for name in names}


# as printed: plain gradient descent by Eq. 10, no target network, one x_1, x_T returned (4.2)
PAPER = dict(
    alpha_c=1.0, alpha=1.0, steps=100, episodes=200, batch=64,
    beta=0.05, beta_last=0.05, optimizer="gd", target_every=0, double=False, n_steps=1,
    label="fresh", A=10, B=5, **epsilon(1.0, 0.1, 50), explore="uniform", horizon="endless",
    returns="printed", first=0.0, M=5, starts=1, f_lb=0.0, c1=1.0, c2=1.0, gamma=0.9,
)  # fmt: skip
AS_PRINTED = ("M", "first", "alpha", "steps", "episodes", "returns")  # in each of the causes

# why the paper's DQN does not converge: Figure 1 in a tenth of its episodes, epsilon falling over
# the first quarter of them as there, and on top of it one change at a time, most to our default
CAUSES_BASE = epsilon(1.0, 0.1, 5) | dict(episodes=20)
CAUSES = {
    "paper": {},
    "summed": dict(beta=3.2, beta_last=3.2),  # no default: Eq. 10 without its division by |S| = 64
    "label": dict(label="stored"),  # no default: the literal tuple of section 4.1 (D16)
    "target-network": of_default("target_every"),
    "double-q": of_default("target_every", "double"),  # it needs the second network
    "adam": dict(optimizer="adam", beta=Config.beta, beta_last=Config.beta),
    "reward-scale": of_default("c1", "c2"),
    "f_lb": of_default("f_lb", "gap"),
    "gamma": of_default("gamma"),
    "n-steps": of_default("n_steps"),
    "horizon": of_default("horizon"),
    "memory": of_default("A", "B"),
    "epsilon": of_default("epsilon_last"),
    "exploration": of_default("explore"),
    "starts": of_default("starts"),
    "all": of_default(*(name for name in PAPER if name not in AS_PRINTED))
    | dict(beta_episodes=10, epsilon_episodes=5),
}
ADAM = {f"beta-{b}": dict(beta=b, beta_last=b) for b in (0.025, 0.01, 0.005)}
FIG5 = {f"over-{n}": epsilon(0.5, 0.05, n) for n in (10, 15, 20)}
# on the heavy ball's line, asked from t = 1, alpha_c from 0.4 to 3.2 in turn (D36 to D39)
MOMENTUM = dict(
    train_size=1000, momentum=0.9, alpha_c=1.6, factors=[1.0, 0.25, 2.0, 0.5], steps=80,
    gradients=20, first=1.0, map="far", unit="base", f_lb=0.65, gap=0.05, c1=0.2, c2=0.2,
    gamma=0.3, n_steps=1, horizon="endless", beta=0.003, beta_last=1e-6, A=200, B=0, accepts=0.2,
    epsilon_last=0.1,
)  # fmt: skip
# both hyper-parameters, from t = 1, on h and in units of h at xbar; what --joint begins with (D49)
JOINT = dict(
    episodes=120, validation_size=2000, alpha_c=1.0, steps=80, gradients=30, first=1.0, map="far",
    sees="h", returns="lowest", unit="base", f_lb=0.9, gap=0.02, c1=0.1, c2=0.1, gamma=0.5,
    n_steps=1, horizon="endless", beta=0.003, beta_last=1e-6, beta_episodes=80, A=200, B=0,
    accepts=0.2, epsilon_episodes=40, epsilon_last=0.1,
)  # fmt: skip
# asked from t = 1 on random problems, with the logarithm of what an accept gains (D42, D43)
ANYWHERE = dict(
    problems="random", starts=0, episodes=700, first=1.0, map="line", unit="base", logarithm=10.0,
    f_lb=0.0, gap=0.05, c1=0.0, c2=1.0, gamma=0.85, n_steps=5, horizon="endless",
    returns="lowest", beta=0.003, beta_last=1e-5, beta_episodes=600, A=200, B=0, accepts=0.1,
    epsilon_last=0.05, epsilon_episodes=300,
)  # fmt: skip

TABLE = {  # some are for several figures
    "default": Preset("", {}, tasks=("lr", "reg")),
    "momentum": Preset("default", MOMENTUM),
    "joint": Preset("default", JOINT, tasks=("joint",)),
    "anywhere": Preset("default", ANYWHERE),
    "paper": Preset("default", PAPER, tasks=("lr", "reg")),
    "fig1": Preset("paper", {}),
    "adam": Preset("paper", dict(optimizer="adam"), ADAM),
    "fig2": Preset("paper", epsilon(0.01, 0.01, 1)),
    "fig3 fig4": Preset("fig2", dict(episodes=20)),
    "fig5": Preset("paper", dict(episodes=20), {"epsilon-0.05": epsilon(0.05, 0.05, 1)} | FIG5),
    "fig6 fig7 fig8 fig9": Preset("paper", epsilon(0.2, 0.05, 10) | dict(episodes=100)),
    "fig10 fig11": Preset("default", {}),
    "fig12": Preset("paper", {}, tasks=("reg",)),
    "causes": Preset("paper", CAUSES_BASE, CAUSES),
}
PRESETS = {name: preset for names, preset in TABLE.items() for name in names.split()}


def changes(name):
    """What all runs of a preset change against the defaults."""
    preset = PRESETS[name]
    return (changes(preset.base) if preset.base else {}) | preset.changes


def runs(name, task, seed):
    """{name of a run: its changes against the defaults}."""
    preset = PRESETS.get(name)
    if not preset or task not in preset.tasks:
        where = f"is for {COMMANDS[preset.tasks[0]]}" if preset else "is not known"
        raise ConfigError(f"--preset {name}: {where}; --list-presets shows all")
    return {run: {"seed": seed} | changes(name) | change for run, change in preset.runs.items()}


def listing():
    """What each preset of both tasks changes against the one it starts from, as text."""
    lines = []
    for names, preset in TABLE.items():
        base = preset.base + f" ({COMMANDS[preset.tasks[0]]})" * ("lr" not in preset.tasks)
        own = {f"  {run}": change for run, change in preset.runs.items() if run}
        for name, change in ({f"{names:16} {base}": preset.changes} | own).items():
            lines.append(" ".join([f"{name:16}", *(written(*flag) for flag in change.items())]))
    return "\n".join([*lines, "In all of them --gap holds (D25), and divergence ends (D23)."])
