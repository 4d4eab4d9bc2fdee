"""Draws runs again: python -m qgd_np.figures RUN ..., each a run.h5 or the folder of --out."""

import sys
from pathlib import Path

from ..lab.flags import Parser, one_line
from . import draw


def redraw(argv=None):
    """Draw the pictures of each RUN into its folder."""
    parser = Parser("python -m qgd_np.figures", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run.h5 or a folder")
    for path in parser.parse_args(argv).runs:
        found = sorted(path.rglob("run.h5")) or [path]
        for picture in draw(found, path if path.is_dir() else path.parent):
            print(f"picture  {picture}")


if __name__ == "__main__":
    sys.exit(one_line(redraw))
