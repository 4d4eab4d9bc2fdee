"""Algorithms 1 to 4: the margin against the paper, first iterates by hand, divergence."""

import ast
import contextlib
import math
import re
import types
from functools import partial
from itertools import pairwise, zip_longest
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

import qgd_np
from qgd_np import algorithms, config
from qgd_np.dqn import DQN, Memory
from qgd_np.environment import ACCEPT, ACTIONS, HALF, RAISE, Features
from qgd_np.objective import Function

pytestmark = pytest.mark.filterwarnings("error")

PACKAGE = Path(qgd_np.__file__).parent
SOURCE = (PACKAGE / "algorithms.py").read_text("utf-8")

# -- the margin is the paper ----------------------------------------------------------------------

TAG = re.compile(r" # (A\d:\d+ .*|D\d+(?:, D\d+)*|log|lines 3 and 4 stand there)$")
STATEMENTS = {"for": ast.For, "if": ast.If, "else": ast.If, "return": ast.Return}


def paper():
    """The margin read downwards: lines 3 and 4 of Algorithms 3 and 4 stand in the plain steps."""
    text = Path(__file__).with_name("printed_algorithms.txt").read_text()
    printed = re.findall(r"(?m)^A\d:.*$", text)
    return sorted(printed, key=lambda line: not re.match("A[34]:[34] ", line))


def faults(source):
    """What is wrong with the margin and the other tags of algorithms.py, as a list of sentences."""
    lines, found, margin = source.splitlines(), [], []
    for function in (part for part in ast.parse(source).body if isinstance(part, ast.FunctionDef)):
        statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt)][2:]
        outside = function.name.startswith("plain_steps")  # the loop over e is not there
        for k in range(function.body[1].lineno, function.end_lineno + 1):
            here, tag = [n for n in statements if n.lineno == k], TAG.search(lines[k - 1])
            if len(here) != 1 or not tag:
                found.append(f"not one statement with a tag: {lines[k - 1]}")
            elif tag[1].startswith("A"):
                margin.append(tag[1])
                text = tag[1][7:]
                if not isinstance(here[0], STATEMENTS.get(text.split()[0], (ast.Assign, ast.Expr))):
                    found.append(f"another kind of statement: {lines[k - 1]}")
                if here[0].col_offset != 4 + 2 * (len(text) - len(text.lstrip())) - 4 * outside:
                    found.append(f"at another depth: {lines[k - 1]}")
    return found + [f"{a} instead of {b}" for a, b in zip_longest(margin, paper()) if a != b]


def test_the_margin_read_downwards_is_the_printed_algorithm():
    assert faults(SOURCE) == [] and len(paper()) == 10 + 12 + 21 + 23


def test_a_printed_line_that_is_missing_changed_or_elsewhere_is_found():
    lines = SOURCE.splitlines()
    printed = [k for k, line in enumerate(lines) if "  # A" in line]
    for n, (k, after) in enumerate(pairwise([*printed, printed[0]])):
        (code, tag), (_, other) = (lines[i].split("  # ") for i in (k, after))
        texts = ["", code, f"{code}  # D1", lines[k] + ".", lines[after]]
        texts += [f"{code}  # {tag.replace(':', ':1')}"]
        for text in (lines[k][:-1], f"{code}  # {other}", texts[n % len(texts)]):
            with contextlib.suppress(SyntaxError):  # code taken out of where it stands
                assert faults("\n".join([*lines[:k], text, *lines[k + 1 :]]))


def test_a_statement_without_a_tag_or_behind_another_is_found():
    for old, new in [
        ("  # log\n", "\n"), ("  # D23\n", "  # D23 and more\n"), ("  # D10\n", "  # ours\n"),
        ("alpha = alpha / 2  ", "alpha = alpha / 2; d = -d  "),
        ("    x_star = ret", "    x = x - 1\n    x_star = ret"),
    ]:  # fmt: skip
        assert old in SOURCE and faults(SOURCE.replace(old, new, 1)), new


def test_the_decisions_cited_in_the_code_are_those_of_the_table_in_the_guide():
    rows, cited = re.findall(r"(?m)^\| *D(\d+) *\|", (PACKAGE / "README.md").read_text()), set()
    code = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    for first, last in re.findall(r"\bD(\d+)(?:-D(\d+))?\b", code):
        cited |= set(range(int(first), int(last or first) + 1))  # D16-D18 names three
    assert len(rows) == len(set(rows)) and cited == {int(n) for n in rows}


def quadratic():
    return Function(lambda x: (x[0] ** 2 + 4 * x[1] ** 2) / 2, lambda x: x * [1.0, 4.0])


class Scripted:
    """In place of the DQN and of the memory: takes the actions given, keeps what it is told."""

    def __init__(self, actions):
        self.actions, self.theta = iter(actions), None
        self.states, self.told, self.experiences = [], [], []

    def greedy(self, s):
        self.states.append(s)
        return next(self.actions)

    act = greedy

    def new_episode(self, e):
        self.told.append(("episode", e))

    def add(self, *experience):
        self.experiences.append(experience)
        self.told.append("add")

    def sample(self, size):
        return ("sample", size, len(self.experiences))

    def update(self, memory, rows):
        assert memory is self
        self.told.append(rows)
        return 100.0 + len(self.experiences)


def play(number, p, actions, f=None, m=None, x_1=(4.0, 1.0), e_1=1):
    """Algorithm `number` with scripted actions: its x*, each call of the log, what Q was told."""
    f, Q, logged = f or quadratic(), Scripted(actions), []

    def log(t, x, value, a, r=math.nan, loss=math.nan, s=None):
        logged.append(SimpleNamespace(t=t, x=x.tolist(), value=value, a=a, r=r, loss=loss, s=s))

    def start(e):
        Q.told.append(("x_1", e))
        return f.point(x_1)

    case = SimpleNamespace(Q=Q, logged=logged, theta=None)
    if number < 3:
        rest = f.point(x_1), Q, p, log
        alpha, lam = algorithms.q_gradient_descent_alpha, algorithms.q_gradient_descent_lambda
        case.x_stars = [alpha(f, *rest) if number == 1 else lam(f, m or f, *rest)]
        return case

    def logs(e):
        Q.told.append(("log", e))
        return log

    rest = Q, "theta_0", Q, p, logs, e_1

    def learn():
        alpha = algorithms.q_learning_alpha(lambda e: (f, start(e), p), *rest)
        lam = algorithms.q_learning_lambda(lambda e: (f, m or f, start(e), p), *rest)
        case.theta = yield from alpha if number == 3 else lam

    case.x_stars = list(learn())
    return case


def assert_played(case, rate, steps, seen, F):
    """The log has these steps, and the states are of what was `seen` at x_t by hand, from x_2 on.

    The six maps have tests of their own. Returns the states.
    """
    assert [(i.t, i.x, i.value, i.a) for i in case.logged] == steps
    states = []
    for value, f, slope, alignment in seen:
        found = SimpleNamespace(observe=lambda *_, seen=(f, slope, alignment): seen)
        states.append(Features(found, F, None, 0.5, rate, config.Config(M=3))(None, None, value))
        F = [*F, f]
    asked = [i.s for i in case.logged[1:]]
    assert case.logged[0].s is None and np.array_equal(asked, case.Q.states)
    assert np.allclose(asked, states[:-1], rtol=1e-13, atol=1e-15)
    return states


def assert_learned(case, actions, rewards, states):
    """What the DQN and the memory were told in the first episode, in its order."""
    assert case.theta == case.Q.theta == "theta_0"
    assert case.Q.told[:3] == [("x_1", 1), ("log", 1), ("episode", 1)]
    e, s, a, r, s_next, ends = zip(*case.Q.experiences, strict=True)
    assert set(e) == {1} and list(a) == actions and list(ends) == [False] * 4 + [True]
    assert r == pytest.approx(rewards, rel=1e-13)
    assert np.allclose([s, s_next], [states[:-1], states[1:]], rtol=1e-13, atol=1e-15)
    # drawn after the experience was added, one update a step, its loss logged
    steps = range(1, len(actions) + 1)
    assert case.Q.told[3:] == [told for k in steps for told in ("add", ("sample", 7, k))]
    assert [(i.r, i.loss) for i in case.logged[1:]] == [(r[k - 1], 100.0 + k) for k in steps]


LR = dict(steps=6, first=2, M=3, alpha_c=0.5, f_lb=0.125, gap=0.8, c1=0.25, c2=0.5, batch=7,
          episodes=1, horizon="returned", gamma=0.75, returns="printed", alpha=0.125)  # fmt: skip
LR_ACTIONS = [HALF, HALF, ACCEPT, HALF, ACCEPT]
LR_STEPS = [  # t, x_{t+1}, alpha_{t+1}, a_t
    (1, [2, -1], 0.5, ACCEPT),  # plain: (4, 1) - (4, 4) / 2; then xbar = (2, -1), d = (-2, 4)
    (2, [1.5, 0], 0.25, HALF),
    (3, [1.75, -0.5], 0.125, HALF),
    (4, [0.875, 0.5], 0.5, ACCEPT),  # xbar = (1.75, -0.5), d = (-1.75, 2)
    (5, [1.3125, 0], 0.25, HALF),
    (6, [0.65625, 0], 0.5, ACCEPT),  # xbar = (1.3125, 0), d = (-1.3125, 0)
]
LR_SEEN = [  # alpha_t, f(x_t), d_t . grad f(x_t) and Eq. 6 of d_t and d_{t-1}
    (0.5, 4.0, -20.0, 0.0),  # d_1 = (-4, -4)
    (0.25, 1.125, -3.0, 1.0),
    (0.125, 2.03125, -11.5, 1.0),
    (0.5, 0.8828125, 2.46875, 1.0),
    (0.25, 0.861328125, -2.296875, 1.0),
    (0.5, 0.21533203125, -0.861328125, 0.5),  # s_7; d_6 has a zero
]


@pytest.mark.parametrize("number", [1, 3])
def test_the_learning_rate_by_hand(parameters, number):
    p = parameters(**LR)
    assert (HALF, ACCEPT, RAISE) == (0, 1, 2)  # as argmax Q counts
    case = play(number, p, LR_ACTIONS)
    states = assert_played(case, 0.5, LR_STEPS, LR_SEEN, [10.0])
    assert [x.tolist() for x in case.x_stars] == [[1.3125, 0]]  # x_T, as printed
    if number == 3:  # c_1 / (f(x_{t+1}) - f_lb), c_2 / (f(xbar) - f_lb), or the gap; x* thrice
        r = [0.25 / 1.0, 0.25 / 1.90625, 0.5 / 1.90625, 0.25 / 0.8, 0.5 / 0.8 + 3 * 0.25 / 0.8]
        assert_learned(case, LR_ACTIONS, r, states)


REG = LR | dict(alpha=0.25, lambda_c=0.5, f_lb=0.0, gap=0.01, alpha_c=0.125)
REG_ACTIONS = [RAISE, HALF, ACCEPT, HALF, ACCEPT]
X_5 = [1 - 1.625 / 4, (1 - 4.625 / 4) / 16]
X_7 = [X_5[0] * (1 - 1.5 / 4), X_5[1] * (1 - 4.5 / 4)]
REG_STEPS = [  # t, x_{t+1}, lambda_{t+1}, a_t; grad g_lambda = ((1 + 2 lambda) x, (4 + 2 lambda) y)
    (1, [2, -0.25], 0.5, ACCEPT),  # plain: (4, 1) - (8, 5) / 4; then d = (-4, 1.25)
    (2, [1, 0.0625], 0.625, RAISE),
    (3, [1, 0.0625], 0.3125, HALF),
    (4, X_5, 0.5, ACCEPT),  # d = -(1.625 x, 4.625 y) at lambda_4 = 0.3125
    (5, X_5, 0.25, HALF),
    (6, X_7, 0.5, ACCEPT),  # d = -(1.5 x, 4.5 y) at lambda_6 = 0.25
]


def g(lam, x):
    return (x[0] ** 2 + 4 * x[1] ** 2) / 2 + lam * (x[0] ** 2 + x[1] ** 2)


def reg_seen():
    """lambda_t, g_{lambda_t}(x_t), d_t . grad g_{lambda_t}(x_t) and Eq. 6 at x_2, ..., x_7."""
    d = [(-4, 1.25)] * 3 + [(-1.625, -4.625 / 16)] * 2 + [(-1.5 * X_5[0], -4.5 * X_5[1])]
    for (_, x, lam, _), (u, v), sign in zip(REG_STEPS, d, [0, 1, 1, 0, 1, 0], strict=True):
        yield lam, g(lam, x), u * (1 + 2 * lam) * x[0] + v * (4 + 2 * lam) * x[1], sign


@pytest.mark.parametrize("reward", ["g", "error"])
@pytest.mark.parametrize("number", [2, 4])
def test_the_coefficient_by_hand(parameters, number, reward):
    p = parameters("reg", **REG)
    look = g if reward == "g" else lambda lam, x: x[0] / 8  # in place of h
    case = play(number, p, REG_ACTIONS, m=lambda x, lam: look(lam, x))
    states = assert_played(case, 0.25, REG_STEPS, reg_seen(), [18.5])
    assert [x.tolist() for x in case.x_stars] == [X_5]
    if number == 4:  # c_1 at lambda_t and x_{t+1}, c_2 at lambda_t and xbar; x* = x_T counts thrice
        x, c = [x for _, x, _, _ in REG_STEPS], [0.25, 0.25, 0.5, 0.25, 0.5]
        where = zip(c, [0.5, 0.625, 0.3125, 0.5, 0.25], [x[1], x[2], x[2], x[4], x[4]], strict=True)
        r = [c / look(lam, x) for c, lam, x in where]
        r[-1] += 3 * 0.25 / look(0.25, X_5)
        assert_learned(case, REG_ACTIONS, r, states)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_two_directions_that_are_opposite_everywhere(parameters, number):
    """f = x^2 / 2 at alpha 3/2, lambda 0: x_2 = -2, d_1 = -4, d_2 = 2, then 1 and -1 (D11)."""
    p = parameters(**LR | dict(steps=3, alpha_c=1.5, alpha=1.5, lambda_c=0.0))
    f = Function(lambda x: x[0] ** 2 / 2, lambda x: x)
    case = play(number, p, [ACCEPT, ACCEPT], f, x_1=[4.0])
    assert [i.x for i in case.logged] == [[-2.0], [1.0], [-0.5]]
    assert [i.s[5] for i in case.logged[1:]] == [-1.0, 1.0]  # d_2 d_1; at x_3 still d_2 d_2
    if number > 2:
        assert case.Q.experiences[1][4][5] == -1.0  # s_4: d_3 d_2


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("alpha, actions", [
    (1.0, [HALF, HALF]),  # from (1, 1), f = 2.5: alpha to (0.5, -1), then (0.75, 0)
    (4.0, [HALF, HALF]),  # to (-1, -7) and then (0, -3), f = 18
    (0.25, [HALF, ACCEPT]), (1.0, [ACCEPT, ACCEPT]),
])  # fmt: skip
def test_what_is_returned_and_what_it_earns(parameters, number, alpha, actions):
    f = quadratic()
    for returns in ("printed", "last", "lower"):
        p = parameters(
            steps=2, first=1, alpha_c=alpha, alpha=alpha, lambda_c=0.0, f_lb=-1.0, gap=1.25,
            episodes=1, c1=0.5, c2=2.0, gamma=0.75, horizon="returned", returns=returns,
        )  # fmt: skip
        case = play(number, p, actions, x_1=[1.0, 1.0])
        x_t, x = (np.array(i.x) for i in case.logged)
        xbar = x_t if actions[-1] == ACCEPT else np.ones(2)
        x_star = dict(printed=x_t, last=x, lower=x if f(x) <= f(xbar) else xbar)[returns]
        assert np.array_equal(case.x_stars[0], x_star)
        if number > 2:  # x* counts gamma / (1 - gamma) = 3 times
            r = 2.0 / (f(xbar) + 1) if actions[-1] == ACCEPT else 0.5 / max(f(x) + 1, 1.25)
            assert case.logged[-1].r == pytest.approx(r + 3 * 0.5 / max(f(x_star) + 1, 1.25))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("first, t_1", [(0, 0), (1, 1), (2.6, 3), (0.8, 5), (0.3, 2), (0.01, 1)])
def test_the_first_step_that_is_asked_is_1_or_m_as_printed(parameters, number, first, t_1):
    """A step, a share of the steps, or for 0 as printed: 1 in Algorithms 1 and 2, M in 3 and 4."""
    t_1 = t_1 or (3 if number > 2 else 1)
    logged = play(number, parameters(**LR | dict(first=first)), [HALF] * 6).logged
    assert [(i.t, i.s is None) for i in logged] == [(t, t < t_1) for t in range(1, 7)]
    if t_1 == 1:  # with no step before, F = [f(x_1)] and d_0 = d_1
        assert logged[0].s[[0, 1, 2, 4, 5]].tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("number", [3, 4])
def test_an_episode_begins_as_the_first_did_whatever_came_before(parameters, number):
    p = parameters(**(LR if number == 3 else REG) | dict(episodes=5))
    actions = LR_ACTIONS if number == 3 else REG_ACTIONS
    case, size = play(number, p, [*actions] * 3, e_1=3), len(actions)
    told = [k for k in case.Q.told if k[0] in ("log", "episode", "x_1")]
    assert told == [(k, e) for e in (3, 4, 5) for k in ("x_1", "log", "episode")]
    rows = case.Q.experiences
    assert [row[0] for row in rows] == [3] * size + [4] * size + [5] * size
    assert [str(row[1:]) for row in rows] == [str(row[1:]) for row in rows[:size]] * 3
    steps = [(i.t, i.x, i.value, i.a, i.r) for i in case.logged]
    assert str(steps) == str(steps[:6] * 3)
    assert all(x.tolist() == case.x_stars[0].tolist() for x in case.x_stars)


SHORT = dict(steps=12, first=3, M=3, episodes=4, batch=8, A=2, B=1, dqn_hidden=(4,), n_steps=1)


def test_plain_steps_are_taken_once_and_change_nothing(problem, parameters, monkeypatch):
    case, numbers, calls = problem(dtype=np.float64), {}, []
    gradient, case.x_1.memory = case.f.gradient, {}
    by_lambda = partial(algorithms.q_gradient_descent_lambda, case.f)
    monkeypatch.setattr(case.f, "gradient", lambda *x: (calls.append(x), gradient(*x))[1])
    for first in (1, 3, 2, 3):
        p = parameters(**SHORT | dict(first=first, alpha_c=0.3, alpha=0.7, lambda_c=0.1))
        for apply in (algorithms.q_gradient_descent_alpha, by_lambda):
            for x_1 in (case.x_1, case.f.point(case.x_1.x)):  # the other remembers nothing
                kept = []
                numbers.setdefault((first, apply), []).append(kept)

                def log(t, x, value, a, s=(), kept=kept):
                    kept.append([t, case.f(x), value, *s])

                kept.append([case.f(apply(case.f, x_1, Scripted([HALF, ACCEPT] * 6), p, log))])
                kept.append(len(calls))
                calls.clear()
    for (first, _), runs in numbers.items():
        taken = [kept.pop() for kept in runs]
        assert {len(kept) for kept in runs} == {13} and len(runs) == (4 if first == 3 else 2)
        assert taken[1] - np.array(taken) == pytest.approx([0, 0, 2, 0][: len(runs)])
        for kept in runs:
            assert np.allclose(np.hstack(kept), np.hstack(runs[1]), rtol=1e-8, atol=1e-8)
        assert runs[2:3] in ([], runs[:1])  # the same bits once it is remembered


@pytest.mark.parametrize("task", ["lr", "reg"])
def test_without_the_lines_tagged_log_the_same_bits_are_learned(problem, parameters, task):
    p, results, lines = parameters(task, **SHORT), set(), SOURCE.splitlines()
    rest = [line for line in lines if not line.endswith("  # log")]
    assert len(lines) - len(rest) == 2 + 2 + 4
    silent = types.ModuleType("qgd_np.silent")
    silent.__package__, silent.log = "qgd_np", None  # none is left to be called
    exec(compile("\n".join(rest), "silent.py", "exec"), silent.__dict__)
    for module in (algorithms, silent):
        case, logs, rngs = problem(), Mock(), [np.random.default_rng(k) for k in range(3)]
        Q, memory = DQN((6, 4, len(ACTIONS[task])), p, rngs[0]), Memory(p, rngs[1])
        of = (case.f,) if task == "lr" else (case.f, case.h)
        episode = [(*of, case.f.point(e * case.x_1.x), p) for e in (0, 1, 2, 3, 4)].__getitem__
        rest = episode, Q, Q.net.initialise(rngs[2], np.float64), memory, p, logs
        if task == "lr":
            learn, apply = module.q_learning_alpha(*rest), module.q_gradient_descent_alpha
        else:
            learn, apply = module.q_learning_lambda(*rest), module.q_gradient_descent_lambda
        assert len(list(learn)) == 4
        assert logs.return_value.call_count == (48 if module is algorithms else 0)
        x_star = apply(*of, case.x_1, Q, p, Mock())
        results.add((Q.theta.tobytes(), memory.s.tobytes(), x_star.x.tobytes()))
    assert len(results) == 1


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("beyond", [math.inf, math.nan])
@pytest.mark.parametrize("first", [2, 4])
def test_an_episode_that_diverges_ends_there_with_reward_zero(parameters, number, beyond, first):
    # x doubles with a change of sign: 1, -2, 4, -8; with first = 4 in the plain steps already
    p = parameters(**LR | dict(alpha_c=3.0, alpha=3.0, lambda_c=0.0, episodes=2, first=first,
                               returns="lower", f_lb=0.0))  # fmt: skip
    f = Function(lambda x: 1 + x[0] ** 2 / 2 if abs(x[0]) <= 5 else beyond, lambda x: x)
    case = play(number, p, [ACCEPT, ACCEPT] * 2, f, lambda x, lam: 1 + x[0] ** 2 / 2, [1.0])
    episodes = 2 if number > 2 else 1
    assert [i.x[0] for i in case.logged] == ([-2, 4, -8] + [16] * (first == 4)) * episodes
    assert first == 4 or [x.tolist() for x in case.x_stars] == [[4.0]] * episodes
    assert np.isfinite(case.Q.states).all()
    if number > 2:  # c_2 / f(xbar) of x_2, then 0 and no state after it
        last = [(0.5 / 3, False), (0.0, True)][-len(case.Q.experiences) // 2 :]
        assert [(row[3], row[5]) for row in case.Q.experiences] == last * 2
        assert [i.r for i in case.logged if i.s is not None] == [r for r, _ in last] * 2


def test_algorithm_4_looks_at_g_with_the_new_coefficient(parameters):
    """g = f + lambda x^T x is finite at lambda_t = 0.8e308 and x^T x = 1.94, infinite at 1e308."""
    p = parameters("reg", **REG | dict(first=1, lambda_c=0.8e308, alpha=1e-310, c1=1.0))
    case = play(4, p, [HALF, RAISE, RAISE, RAISE, RAISE], x_1=[1.0, 1.0])  # 0.4, 0.5, ..., 0.98
    assert [i.t for i in case.logged] == [1, 2, 3, 4, 5]
    assert [i.r > 0 for i in case.logged] == [row[5] is False for row in case.Q.experiences]
    assert case.logged[-1].r == 0.0 and case.logged[-2].r > 0


def test_the_plain_steps_of_lambda_ask_for_gradients_at_lambda_c(parameters):
    g, p = quadratic(), parameters("reg", alpha=0.25, lambda_c=0.5)
    g.gradient = Mock(side_effect=g.gradient)
    algorithms.plain_steps_lambda(g, g.point([4.0, 1.0]), p, 3, lambda *_: None, g)
    assert [asked.args[1] for asked in g.gradient.mock_calls] == [0.5] * 2


def test_algorithm_4_returns_what_is_lower_in_g_and_its_reward_has_the_gap(parameters):
    p = parameters("reg", steps=1, first=1, episodes=1, alpha=2.0, lambda_c=0.0, returns="lower",
                   c1=1.0, c2=3.0, f_lb=0.25, gap=2.0, horizon="endless")  # fmt: skip
    for action, reward in ((ACCEPT, 1.5), (HALF, 0.5)):
        case = play(4, p, [action], m=lambda x, lam=0.0: 0.3)  # x_2 = (-4, -7) is higher in g
        assert case.x_stars[0].tolist() == [4.0, 1.0]
        assert case.logged[0].r == reward


HEAVY = dict(steps=30, first=3, M=3, momentum=0.8, alpha_c=0.05, gradients=5, map="far")


@pytest.mark.parametrize("n", [20, 200])  # with the Gram product, and without
def test_the_heavy_ball_is_the_plain_one(problem, parameters, n):
    case, p, logs = problem(dtype=np.float64, n=n), parameters(**HEAVY), ([], [])
    for f, log in zip((case.f, case.plain_f), logs, strict=True):

        def keep(t, x, alpha, a, s=(0.0,) * 6, f=f, log=log):
            log.append([t, alpha, a, f(x), *s])

        x_1, Q = f.point(case.x_1.x), Scripted([HALF, ACCEPT, ACCEPT, HALF, HALF, ACCEPT])
        algorithms.q_gradient_descent_alpha(f, x_1, Q, p, keep)
    assert np.allclose(*logs, rtol=1e-9, atol=1e-12) and len(logs[0]) == 7
    f, x, d = case.plain_f, case.plain_f.point(case.x_1.x), 0  # by hand: five gradients
    for k, alpha in zip((0, 1, 2, 3, 6), (0.05, 0.05, 0.025, 0.05, 0.0125), strict=True):
        d = 0.8 * d - f.gradient(x)
        x = x + alpha * d
        assert f(x) == pytest.approx(logs[0][k][3])


@pytest.mark.parametrize("number", [1, 3])
def test_an_accept_that_needs_one_gradient_more_ends_the_episode(parameters, number):
    taken, p = [], parameters(**LR | HEAVY)
    f = Function(lambda x: 1 + x @ x / 2, lambda x: (taken.append(tuple(x)), x)[1])
    case = play(number, p, [ACCEPT, HALF, ACCEPT, ACCEPT, HALF, ACCEPT], f)
    assert [step.a for step in case.logged] == [ACCEPT] * 3 + [HALF, ACCEPT, ACCEPT, HALF]
    bases = {tuple(case.logged[k].x) for k in (0, 1, 3, 4)} | {(4.0, 1.0)}
    assert len(bases) == 5 and len(case.x_stars) == 1  # x_M, accepted again, costs none


def test_the_reward_in_units_of_the_line_and_alpha_c_in_turn(parameters):
    p = parameters(**LR | dict(unit="base", f_lb=0.1, gap=0.01, factors=(1.0, 0.5)))
    assert [p.of_episode(e).alpha_c for e in (1, 2)] == [0.25, 0.5]
    case, f = play(3, p, LR_ACTIONS), lambda k: quadratic()(np.array(LR_STEPS[k][1]))
    rewards = [experience[3] for experience in case.Q.experiences]
    assert rewards[0] == pytest.approx(0.25 / (f(1) / f(0) - 0.1))  # a half from xbar = x_2
    assert rewards[2] == pytest.approx(0.5 / (f(2) / f(0) - 0.1))  # x_4 is accepted
    end = f(4) / f(2) - 0.1  # x_6 is accepted, from xbar = x_4, and is x* (D28)
    assert rewards[4] == pytest.approx(0.5 / end + 3 * 0.25 / end)


@pytest.mark.parametrize("number", [2, 4])
def test_the_lowest_candidate_is_returned_as_the_definition_finds_it(problem, parameters, number):
    case, looked = problem(dtype=np.float64), []
    p = parameters("reg", steps=30, first=3, M=3, episodes=1, alpha=6.0, lambda_c=0.01,
                   returns="lowest", sees="h", map="far", c1=1.0)  # fmt: skip
    Q, x_1 = Scripted([ACCEPT, HALF, ACCEPT, ACCEPT, RAISE] * 9), case.f.point(case.x_1.x)
    log = lambda t, x, *rest, s=None: looked.append((t, x, case.plain_h(x.x)))  # noqa: E731
    if number == 2:
        x = algorithms.q_gradient_descent_lambda(case.f, case.h, x_1, Q, p, log)
    else:
        episode = lambda e: (case.f, case.h, x_1, p)  # noqa: E731
        logs = lambda e: lambda t, x, lam, a, r=0, loss=0, s=None: log(t, x)  # noqa: E731
        (x,) = algorithms.q_learning_lambda(episode, Q, None, Q, p, logs)
    asked = [(h, t, k) for t, k, h in looked if t >= 2]  # x_3, the first that Q is asked about
    lowest = min(asked, key=lambda k: k[:2])
    assert lowest[0] < asked[-1][0] and lowest[2].x.tobytes() == x.x.tobytes()
    # the second feature is of h, the plain steps' among the values before
    H = [case.plain_h(case.x_1.x), *(h for _, _, h in looked)]
    for t, s in enumerate(Q.states if number == 2 else [k[1] for k in Q.experiences], 3):
        assert s[1] == pytest.approx(math.tanh(4 * math.log(H[t - 1] / min(H[: t - 1]))))


@pytest.mark.parametrize("number", [1, 3])
def test_the_candidate_with_the_lowest_f_is_returned(parameters, number):
    case = play(number, parameters(**LR | dict(steps=3, returns="lowest")), LR_ACTIONS)
    assert [x.tolist() for x in case.x_stars] == [LR_STEPS[1][1]]  # x_3; x_4 is higher again
