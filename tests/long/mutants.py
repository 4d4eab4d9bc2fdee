"""Do the core tests see a wrong sign, index or name, a missing line? Mutants of the paper's files.

    python tests/long/mutants.py [FILE ...] [--set a|b] [--sample N]

Each mutant is one change to the text of qgd_np/FILE (all three without), in a copy of the package on
which the core tests then run, without those of the margin: they compare text. Half of the mutants, by
a hash, are set a, on which the tests were developed; b says what they are worth. Prints how many
were killed, and the survivors.
"""

import argparse
import ast
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ["algorithms.py", "environment.py", "dqn.py"]
TEXT = "margin or printed_line or tag or screen or decisions"  # tests of the text
TIMEOUT = 120  # seconds; a mutant that hangs is seen
SWAPS = [set(names.split()) for names in (  # names and attributes taken for each other
    "x xbar x_t", "lam lam_t", "f g m", "s s_next", "d d_before", "F f_x", "f_x m_end", "min max",
    "HALF ACCEPT RAISE", "first last", "alpha alpha_c lambda_c", "c1 c2", "f_lb gap", "M steps",
    "m v", "frozen _theta", "recent best", "A B", "start count before", "beta beta_last", "y r",
    "epsilon_first epsilon_last", "beta_episodes epsilon_episodes", "n_steps target_every",
)]  # fmt: skip
OPERATORS = {
    "+": "-", "-": "+", "*": "/", "/": "*", "**": "*", "@": "*", "//": "%", "%": "//", "and": "or",
    "or": "and", "<": "<=, >", "<=": "<, >", ">": ">=, <", ">=": ">, <", "==": "!=, >=", "!=": "==",
    "is": "is not", "is not": "is", "in": "not in",
}  # fmt: skip
EXPLAINED = {}


def mutants(file):
    """{source: (line, code, change)} of one file of the package: every change, once."""
    source, found = (ROOT / "qgd_np" / file).read_text(), {}
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def change(start, end, new):
        k = source.count("\n", 0, start)
        code = " ".join(lines[k].split(" # ")[0].split())
        what = f"{source[start:end]} -> {new}"
        found[source[:start] + new + source[end:]] = k + 1, code, " ".join(what.split())

    def visit(node, names):
        if isinstance(node, ast.FunctionDef):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            names |= {n.arg for n in ast.walk(node) if isinstance(n, ast.arg)}
        for child in ast.iter_child_nodes(node):
            visit(child, names)
        if not hasattr(node, "lineno"):
            return
        start = starts[node.lineno - 1] + node.col_offset
        end = starts[node.end_lineno - 1] + node.end_col_offset
        match node:
            case ast.Expr(value=ast.Constant()):  # a docstring
                return
            case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Return() | ast.Raise() | ast.Break():
                change(start, end, "pass")
            case ast.If(test=test) | ast.IfExp(test=test):
                place = starts[test.lineno - 1] + test.col_offset
                change(place, place, "not ")
            case ast.Constant(value=bool(value)):
                change(start, end, str(not value))
            case ast.Constant(value=int(value) | float(value)):
                for new in (value + 1, value - 1) if value else (1,):
                    change(start, end, repr(new))
            case ast.UnaryOp(op=op):
                change(start, start + (3 if isinstance(op, ast.Not) else 1), "")
            case ast.Name(id=name) | ast.Attribute(attr=name):
                known = names if isinstance(node, ast.Name) else set.union(*SWAPS)
                for new in sorted({k for group in SWAPS if name in group for k in group} & known):
                    change(end - len(name), end, new)
            case ast.Slice(lower=None, upper=ast.expr()):
                change(start, start, "1")
        parts = {
            ast.BinOp: lambda: [node.left, node.right], ast.BoolOp: lambda: node.values,
            ast.Compare: lambda: [node.left, *node.comparators],
            ast.AugAssign: lambda: [node.target, node.value],
        }.get(type(node), list)()  # fmt: skip
        augmented = isinstance(node, ast.AugAssign)
        for left, right in zip(parts, parts[1:], strict=False):
            a = starts[left.end_lineno - 1] + left.end_col_offset
            b = starts[right.lineno - 1] + right.col_offset
            operator = re.search(r"is not|[a-z]+|[-+*/%<>=!@]+", source[a:b])
            for new in OPERATORS[operator[0].removesuffix("=" * augmented)].split(", "):
                change(a + operator.start(), a + operator.end() - augmented, new)

    visit(ast.parse(source), set())
    found.pop(source, None)
    return found


def killed(source, file, room, tests):
    """Run the tests on this text of the file, in a folder of its own."""
    (room / "qgd_np" / file).write_text(source)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-k", f"not ({TEXT})"]
    names = ("PYTHONDONTWRITEBYTECODE", "OPENBLAS_NUM_THREADS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")
    try:
        run = subprocess.run([*command, *tests], cwd=room, env=os.environ | dict.fromkeys(names, "1"), timeout=TIMEOUT,
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        return run.returncode != 0
    except subprocess.TimeoutExpired:
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--set", choices="ab")
    parser.add_argument("--sample", type=int)
    flags = parser.parse_args()
    wanted = [(file, source, what) for file in flags.files for source, what in mutants(file).items()]
    if flags.set:
        digest = lambda what: hashlib.sha256(" ".join(what[1:]).encode()).digest()[0]  # noqa: E731
        wanted = [mutant for mutant in wanted if digest(mutant[2]) % 2 == "ab".index(flags.set)]
    if flags.sample:
        wanted = random.sample(wanted, min(flags.sample, len(wanted)))
    with tempfile.TemporaryDirectory() as folder:
        rooms = SimpleQueue()
        for k in "12":
            for name in ("qgd_np", "tests"):
                ignored = shutil.ignore_patterns("__pycache__", "long", "controllers")
                shutil.copytree(ROOT / name, Path(folder, k, name), ignore=ignored)
            rooms.put(Path(folder, k))

        def survives(mutant):
            file, source, what = mutant
            room, path = rooms.get(), Path("qgd_np", file)
            tests = [f"tests/test_{name}" for name in sorted(FILES, key=lambda name: name != file)]
            survived = not killed(source, file, room, tests)
            shutil.copy(ROOT / path, room / path)
            rooms.put(room)
            return survived

        source = (ROOT / "qgd_np" / FILES[0]).read_text()
        if not survives((FILES[0], source, None)):
            sys.exit("the tests fail without a mutant")
        alive = 0
        with ThreadPoolExecutor(2) as pool:
            for mutant, lives in zip(wanted, pool.map(survives, wanted), strict=True):
                file, _, (line, code, change) = mutant
                alive += lives
                if lives:
                    why = EXPLAINED.get((code, change), "")
                    print(f"{file}:{line}: {code}: {change}  {why}", flush=True)
    print(f"{len(wanted)} mutants, {len(wanted) - alive} killed")


if __name__ == "__main__":
    main()
