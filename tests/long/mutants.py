"""Do the core tests see a wrong sign, index or name, a missing line? Mutants of the paper's files.

    python tests/long/mutants.py [FILE ...] [--set a|b] [--sample N]

Each mutant is one change to qgd_np/FILE, in a copy of the package on which the core tests then run,
but for those that read the margin. Half of the mutants, by a hash, are set a, on which the tests
were developed; set b says what they are worth. Prints the survivors, and how many were killed.
"""

import argparse
import ast
import copy
import hashlib
import os
import random
import re
import shutil
import signal
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ["algorithms.py", "environment.py", "dqn.py"]
MARGIN = "margin or printed_line or without_a_tag or decisions"
SWAPS = [set(names.split()) for names in (  # names and attributes taken for each other
    "x xbar x_t", "lam lam_t", "f g m", "s s_next", "d d_before", "F f_x", "f_x m_end", "min max",
    "HALF ACCEPT RAISE", "first last", "alpha alpha_c lambda_c", "c1 c2", "f_lb gap", "M steps",
    "m v", "frozen _theta", "recent best", "A B", "start count before", "beta beta_last", "y r",
    "epsilon_first epsilon_last", "beta_episodes epsilon_episodes", "n_steps target_every",
)]  # fmt: skip
OPERATORS = dict(
    Add="Sub", Sub="Add", Mult="Div", Div="Mult", Pow="Mult", MatMult="Mult", FloorDiv="Mod",
    Mod="FloorDiv", And="Or", Or="And", Is="IsNot", IsNot="Is", Lt="LtE Gt", LtE="Lt Gt",
    Gt="GtE Lt", GtE="Gt Lt", Eq="NotEq GtE", NotEq="Eq", In="NotIn",
)  # fmt: skip
EQUIVALENT = [  # (pattern of the line printed below, why no test can see it)
    (r"a == (ACCEPT|RAISE) -> \(a >=", "the smaller actions are taken by the branches before"),
    (r"s_next = features\(x, d.* x -> xbar", "at s_M both are the same iterate"),
    (r"Q\.act\(s\).* s -> s_next", "the line before made them one"),
    (r"algorithms.py:1[2-4]\d: .*lam -> lam_t", "lambda has not been changed yet in this step"),
    (r"self\.x is None.* self\.x -> self\.xbar", "both are None before the first state"),
    (r"observe\(xbar.* d_before -> d", "of what is observed there only the slope is used"),
    (r"TINY\*\*20: 20 -> \((19|21)\)", "far below what a slope can be, either way"),
    (r"nan=1 / TINY: 1 -> \(2\)", "1 after the map in any case, to a trillionth"),
    (r"MAPS|Eq\. 4, Eq\. 6", "a name for files; the tests of the lab see it"),
    (r"slope \+ f_x -> \(slope - f_x\)", "both are finite for the same numbers"),
    (r"else 1\.0,: 1\.0 -> \(2\.0\)", "clipped to 1"),
    (r">= '(printed|returned|gd|near|h|lowest)'", "the last of the choices by the alphabet"),
    (r"t == p\.steps -> \(t >= p\.steps\)", "t never exceeds T"),
    (r"else 1\.0\): 1\.0 -> \(2\.0\)", "min takes 1"),
    (r"0 -> \(-1\)", "of a single row"),
    (r"self\.(start|count|before) -> self\.", "all are 0 there"),
    (r"-np\.inf -> \(np\.inf", "set before it is looked at"),
    (r"slots = p\.A.* 1 -> \(2\)", "a slot more changes no draw"),
]


def changes(node, names):
    """(node, what stands there instead) for this node, in a function that knows these names."""
    match node:
        case ast.Expr(value=ast.Constant()):  # a docstring
            return
        case ast.Assign() | ast.AugAssign() | ast.Expr() | ast.Return() | ast.Raise() | ast.Break():
            yield node, "pass"
        case ast.If(test=test) | ast.IfExp(test=test):
            yield test, f"(not {ast.unparse(test)})"
        case ast.Constant(value=bool(value)):
            yield node, str(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield from ((node, f"({value + k})") for k in (1, -1))
        case ast.UnaryOp(operand=operand):
            yield node, f"({ast.unparse(operand)})"
        case ast.Slice(lower=None, upper=ast.expr()):
            yield node, "1:" + ast.unparse(node)[1:]
        case ast.Name(id=name) | ast.Attribute(attr=name):
            known = names if isinstance(node, ast.Name) else set.union(*SWAPS)
            for new in sorted(set.union(*(g for g in SWAPS if name in g), set()) & known - {name}):
                yield node, ast.unparse(node)[: -len(name)] + new
    operator = node.ops[0] if isinstance(node, ast.Compare) else getattr(node, "op", None)
    for name in OPERATORS.get(type(operator).__name__, "").split():
        other = copy.copy(node)
        other.op, other.ops = getattr(ast, name)(), [getattr(ast, name)()]
        yield node, ast.unparse(other) if isinstance(node, ast.stmt) else f"({ast.unparse(other)})"


def mutants(file):
    """{source: "file:line: code: what -> what instead"}: every change to a file of the package."""
    source, found = (ROOT / "qgd_np" / file).read_text("utf-8"), {}
    lines = source.splitlines(keepends=True)

    def visit(node, names):
        if isinstance(node, ast.FunctionDef):
            names = {getattr(n, "id", getattr(n, "arg", None)) for n in ast.walk(node)}
        for part, new in changes(node, names):
            k, last = part.lineno - 1, part.end_lineno - 1
            before = "".join(lines[:k]) + lines[k][: part.col_offset]
            after = lines[last][part.end_col_offset :] + "".join(lines[last + 1 :])
            old = source[len(before) : len(source) - len(after)]
            text = f"{file}:{k + 1}: {lines[k].split(' # ')[0].rstrip(chr(10))}: {old} -> {new}"
            found[before + new + after] = " ".join(text.split())
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    visit(ast.parse(source), set())
    return found


def survives(mutant):
    """Run the tests on this text of the file, in a process and a folder of its own."""
    file, source, _ = mutant
    signal.signal(signal.SIGPROF, lambda *_: 1 / 0)
    signal.setitimer(signal.ITIMER_PROF, 60, 1)  # who computes that long hangs, and is killed
    with tempfile.TemporaryDirectory() as room, open(os.devnull, "w") as nowhere:
        for name in ("qgd_np", "tests"):
            ignored = shutil.ignore_patterns("__pycache__", "long", "controllers")
            shutil.copytree(ROOT / name, Path(room, name), ignore=ignored)
        Path(room, "qgd_np", file).write_text(source, "utf-8")
        conftest = Path(room, "tests", "conftest.py")  # less what the tests of other rooms share
        conftest.write_text(re.sub("(?m)^from small_runs .*", "", conftest.read_text("utf-8")))
        os.chdir(room)
        sys.path.insert(0, room)
        for stream in (1, 2):
            os.dup2(nowhere.fileno(), stream)
        tests = [f"tests/test_{name}" for name in sorted(FILES, key=lambda name: name != file)]
        flags = ["-xq", "--tb=no", "-p", "no:cacheprovider", "-k", f"not ({MARGIN})"]
        return pytest.main([*flags, *tests]) == 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--set", choices="ab", default="ab")
    parser.add_argument("--sample", type=int)
    flags = parser.parse_args()
    wanted = [(file, *mutant) for file in flags.files for mutant in mutants(file).items()]
    digests = [hashlib.sha256(text.split(":", 2)[2].encode()).digest()[0] for *_, text in wanted]
    wanted = [m for m, digest in zip(wanted, digests, strict=True) if "ab"[digest % 2] in flags.set]
    if flags.sample:
        wanted = random.sample(wanted, min(flags.sample, len(wanted)))
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    alive, explained = 0, 0
    with get_context("fork").Pool(2, maxtasksperchild=1) as pool:
        untouched = FILES[0], (ROOT / "qgd_np" / FILES[0]).read_text("utf-8"), ""
        if not pool.apply(survives, [untouched]):
            sys.exit("the tests fail without a mutant")
        for (_, _, text), survived in zip(wanted, pool.imap(survives, wanted), strict=True):
            why = next((why for pattern, why in EQUIVALENT if re.search(pattern, text)), "")
            alive, explained = alive + survived, explained + bool(survived and why)
            if survived:
                print(text, f" ({why})" if why else " SURVIVED", flush=True)
    print(f"{len(wanted)} mutants: {len(wanted) - alive} killed, {explained} equivalent")


if __name__ == "__main__":
    main()
