"""Kill a tiny run at random moments, resume it, and compare what comes out (R1, R5).

    python tests/kill_resume.py [COUNT] [--signal KILL INT TERM] [--seed S]

Makes COUNT (100) kills: two of three are aimed at a save by watching for its temporary file, the
others hit any moment, in training or in the closing comparison. After each kill every file must be
readable; each finished run must equal, but for `seconds`, the run that nobody killed, bit for bit.
After INT and TERM the process must end by itself within two seconds, with its own status and, at
the end of standard error, the command to resume. Processes are forked from this one, so a start
costs little. The exit status is 1 if anything is wrong, or if fewer than 30 percent of 20 or more
KILLs fell into a save.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # equal bits, safe forks

import numpy as np  # noqa: E402

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]

from damage_data import binary_files, make_arrays, pack  # noqa: E402

import run_lr  # noqa: E402
import run_reg  # noqa: E402
from qgd_np import files  # noqa: E402
from qgd_np.files import interrupts  # noqa: E402
from qgd_np.lab import command  # noqa: E402

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


def start(task, argv, log):
    """Fork a process that runs the command line, with standard error to a file; return its id."""
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.STOPPING)
    child = os.fork()
    if child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.STOPPING)
        return child
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
        sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
        command.make_runs = partial(heard, command.make_runs)
        status = command.main(TASKS[task], argv)
    finally:
        os._exit(status)


def heard(make_runs, *rest):
    """make_runs, and from here on signals come through: the run is now one that can be resumed."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.STOPPING)
    return make_runs(*rest)


def wait_for_a_save(child, out, rng):
    """Wait until the child is in a save, not always in its first one; False if it ended before."""
    temps = [out / f".{name}.tmp" for name in ("checkpoint.h5", "run.h5")]
    seen, wanted = 0, int(rng.integers(1, 5))
    while seen < wanted:
        while not any(map(os.path.exists, temps)):
            if has_ended(child):
                return False
        seen += 1
        while seen < wanted and any(map(os.path.exists, temps)):
            pass
    time.sleep(rng.choice([0, 0, 0.0002, 0.001]))
    return True


def has_ended(child):
    """True if the process is over; it still waits to be collected."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def kill_once(child, out, rng, longest, kill):
    """Send the signal some time; return (it came before the end, in a save, faults).

    longest: how long to wait at most; 0: for a save.
    """
    if longest:
        time.sleep(rng.uniform(0, longest))
    if longest or wait_for_a_save(child, out, rng):
        os.kill(child, kill.number)
    hit, until = any(out.glob(".*.tmp")), time.monotonic() + kill.within
    while not has_ended(child):
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
        time.sleep(0.001)
    status = end(child)
    error = log_of(out).read_text()
    if status == 0:
        return False, False, []
    if kill.number == signal.SIGKILL:
        return True, any(out.glob(".*.tmp")), []
    well = status == 128 + kill.number and error.rstrip().endswith("--resume")
    return True, hit, [] if well and "Traceback" not in error else [f"status {status}: {error}"]


def end(child):
    """Wait for the end of a process; return its exit status, below 0 for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def log_of(out):
    """The file with the standard error of the run in a folder."""
    return out.with_suffix(".log")


def unreadable(out):
    """The run files in a folder that cannot be read."""
    bad = []
    for path in out.glob("*.h5"):
        try:
            files.read(path)
        except files.FileError as error:
            bad.append(str(error))
    return bad


def uninterrupted(task, argv, folder):
    """The tree of the run that nobody kills, and the seconds it took."""
    began = time.monotonic()
    finish(task, [*argv, "--out", str(folder)], folder)
    return files.read(folder / "run.h5"), time.monotonic() - began


def finish(task, argv, out):
    """Run to the end, which must be a good one."""
    status = end(start(task, argv, log_of(out)))
    if status:
        raise SystemExit(f"a run ended with status {status}: {log_of(out).read_text()}")


def campaign(count, seed, kills, folder):
    """Make the kills; return {what: how many} and a list of faults."""
    rng, data, faults = np.random.default_rng(seed), make_archive(folder), []
    argv = {task: ["--data", str(data), *SMALL, *EPISODES] for task in TASKS}
    straight = {task: uninterrupted(task, argv[task], folder / task) for task in TASKS}
    counts = {"kills": 0, "in a save": 0, "finished runs": 0}
    while counts["kills"] < count:
        number = counts["finished runs"]
        task, out = ("lr", "reg")[number % 2], folder / f"run-{number}"
        tree, seconds = straight[task]
        words, killed = [*argv[task], "--out", str(out), "--resume"], True
        while killed and counts["kills"] < count:
            child = start(task, words, log_of(out))
            longest = 0 if rng.integers(3) else 0.7 * seconds
            kill = kills[counts["kills"] % len(kills)]
            killed, hit, found = kill_once(child, out, rng, longest, kill)
            counts["kills"] += killed
            counts["in a save"] += hit
            faults += found + unreadable(out)
        finish(task, words, out)
        counts["finished runs"] += 1
        found = differences(tree, files.read(out / "run.h5"))
        faults += [f"{out.name} differs in {place}" for place in found]
        faults += [f"{temp} was left behind" for temp in out.glob(".*.tmp")]
    return counts, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    names = ("KILL", "INT", "TERM")
    parser.add_argument("--signal", nargs="+", choices=names, default=names[:1], help="in turn")
    parser.add_argument("--within", type=float, default=2, help="seconds to end after a signal")
    arguments = parser.parse_args()
    numbers = [signal.Signals[f"SIG{name}"] for name in arguments.signal]
    kills = [SimpleNamespace(number=number, within=arguments.within) for number in numbers]
    with tempfile.TemporaryDirectory() as folder:
        counts, faults = campaign(arguments.count, arguments.seed, kills, Path(folder))
    print(", ".join(f"{what}: {number}" for what, number in counts.items()), end="; ")
    print(f"unreadable or different: {len(faults)}", *faults, sep="\n" if faults else "")
    few = counts["kills"] >= 20 and counts["in a save"] < 0.3 * counts["kills"]
    return int(few and "KILL" in arguments.signal or bool(faults))


if __name__ == "__main__":
    sys.exit(main())
