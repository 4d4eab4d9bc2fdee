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
import importlib
import os
import random
import shutil
import signal
import sys
import tempfile
from multiprocessing import get_context
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = ["algorithms.py", "environment.py", "dqn.py"]
MARGIN = "margin or decisions"
LIMIT = 60  # seconds of computing, after which a mutant that hangs counts as killed
SWAPS = [set(names.split()) for names in (  # names and attributes taken for each other
    "x xbar x_t", "lam lam_t", "f g m", "s s_next", "d d_before", "F f_x", "f_x m_end", "min max",
    "HALF ACCEPT RAISE", "first last", "alpha alpha_c lambda_c", "c1 c2", "f_lb gap", "M steps",
    "m v", "frozen _theta", "recent best", "A B", "start count before", "beta beta_last", "y r",
    "epsilon_first epsilon_last", "beta_episodes epsilon_episodes", "n_steps target_every",
)]  # fmt: skip
OPERATORS = {k: v.split() for k, v in {
    "Add": "Sub", "Sub": "Add", "Mult": "Div", "Div": "Mult", "Pow": "Mult", "MatMult": "Mult",
    "FloorDiv": "Mod", "Mod": "FloorDiv", "And": "Or", "Or": "And", "Is": "IsNot", "IsNot": "Is",
    "Lt": "LtE Gt", "LtE": "Lt Gt", "Gt": "GtE Lt", "GtE": "Gt Lt", "Eq": "NotEq GtE",
    "NotEq": "Eq", "In": "NotIn",
}.items()}  # fmt: skip


def changes(node, names):
    """(node, what stands there instead) for this node, in a function that knows these names."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Tuple() | ast.keyword():
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
    for name in OPERATORS.get(type(operator).__name__, ()):
        other = copy.copy(node)
        other.op, other.ops = getattr(ast, name)(), [getattr(ast, name)()]
        yield node, ast.unparse(other) if isinstance(node, ast.stmt) else f"({ast.unparse(other)})"


def mutants(file):
    """{source: "file:line: code: what -> what instead"}: every change to a file of the package."""
    source, found = (ROOT / "qgd_np" / file).read_text("utf-8"), {}
    lines, starts = source.splitlines(), [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)

    def visit(node, names):
        if isinstance(node, ast.FunctionDef):
            names = {getattr(n, "id", getattr(n, "arg", None)) for n in ast.walk(node)}
        for part, new in changes(node, names):
            start = starts[part.lineno - 1] + part.col_offset
            end = starts[part.end_lineno - 1] + part.end_col_offset
            text = f"{lines[part.lineno - 1].split(' # ')[0]}: {source[start:end]} -> {new}"
            found[source[:start] + new + source[end:]] = (
                f"{file}:{part.lineno}: {' '.join(text.split())}"
            )
        for child in ast.iter_child_nodes(node):
            visit(child, names)

    visit(ast.parse(source), set())
    return found


def survives(mutant):
    """Run the tests on this text of the file, in a process and a folder of its own."""
    template, file, source, _ = mutant
    signal.signal(signal.SIGPROF, lambda *_: 1 / 0)
    signal.setitimer(signal.ITIMER_PROF, LIMIT, 1)
    with tempfile.TemporaryDirectory() as room, open(os.devnull, "w") as nowhere:
        shutil.copytree(template, room, dirs_exist_ok=True)
        source and Path(room, "qgd_np", file).write_text(source, "utf-8")
        os.chdir(room if source else template)
        sys.path.insert(0, os.getcwd())
        os.dup2(nowhere.fileno(), 1)
        sys.dont_write_bytecode = bool(source)  # that of the template is copied with it
        tests = [f"tests/test_{name}" for name in sorted(FILES, key=lambda name: name != file)]
        flags = ["-xq", "--tb=no", "-p", "no:cacheprovider", "-k", f"not ({MARGIN})"]
        return sys.modules["pytest"].main([*flags, *tests]) == 0


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("files", nargs="*", default=FILES)
    parser.add_argument("--set", choices="ab")
    parser.add_argument("--sample", type=int)
    flags = parser.parse_args()
    wanted = [(file, *mutant) for file in flags.files for mutant in mutants(file).items()]
    if flags.set:  # by the text without the number of the line
        half = lambda text: hashlib.sha256(text.split(":", 2)[2].encode()).digest()[0] % 2  # noqa: E731
        wanted = [mutant for mutant in wanted if half(mutant[2]) == "ab".index(flags.set)]
    if flags.sample:
        wanted = random.sample(wanted, min(flags.sample, len(wanted)))
    os.environ |= {"OPENBLAS_NUM_THREADS": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    for slow in ("numpy", "pytest", "unittest.mock", "threadpoolctl"):  # once: mutants are forks
        importlib.import_module(slow)
    alive = 0
    with (
        tempfile.TemporaryDirectory() as room,
        get_context("fork").Pool(2, maxtasksperchild=1) as pool,
    ):
        for name in ("qgd_np", "tests"):
            ignored = shutil.ignore_patterns("__pycache__", "long", "controllers")
            shutil.copytree(ROOT / name, Path(room, name), ignore=ignored)
        if not pool.apply(survives, [(room, FILES[0], "", None)]):
            sys.exit("the tests fail without a mutant")
        results = pool.imap(survives, [(room, *mutant) for mutant in wanted])
        for (_, _, text), survived in zip(wanted, results, strict=True):
            alive += survived
            if survived:
                print(text, " SURVIVED", flush=True)
    print(f"{len(wanted)} mutants: {len(wanted) - alive} killed")


if __name__ == "__main__":
    main()
