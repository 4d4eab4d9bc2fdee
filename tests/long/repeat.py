"""Run the tests many times and count the failures by the test's name (R10).

    python tests/long/repeat.py [COUNT] [what pytest is given, such as tests/test_files.py]

Runs COUNT (50) times, each in a process of its own and in another order of the files; prints each
run's seconds and every test that ever failed. The exit status is 1 if one did, or if a run took
more than two minutes.
"""

import collections
import random
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 120  # seconds, on a quiet machine


def main():
    words = sys.argv[1:]
    count = int(words.pop(0)) if words and words[0].isdigit() else 50
    words = words or [str(path) for path in sorted(ROOT.glob("tests/test_*.py"))]
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", "-p", "no:cacheprovider"]
    failures, seconds, dice = collections.Counter(), [], random.Random(0)
    for _ in range(count):
        began, order = time.monotonic(), dice.sample(words, len(words))
        done = subprocess.run([*command, *order], cwd=ROOT, capture_output=True, text=True)
        seconds.append(time.monotonic() - began)
        if done.returncode:
            failures.update(re.findall(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.M) or ["pytest"])
            print(done.stdout + done.stderr)
        print(f"{seconds[-1]:6.1f} s, {(done.stdout.splitlines() or ['-'])[-1]}", flush=True)
    for name, number in failures.most_common():
        print(f"failed {number} of {count} times: {name}")
    print(f"{count} runs, {sum(failures.values())} failures, at most {max(seconds):.1f} s")
    return int(bool(failures) or max(seconds) > LONGEST)


if __name__ == "__main__":
    sys.exit(main())
