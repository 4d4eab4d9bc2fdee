"""Pictures and tables of the paper's experiments, drawn from run files; nothing is trained here."""

from functools import partial
from pathlib import Path

import matplotlib

from . import causes, patterns
from .drawing import STYLE, load, save
from .pictures import comparison, objective_net, rule, training

EVERY = {  # {picture: (what a run must hold for it, function of the runs that do)}
    "training": ("train", training),
    "comparison": ("evaluation", comparison),
    "pattern": ("evaluation", patterns.pattern),
    "trace": ("armijo", patterns.trace),
    "rule": ("visited", rule),
}
LOSSES = ("fig1", "fig2", "fig5", "fig6", "fig12", "adam")
OWN = dict.fromkeys(LOSSES, ("train", partial(training, panels=1)))  # of a preset: the same
OWN |= dict.fromkeys(("fig3", "fig4"), ("train", objective_net))
OWN |= dict.fromkeys(("fig10", "fig11"), ("evaluation", comparison))
OWN |= {f"fig{k + 6}": ("evaluation", partial(patterns.several, wanted=k)) for k in (1, 2, 3)}
OWN |= {"causes": ("evaluation", causes.picture), "seeds": ("train", partial(training, panels=3))}
TABLES = {"causes": causes.table} | dict.fromkeys(("fig7", "fig8", "fig9"), patterns.table)


def draw(files, preset, out, small=False):
    """Draw the pictures of a preset from its run files into the folder out; return their paths.

    A preset with a table prints it. Where no run holds its picture, those of "default" are drawn.
    """
    runs = sorted(map(load, files), key=lambda run: (len(run.folder.name), run.folder.name))
    paths = []
    for name, (part, figure) in ({preset: OWN[preset]} if preset in OWN else EVERY).items():
        if holding := [run for run in runs if getattr(run, part)]:
            if preset in TABLES:
                print(TABLES[preset](holding))
            with matplotlib.rc_context(STYLE):
                paths.append(save(figure(holding), Path(out) / f"{name}.png", small))
    return paths or (draw(files, "default", out, small) if preset in OWN else [])


def several(files, out):
    """Draw the trainings of several seeds and what they end at; return the picture's path."""
    return draw(files, "seeds", out)
