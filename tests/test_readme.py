"""What README.md says of the code: the order of reading, and the example that it gives."""

import ast
import re
from pathlib import Path

import pytest

import qgd_np

PACKAGE = Path(qgd_np.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()


def imported(source):
    """The names of the modules of the package that a source imports, wherever it does."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            yield from [node.module] if node.module else [alias.name for alias in node.names]


def test_the_reading_order_has_every_module_below_those_it_imports():
    section = README.split("## Reading order\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    order = [name for row in rows for name in re.findall(r"`(\w+)\.py`", row)]
    modules = {path.stem: path.read_text() for path in PACKAGE.glob("*.py")}
    assert sorted(order) == sorted(modules.keys() - {"__init__"})
    for k, name in enumerate(order):
        assert set(imported(modules[name])) & modules.keys() <= set(order[:k]), name


def test_the_example_prints_what_stands_beside_it(monkeypatch, capsys):
    monkeypatch.chdir(PACKAGE.parent)
    monkeypatch.syspath_prepend(PACKAGE.parent)
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed and f"prints `{printed}`" in README


@pytest.mark.parametrize(
    "source, found",
    [
        ("from . import a, b", {"a", "b"}), ("from .a import f", {"a"}), ("import a", set()),
        ("def f():\n    from .b import g", {"b"}),
    ],
)  # fmt: skip
def test_the_scan_finds_imports_of_the_package_only(source, found):
    assert set(imported(source)) == found
