"""Pictures and tables of the paper's experiments, drawn from run files; nothing is trained here."""

from functools import partial
from pathlib import Path

import matplotlib

from ..lab.presets import PRESETS
from .drawing import STYLE, load, save
from .pictures import anywhere, causes, comparison, objective_net, pattern, trace, training

EVERY = {  # {picture: (what a run must hold for it, function of the runs that do)}
    "training": ("train", training),
    "comparison": ("evaluation", comparison),
    "pattern": ("evaluation", pattern),
    "trace": ("rival", trace),
}
LOSSES = ("fig1", "fig2", "fig5", "fig6", "fig12", "adam")
OWN = dict.fromkeys(LOSSES, ("train", partial(training, panels=1)))  # of a preset: the same
OWN |= dict.fromkeys(("fig3", "fig4"), ("train", objective_net))
OWN |= dict.fromkeys(("fig7", "fig8", "fig9"), EVERY["pattern"])
OWN |= dict.fromkeys(("fig10", "fig11"), EVERY["comparison"])
OWN |= {"anywhere": ("random", anywhere)}
OWN |= {"causes": ("evaluation", causes), "seeds": ("train", partial(training, panels=3))}


def draw(files, out):
    """Draw the pictures of the runs that one command has made into a folder; return their paths.

    Where no run holds the picture of the preset, those of "default" are drawn.
    """
    runs = sorted(map(load, files), key=lambda run: (len(run.folder.name), run.folder.name))
    seeds = len(runs) > 1 == len(PRESETS[runs[0].preset].runs)
    name, paths = "seeds" if seeds else runs[0].preset, []
    for pictures in ({k: OWN[k] for k in {name} & {*OWN}}, EVERY):
        for name, (part, figure) in pictures.items():
            if holding := [run for run in runs if getattr(run, part)]:
                with matplotlib.rc_context(STYLE):
                    paths.append(save(figure(holding), Path(out) / f"{name}.png"))
        if paths:
            return paths
    return []
