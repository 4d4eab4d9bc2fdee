"""--seeds A:B: a process for each seed, its threads, failures, and what a second call does.

A stand-in for a run file notes how it was called; test_commands.py has the real ones.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from qgd_np.lab import seeds

STAND_IN = """
import json, os, sys
from pathlib import Path
words = sys.argv[1:]
seed = words[words.index("--seed") + 1]
threads = [os.environ[k] for k in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")]
note = {"words": words, "threads": threads}
Path(f"called-{seed}.json").write_text(json.dumps(note))
if Path(f"fail-{seed}").exists():
    sys.exit("a line\\nerror: no luck")
"""


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Return call(*flags) -> (exit status, seeds that were started), run by the stand-in."""
    script = tmp_path / "run_lr.py"
    script.write_text(STAND_IN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    monkeypatch.setattr(seeds, "summary", lambda outs: "summary " + " ".join(o.name for o in outs))

    def run(*flags, workers=2):
        for note in tmp_path.glob("called-*"):
            note.unlink()
        argv = ["--seeds", "0:4", "--workers", str(workers), "--out", "all", *flags]
        arguments = SimpleNamespace(seeds="0:4", workers=workers, out="all", preset="default")
        status = seeds.run_seeds(SimpleNamespace(name="lr"), arguments, argv)
        notes = sorted(tmp_path.glob("called-*"))
        return status, {int(n.stem[7:]): json.loads(n.read_text()) for n in notes}

    return run


@pytest.mark.parametrize("cores, workers, threads", [(8, 2, "4"), (8, 3, "2"), (2, 4, "1")])
def test_every_seed_has_its_own_process_and_its_share_of_the_cores(
    call, monkeypatch, cores, workers, threads
):
    monkeypatch.setattr(seeds, "cores", lambda: cores)
    status, called = call("--episodes", "3", workers=workers)
    assert status == 0 and list(called) == [0, 1, 2, 3]
    for seed, note in called.items():
        own = ["--seed", str(seed), "--out", str(Path("all", f"seed-{seed}"))]
        assert note["words"] == ["--episodes", "3", *own, "--resume", "--quiet"]
        assert note["threads"] == [threads, threads]


def test_a_failed_seed_is_named_the_others_end_and_a_second_call_resumes_each(call, capsys):
    Path("fail-2").touch()
    status, called = call()
    printed = capsys.readouterr()
    assert status == 2 and list(called) == [0, 1, 2, 3]
    assert "seed 2: failed, error: no luck" in printed.out
    assert "summary seed-0 seed-1 seed-3" in printed.out
    assert printed.err == "error: seeds [2] failed; their messages stand above\n"
    Path("fail-2").unlink()
    status, called = call()
    assert status == 0 and all("--resume" in called[seed]["words"] for seed in range(4))
    assert "summary seed-0 seed-1 seed-2 seed-3" in capsys.readouterr().out


def test_a_seed_whose_process_cannot_start_fails_alone(call, capsys, monkeypatch):
    start = subprocess.Popen

    def popen(words, **options):
        if "1" in words[words.index("--seed") :][:2]:
            raise OSError(11, os.strerror(11))
        return start(words, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    status, called = call()
    assert status == 2 and list(called) == [0, 2, 3]
    assert "seed 1: failed, [Errno 11]" in capsys.readouterr().out
