"""Which lines of algorithms.py each step of an episode executes."""

import ast
import math
from pathlib import Path

from .. import algorithms

SOURCE = Path(algorithms.__file__).read_text("utf-8")


def bodies(number):
    """The statements of Algorithm 1, 2, 3 or 4, and of the plain steps that it begins with."""
    value = "alpha" if number % 2 else "lambda"
    name = f"q_gradient_descent_{value}" if number < 3 else f"q_learning_{value}"
    found = {part.name: part.body[1:] for part in ast.parse(SOURCE).body if hasattr(part, "name")}
    return found[name], found[f"plain_steps_{value}"]


def lit(number, actions, finite, first, begins=True, ends=True):
    """The lines that each step t = 1, 2, ... executes, a set per step.

    actions, finite: a_t, and whether f(x_{t+1}) is finite; first: the step at which Q is asked
    first; begins, ends: is it the first, the last episode of a training. What stands before a loop
    counts to the step after it, what stands behind the last loop to the last step.
    """
    body, plain = bodies(number)
    if number > 2:  # the loop over e: what is done once, and what in each episode
        k = next(k for k, part in enumerate(body) if isinstance(part, ast.For))
        body = body[:k] * begins + [body[k], *body[k].body] + body[k + 1 :] * ends
    call = next(part.lineno for part in body if "plain_steps" in ast.unparse(part).split("\n")[0])
    loop, steps = ([k for k in part if isinstance(k, ast.For)][-1] for part in (body, plain))
    found, names = [], vars(algorithms) | {"x": None, "lam": 0.0}
    for a, is_finite in zip(actions, finite, strict=True):
        f = (lambda *_: 0.0) if is_finite else (lambda *_: math.nan)
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
