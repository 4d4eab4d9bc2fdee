"""Many runs at once: a process for each, on this machine or on the workers of a Dask cluster.

Both by an executor of concurrent.futures. Here a run works in its folder below --out; on a worker
in one that lasts as long as the run, and its files come back as bytes.
"""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

from tqdm import tqdm

from .. import __version__, files
from ..config import UserError
from . import device
from .report import finish

ENDS = {0: "done"} | dict.fromkeys((130, 143, -signal.SIGTERM), "stopped")  # by exit status
HOME = 1800  # seconds after which a run on a worker stops to send its checkpoint home
TICK, TICK_THERE = 0.2, 2.0  # seconds between two looks at a run, here and on a worker
halted = set()  # on a worker: the submissions whose runs are to stop


def run_seeds(command, a, runs, words):
    """Make the runs {name: (episodes, hash of the images)}; returns the exit status.

    command: "run_lr.py" or "run_reg.py"; words: the flags of each. It goes on with what is in its
    folder, a finished one is left out, one that fails is named.
    """
    left = {name: run for name, run in runs.items() if not finished(a.out / name, *run)}
    print(f"{len(runs)} runs, {len(runs) - len(left)} of them done before")
    failed = make(command, a, runs, left, words) if left else []
    if paths := [a.out / name / "run.h5" for name in runs if name not in failed]:
        finish(paths, a.out, a.no_figures)
    if failed:
        print(f"error: {', '.join(failed)} failed; the messages stand above", file=sys.stderr)
    return 2 if failed else 0


def finished(folder, episodes, sha256):
    """True if the folder holds the results of that many episodes, or more, with these images."""
    with contextlib.suppress(files.FileError):  # none yet, or the run will say what is wrong
        tree = files.read(folder / "run.h5", "run")
        return json.loads(tree["config"])["episodes"] >= episodes and tree["data_sha256"] == sha256
    return False


def make(command, a, runs, left, words):
    """Make the runs left, behind a bar over the episodes of all; returns the names that failed."""
    heard, failed, done = {}, [], 0  # heard from a run: the episode it is at, where it is
    executor = cluster if a.scheduler or a.scheduler_file else here
    total = sum(episodes for episodes, _ in left.values())
    bar = tqdm(total=total, unit="episode", disable=a.quiet, dynamic_ncols=True)
    with bar, executor(command, a, runs, words, heard) as (submit, stop):
        running = {}
        try:
            for name in left:
                running[submit(name)] = name
            while running:
                time.sleep(TICK)
                for future in [future for future in running if future.done()]:
                    name = running.pop(future)
                    result = taken(future, a.out / name)
                    episode, where = heard.pop(name, (0, ""))
                    if result == "again":
                        running[submit(name)] = name
                    else:
                        failed += [] if result == "done" else [name]
                        done += runs[name][0] if result == "done" else episode
                        bar.write(f"{name}: {result}{where}")
                now = [*heard.items()]
                bar.n = done + sum(episode for _, (episode, _) in now)
                shown = [f"{name} {episode}{where}" for name, (episode, where) in now[:4]]
                bar.set_postfix_str(", ".join(shown) + f" of {len(now)}" * (len(now) > 4))
        except BaseException:  # Ctrl-C, SIGTERM, a full disk: no new runs, and the others save
            stop()
            begun = [f for f, name in running.items() if name in heard or not f.cancel()]
            for future in wait(begun, timeout=10).done:
                taken(future, a.out / running[future])
            raise
    return failed


def taken(future, folder):
    """Save the files that a run came back with; return its end in words."""
    if future.cancelled():
        raise UserError("the scheduler is gone; the same command with --resume goes on")
    if error := future.exception():
        return f"failed, {' '.join(str(error).split()) or type(error).__name__}"
    result, kept = future.result()
    for name, content in kept.items():
        folder.mkdir(parents=True, exist_ok=True)
        files.save(folder / name, content)
    return result


def job(file, words, name, sha256, out, threads, say, wanted, tick):
    """Make one run in a process; each tick say its episode, or stop it; return its end in words."""
    own = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), str(threads))
    last, episode, ended = "", 0, threading.Event()

    def watch():
        while wanted(episode):
            say(episode)
            if ended.wait(tick):
                return
        child.terminate()

    with subprocess.Popen(
        [sys.executable, file, *words, f"--data-sha256={sha256}", f"--out={out}", f"--only={name}"],
        env=os.environ | own, text=True, errors="replace",
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as child:  # fmt: skip
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        for line in child.stdout:
            last = line.strip() or last
            episode = int(line.split()[1]) if line.startswith("episode ") else episode
        ended.set()
        watcher.join()  # what it says comes before the result
    last = f"killed by signal {-child.returncode}" if child.returncode < 0 else last
    return ENDS.get(child.returncode, f"failed, {last}")


@contextlib.contextmanager
def here(command, a, runs, words, heard):
    """Yield submit(name) -> future and stop() for this machine; on a GPU one run at a time."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    usual, halting = 1 if device.choose(a.device) == "gpu" else cores, threading.Event()
    workers = min(a.workers or usual, len(runs))

    def one(name):
        say, wanted = (lambda k: heard.update({name: (k, "")})), (lambda _: not halting.is_set())
        where = (runs[name][1], a.out, max(1, cores // workers))
        return job(sys.argv[0], words, name, *where, say, wanted, TICK), {}

    with ThreadPoolExecutor(workers) as pool:  # its threads only wait
        yield lambda name: pool.submit(one, name), halting.set


@contextlib.contextmanager
def cluster(command, a, runs, words, heard):
    """Yield submit(name) -> future and stop() for the workers of a Dask cluster."""
    try:
        from distributed import Client
    except ImportError as error:
        raise UserError("--scheduler: it needs Dask, pip install -e '.[dask]'") from error
    for part in ("distributed", "distributed.client"):  # failures come by name
        logging.getLogger(part).setLevel(logging.CRITICAL)
    try:
        address = a.scheduler or json.loads(Path(a.scheduler_file).read_text())["address"]
        client = Client(address, timeout=10, set_as_default=False)
        client.wait_for_workers(1, timeout=30)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"--scheduler: {error}; begin `dask scheduler`, `dask worker`") from error
    topic, threads = f"qgd-{client.id}", os.environ.get("OPENBLAS_NUM_THREADS", 1)
    client.subscribe_topic(topic, lambda event: heard.update({event[1][0]: event[1][1:]}))
    pool, common = client.get_executor(pure=False), (topic, __version__, command, words, threads)

    def submit(name):
        kept = {file.name: file.read_bytes() for file in (a.out / name).glob("*.h5")}
        return pool.submit(on_worker, *common, name, *runs[name], kept)

    def stop():
        with contextlib.suppress(Exception):  # it may be gone
            client.run(halt, topic, on_error="ignore")

    with client:
        yield submit, stop


def halt(topic):
    """On a worker: stop the runs of a submission; they save and their files go home."""
    halted.add(topic)


def on_worker(topic, version, command, words, threads, name, episodes, sha256, kept):
    """One run on a worker, in a folder that begins with the files kept; returns its end and files.

    It is stopped when nobody waits for it, and now and then to be handed in again.
    """
    from distributed import get_worker

    worker, end = get_worker(), time.monotonic() + HOME
    key, say = worker.get_current_task(), lambda k: worker.log_event(topic, (name, k, where))
    where, run = f" at {worker.name}", Path(__file__).resolve().parents[2] / command

    def wanted(episode):
        known = worker.state.tasks.get(key)  # to cancel a future stops nothing by itself
        lost = not known or known.state != "executing" or worker.status.name.startswith("clos")
        home = 0 < episode < episodes and time.monotonic() > end
        return not (lost or home or topic in halted)

    say(0)
    if version != __version__:
        return f"failed, version {__version__} there, {version} here", {}
    with tempfile.TemporaryDirectory(dir=worker.local_directory) as out:
        folder = Path(out, name)
        folder.mkdir(parents=True)
        for file, content in kept.items():
            (folder / file).write_bytes(content)
        result = job(run, words, name, sha256, out, threads, say, wanted, TICK_THERE)
        kept = {file.name: file.read_bytes() for file in folder.glob("*.h5")}
    return "again" if result == "stopped" and topic not in halted else result, kept
