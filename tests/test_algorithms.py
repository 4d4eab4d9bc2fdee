"""Algorithms 1 to 4: the margin against the paper, first iterates by hand, divergence, seeds."""

import ast
import math
import re
import types
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import qgd_np
from qgd_np import algorithms
from qgd_np.dqn import DQN, Memory
from qgd_np.environment import ACCEPT, ACTIONS, HALF, RAISE, Features
from qgd_np.objective import Function

pytestmark = pytest.mark.filterwarnings("error")

PACKAGE = Path(qgd_np.__file__).parent
SOURCE = (PACKAGE / "algorithms.py").read_text()

# -- the margin is the paper ----------------------------------------------------------------------

PRINTED = {  # the paper's listings, one numbered line each, in the notation of the margin
    1: """
x̄ = x_1, d(x̄) = −∇f(x_1), α_1 = α_c
for t = 1, ..., T do
  compute state feature vector s_t
  a_t = argmax_a [Q(s_t; θ)]_a
  if a_t = a_half then
    α_{t+1} = ½ α_t
  else if a_t = a_accept then
    x̄ = x_t, d(x̄) = −∇f(x̄), α_{t+1} = α_c
  x_{t+1} = x̄ + α_{t+1} d(x̄)
return x* = x_T
""",
    2: """
x̄ = x_1, d(x̄) = −∇g_λ(x_1), λ_1 = λ_c
for t = 1, ..., T do
  compute state feature vector s_t
  a_t = argmax_a [Q(s_t; θ)]_a
  if a_t = a_half then
    λ_{t+1} = ½ λ_t
  else if a_t = a_1.25 then
    λ_{t+1} = 1.25 λ_t
  else if a_t = a_accept then
    x̄ = x_t, d(x̄) = −∇g_{λ_t}(x̄), λ_{t+1} = λ_c
  x_{t+1} = x̄ + α d(x̄)
return x* = x_T
""",
    3: """
θ = θ_0
for e = 1, ..., E do
  for t = 1, ..., M−1 do
    x_{t+1} = x_t − α_c ∇f(x_t)
  x̄ = x_M, d(x̄) = −∇f(x_M), α_M = α_c
  for t = M, ..., T do
    generate state feature vector s_t
    choose a_t by the ε-greedy policy
    if a_t = a_half then
      α_{t+1} = ½ α_t
    else if a_t = a_accept then
      x̄ = x_t, d(x̄) = −∇f(x̄), α_{t+1} = α_c
    x_{t+1} = x̄ + α_{t+1} d(x̄)
    generate state feature vector s_{t+1}
    if a_t ≠ a_accept then
      r_{t+1} = c_1 / (f(x_{t+1}) − f_lb)
    else if a_t = a_accept then
      r_{t+1} = c_2 / (f(x̄) − f_lb)
    add (s_t, a_t, r_{t+1}, s_{t+1})^e to E
    sample S ∈ E, update θ via Eq. 10
return θ
""",
    4: """
θ = θ_0
for e = 1, ..., E do
  for t = 1, ..., M−1 do
    x_{t+1} = x_t − α ∇g_{λ_c}(x_t)
  x̄ = x_M, d(x̄) = −∇g_{λ_M}(x_M), λ_M = λ_c
  for t = M, ..., T do
    generate state feature vector s_t
    choose a_t by the ε-greedy policy
    if a_t = a_half then
      λ_{t+1} = ½ λ_t
    else if a_t = a_1.25 then
      λ_{t+1} = 1.25 λ_t
    else if a_t = a_accept then
      x̄ = x_t, d(x̄) = −∇g_{λ_t}(x̄), λ_{t+1} = λ_c
    x_{t+1} = x̄ + α d(x̄)
    generate state feature vector s_{t+1}
    if a_t ≠ a_accept then
      r_{t+1} = c_1 / (g_{λ_t}(x_{t+1}) − g_lb)
    else if a_t = a_accept then
      r_{t+1} = c_2 / (g_{λ_t}(x̄) − g_lb)
    add (s_t, a_t, r_{t+1}, s_{t+1})^e to E
    sample S ∈ E, update θ via Eq. 10
return θ
""",
}
TAG = re.compile(r" # (A\d:\d+ .*|D\d+(?:, D\d+)*|log|lines 3 and 4 stand there)$")
STATEMENTS = {"for": ast.For, "if": ast.If, "else": ast.If, "return": ast.Return}


def paper():
    """The margin read downwards: lines 3 and 4 of Algorithms 3 and 4 stand in the plain steps."""
    A = {
        k: [f"A{k}:{i}".ljust(7) + line for i, line in enumerate(text.strip().split("\n"), 1)]
        for k, text in PRINTED.items()
    }
    return [*A[3][2:4], *A[4][2:4], *A[1], *A[2], *A[3][:2], *A[3][4:], *A[4][:2], *A[4][4:]]


def faults(source):
    """What is wrong with the tags of the functions of algorithms.py, as a list of sentences."""
    lines, found, margin = source.splitlines(), [], []
    for function in (part for part in ast.parse(source).body if isinstance(part, ast.FunctionDef)):
        nodes = [n for part in function.body[1:] for n in ast.walk(part) if isinstance(n, ast.stmt)]
        nodes = {node.lineno: node for node in nodes[::-1]}
        depth = 2 if function.name.startswith("plain_steps") else 1
        for k in range(function.body[1].lineno, function.end_lineno + 1):
            line, node, tag = lines[k - 1], nodes.get(k), TAG.search(lines[k - 1])
            if not (tag and node) or ";" in line[: tag.start()]:
                found.append(f"not one statement with a tag: {line}")
            elif tag[1].startswith("A"):
                margin.append(tag[1])
                text = tag[1][7:]
                kind = STATEMENTS.get(text.split()[0], (ast.Assign, ast.Expr))
                if not isinstance(node, kind):
                    found.append(f"another kind of statement: {line}")
                if node.col_offset // 4 - 1 != (len(text) - len(text.lstrip())) // 2 - depth + 1:
                    found.append(f"at another depth: {line}")
    return found + [f"{a} | {b}" for a, b in zip_all(margin, paper()) if a != b]


def zip_all(a, b):
    return zip([*a, *[""] * len(b)], [*b, *[""] * len(a)], strict=True)


def test_the_margin_read_downwards_is_the_printed_algorithm():
    assert faults(SOURCE) == []
    assert len(paper()) == 10 + 12 + 21 + 23


def test_a_printed_line_that_is_missing_changed_or_elsewhere_is_found():
    lines = SOURCE.splitlines()
    printed = [k for k, line in enumerate(lines) if "  # A" in line]
    for n, (k, after) in enumerate(pairwise([*printed, printed[0]])):
        code, tag = lines[k].split("  # ")
        other = lines[after].split("  # ")
        variants = [
            {k: ""}, {k: code}, {k: f"{code}  # D1"}, {k: lines[k] + "."}, {k: lines[after]},
            {k: code + "  # " + tag.replace(":", ":1")}, {k: f"{code}  # {other[1]}"},
            {k: lines[after], after: lines[k]},
        ]  # fmt: skip
        swapped = {k: f"{code}  # {other[1]}", after: f"{other[0]}  # {tag}"}
        for variant in ({k: lines[k][:-1]}, swapped, variants[n % 8]):
            source = "\n".join(variant.get(i, line) for i, line in enumerate(lines))
            try:
                assert faults(source), variant
            except SyntaxError:
                pass  # code taken out of where it stands


def test_a_statement_without_a_tag_or_behind_another_is_found():
    for old, new in [
        ("  # log\n", "\n"), ("  # D23\n", "  # D23 and more\n"), ("  # D10\n", "  # ours\n"),
        ("alpha = alpha / 2  ", "alpha = alpha / 2; d = -d  "),
        ("    x_star = ret", "    x = x - 1\n    x_star = ret"),
    ]:  # fmt: skip
        assert old in SOURCE and faults(SOURCE.replace(old, new, 1)), new


def test_each_algorithm_fits_on_a_screen_and_nests_at_most_three_deep():
    for function in ast.parse(SOURCE).body[-6:]:
        assert function.end_lineno - function.lineno < 48
        assert max(n.col_offset for n in ast.walk(function) if isinstance(n, ast.stmt)) <= 16


def cited(text):
    """The numbers of all decisions named in a text; D16-D18 names three."""
    numbers = {int(n) for n in re.findall(r"\bD(\d+)\b", text)}
    ranges = re.findall(r"\bD(\d+)-D(\d+)\b", text)
    return numbers.union(*(range(int(first), int(last) + 1) for first, last in ranges))


def test_the_decisions_cited_in_the_code_are_those_of_the_table_in_the_guide():
    assert cited("(4.2, D16-D18) # D2, DZ, 3D1, D1_") == {2, 16, 17, 18}
    guide = PACKAGE / "README.md"
    rows = re.findall(r"(?m)^\| *D(\d+) *\|", guide.read_text()) if guide.exists() else []
    if not rows:
        pytest.skip("the guide has no table of decisions yet")
    in_code = set().union(*(cited(path.read_text()) for path in PACKAGE.rglob("*.py")))
    assert len(rows) == len(set(rows)) and in_code == {int(n) for n in rows}


# -- by hand, on f(x, y) = (x^2 + 4 y^2) / 2 ------------------------------------------------------


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
        algorithm = [algorithms.q_gradient_descent_alpha, algorithms.q_gradient_descent_lambda]
        case.x_stars = [algorithm[number - 1](f, f.point(x_1), Q, p, log)]
        return case

    def logs(e):
        Q.told.append(("log", e))
        return log

    rest = start, Q, "theta_0", Q, p, logs, e_1

    def learn():
        run = algorithms.q_learning_alpha(f, *rest) if number == 3 else None
        case.theta = yield from run or algorithms.q_learning_lambda(f, m or f, *rest)

    case.x_stars = list(learn())
    return case


def state(p, task, value, f, slope, alignment, F):
    """s_t from what was found at x_t by hand; the six maps have tests of their own."""
    found = SimpleNamespace(observe=lambda *_: (f, slope, alignment))
    scales = (p.alpha_c, p.alpha_c) if task == "lr" else (p.lambda_c, p.alpha)
    return Features(found, F, None, *scales, p.M)(None, None, value)


def assert_played(case, expected, states):
    assert [(i.t, i.x, i.value, i.a) for i in case.logged] == expected
    asked = [i.s for i in case.logged if i.s is not None]
    assert np.array_equal(asked, case.Q.states)
    assert np.allclose(asked, states, rtol=1e-13, atol=1e-15)


LR = dict(steps=6, first=2, M=3, alpha_c=0.5, f_lb=0.125, gap=0.8, c1=0.25, c2=0.5, batch=7,
          episodes=1, horizon="endless", returns="printed")  # fmt: skip
LR_ACTIONS = [HALF, HALF, ACCEPT, HALF, ACCEPT]
LR_STEPS = [  # t, x_{t+1}, alpha_{t+1}, a_t
    (1, [2, -1], 0.5, ACCEPT),  # plain: (4, 1) - (4, 4) / 2; then xbar = (2, -1), d = (-2, 4)
    (2, [1.5, 0], 0.25, HALF),
    (3, [1.75, -0.5], 0.125, HALF),
    (4, [0.875, 0.5], 0.5, ACCEPT),  # xbar = (1.75, -0.5), d = (-1.75, 2)
    (5, [1.3125, 0], 0.25, HALF),
    (6, [0.65625, 0], 0.5, ACCEPT),  # xbar = (1.3125, 0), d = (-1.3125, 0)
]
LR_SEEN = [  # alpha_t, f(x_t), d . grad f(x_t) and Eq. 6; sign(d_t) sign(d_{t-1})
    (0.5, 4.0, -20.0, 0.0),  # d_1 = (-4, -4)
    (0.25, 1.125, -3.0, 1.0),
    (0.125, 2.03125, -11.5, 1.0),
    (0.5, 0.8828125, 2.46875, 1.0),
    (0.25, 0.861328125, -2.296875, 1.0),
    (0.5, 0.21533203125, -0.861328125, 0.5),  # s_7; d_6 = (-1.3125, 0)
]


def states_of(p, task, first, seen):
    """The states at x_t, x_{t+1}, ... after the values `first` of F."""
    F = [*first, *(f for _, f, _, _ in seen)]
    return [state(p, task, *s, F[: len(first) + k]) for k, s in enumerate(seen)]


@pytest.mark.parametrize("number", [1, 3])
def test_the_learning_rate_by_hand(parameters, number):
    p = parameters(**LR)
    case, states = play(number, p, LR_ACTIONS), states_of(p, "lr", [10.0], LR_SEEN)
    assert_played(case, LR_STEPS, states[:5])
    assert [x.tolist() for x in case.x_stars] == [[1.3125, 0]]  # x_T, as printed
    if number == 3:  # c_1 / (f(x_{t+1}) - f_lb), c_2 / (f(xbar) - f_lb), at least the gap
        r = [0.25 / 1.0, 0.25 / 1.90625, 0.5 / 1.90625, 0.25 / 0.8, 0.5 / 0.8]
        assert_learned(case, LR_ACTIONS, r, states)


REG = dict(steps=6, first=2, M=3, alpha=0.25, lambda_c=0.5, f_lb=0.0, gap=0.01, c1=0.25, c2=0.5,
           batch=7, episodes=1, horizon="endless", returns="printed")  # fmt: skip
REG_ACTIONS = [RAISE, HALF, ACCEPT, HALF, ACCEPT]
X_5 = [1 - 1.625 / 4, (1 - 4.625 / 4) / 16]
REG_STEPS = [  # t, x_{t+1}, lambda_{t+1}, a_t; grad g_lambda = ((1 + 2 lambda) x, (4 + 2 lambda) y)
    (1, [2, -0.25], 0.5, ACCEPT),  # plain: (4, 1) - (8, 5) / 4; then d = (-4, 1.25)
    (2, [1, 0.0625], 0.625, RAISE),
    (3, [1, 0.0625], 0.3125, HALF),
    (4, X_5, 0.5, ACCEPT),  # d = -(1.625 x, 4.625 y) at lambda_4 = 0.3125
    (5, X_5, 0.25, HALF),
    (6, [X_5[0] * (1 - 1.5 / 4), X_5[1] * (1 - 4.5 / 4)], 0.5, ACCEPT),  # at lambda_6 = 0.25
]


def g(lam, x):
    return (x[0] ** 2 + 4 * x[1] ** 2) / 2 + lam * (x[0] ** 2 + x[1] ** 2)


def slope(lam, x, d):
    return d[0] * (1 + 2 * lam) * x[0] + d[1] * (4 + 2 * lam) * x[1]


def reg_seen():
    """lambda_t, g_{lambda_t}(x_t), d . grad g_{lambda_t}(x_t) and Eq. 6 at x_2, ..., x_7."""
    d_2, d_4 = (-4, 1.25), (-1.625, -4.625 / 16)
    d_6 = (-1.5 * X_5[0], -4.5 * X_5[1])
    signs = [0.0, 1.0, 1.0, 0.0, 1.0, 0.0]  # d_1 = (-8, -5); y changes its sign with each accept
    lines = zip(REG_STEPS, [d_2, d_2, d_2, d_4, d_4, d_6], signs, strict=True)
    return [(lam, g(lam, x), slope(lam, x, d), sign) for (_, x, lam, _), d, sign in lines]


@pytest.mark.parametrize("reward", ["g", "error"])
@pytest.mark.parametrize("number", [2, 4])
def test_the_coefficient_by_hand(parameters, number, reward):
    p = parameters("reg", **REG)
    m = None if reward == "g" else lambda x, lam: float(x[0]) / 8  # in place of h
    case, states = play(number, p, REG_ACTIONS, m=m), states_of(p, "reg", [18.5], reg_seen())
    assert_played(case, REG_STEPS, states[:5])
    assert [x.tolist() for x in case.x_stars] == [X_5]
    x = [None, *(x for _, x, _, _ in REG_STEPS)]  # x[t] is x_{t+1}
    measured = [(0.5, x[2]), (0.625, x[3]), (0.3125, x[3]), (0.5, x[5]), (0.25, x[5])]
    c = [0.25, 0.25, 0.5, 0.25, 0.5]
    if number == 4:  # at lambda_t and x_{t+1}, or xbar after an accept
        look = g if reward == "g" else lambda lam, x: x[0] / 8
        r = [c_i / look(lam, x) for c_i, (lam, x) in zip(c, measured, strict=True)]
        assert_learned(case, REG_ACTIONS, r, states)


def assert_learned(case, actions, rewards, states):
    """What the DQN and the memory were told in the first episode, in its order."""
    assert case.theta == case.Q.theta == "theta_0"
    assert case.Q.told[:3] == [("log", 1), ("episode", 1), ("x_1", 1)]
    e, s, a, r, s_next, ends = zip(*case.Q.experiences, strict=True)
    assert set(e) == {1} and list(a) == actions and set(ends) == {False}
    assert r == pytest.approx(rewards, rel=1e-13)
    assert np.allclose(s, states[:-1], rtol=1e-13, atol=1e-15)
    assert np.allclose(s_next, states[1:], rtol=1e-13, atol=1e-15)
    # drawn after the experience was added, one update a step, its loss logged
    steps = range(1, len(actions) + 1)
    assert case.Q.told[3:] == [told for k in steps for told in ("add", ("sample", 7, k))]
    assert [(i.r, i.loss) for i in case.logged[1:]] == [(r[k - 1], 100.0 + k) for k in steps]


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_two_directions_that_are_opposite_everywhere(parameters, number):
    """f = x^2 / 2 at alpha 3/2, lambda 0: x_2 = -2, d_1 = -4, d_2 = 2, then 1 and -1 (D11)."""
    p = parameters(**LR | dict(steps=3, alpha_c=1.5, alpha=1.5, lambda_c=0.0))
    f = Function(lambda x: x[0] ** 2 / 2, lambda x: x)
    case = play(number, p, [ACCEPT, ACCEPT], f, x_1=[4.0])
    assert [i.x for i in case.logged] == [[-2.0], [1.0], [-0.5]]
    assert [i.s[5] for i in case.logged[1:]] == [-1.0, 1.0]  # d_2 d_1; at x_3 still that of x_2
    case = play(number, p, [ACCEPT, ACCEPT, ACCEPT], f, x_1=[4.0])


# -- x* (D10), the first step that is asked (D18), the end of an episode (D27, D28) ---------------


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize(
    "returns, worse, better",
    [
        # an accept of x_T = (1, 1): xbar = x_T, f = 2.5, x_{T+1} = (1, 1) - alpha (1, 4)
        ("printed", [1, 1], [1, 1]), ("last", [0, -3], [0.75, 0]), ("lower", [1, 1], [0.75, 0]),
    ],
)  # fmt: skip
def test_what_is_returned(parameters, number, returns, worse, better):
    for alpha, expected in ((1.0, worse), (0.25, better)):
        f_star = (expected[0] ** 2 + 4 * expected[1] ** 2) / 2
        p = parameters(
            steps=1, first=1, alpha_c=alpha, alpha=alpha, lambda_c=0.0, f_lb=0.0, gap=0.25,
            episodes=1, c1=0.5, c2=2.0, gamma=0.75, horizon="returned", returns=returns,
        )  # fmt: skip
        case = play(number, p, [ACCEPT], x_1=[1.0, 1.0])
        assert case.x_stars[0].tolist() == expected
        if number > 2:  # c_2 / f(xbar); c_1 / f(x*), or the gap, counts 0.75 / 0.25 = 3 times
            assert case.logged[-1].r == pytest.approx(2.0 / 2.5 + 3 * 0.5 / max(f_star, 0.25))


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_x_t_the_last_candidate_and_the_accepted_iterate_are_three(parameters, number):
    """After two halves from xbar = (1, 1): x_2 = xbar, or (0.5, -1) on the line of alpha."""
    odd = number % 2
    for returns in ("printed", "last", "lower"):
        p = parameters(**LR | dict(steps=2, first=1, alpha_c=1.0, returns=returns, alpha=1.0))
        case = play(number, p, [HALF, HALF], x_1=[1.0, 1.0])
        last = [0.75, 0.0] if odd else case.logged[1].x
        lower = last if odd else [1.0, 1.0]  # Algorithms 2 and 4 stay at x_1 - d(x_1)
        printed = [0.5, -1.0] if odd else last
        expected = {"printed": printed, "last": last, "lower": lower}[returns]
        assert case.x_stars[0].tolist() == expected


def test_the_reward_of_the_end_is_at_lambda_t(parameters):
    p = parameters("reg", **REG | dict(horizon="returned", gamma=0.75, returns="last"))
    case = play(4, p, REG_ACTIONS)
    expected = 0.5 / g(0.25, X_5) + 3 * 0.25 / g(0.25, REG_STEPS[-1][1])
    assert case.logged[-1].r == pytest.approx(expected, rel=1e-13)
    assert [row[5] for row in case.Q.experiences] == [False] * 4 + [True]


@pytest.mark.parametrize("first, printed, asked", [
    (0, 1, 1), (0, 4, 4), (1, 4, 1), (3, 1, 3), (3.6, 1, 4), (0.5, 1, 4), (0.3, 9, 2), (0.01, 9, 1),
])  # fmt: skip
def test_the_first_step_that_is_asked(parameters, first, printed, asked):
    assert parameters(steps=8, first=first).asked_from(printed) == asked


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_as_printed_algorithms_1_and_2_ask_from_1_and_3_and_4_from_m(parameters, number):
    for first, t_1 in ((0, 3 if number > 2 else 1), (2, 2), (0.8, 5)):
        p = parameters(**LR | dict(first=first, alpha=0.1))
        logged = play(number, p, [HALF] * 6).logged
        assert [i.t for i in logged] == [1, 2, 3, 4, 5, 6]
        assert [i.s is None for i in logged] == [t < t_1 for t in range(1, 7)]
        if t_1 == 1:  # with no step before, F = [f(x_1)] and d_0 = d_1
            assert logged[0].s[[0, 1, 2, 4, 5]].tolist() == [0, 0, 0, 1, 1]


@pytest.mark.parametrize("number", [3, 4])
def test_an_episode_begins_as_the_first_did_whatever_came_before(parameters, number):
    p = parameters(**(LR if number == 3 else REG) | dict(episodes=5))
    actions = LR_ACTIONS if number == 3 else REG_ACTIONS
    case, size = play(number, p, [*actions] * 3, e_1=3), len(actions)
    told = [k for k in case.Q.told if k != "add" and k[:1] != ("sample",)]
    assert told == [k for e in (3, 4, 5) for k in (("log", e), ("episode", e), ("x_1", e))]
    rows = case.Q.experiences
    assert [row[0] for row in rows] == [3] * size + [4] * size + [5] * size
    assert [str(row[1:]) for row in rows] == [str(row[1:]) for row in rows[:size]] * 3
    steps = [(i.t, i.x, i.value, i.a, i.r) for i in case.logged]
    assert str(steps) == str(steps[:6] * 3)
    assert all(x.tolist() == case.x_stars[0].tolist() for x in case.x_stars)


# -- plain steps that are remembered (D21) --------------------------------------------------------


def taught(module, case, p, seed=0, x_1=None, m=None, logs=None):
    """Algorithm 3, or 4 if there is an m, with a DQN and a memory: theta, and all that is left."""
    reg, draws = m is not None, [np.random.default_rng([seed, k]) for k in range(3)]
    sizes = (6, 4, len(ACTIONS["reg" if reg else "lr"]))
    Q = DQN(sizes, p, draws[0])
    theta_0 = Q.net.initialise(draws[1], np.float64)
    memory = Memory(p, draws[2], Q.label if p.label == "stored" else None)
    kept = []

    def log(t, x, value, a, r=math.nan, loss=math.nan, s=None):
        kept.append((t, case.f(x), value, a, r, loss))

    def start(e):
        rng = np.random.default_rng([seed, 3, e])
        return case.f.point(case.net.initialise(rng, case.images.dtype))

    rest = x_1 or start, Q, theta_0, memory, p, logs or (lambda e: log)
    algorithm = module.q_learning_lambda if reg else module.q_learning_alpha
    x_stars = list(algorithm(*([case.f, m] if reg else [case.f]), *rest))
    return SimpleNamespace(Q=Q, theta=Q.theta, memory=memory, kept=kept, x_stars=x_stars)


SHORT = dict(steps=12, first=3, M=3, episodes=4, batch=8, A=2, B=1, dqn_hidden=(4,), n_steps=1)


@pytest.mark.parametrize("task", ["lr", "reg"])
def test_plain_steps_from_a_remembered_iterate_are_taken_once_and_change_nothing(
    problem, parameters, monkeypatch, task
):
    calls, kept, p = [], [], parameters(task, **SHORT | dict(first=4, alpha_c=0.3))
    for remembers in (False, True):
        case = problem(dtype=np.float64)
        gradient = case.f.gradient
        monkeypatch.setattr(case.f, "gradient", lambda *x, g=gradient: (calls.append(1), g(*x))[1])
        starts = [case.f.point(case.x_1.x * k) for k in (1, 2)]
        for x in starts if remembers else ():
            x.memory = {}
        x_1 = lambda e, starts=starts: starts[e % 2]  # noqa: E731
        kept += taught(algorithms, case, p, x_1=x_1, m=case.h if task == "reg" else None).kept
        calls.append(0)
    fresh = calls.index(0)  # later two of four episodes take no plain steps; each asks twice a step
    assert fresh - (len(calls) - 2 - fresh) == 2 * 3 * 2
    assert len(kept) == 2 * 4 * 12
    assert np.allclose(kept[:48], kept[48:], rtol=1e-8, atol=0, equal_nan=True)


def test_what_is_remembered_belongs_to_the_algorithm_and_to_the_first_step(problem, parameters):
    case = problem(dtype=np.float64)
    case.x_1.memory, numbers = {}, {}
    for first in (1, 3, 2, 3):
        p = parameters(**SHORT | dict(first=first, alpha_c=0.3, alpha=0.7, lambda_c=0.1))
        for apply in (algorithms.q_gradient_descent_alpha, algorithms.q_gradient_descent_lambda):
            for x_1 in (case.x_1, case.f.point(case.x_1.x)):  # the other remembers nothing
                kept = numbers.setdefault((first, apply), [])
                log = lambda t, x, value, a, s=(), kept=kept: kept.append([t, case.f(x), value, *s])  # noqa: E731, E501
                kept.append([case.f(apply(case.f, x_1, Scripted([HALF, ACCEPT] * 6), p, log))])
    assert [len(kept) for kept in numbers.values()] == [26, 26, 52, 52, 26, 26]
    for kept in numbers.values():
        for k, step in enumerate(kept):
            assert step == pytest.approx(kept[k % 13], rel=1e-8, abs=1e-8)
            assert step == kept[k % 26]  # the same bits once it is remembered


# -- a line tagged log changes nothing ------------------------------------------------------------


def silent():
    """algorithms.py without its lines tagged log; none is left to be called."""
    lines = SOURCE.splitlines()
    rest = [line for line in lines if not line.endswith("  # log")]
    assert len(lines) - len(rest) == 2 + 2 + 4
    module = types.ModuleType("qgd_np.silent")
    module.__package__, module.log = "qgd_np", None
    exec(compile("\n".join(rest), "silent.py", "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("task", ["lr", "reg"])
def test_without_the_lines_tagged_log_the_same_bits_are_learned_and_returned(
    problem, parameters, task
):
    p, theta, x_star, unasked = parameters(task, **SHORT), set(), set(), None
    for module in (algorithms, silent()):
        case = problem()
        case.run = taught(module, case, p, m=case.h if task == "reg" else None)
        assert len(case.run.kept) == (48 if module is algorithms else 0)
        theta.add(case.run.theta.tobytes() + case.run.memory.s.tobytes())
        apply = getattr(module, "q_gradient_descent_" + {"lr": "alpha", "reg": "lambda"}[task])
        x_star.add(apply(case.f, case.x_1, case.run.Q, p, lambda *_, **__: unasked).x.tobytes())
    assert len(theta) == len(x_star) == 1


# -- divergence (D23) -----------------------------------------------------------------------------


def cliff(edge, beyond):
    """f(x) = 1 + x^2 / 2, and `beyond` where |x| > edge."""
    value = lambda x: 1 + x[0] ** 2 / 2 if abs(x[0]) <= edge else beyond  # noqa: E731
    return Function(value, lambda x: x)


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("beyond", [math.inf, math.nan])
def test_an_episode_that_diverges_ends_there_with_reward_zero(parameters, number, beyond):
    # x doubles with a change of sign: 1, -2, 4, -8; a half from 4 goes to (4 + 4 (-1.5)) = -2
    p = parameters(**LR | dict(first=2, alpha_c=3.0, alpha=3.0, lambda_c=0.0, episodes=2,
                               horizon="returned", returns="lower", c1=1.0, f_lb=0.0))  # fmt: skip
    case = play(number, p, [ACCEPT, ACCEPT] * 2, cliff(5.0, beyond), x_1=[1.0])
    episodes = 2 if number > 2 else 1
    assert [i.x[0] for i in case.logged] == [-2, 4, -8] * episodes
    assert [x.tolist() for x in case.x_stars] == [[4.0]] * episodes
    if number > 2:  # c_2 / f(xbar), then 0 and no state after it
        assert str([i.r for i in case.logged]) == str([math.nan, 0.5 / 3, 0.0] * 2)
        assert [row[-1] for row in case.Q.experiences] == [False, True] * 2


def test_algorithm_4_looks_at_g_with_the_new_coefficient(parameters):
    """g = f + lambda x^T x is finite at lambda_t = 0.8e308 and x^T x = 1.94, infinite at 1e308."""
    p = parameters("reg", **REG | dict(first=1, lambda_c=0.8e308, alpha=1e-310, c1=1.0))
    case = play(4, p, [HALF, RAISE, RAISE, RAISE, RAISE], x_1=[1.0, 1.0])  # 0.4, 0.5, ..., 0.98
    assert [i.t for i in case.logged] == [1, 2, 3, 4, 5]
    assert [i.r > 0 for i in case.logged] == [row[5] is False for row in case.Q.experiences]
    assert case.logged[-1].r == 0.0 and case.logged[-2].r > 0


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_plain_steps_that_diverge_leave_one_defined_step(parameters, number):
    p = parameters(**LR | dict(first=4, alpha_c=3.0, alpha=3.0, lambda_c=0.0, returns="lower"))
    case = play(number, p, [HALF] * 3, cliff(3.0, math.nan), x_1=[1.0])
    assert [i.t for i in case.logged] == [1, 2, 3, 4]
    assert np.isfinite(case.logged[-1].s).all() and len(case.x_stars) == 1
    if number > 2:
        assert case.logged[-1].r == 0.0 and case.Q.experiences[0][5] is True


def assert_finite(run):
    for name in ("s", "s_next", "r", "y"):
        assert np.isfinite(getattr(run.memory, name)).all(), name
    assert np.abs(run.memory.s).max() <= 1 and np.abs(run.memory.s_next).max() <= 1
    assert np.isfinite(run.theta).all()


@pytest.mark.parametrize("task, changes, diverges", [
    ("lr", dict(alpha_c=1e30), True),
    ("lr", dict(alpha_c=1e38, label="stored"), True),
    ("lr", dict(alpha_c=1e3), False),  # the saturated net's f is some hundreds: a result
    ("reg", dict(alpha=1e3, lambda_c=1.0, accepts=0.4, steps=30), True),
    ("reg", dict(alpha=1e3, lambda_c=1e30, accepts=0.4, steps=30), True),
])  # fmt: skip
def test_the_memory_stays_finite_whatever_the_objective_net_does(
    problem, parameters, task, changes, diverges
):
    p, case = parameters(task, **SHORT | changes), problem()
    run = taught(algorithms, case, p, m=case.h if task == "reg" else None)
    ends = [
        k for k, step in enumerate(run.kept) if k + 1 == len(run.kept) or run.kept[k + 1][0] == 1
    ]
    assert len(run.x_stars) == len(ends) == 4
    finite = [math.isfinite(f) for _, f, *_ in run.kept]
    assert [finite[k] for k in ends] == [not diverges] * 4
    if diverges:
        assert all(run.kept[k][0] < p.steps and run.kept[k][4] == 0.0 for k in ends)
    else:
        assert max(f for _, f, *_ in run.kept) > 50
    assert_finite(run)
    assert run.Q.updates == sum(not math.isnan(loss) for *_, loss in run.kept)


def test_a_dqn_learning_rate_of_ten_goes_on_and_counts_the_steps_not_taken(problem, parameters):
    p = parameters(
        **SHORT | dict(steps=40, episodes=12), beta=10.0, beta_last=10.0, optimizer="gd",
        gamma=0.99, target_every=0, double=False, c1=1.0, c2=1.0, horizon="endless", f_lb=0.0,
    )  # fmt: skip
    run = taught(algorithms, problem(), p)
    assert len(run.x_stars) == 12 and all(math.isfinite(f) for _, f, *_ in run.kept)
    assert run.Q.rejected > 0 and run.Q.updates == 12 * 38
    assert_finite(run)


# -- seeds (R3) -----------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_bits_and_ten_seeds_ten_results(problem, parameters):
    def fingerprint(seed):
        run = taught(algorithms, problem(), parameters(**SHORT, label="stored"), seed)
        return str(run.kept).encode() + run.memory.s.tobytes() + run.theta.tobytes()

    before = np.random.get_state()
    prints = [fingerprint(seed) for seed in range(10)]
    after = np.random.get_state()
    assert str(before) == str(after) and len(set(prints)) == 10
    np.random.seed(1)
    assert [fingerprint(seed) for seed in (0, 7)] == [prints[0], prints[7]]
