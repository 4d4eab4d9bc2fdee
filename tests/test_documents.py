"""What the documents say of the code: the example, the links, the rooms and who imports whom."""

import ast
import re
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
PACKAGE, README = TOP / "qgd_np", (TOP / "README.md").read_text()
MAY = {  # which rooms a room's files may import from; the paper's folder is open to all
    "": (), "fast": (), "files": (), "images": ("files",), "lab": ("fast", "files", "images"),
    "page": ("files", "lab"), "bench": ("fast", "files", "lab"),
    "beyond": ("fast", "images", "lab"), "figures": ("beyond", "files", "lab"),
    "own": ("fast", "files", "images", "lab"), "__init__": ("own",),  # the face of the package
}  # fmt: skip


def test_the_example_gives_the_numbers_in_its_comments(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # it saves a file
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    exec(compile(example, "README.md", "exec"), {})
    printed = capsys.readouterr().out.split()
    said = " ".join(re.findall(r"print\(.*#(.+)", example)).split()
    assert [f"{float(number):.3g}" for number in printed] == said


def test_every_file_that_a_document_names_is_there():
    for document in (TOP / "README.md", PACKAGE / "README.md", TOP / "data" / "README.md"):
        text = document.read_text()
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (document.parent / link).exists(), (document, link)


def imported(path):
    """The rooms that a file imports from at its top; imports in functions are for slow modules."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.level:
            inside = node.level == 1 and path.parent != PACKAGE
            names = [node.module.split(".")[0]] if node.module else [k.name for k in node.names]
            yield from () if inside else (name for name in names if name in MAY)


def test_arrows_between_the_rooms_run_one_way():
    for path in PACKAGE.rglob("*.py"):
        room = "" if path.parent == PACKAGE else path.parent.name
        room = "__init__" if path == PACKAGE / "__init__.py" else room
        assert set(imported(path)) - {room} <= set(MAY[room]), path


def test_the_paper_is_one_sitting():
    assert sum(len(path.read_text().splitlines()) for path in PACKAGE.glob("*.py")) <= 930
