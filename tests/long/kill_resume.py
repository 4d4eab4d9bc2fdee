"""Kill a tiny run at random moments, resume it, and compare what comes out (R1, R5).

    python tests/long/kill_resume.py [COUNT] [--signal KILL INT TERM] [--seed S]

Makes COUNT (100) kills: two of three are aimed at a save by watching for its temporary file, the
others hit any moment. After each kill every file must be readable; each finished run must equal,
but for `seconds`, the run that nobody killed, bit for bit. After INT and TERM the process must end
by itself within two seconds, with its own status and, at the end of standard error, the command to
resume. The exit status is 1 if anything is wrong, or if fewer than 30 percent of 20 or more KILLs
fell into a save. Processes are forked from this one, so a start costs little.
"""
# ruff: noqa: E402

import argparse
import contextlib
import os
import runpy
import signal
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"  # equal bits, safe forks
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from small_runs import ROOT, SMALL, TASKS, differences, make_archive

from qgd_np import files
from qgd_np.files import interrupts

EPISODES = ["--episodes", "12", "--checkpoint-episodes", "1"]


def run(task, argv, log):
    """The command line in a process of its own, with standard error to a file."""
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(log, "w", buffering=1)
    sys.argv = [f"run_{task}.py", *map(str, argv)]
    try:
        interrupts.catch()  # as the program does at once; before, a signal would just end it
        signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.STOPPING)
        runpy.run_path(str(ROOT / sys.argv[0]), run_name="__main__")
    except interrupts.Stopped as stop:
        sys.exit(128 + stop.args[0])


def start(*words):
    """Fork a process that runs the command line; return it."""
    child = get_context("fork").Process(target=run, args=words)
    signal.pthread_sigmask(signal.SIG_BLOCK, interrupts.STOPPING)
    child.start()
    signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupts.STOPPING)
    return child


def end(child, log, within=600):
    """Wait that many seconds for the end of a process; return its exit status and its log."""
    child.join(within)
    child.kill()
    child.join()
    return child.exitcode, log.read_text()


def in_a_save(out, since):
    """True if there is a temporary file that was changed after that time."""
    for name in ("checkpoint", "controller", "run"):
        with contextlib.suppress(FileNotFoundError):
            if os.stat(out / f".{name}.h5.tmp").st_mtime > since:
                return True
    return False


def wait_for_a_save(child, out, rng, since):
    """Wait until the child is in a save, not always in its first one, or over."""
    for _ in range(rng.integers(1, 5)):
        while in_a_save(out, since):
            pass
        while not in_a_save(out, since):
            if not child.is_alive():
                return
    time.sleep(rng.choice([0, 0, 0.0002, 0.001]))


def kill_once(task, argv, out, rng, longest, number, within):
    """Start a run, kill it; return (was it in time, in a save, faults). longest: 0 for a save."""
    log, since = out.with_suffix(".log"), time.time()
    child = start(task, argv, log)
    if longest:
        time.sleep(rng.uniform(0, longest))
    else:
        wait_for_a_save(child, out, rng, since)
    if child.is_alive():
        os.kill(child.pid, number)
    hit = in_a_save(out, since)
    status, error = end(child, log, within)
    if status == 0:
        return False, False, []
    well = number == signal.SIGKILL or status == 128 + number and "Traceback" not in error
    well &= error.rstrip().endswith("--resume") or not error  # nothing before the run has begun
    return True, hit, [] if well else [f"status {status}: {error}"]


def finished(task, argv, out):
    """Run to the end, which must be a good one; return the tree of the results."""
    log = out.with_suffix(".log")
    status, error = end(start(task, argv, log), log)
    assert status == 0, error
    return files.read(out / "run.h5")


def campaign(a, folder):
    """Make the kills; return {what: how many} and a list of faults."""
    rng, faults, straight = np.random.default_rng(a.seed), [], {}
    flags = ["--data", make_archive(folder), *SMALL, *EPISODES, "--out"]
    for task in TASKS:
        began = time.monotonic()
        tree = finished(task, [*flags, folder / task], folder / task)
        straight[task] = tree, time.monotonic() - began
    counts = {"kills": 0, "in a save": 0, "finished runs": 0}
    while counts["kills"] < a.count:
        task = list(TASKS)[counts["finished runs"] % 2]
        out = folder / f"run-{counts['finished runs']}"
        tree, seconds = straight[task]
        argv, killed = [*flags, out, "--resume"], True
        while killed and counts["kills"] < a.count:
            longest = 0 if rng.integers(3) else 0.7 * seconds
            number = signal.Signals["SIG" + a.signal[counts["kills"] % len(a.signal)]]
            killed, hit, found = kill_once(task, argv, out, rng, longest, number, a.within)
            counts["kills"] += killed
            counts["in a save"] += hit
            faults += found
            for path in out.glob("*.h5"):
                files.read(path)  # an unreadable one ends the campaign
        places = differences(tree, finished(task, argv, out))
        faults += [f"{out.name} differs in {place}" for place in places]
        counts["finished runs"] += 1
        faults += [f"{left} was left behind" for left in out.glob(".*.tmp")]
    return counts, faults


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--signal", nargs="+", default=["KILL"], help="or INT, TERM; in turn")
    parser.add_argument("--within", type=float, default=2, help="seconds to end after a signal")
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        counts, faults = campaign(a, Path(folder))
    print(", ".join(f"{what}: {number}" for what, number in counts.items()), end="; ")
    print(f"unreadable or different: {len(faults)}", *faults, sep="\n" if faults else "")
    few = counts["kills"] >= 20 and counts["in a save"] < 0.3 * counts["kills"]
    return int(few and "KILL" in a.signal or bool(faults))


if __name__ == "__main__":
    sys.exit(main())
