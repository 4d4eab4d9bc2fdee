"""Keep a run file, a checkpoint and a controller of the present schema.

    python tests/keep_schema.py

They lie in tests/fixtures, packed, and are never made again: the tests read them for ever after.
"""

import gzip
import sys
import tempfile
from pathlib import Path

from kill_resume import TASKS, make_archive

from qgd_np.files import runfile
from qgd_np.lab import command

KEPT = Path(__file__).resolve().parent / "fixtures"
KINDS = ("run", "checkpoint", "controller")
TINY = [
    "--steps", "5", "--hidden", "2", "--dqn-hidden", "3", "--A", "1", "--B", "1",
    "--train-size", "20", "--iterates", "1", "--policies", "gd", "--episodes", "2",
    "--device", "cpu", "--no-figures", "--quiet",
]  # fmt: skip


def packed(schema, kind):
    """The path of a kept file."""
    return KEPT / f"schema{schema}-{kind}.h5.gz"


def unpack_kept(schema, folder):
    """Unpack the kept files of a schema into a folder, as a run of that time left them."""
    for kind in KINDS:
        (folder / f"{kind}.h5").write_bytes(gzip.decompress(packed(schema, kind).read_bytes()))


def main():
    if packed(runfile.SCHEMA, "run").exists():
        raise SystemExit(f"the files of schema {runfile.SCHEMA} are kept already")
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        archive = make_archive(Path(folder))
        status = command.main(TASKS["lr"], ["--data", str(archive), *TINY, "--out", str(out)])
        for kind in KINDS:
            content = (out / f"{kind}.h5").read_bytes()
            packed(runfile.SCHEMA, kind).write_bytes(gzip.compress(content, mtime=0))
    return status


if __name__ == "__main__":
    sys.exit(main())
