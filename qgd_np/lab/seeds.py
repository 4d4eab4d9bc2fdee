"""Several training seeds at once: one process each, through the command line of a run file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .. import files
from ..config import ConfigError
from . import presets
from .experiment import convergence
from .report import images


def run_seeds(task, arguments, argv):
    """Train the seeds A to B-1 of --seeds A:B; returns the exit status.

    Each seed resumes what is in its folder, so a second call does what is missing. A failed seed is
    reported by its number and the others go on. Threads only wait here: each seed is a process of
    its own with its share of the cores for its matrix products.
    """
    try:
        first, last = (int(part) for part in arguments.seeds.split(":"))
    except ValueError as error:
        raise ConfigError(f"--seeds {arguments.seeds}: must be A:B, as in 0:10") from error
    if not 0 <= first < last:
        raise ConfigError(f"--seeds {arguments.seeds}: must be A:B with 0 <= A < B")
    top = Path(arguments.out or f"runs/{task.name}-{arguments.preset}-seeds")
    outs = {seed: top / f"seed-{seed}" for seed in range(first, last)}
    names = presets.preset(arguments.preset, task.name)  # "" for one run
    paths = {seed: [out / name / "run.h5" for name in names] for seed, out in outs.items()}
    workers = min(arguments.workers or cores(), len(outs))
    print(f"{len(outs)} seeds, {workers} at a time")
    running = set()
    with ThreadPoolExecutor(workers) as pool:
        codes = pool.map(lambda seed: one_seed(seed, outs[seed], argv, workers, running), outs)
        try:
            failed = [seed for seed, code in zip(outs, codes, strict=True) if code]
        except BaseException:  # Ctrl-C or SIGTERM: no new seeds, and the running ones save
            pool.shutdown(wait=False, cancel_futures=True)
            for child in list(running):
                child.terminate()
            print("stopped; the same command goes on", file=sys.stderr)
            raise
    done = [seed for seed in outs if seed not in failed]
    if done and "" in names:
        print(summary([outs[seed] for seed in done]))
    elif done and not arguments.no_figures:
        draw([path for seed in done for path in paths[seed]], arguments.preset, top)
    if failed:
        print(f"error: seeds {failed} failed; their messages stand above", file=sys.stderr)
    return 2 if failed else 0


def draw(paths, preset, out):
    """The one picture of all seeds of a preset of several runs."""
    from ..figures import __main__ as figures

    for path in figures.draw(paths, preset, out):
        print(f"picture  {path}")


def cores():
    """The number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def one_seed(seed, out, argv, workers, running):
    """Run one seed in a process of its own, resuming what it may have begun; its exit status."""
    words, dropped = [], {"--seeds", "--out", "--workers", "--seed"}
    for before, word in zip(["", *argv], argv, strict=False):
        if word not in dropped and before not in dropped and word.split("=")[0] not in dropped:
            words.append(word)
    own = ["--seed", str(seed), "--out", str(out), "--resume", "--quiet"]
    threads = str(max(1, cores() // workers))
    environment = os.environ | {"OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
    try:
        child = subprocess.Popen(
            [sys.executable, sys.argv[0], *words, *own], env=environment, text=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
    except OSError as error:  # no more processes or memory: the other seeds go on
        print(f"seed {seed}: failed, {error}", flush=True)
        return 2
    running.add(child)
    last = (child.communicate()[1].strip().splitlines() or [""])[-1]
    running.discard(child)
    code = child.returncode
    ended = {0: f"done, {out}", 130: "stopped", 143: "stopped"}.get(code, f"failed, {last}")
    print(f"seed {seed}: {ended}", flush=True)
    return code


def summary(outs):
    """One row per seed: whether its training converges, and what its controller reaches.

    Drift of the mean max-Q over the last quarter of the episodes, TD loss there, its change from
    the third quarter on (dashes for quarters of a single episode); f and test accuracy at the end,
    means over the unseen iterates.
    """
    trees = [files.read(out / "run.h5") for out in outs]
    rows = [
        f"\n{images(trees[0])}, mean over {len(trees[0]['iterate_seeds'])} unseen initial iterates",
        f"{'':10} {'drift of Q':>10} {'TD loss':>9} {'change':>17} {'f':>8} accuracy",
    ]
    for out, tree in zip(outs, trees, strict=True):
        drift, loss, change, error = convergence(tree["train"])
        drift, change = f"{drift:.2f}%", f"{change:+.1f} +- {error:4.1f}%"
        if len(tree["train"]["td_loss"]) < 5:
            drift = change = "-"
        run = tree["evaluation"]["qgd"]
        f, accuracy = (np.nanmean(run[name][:, -1]) for name in ("objective", "test_accuracy"))
        rows.append(f"{out.name:10} {drift:>10} {loss:9.2g} {change:>17} {f:8.4f} {accuracy:8.4f}")
    return "\n".join(rows)
