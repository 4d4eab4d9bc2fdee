"""Draws runs again: python -m qgd_np.figures RUN ..., each a run.h5 or the folder of --out."""

import sys
from pathlib import Path

from ..files import FileError
from ..lab.flags import Parser, one_line
from . import draw


def main(argv=None):
    """The command line of the figures; returns the exit status."""
    return one_line(lambda: redraw(argv))


def redraw(argv):
    """Draw the pictures of each RUN into its folder, or small ones into that of --gallery."""
    parser = Parser("python -m qgd_np.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run.h5 or a folder")
    parser.add_argument("--gallery", type=Path, metavar="DIR", help="small pictures, all into DIR")
    arguments = parser.parse_args(argv)
    for path in arguments.runs:
        folder = path if path.is_dir() else path.parent
        files = sorted(path.rglob("run.h5")) if path.is_dir() else [path]
        if not files:
            raise FileError(f"{path}: holds no run.h5; give a run.h5 or a folder of runs")
        for picture in draw(files, arguments.gallery or folder, bool(arguments.gallery)):
            print(f"picture  {picture}")


if __name__ == "__main__":
    sys.exit(main())
