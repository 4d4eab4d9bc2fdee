"""Named sets of values for the flags: one for each experiment of the paper, and what it lacks.

What the paper does not give keeps its default (config.py). So in the presets that follow it three
things are ours: f - f_lb is at least `gap` (D25), an episode whose numbers are no longer finite ends
and an update that would lead there is not taken (D23), and the images are standardised (D4).
"""

import textwrap
from dataclasses import dataclass, field

from ..config import Config, ConfigError
from .flags import written

LR, REG, BOTH = ("lr",), ("reg",), ("lr", "reg")
OURS = "With the paper's rule, too, f - f_lb is at least --gap (D25), and divergence ends an episode (D23)."


@dataclass(frozen=True)
class Preset:
    """What a preset changes against the one it starts from, in all its runs and in each."""

    base: str
    changes: dict
    tasks: tuple = LR
    runs: dict = field(default_factory=lambda: {"": {}})  # {name of its folder: changes}


def epsilon(first, last, episodes):
    """The three fields of an epsilon schedule."""
    return dict(epsilon_first=first, epsilon_last=last, epsilon_episodes=episodes)


def of_default(*names):
    """The defaults of these fields, as one change on top of the paper's rule."""
    return {name: getattr(Config, name) for name in names}


def ten_seeds(first):
    """The ten runs that Figures 7 to 9 choose from."""
    return {f"seed-{k}": dict(seed=k) for k in range(first, first + 10)}


# what the paper prints: plain gradient descent by Eq. 10, no target network, one x_1 (4.2, D16-D21)
PAPER = dict(
    alpha_c=1.0, alpha=1.0, steps=100, episodes=200, batch=64,
    beta=0.05, beta_last=0.05, optimizer="gd", target_every=0, double=False, n_steps=1,
    label="fresh", A=10, B=5, **epsilon(1.0, 0.1, 50), explore="uniform", horizon="endless",
    returns="last", M=5, starts=1, f_lb=0.0, c1=1.0, c2=1.0, gamma=0.9,
)  # fmt: skip

# why the paper's DQN does not converge: Figure 1 in a tenth of its episodes, epsilon falling over
# the first quarter of them as there, and on top of it one change at a time, most to our default
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
    "all": of_default(*PAPER.keys() - {"M", "first", "alpha", "steps", "episodes", "returns"})
    | dict(beta_episodes=10, epsilon_episodes=5),
}
ADAM = {f"beta-{b}": dict(beta=b, beta_last=b) for b in (0.025, 0.01, 0.005)}
FIG5 = {"epsilon-0.05": epsilon(0.05, 0.05, 1)}
FIG5 |= {f"over-{n}": epsilon(0.5, 0.05, n) for n in (10, 15, 20)}

TABLE = {  # some are for several figures
    "default": Preset("", {}, BOTH),
    "paper": Preset("default", PAPER, BOTH),
    "fig1": Preset("paper", {}),
    "adam": Preset("paper", dict(optimizer="adam"), LR, ADAM),
    "fig2": Preset("paper", epsilon(0.01, 0.01, 1)),
    "fig3 fig4": Preset("fig2", dict(episodes=20)),
    "fig5": Preset("paper", dict(episodes=20), LR, FIG5),
    "fig6": Preset("paper", epsilon(0.2, 0.05, 10) | dict(episodes=100)),
    "fig7 fig8 fig9": Preset("fig6", {}, LR, ten_seeds(0)),
    "fig10 fig11": Preset("default", {}),
    "fig12": Preset("paper", {}, REG),
    "causes": Preset("paper", epsilon(1.0, 0.1, 5) | dict(train_size=5000, episodes=20), LR, CAUSES),
}
PRESETS = {name: preset for names, preset in TABLE.items() for name in names.split()}
TEN_SEEDS = ("fig7", "fig8", "fig9")


def check(name, task):
    """Raise ConfigError for a name that is no preset of this task."""
    if name not in PRESETS or task not in PRESETS[name].tasks:
        where = f"is for run_{PRESETS[name].tasks[0]}.py" if name in PRESETS else "is not known"
        raise ConfigError(f"--preset {name}: {where}; --list-presets shows all")


def changes(name):
    """What all runs of a preset change against the defaults."""
    preset = PRESETS[name]
    return (changes(preset.base) if preset.base else {}) | preset.changes


def runs(name, seed=0):
    """{name of a run: its changes against the defaults}; ten seeds begin at the given one."""
    own = ten_seeds(seed) if name in TEN_SEEDS else PRESETS[name].runs
    return {run: {"seed": seed} | changes(name) | change for run, change in own.items()}


def listing():
    """What each preset of both tasks changes against the one it starts from, as text."""
    lines = []

    def add(head, words):
        lines.extend(textwrap.wrap(" ".join([head, *words]), 100, break_on_hyphens=False,
                                   subsequent_indent=" " * 17))  # fmt: skip

    for names, preset in TABLE.items():
        head = f"{names:16} {preset.base or 'the defaults'}"
        head += " (run_reg.py)" if preset.tasks == REG else ""
        ten = ["in ten runs, of the seeds from --seed on"] if names.split()[0] in TEN_SEEDS else []
        add(head, [*(written(*change) for change in preset.changes.items()), *ten])
        for run, change in preset.runs.items() if len(preset.runs) > 1 and not ten else ():
            add(f"  {run:14}", [written(*each) for each in change.items()])
    return "\n".join([*lines, OURS])
