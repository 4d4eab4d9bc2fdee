"""Several training seeds at once: a process for each run, through the command line of its file."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from tqdm import tqdm

from .. import files
from .report import aligned, margin, settled, spread
from .training import convergence


def run_seeds(a, argv, episodes):
    """Make the runs {folder: episodes}, several at a time, each going on with what is there.

    One that fails is reported and the others go on. Returns the exit status. a: the flags.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    workers, running, failed = min(a.workers or cores, len(episodes)), set(), []
    print(f"{len(episodes)} runs, {workers} at a time")
    bar = tqdm(total=sum(episodes.values()), unit="episode", disable=a.quiet)

    def one(name):
        words, last, seen = [*argv, "--resume", "--no-figures", "--only", name], "", 0
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
            failed.append(name)
        bar.update(0 if status else episodes[name] - seen)  # those of an earlier call
        bar.write(f"{name}: {f'failed, {last}' if status else 'done'}")

    with ThreadPoolExecutor(workers) as pool, bar:  # its threads only wait
        try:
            list(pool.map(one, episodes))
        except BaseException:  # Ctrl-C or SIGTERM: no new runs, and the running ones save
            pool.shutdown(wait=False, cancel_futures=True)
            for child in [*running]:
                child.terminate()
            raise
    if done := {name: a.out / name / "run.h5" for name in episodes if name not in failed}:
        print(summary({name: files.read(path) for name, path in done.items()}))
        paths = [*done.values()]
        if not a.no_figures:
            from .. import figures  # matplotlib is slow to import

            alone = all(path.parent.parent == a.out for path in paths)  # a run a seed
            for path in (
                figures.several(paths, a.out) if alone else figures.draw(paths, a.preset, a.out)
            ):
                print(f"picture  {path}")
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


def summary(trees):
    """A row per run: its training, what its controller reaches, and how far it is above whom."""
    tree = next(iter(trees.values()))
    others = [name for name in tree["evaluation"] if name != "qgd"]
    reached = ["f at the end", "test accuracy"] if tree["evaluation"] else []
    rows, good = [], 0
    for name, tree in trees.items():
        drift, loss, change, error = convergence(tree["train"])
        row, runs = (
            [name, f"{drift:.2g} %", f"{loss:.2g}", f"{change:+.1f} +- {error:.1f} %"],
            tree["evaluation"],
        )
        row += [spread(runs["qgd"][k][:, -1]) for k in ("objective", "test_accuracy") if runs]
        rows.append([*row, *(margin(runs["qgd"], runs[other]) for other in others)])
        good += bool(settled(tree["train"])[0])
    headings = ["last quarter", "max-Q ranges by", "TD loss", "changed by", *reached]
    text = aligned([*headings, *(f"points above {name}" for name in others)], rows)
    return f"\n{tree['data']}\n{text}\nThe training has settled on {good} of {len(trees)}."
