"""Named sets of values for the flags: one for each experiment of the paper, and what it lacks.

What the paper does not give keeps its default (config.py).
"""

from ..config import Config, ConfigError

# what the paper prints: plain gradient descent by Eq. 10, no target network, one x_1 (4.2, D16-D21)
PAPER = dict(
    alpha_c=1.0, steps=100, episodes=200, batch=64,
    beta=0.05, beta_last=0.05, optimizer="gd", target_every=0, double=False, n_steps=1,
    label="fresh", A=10, B=5, epsilon_first=1.0, epsilon_last=0.1, epsilon_episodes=50,
    explore="uniform", horizon="endless", returns="last",
    starts=1, M=5, f_lb=0.0, c1=1.0, c2=1.0, gamma=0.9, alpha=1.0,
)  # fmt: skip


def epsilon(first, last, episodes):
    """The three fields of an epsilon schedule."""
    return dict(epsilon_first=first, epsilon_last=last, epsilon_episodes=episodes)


def of_default(*names):
    """The defaults of these fields, as one change on top of the paper's rule."""
    return {name: getattr(Config, name) for name in names}


FIG2 = PAPER | epsilon(0.01, 0.01, 1)
FIG3 = FIG2 | dict(episodes=20)
FIG5 = PAPER | dict(episodes=20)
FIG6 = PAPER | epsilon(0.2, 0.05, 10) | dict(episodes=100)
FIG12 = PAPER | dict(train_size=1000, reward="error")
ADAM = PAPER | dict(optimizer="adam")
TEN_SEEDS = ("fig7", "fig8", "fig9")


def ten_seeds(first):
    """The ten runs that Figures 7 to 9 choose from: seeds first, ..., first + 9."""
    return {f"seed-{k}": FIG6 | dict(seed=k) for k in range(first, first + 10)}


# why the paper's DQN does not converge: Figure 1 in a tenth of its episodes, epsilon falling over
# the first quarter of them as there, and on top of it one change at a time, most to our default
CAUSES_BASE = PAPER | epsilon(1.0, 0.1, 5) | dict(train_size=5000, episodes=20)
CAUSES = {
    "paper": {},
    "summed": dict(beta=3.2, beta_last=3.2),  # no default: Eq. 10 without its division by |S| = 64
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
    "all": of_default(*PAPER.keys() - {"M", "alpha", "steps", "episodes", "returns"})
    | dict(beta_episodes=10, epsilon_episodes=5),
}

LR, REG_ONLY, BOTH = ("lr",), ("reg",), ("lr", "reg")

# name -> (tasks, {name of a run: what it changes}); each reproduces a figure of the paper
PRESETS = {
    "default": (BOTH, {"": {}}),
    "paper": (BOTH, {"": PAPER}),
    "fig1": (LR, {"": PAPER}),
    "adam": (LR, {f"beta-{b}": ADAM | dict(beta=b, beta_last=b) for b in (0.025, 0.01, 0.005)}),
    "fig2": (LR, {"": FIG2}),
    "fig3": (LR, {"": FIG3}),
    "fig4": (LR, {"": FIG3}),
    "fig5": (
        LR,
        {"epsilon-0.05": FIG5 | epsilon(0.05, 0.05, 1)}
        | {f"over-{n}": FIG5 | epsilon(0.5, 0.05, n) for n in (10, 15, 20)},
    ),
    "fig6": (LR, {"": FIG6}),
    "fig7": (LR, ten_seeds(0)),
    "fig8": (LR, ten_seeds(0)),
    "fig9": (LR, ten_seeds(0)),
    "fig10": (LR, {"": {}}),
    "fig11": (LR, {"": {}}),
    "fig12": (REG_ONLY, {"": FIG12}),
    "causes": (LR, {row: CAUSES_BASE | change for row, change in CAUSES.items()}),
}


def preset(name, task, seed=0):
    """Return {run name: changes} of a preset of this task; ConfigError for a name it has not.

    Ten runs have the seeds from the given one on; other runs do not set theirs.
    """
    if name not in PRESETS or task not in PRESETS[name][0]:
        known = ", ".join(n for n, (tasks, _) in PRESETS.items() if task in tasks)
        raise ConfigError(f"--preset {name}: run_{task}.py has the presets {known}")
    return ten_seeds(seed) if name in TEN_SEEDS else PRESETS[name][1]
