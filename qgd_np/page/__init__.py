"""A page for each run, beside its run file: template.html, which shows what `content` gathers."""

import ast
import base64
import json
import re
import shlex
from pathlib import Path

import numpy as np

from .. import algorithms, config, files
from ..lab import flags, report

HERE, SOURCE = Path(__file__).resolve().parent, Path(algorithms.__file__).read_text("utf-8")


def write(path):
    """Write the page of a run file beside it; returns its path. Raises FileError."""
    tree = files.read(path, "run")
    if tree["task"] == "joint":
        raise files.FileError(f"{path}: no page for --joint, whose lines are not printed; --trace")
    try:
        data = content(tree, Path(path).resolve().parent)
    except KeyError as error:
        raise files.FileError(f"{path}: no page, for it holds no {error}; make it anew") from error
    text = json.dumps(data, default=lambda a: a.tolist()).replace("<", "\\u003c")  # no </script>
    page = (HERE / "template.html").read_text("utf-8").replace("{DATA}", text)
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
        "pictures": pictures(folder), "episodes": [*episodes(tree, one, p.episodes)],
        "lines": {k: [(b[0].lineno, b[-1].end_lineno) for b in bodies(k)] for k in (one, one + 2)},
        "source": SOURCE.splitlines(), "dqn": tree["dqn"],
        "decisions": {d: f"{d}. The paper: {paper}. Here: {here}." for d, paper, here in decided},
    }  # fmt: skip


def episodes(tree, one, E):
    """The episodes of which the file holds every state, with the lines that each step executed."""
    logs, qgd = [], tree["evaluation"].get("qgd", {})
    for e in sorted(map(int, tree.get("steps", ()))):
        row = {name: values[e - 1] for name, values in tree["train"].items()}
        logs.append((one + 2, row | tree["steps"][str(e)] | {"id": str(e)}, e == 1, e == E))
    for k, seed in enumerate(tree["iterate_seeds"] if "state" in qgd else ()):
        logs.append((one, {name: values[k] for name, values in qgd.items()} | {"id": f"x{seed}"}))
    for number, log, *outer in logs:
        T, first = (log["action"] >= 0).sum(), 1 + np.isfinite(log["state"][:, 0]).argmax()
        log = {name: values[:T] if np.ndim(values) else values for name, values in log.items()}
        lines = lit(number, log["action"], np.isfinite(log["objective"]), first, *outer)
        yield log | {"algorithm": number, "first": first, "lit": list(map(sorted, lines))}


def bodies(number):
    """The statements of Algorithm 1, 2, 3 or 4, and of the plain steps that it begins with."""
    value = "alpha" if number % 2 else "lambda"
    name = f"q_gradient_descent_{value}" if number < 3 else f"q_learning_{value}"
    found = {part.name: part.body[1:] for part in ast.parse(SOURCE).body if hasattr(part, "name")}
    return found[name], found[f"plain_steps_{value}"]


def lit(number, actions, finite, first, begins=True, ends=True):
    """The lines that each step t = 1, 2, ... executes, a set per step.

    actions, finite: a_t, and whether f(x_{t+1}) is finite; first: the step at which Q is asked
    first; begins, ends: is it the first or last episode. What stands between counts to the next.
    """
    body, plain = bodies(number)
    if number > 2:  # the loop over e: what is done once, and what in each episode
        k = next(k for k, part in enumerate(body) if isinstance(part, ast.For))
        body = body[:k] * begins + [body[k], *body[k].body] + body[k + 1 :] * ends
    call = next(part.lineno for part in body if "plain_steps" in ast.unparse(part).split("\n")[0])
    loop, steps = ([k for k in part if isinstance(k, ast.For)][-1] for part in (body, plain))
    found, names = [], vars(algorithms) | {"x": None, "lam": 0.0, "p": config.Config}
    names["features"] = config.Config(gradients=-1)  # an accept that ends an episode is no step
    for a, is_finite in zip(actions, finite, strict=True):
        f = (lambda *_: 0.0) if is_finite else (lambda *_: np.nan)
        now = loop if len(found) >= first - 1 else steps
        found.append({now.lineno} | executed(now.body, names | {"a": a, "f": f, "g": f}))
    for line in [part.lineno for part in body]:
        found[0 if line <= call else first - 1 if line < loop.lineno else -1].add(line)
    for line in [part.lineno for part in plain]:
        found[0 if line < steps.lineno else first - 1].add(line)
    return found


def executed(body, names):
    """The lines of a body that are executed if the conditions in it see these names."""
    found = {part.lineno for part in body}
    for part in body:
        if isinstance(part, ast.If):
            holds = eval(compile(ast.Expression(part.test), "", "eval"), names)
            found |= executed(part.body if holds else part.orelse, names)
    return found


def command(task, p, kept):
    """The command that makes the run again."""
    kept = kept | {"episodes": p.episodes, "only": kept["folder"] or None, "folder": None}
    quoted = {k: shlex.quote(v) if isinstance(v, str) else v for k, v in kept.items()}
    given = [k for k in kept if kept[k] != flags.DEFAULTS.get(k)]
    return " ".join([f"python run_{task}.py", *(flags.written(k, quoted[k]) for k in given)])


def pictures(folder):
    """The pictures in the folder: name, first line on the function that drew it, PNG in base64."""
    if not (png := {path.stem: path for path in sorted(folder.glob("*.png"))}):
        return []
    from .. import figures  # matplotlib is slow to import

    drawn = {k: draw for k, (_, draw) in (figures.EVERY | figures.OWN).items() if k in png}
    text = {k: base64.b64encode(png[k].read_bytes()).decode() for k in drawn}
    return [(k, getattr(drawn[k], "func", drawn[k]).__doc__.split("\n")[0], text[k]) for k in drawn]
