"""A page for each run, index.html beside its run file: what came out, every step beside the lines
of algorithms.py, and Q over the features. template.html shows what `content` gathers.
"""

import base64
import json
import re
import shlex
from pathlib import Path

import numpy as np

from .. import config, files
from ..lab import flags, report
from .lines import SOURCE, bodies, lit

HERE = Path(__file__).resolve().parent


def write(path):
    """Write the page of a run file beside it; returns its path. Raises FileError."""
    try:
        data = content(files.read(path, "run"), Path(path).resolve().parent)
    except KeyError as error:
        raise files.FileError(f"{path}: no page, for it holds no {error}; make it anew") from error
    text = json.dumps(data, default=lambda array: array.tolist())  # JSON and, for JavaScript, NaN
    page = (HERE / "template.html").read_text("utf-8")
    page = page.replace("{DATA}", text.replace("<", "\\u003c"))  # so no name ends the script
    files.save(out := Path(path).with_name("index.html"), page.encode())
    return out


def content(tree, folder):
    """Everything that the page of a run shows."""
    p, one = config.make(tree["task"], json.loads(tree["config"])), 1 + (tree["task"] == "reg")
    kept, guide = json.loads(tree["flags"]), (HERE.parent / "README.md").read_text("utf-8")
    decided = re.findall(r"(?m)^\| (D\d+) \| (.*) \| (.*) \|$", guide)
    head, *rows = report.table(tree, kept["policies"]).strip().split("\n")
    what = f"The DQN for the {('learning rate', 'regularization coefficient')[one - 1]}"
    how = f"trained by Algorithm {one + 2} in {p.episodes} episodes, seed {p.seed}"
    how = f"not trained here: {' '.join(kept['controller'])}" if kept["controller"] else how
    on = f"{p.train_size:,} images of {tree['data']}, T = {p.steps} candidates an episode"
    return {
        "name": folder.name, "task": tree["task"], "data": tree["data"], "p": vars(p),
        "sentences": [f"{what}, {how}; {on}.", *report.verdict(tree).split("\n")], "head": head,
        "table": [re.split("  +", row) for row in rows], "command": command(tree["task"], p, kept),
        "pictures": pictures(folder), "dqn": tree["dqn"], "episodes": [*episodes(tree, one)],
        "source": SOURCE.splitlines(), "lines": {k: places(k) for k in (one, one + 2)},
        "decisions": {d: f"{d}. The paper: {paper}. Here: {here}." for d, paper, here in decided},
    }  # fmt: skip


def places(number):
    """Where an algorithm and its plain steps stand in algorithms.py: first and last line."""
    return [(body[0].lineno, body[-1].end_lineno) for body in bodies(number)]


def episodes(tree, one):
    """The episodes of which the file holds every state, and the lines that each step executed."""
    logs, qgd = [], tree["evaluation"].get("qgd", {})
    for e in sorted(map(int, tree.get("steps", ()))):
        row = {name: values[e - 1] for name, values in tree["train"].items()}
        outer = e == 1, e == len(tree["train"]["return"])
        logs.append((one + 2, row | tree["steps"][str(e)] | {"id": str(e)}, *outer))
    for k, seed in enumerate(tree["iterate_seeds"] if "state" in qgd else ()):
        logs.append((one, {name: values[k] for name, values in qgd.items()} | {"id": f"x{seed}"}))
    for number, log, *outer in logs:
        T, first = (log["action"] >= 0).sum(), 1 + np.isfinite(log["state"][:, 0]).argmax()
        log = {name: values[:T] if np.ndim(values) else values for name, values in log.items()}
        lines = lit(number, log["action"], np.isfinite(log["objective"]), first, *outer)
        yield log | {"algorithm": number, "first": first, "lit": list(map(sorted, lines))}


def command(task, p, kept):
    """The command that makes the run again."""
    kept = kept | {"episodes": p.episodes, "only": kept["folder"] or None, "folder": None}
    quoted = {k: shlex.quote(v) if isinstance(v, str) else v for k, v in kept.items()}
    given = [k for k in kept if kept[k] != flags.DEFAULTS.get(k)]
    return " ".join([f"python run_{task}.py", *(flags.written(k, quoted[k]) for k in given)])


def pictures(folder):
    """The pictures in the folder: name, first line on the function that drew it, PNG in base64."""
    if not (paths := sorted(folder.glob("*.png"))):
        return []
    from .. import figures  # matplotlib is slow to import

    drawn = {name: draw for name, (_, draw) in (figures.OWN | figures.EVERY).items()}
    about = {name: getattr(draw, "func", draw).__doc__ for name, draw in drawn.items()}
    png = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in paths}
    return [(name, about[name].split("\n")[0], png[name]) for name in png if name in about]
