"""Pictures and tables of the paper's experiments, drawn from run files; nothing is trained here."""

from functools import partial
from pathlib import Path

import matplotlib

from . import patterns
from .drawing import STYLE, load, save
from .pictures import causes, comparison, objective_net, rule, training

EVERY = {  # {picture: (what a run must hold for it, function of the runs that do)}
    "training": ("train", training),
    "comparison": ("evaluation", comparison),
    "pattern": ("evaluation", patterns.pattern),
    "trace": ("rival", patterns.trace),
    "rule": ("visited", rule),
}
LOSSES = ("fig1", "fig2", "fig5", "fig6", "fig12", "adam")
OWN = dict.fromkeys(LOSSES, ("train", partial(training, panels=1)))  # of a preset: the same
OWN |= dict.fromkeys(("fig3", "fig4"), ("train", objective_net))
OWN |= dict.fromkeys(("fig10", "fig11"), ("evaluation", comparison))
OWN |= {f"fig{k + 6}": ("evaluation", partial(patterns.several, wanted=k)) for k in (1, 2, 3)}
OWN |= {"causes": ("evaluation", causes), "seeds": ("train", partial(training, panels=3))}


def draw(files, preset, out, small=False):
    """Draw the pictures of a preset from its run files into the folder out; return their paths.

    Where no run holds the picture of the preset, those of "default" are drawn.
    """
    runs = sorted(map(load, files), key=lambda run: (len(run.folder.name), run.folder.name))
    paths = []
    for name, (part, figure) in ({preset: OWN[preset]} if preset in OWN else EVERY).items():
        if holding := [run for run in runs if getattr(run, part)]:
            with matplotlib.rc_context(STYLE):
                paths.append(save(figure(holding), Path(out) / f"{name}.png", small))
    return paths or (draw(files, "default", out, small) if preset in OWN else [])
