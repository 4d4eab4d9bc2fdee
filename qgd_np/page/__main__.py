"""Writes the page of runs again: python -m qgd_np.page RUN ..., a run.h5 or a folder of them."""

import sys
from pathlib import Path

from ..lab.flags import Parser, one_line
from . import write


def main(argv=None):
    """The command line of the pages; returns the exit status."""

    def rewrite():
        parser = Parser("python -m qgd_np.page", description=__doc__)
        parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="run.h5 or folder")
        for path in parser.parse_args(argv).runs:
            for run in sorted(path.rglob("run.h5")) or [path]:
                print(f"page     {write(run)}")

    return one_line(rewrite)


if __name__ == "__main__":
    sys.exit(main())
