"""Draws runs again: python -m qgd_np.figures RUN ..., each a run.h5 or a folder of them."""

import os
import sys
from pathlib import Path

from ..files import FileError
from ..lab.flags import Parser, one_line
from ..lab.presets import PRESETS
from . import draw, load

TOGETHER = ("adam", "fig5", "fig7", "fig8", "fig9", "causes")  # one picture of several runs


def main(argv=None):
    """The command line of the figures; returns the exit status."""
    return one_line(lambda: redraw(argv))


def redraw(argv):
    """Draw what each run drew when it ended, or the pictures of --preset."""
    parser = Parser("python -m qgd_np.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run.h5 or a folder")
    parser.add_argument("--preset", choices=PRESETS, metavar="NAME", help="[the run's own]")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="small pictures, all into DIR")
    arguments = parser.parse_args(argv)
    for path in arguments.runs:
        found = list(drawings(path, arguments.preset))
        for preset, files in found:
            out = Path(os.path.commonpath([file.parent for file in files]))
            if arguments.gallery:
                out = arguments.gallery / (out.name if len(found) > 1 else "")
            for picture in draw(files, preset, out, small=bool(arguments.gallery)):
                print(f"picture  {picture}")


def drawings(path, preset):
    """Yield (preset, files) of what is drawn together; preset "seeds" for the runs of --seeds."""
    groups = {}
    for run in map(load, sorted(path.rglob("run.h5")) if path.is_dir() else [path]):
        key = preset or run.preset, run.value, bool(run.seeds) and not preset
        groups.setdefault(key, []).append(run.path)
    if not groups:
        raise FileError(f"{path}: holds no run.h5; give a run.h5 or a folder of runs")
    for (name, _, of_seeds), files in groups.items():
        if name in TOGETHER:
            yield name, files
        elif of_seeds and len(files) > 1:
            yield "seeds", files
        else:
            yield from ((name, [file]) for file in files)


if __name__ == "__main__":
    sys.exit(main())
