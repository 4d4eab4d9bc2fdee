"""Draws the pictures of a preset from run files; nothing is trained here.

    python -m qgd_np.figures RUN [RUN ...]

RUN is a run.h5, or a folder with one, or a folder of such folders.
"""

import sys
from functools import partial
from pathlib import Path

import matplotlib

from ..config import Parser, one_line
from ..files import FileError
from ..lab import presets
from . import causes, patterns
from .drawing import STYLE, load, save
from .pictures import comparison, objective_net, rule, td_loss, trace, training

LOSSES = ("fig1", "fig2", "fig5", "fig6", "fig12", "adam")
TOGETHER = {name: td_loss for name in LOSSES} | {"causes": causes.picture}  # one of all runs
TOGETHER |= {f"fig{k + 6}": partial(patterns.pattern_of_runs, wanted=k) for k in (1, 2, 3)}
EACH = {name: {name: objective_net} for name in ("fig3", "fig4")}
EACH |= {name: {name: comparison} for name in ("fig10", "fig11")}
EVERY = {"training": training, "comparison": comparison, "pattern": patterns.pattern,
         "trace": trace, "rule": rule}  # fmt: skip
FROM_TRAINING = {*LOSSES, "fig3", "fig4", "training", "causes"}
TABLES = {"causes": causes.table} | {name: patterns.table for name in presets.TEN_SEEDS}


def draw(files, preset, out, small=False):
    """Draw the pictures of a preset from its run files into the folder out; return their paths.

    The runs are taken in the preset's order, so each has its colour. A preset with a table
    prints it. small: all pictures below out, those of several runs in a folder for each.
    """
    names = {name: i for i, name in enumerate(presets.PRESETS[preset][1])}
    runs = sorted(map(load, files), key=lambda run: names.get(run.folder.name, len(names)))
    out = Path(out)
    trained = [run for run in runs if run.train]
    if preset in FROM_TRAINING and not trained:
        preset = "default"
    with matplotlib.rc_context(STYLE):
        if preset in TOGETHER:
            chosen = trained if preset in FROM_TRAINING else runs
            if preset in TABLES:
                print(TABLES[preset](chosen))
            return [save(TOGETHER[preset](chosen), out / f"{preset}.png", small)]
        places = [out / run.folder.name if small else run.folder for run in runs]
        places = [out] if len(runs) == 1 else places
        return [
            save(figure([run]), place / f"{name}.png", small)
            for run, place in zip(runs, places, strict=True)
            for name, figure in EACH.get(preset, EVERY).items()
            if possible(name, run)
        ]


def possible(name, run):
    """Whether a run holds what a picture shows: a training, or Armijo's episodes for the trace."""
    if name == "trace":
        return "armijo" in run.evaluation
    return run.train or name not in FROM_TRAINING


def files_of(path):
    """The run files that an argument of the command line stands for."""
    if not path.is_dir():
        return [path]
    files = [path / "run.h5"] if (path / "run.h5").exists() else list(path.glob("*/run.h5"))
    files = files or list(path.glob("*/*/run.h5"))  # several seeds of a preset of several runs
    if not files:
        raise FileError(f"{path}: holds no run.h5; give a run.h5 or a folder of runs")
    return sorted(files, key=lambda file: [(len(part), part) for part in file.parts])


def main(argv=None):
    """The command line of the figures; returns the exit status."""
    return one_line(lambda: redraw(argv), FileError)


def redraw(argv):
    """Draw again: the pictures of --preset or, without it, of the preset in the folder's name."""
    parser = Parser("python -m qgd_np.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run.h5 or a folder")
    parser.add_argument("--preset", choices=presets.PRESETS, help="[the one in the folder's name]")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="small pictures, all into DIR")
    arguments = parser.parse_args(argv)
    for path in arguments.runs:
        out = path if path.is_dir() else path.parent
        preset = arguments.preset or preset_of(out)
        for picture in draw(files_of(path), preset, arguments.gallery or out,
                            bool(arguments.gallery)):  # fmt: skip
            print(f"picture  {picture}")


def preset_of(folder):
    """The preset that a folder is named after, as in runs/lr-fig6-0."""
    words = folder.resolve().name.split("-")
    return next((word for word in words if word in presets.PRESETS), "default")


if __name__ == "__main__":
    sys.exit(main())
