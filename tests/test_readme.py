"""The example that README.md gives."""

import re
from pathlib import Path

import qgd_np

PACKAGE = Path(qgd_np.__file__).parent
README = (PACKAGE.parent / "README.md").read_text()


def test_the_example_prints_what_stands_beside_it(monkeypatch, capsys):
    monkeypatch.chdir(PACKAGE.parent)
    monkeypatch.syspath_prepend(PACKAGE.parent)
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.strip()
    assert printed and f"prints `{printed}`" in README
