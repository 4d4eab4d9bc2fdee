"""Several training seeds at once: a process for each run, through the command line of its file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from .report import finish


def run_seeds(a, argv, episodes):
    """Make the runs {name: episodes}, several at a time; returns the exit status.

    Each goes on with what is in its folder. One that fails is named and the others go on.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers, running, failed = min(a.workers or cores, len(episodes)), set(), []
    print(f"{len(episodes)} runs, {workers} at a time")
    bar = tqdm(total=sum(episodes.values()), unit="episode", disable=a.quiet)

    def one(name):
        words, last, seen = [*argv, "--resume", "--no-figures", "--only", name], "", 0
        try:
            with local_process(words, max(1, cores // workers)) as child:
                running.add(child)
                for line in child.stdout:
                    last, episode = line.strip() or last, line.startswith("episode ")
                    seen += episode
                    bar.update(episode)
            status = child.returncode
        except OSError as error:  # no more processes or memory
            status, last = 2, error
        if status:
            failed.append(name)
        bar.update(0 if status else episodes[name] - seen)  # those of an earlier call
        said = {0: "done", 130: "stopped", 143: "stopped"}.get(status, f"failed, {last}")
        bar.write(f"{name}: {said}")

    with ThreadPoolExecutor(workers) as pool, bar:  # its threads only wait
        try:
            list(pool.map(one, episodes))
        except BaseException:  # Ctrl-C or SIGTERM: no new runs, and the running ones save
            pool.shutdown(wait=False, cancel_futures=True)
            for child in [*running]:
                child.terminate()
            raise
    paths = [a.out / name / "run.h5" for name in episodes if name not in failed]
    if paths:
        finish(paths, a.out, a.no_figures)
    if failed:
        print(f"error: {', '.join(failed)} failed; the messages stand above", file=sys.stderr)
    return 2 if failed else 0


def local_process(words, threads):
    """Begin the run file with these words here; a cluster's queue could stand in for this."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")
    return subprocess.Popen(
        [sys.executable, sys.argv[0], *words], env=os.environ | dict.fromkeys(names, str(threads)),
        text=True, errors="replace", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
