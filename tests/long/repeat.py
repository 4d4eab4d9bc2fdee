"""Run the tests many times and count the failures by the test's name (R10).

    python tests/repeat.py [COUNT] [what pytest is given, such as tests/test_data.py]

Runs COUNT (50) times, each in a process of its own and in another order of the files; prints each
run's seconds and, at the end, every test that ever failed and how often. The exit status is 1 if
one did, or if a run took more than three minutes.
"""

import collections
import random
import re
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
LONGEST = 180  # seconds


def once(words, failures):
    """Run the tests once, count what fails, print the end of the run; return its seconds."""
    began = time.monotonic()
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider", *words]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True)
    seconds = time.monotonic() - began
    failed = re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M)
    failures.update(failed or ([f"pytest, status {done.returncode}"] if done.returncode else []))
    if done.returncode:
        print(done.stdout + done.stderr)
    print(f"{seconds:6.1f} s, {(done.stdout.splitlines() or ['no output'])[-1]}", flush=True)
    return seconds


def main():
    words = sys.argv[1:]
    count = int(words.pop(0)) if words and words[0].isdigit() else 50
    files = words or [str(path) for path in sorted(HERE.glob("test_*.py"))]
    failures, seconds, dice = collections.Counter(), [], random.Random(0)
    for _ in range(count):
        seconds.append(once(dice.sample(files, len(files)), failures))
    for name, number in failures.most_common():
        print(f"failed {number} of {count} times: {name}")
    print(f"{count} runs, {sum(failures.values())} failures, "
          f"{min(seconds):.1f} to {max(seconds):.1f} s")  # fmt: skip
    return int(bool(failures) or max(seconds) > LONGEST)


if __name__ == "__main__":
    sys.exit(main())
