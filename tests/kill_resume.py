"""Kill a tiny run with signal 9 at random moments, resume it, and compare what comes out (R1).

    python tests/kill_resume.py [COUNT] [--seed S]

Makes COUNT (100) kills: two of three are aimed at a save by watching for its temporary file, the
others hit any moment, in training or in the closing comparison. After each kill every file must be
readable; each finished run must equal, but for `seconds`, the run that nobody killed, bit for bit.
Processes are forked from this one, so a start costs little. The exit status is 1 if anything is
unreadable or differs, or if fewer than 30 percent of 20 or more kills fell into a save.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # equal bits, safe forks

import numpy as np  # noqa: E402

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from damage_data import binary_files, make_arrays, pack  # noqa: E402

import run_lr  # noqa: E402
import run_reg  # noqa: E402
from qgd_np import command, runfile  # noqa: E402

TASKS = {"lr": run_lr.TASK, "reg": run_reg.TASK}
RECORDS = 50  # per batch: 250 training images
SMALL = [
    "--steps", "10", "--hidden", "5", "--iterates", "1", "--train-size", "200",
    "--validation-size", "20", "--no-figures", "--quiet", "--device", "cpu",
]  # fmt: skip
EPISODES = ["--episodes", "12", "--checkpoint-episodes", "1"]


def make_archive(folder):
    """Write a tiny archive in the official binary layout; return its path."""
    path = folder / "tiny.tar.gz"
    path.write_bytes(pack(binary_files(make_arrays(RECORDS))))
    return path


def differences(one, other, place=""):
    """The places where two trees are not equal bit for bit, but for `seconds`."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted((one.keys() | other.keys()) - {"seconds"})
        found = [differences(one.get(k), other.get(k), f"{place}/{k}") for k in names]
        return [place for places in found for place in places]
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        equal = (one.dtype, one.shape) == (other.dtype, other.shape)
        return [] if equal and one.tobytes() == other.tobytes() else [place]
    return [] if type(one) is type(other) and one == other else [place]


def start(task, argv):
    """Fork a process that runs the command line; return its id."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        status = command.main(TASKS[task], argv)
    finally:
        os._exit(status)


def wait_for_a_save(child, out, rng):
    """Wait until the child is in a save, not always in its first one; False if it ended before."""
    temps = [out / f".{name}.{child}.tmp" for name in ("checkpoint.h5", "run.h5")]
    seen, wanted = 0, int(rng.integers(1, 5))
    while seen < wanted:
        while not any(map(os.path.exists, temps)):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                return False
        seen += 1
        while seen < wanted and any(map(os.path.exists, temps)):
            pass
    time.sleep(rng.choice([0, 0, 0.0002, 0.001]))
    return True


def kill_once(task, argv, out, rng, aim, longest):
    """Start, kill; return (killed, in a save). Not killed: the run has ended by itself."""
    child = start(task, argv)
    if not aim:
        time.sleep(rng.uniform(0, longest))
    if not aim or wait_for_a_save(child, out, rng):
        os.kill(child, signal.SIGKILL)
    killed, _ = end(child)
    return killed, killed and any(out.glob(f".*.{child}.tmp"))


def end(child):
    """Wait for the end of a process; return (whether it was killed, False)."""
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise SystemExit(f"a run ended with status {os.WEXITSTATUS(status)}")
    return os.WIFSIGNALED(status), False


def unreadable(out):
    """The run files in a folder that cannot be read."""
    bad = []
    for path in out.glob("*.h5"):
        try:
            runfile.read(path)
        except runfile.RunFileError as error:
            bad.append(str(error))
    return bad


def uninterrupted(task, argv, folder):
    """The tree of the run that nobody kills, and the seconds it took."""
    began = time.monotonic()
    end(start(task, [*argv, "--out", str(folder)]))
    return runfile.read(folder / "run.h5"), time.monotonic() - began


def campaign(count, seed, folder):
    """Make the kills; return {what: how many} and a list of faults."""
    rng, data, faults = np.random.default_rng(seed), make_archive(folder), []
    argv = {task: ["--data", str(data), *SMALL, *EPISODES] for task in TASKS}
    straight = {task: uninterrupted(task, argv[task], folder / task) for task in TASKS}
    counts = {"kills": 0, "in a save": 0, "finished runs": 0}
    while counts["kills"] < count:
        number = counts["finished runs"]
        task, out = ("lr", "reg")[number % 2], folder / f"run-{number}"
        tree, seconds = straight[task]
        words = [*argv[task], "--out", str(out), "--resume"]
        killed = True
        while killed:
            over = counts["kills"] == count  # the last run may finish
            aim, longest = counts["kills"] % 3 > 0, 0.7 * seconds
            killed, hit = end(start(task, words)) if over else kill_once(
                task, words, out, rng, aim, longest
            )  # fmt: skip
            counts["kills"] += killed
            counts["in a save"] += hit
            faults += unreadable(out)
        counts["finished runs"] += 1
        found = differences(tree, runfile.read(out / "run.h5"))
        faults += [f"{out.name} differs in {place}" for place in found]
        faults += [f"{temp} was left behind" for temp in out.glob(".*.tmp")]
    return counts, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, faults = campaign(arguments.count, arguments.seed, Path(folder))
    print(", ".join(f"{what}: {number}" for what, number in counts.items()), end="; ")
    print(f"unreadable or different: {len(faults)}", *faults, sep="\n" if faults else "")
    few = counts["kills"] >= 20 and counts["in a save"] < 0.3 * counts["kills"]
    return int(few or bool(faults))


if __name__ == "__main__":
    sys.exit(main())
