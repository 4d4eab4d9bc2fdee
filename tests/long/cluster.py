"""A Dask cluster on loopback: equal results, kills, and what a run costs beside its own work.

    python tests/long/cluster.py equal
    python tests/long/cluster.py kills
    python tests/long/cluster.py growth 8 64 512 [--stand-in] [--workers 3]
    python tests/long/cluster.py messages

`equal`: eight seeds here and on a scheduler with three workers, with the folder of the results
shared and, in a mount namespace of the workers' own, hidden from them (needs root). `kills`: one
thing that goes wrong after the other; each time what the submitter says, how many processes run on,
and whether the same command ends with the results of local runs. `growth`: runs of one episode;
--stand-in has a run file that only copies a result, so that what is left is the machinery.
`messages`: what a message costs in which a run says its episode. The exit status is 1 if anything
is wrong.
"""
# ruff: noqa: E402

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_runs import ROOT, SMALL, differences, make_archive

from qgd_np import files

SEEDS = 8
STAND_IN = """
import shutil, sys
from pathlib import Path
words = dict(word[2:].split("=") for word in sys.argv[1:] if "=" in word)
shutil.copyfile({result!r}, Path(words["out"], words["only"], "run.h5"))
"""


def processes(mark):
    """The numbers of the processes with this text in their command line, but for this one."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark.encode() in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
    return sorted({*found} - {os.getpid()})


def until(condition, seconds=60):
    """Wait until condition() is true; return its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
    return value


class Cluster:
    """A scheduler and workers on loopback, in a folder of their own."""

    def __init__(self, folder, workers=3, hidden=None, environment=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.folder, self.all = folder, []
        self.environment = os.environ | (environment or {})
        folder.mkdir()
        self.file = folder / "scheduler.json"
        port = self.address.rpartition(":")[2]
        self.scheduler = self.start("scheduler", "--port", port, "--scheduler-file", self.file)
        until(self.file.exists)
        self.workers = [self.worker(hidden) for _ in range(workers)]

    def start(self, *words, before=()):
        command = [*before, sys.executable, "-m", "dask", *words, "--host", "127.0.0.1"]
        log = open(self.folder / f"{len(self.all)}.log", "w")
        self.all.append(subprocess.Popen(
            [*map(str, command), "--no-dashboard"], stdout=log, stderr=log,
            env=self.environment, cwd=self.folder, start_new_session=True,
        ))  # fmt: skip
        return self.all[-1]

    def worker(self, hidden=None):
        k = len(self.all)
        own = ["--name", f"w{k}", "--local-directory", self.folder / f"of-w{k}"]
        hide = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {hidden} && exec "$@"', "-"]
        words = ["--scheduler-file", self.file, "--nthreads", "1", *own]
        return self.start("worker", *words, before=hide if hidden else ())

    def children(self):
        """The runs that are made now; their --out lies in a folder of their worker's."""
        return [pid for pid in processes(f"--out={self.folder}") if self.alive(pid)]

    @staticmethod
    def alive(pid):
        return os.path.exists(f"/proc/{pid}")

    def of_worker(self, child):
        """The process that began a child: the worker below its nanny."""
        return int(Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[1])

    def end(self):
        for process in self.all:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def submit(flags, out, *words):
    """The submitter, begun."""
    command = [sys.executable, ROOT / "run_lr.py", *flags, "--out", out, *words]
    return subprocess.Popen(
        [*map(str, command)], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        cwd=out.parent,
    )  # fmt: skip


def done(flags, out, *words, status=0):
    """The submitter, ended; returns standard output and standard error."""
    process = submit(flags, out, *words)
    output, error = process.communicate()
    assert process.returncode == status, (process.returncode, output, error)
    return output, error


def faults(local, out):
    """Where the files of two folders of runs differ, but for seconds."""
    names = sorted(p.relative_to(local) for p in local.rglob("*.h5"))
    found = [] if names == sorted(p.relative_to(out) for p in out.rglob("*.h5")) else ["names"]
    for name in names if not found else ():
        one, other = (files.read(folder / name) for folder in (local, out))
        found += [f"{name}{place}" for place in differences(one, other)]
    return found


def equal(folder, flags, local):
    wrong = []
    for what, hidden in (("shared", None), ("hidden", folder / "hidden")):
        (folder / what).mkdir()
        cluster = Cluster(folder / f"cluster-{what}", hidden=hidden)
        try:
            by = "--scheduler-file", cluster.file
            output, _ = done(flags, folder / what / "out", *by)
        finally:
            cluster.end()
        found = faults(local, folder / what / "out")
        used = {line.split(" at ")[1] for line in output.splitlines() if ": done at " in line}
        count = len(list(local.rglob("*.h5")))
        print(f"{what}: {SEEDS} runs on {len(used)} workers, {count} files, {len(found)} different")
        wrong += found
    return wrong


def kills(folder, flags, local):
    wrong = []

    def case(what, act, status, again=True):
        """Begin, act as soon as three runs are under way, look, and give the same command again."""
        name = what.replace(" ", "-")
        cluster, out = Cluster(folder / f"cluster-{name}"), folder / name
        try:
            process = submit(flags, out, "--scheduler", cluster.address)
            until(lambda: len(cluster.children()) == 3 and process.poll() is None)
            time.sleep(2.5)  # into the training
            act(cluster, process)
            began = time.monotonic()
            output, error = process.communicate()
            ended = time.monotonic() - began
            until(lambda: not cluster.children(), 30)
            quiet = time.monotonic() - began
            there = len(list(out.rglob("run.h5")))
            said = " / ".join(error.strip().splitlines()) or "nothing"
            ok = process.returncode == status
            if again:
                if cluster.scheduler.poll() is not None:
                    cluster.end()
                    cluster = Cluster(folder / f"cluster-{name}-again")
                done(flags, out, "--scheduler", cluster.address, "--resume")
            found = faults(local, out)
            status = process.returncode
            wrong.extend(found if ok else [*found, f"{what}: status {status}: {error}"])
            print(f"{what}: status {status} after {ended:.1f} s, no run after {quiet:.1f} s,"
                  f" {there} of {SEEDS} results were there, different at the end: {len(found)}"
                  f"\n    {said}", flush=True)  # fmt: skip
            for line in output.splitlines():
                if "failed" in line:
                    print("    ", line)
        finally:
            cluster.end()

    def kill(which, number=signal.SIGKILL):
        return lambda cluster, process: os.kill(which(cluster, process), number)

    case("worker", kill(lambda c, _: c.of_worker(c.children()[0])), 0, again=False)
    both = lambda c, _: os.killpg(c.workers[0].pid, signal.SIGKILL)  # noqa: E731
    case("worker and nanny", both, 0, again=False)
    case("child", kill(lambda c, _: c.children()[0]), 2)
    case("submitter", kill(lambda _, process: process.pid), -9)
    case("submitter by Ctrl-C", kill(lambda _, process: process.pid, signal.SIGINT), 130)
    case("scheduler", kill(lambda c, _: c.scheduler.pid), 2)

    cluster = Cluster(folder / "cluster-none", workers=0)
    for what, address in (("no worker", cluster.address), ("nothing listening", None)):
        began = time.monotonic()
        if not address:
            cluster.end()
        out = folder / what.replace(" ", "-")
        _, error = done(flags, out, "--scheduler", cluster.address, status=2)
        print(f"{what}: after {time.monotonic() - began:.0f} s {error.strip()}", flush=True)
        wrong += [error] if len(error.strip().splitlines()) != 1 or out.exists() else []
    return wrong


def usage(pid):
    """Processor seconds and largest resident memory in MB of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    (peak,) = [k for k in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in k]
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK"), int(peak.split()[1]) / 1024


def growth(folder, flags, local, a):
    wrong, top = [], None
    if a.stand_in:  # the package beside a run file that only copies a result
        top = folder / "stand-in"
        shutil.copytree(ROOT / "qgd_np", top / "qgd_np")
        text = STAND_IN.format(result=str(local / "seed-0" / "run.h5"))
        (top / "run_lr.py").write_text(text)
    cluster = Cluster(folder / "cluster", a.workers, None, {"PYTHONPATH": str(top or ROOT)})
    try:
        for n in a.runs:
            out, before = folder / f"growth-{n}", usage(cluster.scheduler.pid)[0]
            words = "--seeds", f"0:{n}", "--scheduler", cluster.address
            began, peak = time.monotonic(), (0, 0)
            log = open(folder / "log", "w")
            command = [sys.executable, "-c", SUBMITTER, *flags, "--out", out, *words]
            own = os.environ | {"PYTHONPATH": str(ROOT)}
            with subprocess.Popen([*map(str, command)], stdout=log, stderr=log, env=own) as process:
                while process.poll() is None:
                    with contextlib.suppress(ValueError, FileNotFoundError):
                        peak = max(peak, usage(process.pid))
                    time.sleep(0.2)
            seconds = time.monotonic() - began
            cpu, memory = usage(cluster.scheduler.pid)
            there = len(list(out.rglob("run.h5")))
            wrong += [f"{n}: status {process.returncode}, {there}"] * (there != n)
            print(f"{n} runs: {seconds:.1f} s; submitter {peak[0]:.1f} s of processor,",
                  f"{peak[1]:.0f} MB; scheduler {cpu - before:.1f} s, {memory:.0f} MB",
                  flush=True)  # fmt: skip
    finally:
        cluster.end()
    return wrong


def talk(n):
    """On a worker: say n times what a run says, 500 times a second at most."""
    from distributed import get_worker

    for k in range(n):
        get_worker().log_event("talk", ("seed-1234", k, " at tcp://127.0.0.1:12345"))
        time.sleep(0.002)


def messages(folder, n=4000):
    from distributed import Client

    cluster = Cluster(folder / "cluster", 1, None, {"PYTHONPATH": str(Path(__file__).parent)})
    try:
        with Client(cluster.address, set_as_default=False) as client:
            heard = []
            client.subscribe_topic("talk", heard.append)
            client.wait_for_workers(1)
            before, own = usage(cluster.scheduler.pid)[0], time.process_time()
            client.submit(sys.modules["cluster"].talk, n).result()
            until(lambda: len(heard) == n)
            scheduler = (usage(cluster.scheduler.pid)[0] - before) / n
            own = (time.process_time() - own) / n
            print(f"{n} messages: scheduler {1e3 * scheduler:.2f} ms each, submitter"
                  f" {1e3 * own:.2f} ms")  # fmt: skip
    finally:
        cluster.end()
    return 0


SUBMITTER = """
import sys
from run_lr import TASK
from qgd_np.lab import seeds, command
seeds.finish = lambda *_: None  # the table and the pages cost the same without a cluster
sys.exit(command.main(TASK))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("equal", "kills", "growth", "messages"))
    parser.add_argument("runs", nargs="*", type=int, default=[8, 64, 512])
    parser.add_argument("--stand-in", action="store_true", help="no real runs")
    parser.add_argument("--workers", type=int, default=3)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "data").mkdir()
        if a.what == "messages":
            return messages(folder)
        flags = ["--data", make_archive(folder / "data"), *SMALL, "--first", 1]
        episodes = {"equal": 20, "kills": 150, "growth": 1}[a.what]
        flags += ["--episodes", episodes]
        if a.what == "growth":
            done([*flags, "--seeds", "0:2"], folder / "local")
            wrong = growth(folder, flags, folder / "local", a)
        else:
            flags += ["--seeds", f"0:{SEEDS}"]
            done(flags, folder / "local")
            wrong = {"equal": equal, "kills": kills}[a.what](folder, flags, folder / "local")
    print("wrong:", len(wrong), *wrong, sep="\n  " if wrong else " ")
    return int(bool(wrong))


if __name__ == "__main__":
    import cluster  # noqa: F401, so that a worker can import talk

    sys.exit(main())
