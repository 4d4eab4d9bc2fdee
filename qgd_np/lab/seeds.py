"""Several training seeds at once: a process for each, through the command line of the run file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from .. import files
from . import presets
from .report import aligned, images, margin, settled, spread


def run_seeds(a, argv, episodes):
    """Train each of --seeds A:B, going on with what is in its folder; returns the exit status.

    One that fails is reported and the others go on. a: the flags; episodes: of a seed's runs.
    """
    seeds, running, failed = range(*map(int, a.seeds.split(":"))), set(), []
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers = min(a.workers or cores, len(seeds))
    bar = tqdm(total=len(seeds) * episodes, unit="episode", disable=a.quiet)
    bar.write(f"{len(seeds)} seeds, {workers} at a time")

    def one(seed):
        words, last, seen = [*argv, "--resume", "--out", str(a.out), "--seed", str(seed)], "", 0
        try:
            child = local_process(words, max(1, cores // workers))
            running.add(child)
            for line in child.stdout:
                last, episode = line.strip() or last, line.startswith("episode ")
                seen += episode
                bar.update(episode)
            running.discard(child)
            status = child.wait()
        except OSError as error:  # no more processes or memory
            status, last = 2, error
        if status:
            failed.append(seed)
        bar.update(0 if status else episodes - seen)  # those of an earlier call
        bar.write(f"seed {seed}: {f'failed, {last}' if status else 'done'}")

    with ThreadPoolExecutor(workers) as pool, bar:  # its threads only wait
        try:
            list(pool.map(one, seeds))
        except BaseException:  # Ctrl-C or SIGTERM: no new seeds, and the running ones save
            pool.shutdown(wait=False, cancel_futures=True)
            for child in [*running]:
                child.terminate()
            raise
    finish(a, [seed for seed in seeds if seed not in failed])
    if failed:
        print(f"error: seeds {sorted(failed)} failed; their messages stand above", file=sys.stderr)
    return 2 if failed else 0


def local_process(words, threads):
    """Begin the run file with these words here; a cluster's queue could stand in for this."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return subprocess.Popen(
        [sys.executable, sys.argv[0], *words], env=os.environ | dict.fromkeys(names, str(threads)),
        text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


def finish(a, done):
    """The table and the picture of the seeds that are done."""
    names = presets.runs(a.preset)
    paths = [a.out / f"seed-{seed}" / name / "run.h5" for seed in done for name in names]
    if done and len(names) == 1:
        print(summary({seed: files.read(path) for seed, path in zip(done, paths, strict=True)}))
    if done and not a.no_figures:
        from .. import figures  # matplotlib is slow to import

        one = len(names) == 1
        for path in figures.several(paths, a.out) if one else figures.draw(paths, a.preset, a.out):
            print(f"picture  {path}")


def summary(trees):
    """A row per seed: what its training came to, what its controller reaches, and against whom."""
    first = next(iter(trees.values()))
    others = [name for name in first["evaluation"] if name != "qgd"]
    rows = []
    for seed, tree in trees.items():
        runs = tree["evaluation"]
        good, numbers = settled(tree["train"])
        row = [f"seed {seed}", {True: "yes", False: "NO", None: "?"}[good], ...]
    return rows
