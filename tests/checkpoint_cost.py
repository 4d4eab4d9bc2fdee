"""What the checkpoints cost: python tests/checkpoint_cost.py [flags of run_lr.py]

Trains as run_lr.py does, 100 episodes on 2,000 synthetic images unless told otherwise, and prints
the share of the training's time that went into snapshots and saves. The exit status is 1 if that
is 1 percent or more.
"""

import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import run_lr  # noqa: E402
from qgd_np import files  # noqa: E402
from qgd_np.lab import command, experiment  # noqa: E402

USUAL = ["--data", "synthetic", "--episodes", "100"]
REST = ["--policies", "gd", "--iterates", "1", "--no-figures", "--quiet"]


def timed(function, calls):
    """The function, which notes the seconds of each call."""

    def measured(*args):
        began = time.perf_counter()
        result = function(*args)
        calls.append(time.perf_counter() - began)
        return result

    return measured


def main():
    snapshots, saves, training = [], [], []
    patches = (
        mock.patch.object(experiment.Training, "tree", timed(experiment.Training.tree, snapshots)),
        mock.patch.object(command, "save", timed(command.save, saves)),
        mock.patch.object(command, "train", timed(command.train, training)),
    )
    with tempfile.TemporaryDirectory() as folder, patches[0], patches[1], patches[2]:
        out = Path(folder, "out")
        flags = [*(sys.argv[1:] or USUAL), *REST, "--out", str(out)]
        if command.main(run_lr.TASK, flags):
            return 2
        episodes = files.read(out / "checkpoint.h5")["training"]["done"]
        size = (out / "checkpoint.h5").stat().st_size
    total, cost = sum(training), sum(snapshots) + sum(saves)
    each = 1e3 * sum(snapshots) / len(snapshots), 1e3 * sum(saves) / len(saves)
    print(f"{episodes} episodes in {total:.1f} s; {len(snapshots)} snapshots, {each[0]:.2f} ms "
          f"each, and {len(saves)} saves of {size / 1e6:.2f} MB, {each[1]:.0f} ms each: "
          f"{100 * cost / total:.2f} % of the time")  # fmt: skip
    return int(cost >= 0.01 * total)


if __name__ == "__main__":
    sys.exit(main())
