"""Algorithms 1 to 4: the first iterates by hand, the tags, divergence, and seeds."""

import ast
import inspect
import io
import math
import re
import tokenize
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import qgd_np
from qgd_np import algorithms
from qgd_np.dqn import DQN
from qgd_np.environment import ACCEPT, FEATURES, HALF, RAISE, state
from qgd_np.fast.objective import PlainObjective
from qgd_np.lab import baselines
from qgd_np.lab.history import History
from qgd_np.lab.starts import Start, Starts
from qgd_np.replay import Memory

pytestmark = pytest.mark.filterwarnings("error")

PACKAGE = Path(qgd_np.__file__).parent

# -- by hand, on f(x, y) = (x^2 + 4 y^2) / 2 ------------------------------------------------------


@pytest.fixture
def quadratic():
    return PlainObjective(
        lambda x: 0.5 * (x[0] ** 2 + 4 * x[1] ** 2), lambda x: np.array([x[0], 4 * x[1]])
    )


class Iterates:
    """A history that keeps the iterates too."""

    def __init__(self, steps):
        self.log, self.xs = History(steps), []

    def add(self, t, f_x, value, a, *args, x=None, s=None):
        self.xs.append(None if x is None else x.tolist())
        self.log.add(t, f_x, value, a, *args, x=x, s=s)

    def opening(self, M):
        return self.log.opening(M)

    def close(self, *args):
        self.log.close(*args)


def begin(f, x=(4.0, 1.0)):
    return Start(f, np.array(x))


def test_algorithm_1_by_hand(quadratic, parameters, scripted):
    p = parameters(steps=3, alpha_c=0.5, M=1)
    Q, history = scripted([HALF, ACCEPT, HALF]), Iterates(3)
    x_T = algorithms.q_gradient_descent_alpha(quadratic, begin(quadratic), Q, p, history)
    # t=1, half: xbar = (4, 1), d = -(4, 4), alpha_2 = 1/4: x_2 = (3, 0)
    # t=2, accept: xbar = (3, 0), d = -(3, 0), alpha_3 = 1/2: x_3 = (1.5, 0)
    # t=3, half: alpha_4 = 1/4: x_4 = (3, 0) - (3, 0) / 4
    assert history.xs == [[3, 0], [1.5, 0], [2.25, 0]]
    assert x_T.tolist() == [2.25, 0]
    log = history.log
    assert log.value.tolist() == [0.25, 0.5, 0.25]
    assert log.objective.tolist() == [4.5, 1.125, 2.53125]
    assert log.action.tolist() == [HALF, ACCEPT, HALF]
    # what the controller saw: f(x_t), d(xbar) . grad f(x_t), Eq. 6, and F up to t - 1
    seen = [(10.0, -32.0, 1.0), (4.5, -12.0, 1.0), (1.125, -4.5, 0.5)]
    values, F = [0.5, 0.25, 0.5], [[], [10.0], [10.0, 4.5]]
    expected = [state(v, 0.5, 0.5, s, past, p) for v, s, past in zip(values, seen, F, strict=True)]
    assert np.array_equal(Q.states, expected)


@pytest.mark.parametrize("task", ["lr", "reg"])
@pytest.mark.parametrize("returns, x_T, f_x_T", [("last", [0, -3], 18.0), ("lower", [1, 1], 2.5)])
def test_what_is_returned_is_the_last_candidate_or_xbar_where_f_is_lower(
    quadratic, parameters, scripted, task, returns, x_T, f_x_T
):
    # alpha = 1: x_2 = (1, 1) - (1, 4), f = 18, is no better than xbar = x_1 = (1, 1), f = 2.5
    one = dict(steps=1, M=1, alpha_c=1.0, alpha=1.0, lambda_c=0.0, f_lb=0.0, c1=1.0, c2=1.0)
    one |= dict(episodes=1, horizon="returned", gamma=0.75, reward="g")
    p = parameters(task, returns=returns, **one)
    memory, applied = Minibatches(1, 0, 1), History(1)
    starts = Starts(quadratic, lambda e: np.array([1.0, 1.0]), 0)
    rest = starts, scripted([ACCEPT]), None, memory, p, draws(), lambda e: History(1)
    place = quadratic, begin(quadratic, (1.0, 1.0)), scripted([ACCEPT]), p, applied
    if task == "lr":
        x = algorithms.q_gradient_descent_alpha(*place)
        (learned,) = algorithms.q_learning_alpha(quadratic, *rest)
        by_rule = baselines.follow("gd", quadratic, np.array([1.0, 1.0]), p, History(1))
        assert by_rule.tolist() == x_T
    else:
        x = algorithms.q_gradient_descent_lambda(*place)
        (learned,) = algorithms.q_learning_lambda(quadratic, quadratic, *rest)
    assert x.tolist() == learned.x.tolist() == x_T
    assert applied.objective.tolist() == learned.objective.tolist() == [f_x_T]
    # c_2 / f(xbar), and what is returned counts gamma / (1 - gamma) = 3 times
    assert learned.reward.tolist() == pytest.approx([1 / 2.5 + 3 / f_x_T])


def test_algorithm_2_by_hand(quadratic, parameters, scripted):
    p = parameters("reg", steps=4, alpha=0.25, lambda_c=0.5, M=1)
    Q, history = scripted([HALF, ACCEPT, RAISE, ACCEPT]), Iterates(4)
    x_T = algorithms.q_gradient_descent_lambda(quadratic, begin(quadratic), Q, p, history)
    # lambda_1 = 1/2: grad g = (2 x, 5 y), d = -(8, 5)
    # t=1, half: lambda_2 = 1/4, x_2 = (4, 1) - (8, 5) / 4 = (2, -1/4)
    # t=2, accept: grad g_{1/4} = (1.5 x, 4.5 y): d = (-3, 1.125), lambda_3 = 1/2,
    #      x_3 = (2 - 0.75, -0.25 + 0.28125)
    # t=3, 1.25: lambda_4 = 5/8, x_4 = x_3
    # t=4, accept: grad g_{5/8} = (2.25 x, 5.25 y), x_5 = (1 - 0.5625, 1 - 1.3125) x_4
    x_3 = [1.25, 0.03125]
    x_5 = [0.4375 * 1.25, -0.3125 * 0.03125]
    assert history.xs == [[2, -0.25], x_3, x_3, x_5]
    assert x_T.tolist() == x_5
    assert history.log.value.tolist() == [0.25, 0.5, 0.625, 0.5]
    assert history.log.objective[0] == 0.5 * (4 + 0.25)  # f, without the penalty
    # g_{lambda_t}(x_t), d(xbar) . grad g_{lambda_t}(x_t)
    g_1, g_2, g_3 = 10 + 0.5 * 17, 2.125 + 0.25 * 4.0625, 0.78125 + 2**-9 + 0.5 * (1.5625 + 2**-10)
    seen = [
        (g_1, -(64.0 + 25.0), 1.0),
        (g_2, -8 * 3.0 + -5 * -1.125, 1.0),
        (g_3, -3 * 2.5 + 1.125 * 5 * 0.03125, 0.0),
    ]
    values, G = [0.5, 0.25, 0.5], [[], [g_1], [g_1, g_2]]
    expected = [state(v, 0.5, 0.25, s, past, p) for v, s, past in zip(values, seen, G, strict=True)]
    assert np.allclose(Q.states[:3], expected, rtol=1e-14)


def test_the_plain_steps_from_an_iterate_are_taken_once_and_change_nothing(case_of_starts):
    kept, fresh = (case_of_starts(count) for count in (2, 0))
    assert kept.gradients < fresh.gradients
    for a, b in zip(kept.histories, fresh.histories, strict=True):
        assert np.array_equal(a.objective, b.objective) and np.array_equal(a.action, b.action)


@pytest.fixture
def case_of_starts(quadratic, parameters, scripted):
    def play(count):
        p = parameters(steps=6, M=4, episodes=4, alpha_c=0.3)
        gradients, calls = quadratic.grad, []
        f = PlainObjective(quadratic.f, lambda x: (calls.append(1), gradients(x))[1])
        starts = Starts(f, lambda k: np.array([4.0, 1.0 + k % 2]), count)
        Q = scripted([HALF, ACCEPT, HALF] * 4)
        run = algorithms.q_learning_alpha(
            f, starts, Q, None, Memory(9, 0, 6), p, draws(), lambda e: History(6)
        )
        return SimpleNamespace(histories=list(run), gradients=len(calls))

    return play


def test_the_steps_before_M_are_plain_ones(quadratic, parameters, scripted):
    p, history = parameters(steps=4, alpha_c=0.5, M=3), Iterates(4)
    start = begin(quadratic)
    algorithms.q_gradient_descent_alpha(quadratic, start, scripted([HALF] * 2), p, history)
    assert history.log.action.tolist() == [ACCEPT, ACCEPT, HALF, HALF]
    p, history = parameters("reg", steps=4, M=3), Iterates(4)
    start = begin(quadratic)
    algorithms.q_gradient_descent_lambda(quadratic, start, scripted([RAISE] * 2), p, history)
    assert history.log.action.tolist() == [ACCEPT, ACCEPT, RAISE, RAISE]


def draws(seed=0):
    return SimpleNamespace(
        exploration=np.random.default_rng([seed, 1]), replay=np.random.default_rng([seed, 2])
    )


class Minibatches(Memory):
    """A memory that remembers how large the minibatches were."""

    def sample(self, size, rng):
        self.sizes = [*getattr(self, "sizes", []), size]
        return super().sample(size, rng)


def experiences(memory):
    rows = slice(memory.start, memory.start + memory.count)
    return [getattr(memory, name)[rows] for name in ("s", "a", "r", "s_next", "label", "end")]


def assert_experiences(memory, Q, actions, rewards, horizon_ends):
    s, a, r, s_next, label, end = experiences(memory)
    assert a.tolist() == actions
    assert r.tolist() == pytest.approx(rewards, rel=1e-14)
    assert label.tolist() == (10 * r).tolist()  # the scripted label
    assert np.array_equal(s, Q.states) and np.array_equal(s_next[:-1], s[1:])
    assert end.tolist() == [False] * (len(a) - 1) + [horizon_ends]


@pytest.mark.parametrize("horizon", ["endless", "episode", "returned"])
def test_algorithm_3_by_hand(quadratic, parameters, scripted, horizon):
    p = parameters(
        steps=4, M=2, alpha_c=0.5, f_lb=0.125, gap=0.25, c1=0.25, c2=0.5, batch=7,
        episodes=1, epsilon_first=0.75, horizon=horizon, gamma=0.75,
    )  # fmt: skip
    Q, memory, history = scripted([HALF, ACCEPT, ACCEPT]), Minibatches(2, 1, 4), Iterates(4)
    start = lambda e: np.array([4.0, 1.0])  # noqa: E731
    run = algorithms.q_learning_alpha(
        quadratic, Starts(quadratic, start, 0), Q,
        "theta_0", memory, p, draws(), lambda e: history
    )
    assert list(run) == [history]
    # t=1, plain: x_2 = (4, 1) - (4, 4) / 2 = (2, -1); xbar = x_2, d = (-2, 4)
    # t=2, half: x_3 = (2, -1) + (-2, 4) / 4 = (1.5, 0), f = 1.125
    # t=3, accept: xbar = (1.5, 0), x_4 = (0.75, 0)
    # t=4, accept: xbar = (0.75, 0), f = 0.28125, x_5 = (0.375, 0)
    assert history.xs == [[2, -1], [1.5, 0], [0.75, 0], [0.375, 0]]
    log = history.log
    assert log.objective.tolist() == [4.0, 1.125, 0.28125, 0.0703125]
    assert log.value.tolist() == [0.5, 0.25, 0.5, 0.5]
    assert log.action.tolist() == [ACCEPT, HALF, ACCEPT, ACCEPT]
    # c_1 / (f(x_3) - f_lb), c_2 / (f(xbar) - f_lb), and the last with f - f_lb below the gap
    rewards = [0.25 / 1.0, 0.5 / 1.0, 0.5 / 0.25]
    if horizon == "returned":  # x_5, whose f is below the gap, for ever: gamma / (1 - gamma) = 3
        rewards[-1] += 3 * 0.25 / 0.25
    assert_experiences(memory, Q, [HALF, ACCEPT, ACCEPT], rewards, horizon != "endless")
    assert math.isnan(log.reward[0]) and log.reward[1:].tolist() == rewards
    assert log.td_loss[1:].tolist() == [1.0, 2.0, 3.0]  # one update a step
    assert log.episode_return == sum(rewards) and log.epsilon == 0.75
    assert Q.theta == "theta_0" and Q.epsilons == [0.75] * 3 and memory.sizes == [7] * 3
    first = state(0.5, 0.5, 0.5, (4.0, -20.0, 1.0), [10.0], p)
    second = state(0.25, 0.5, 0.5, (1.125, -3.0, 1.0), [10.0, 4.0], p)
    assert np.allclose(Q.states[:2], [first, second], rtol=1e-14)


G = {  # g_{lambda_t} of the measured iterate at t = 2, 3, 4, see below
    2: 0.5078125 + 0.5 * 1.00390625,
    3: 0.5078125 + 0.25 * 1.00390625,
    4: 0.5078125 + 0.3125 * 1.00390625,
}


@pytest.mark.parametrize(
    "reward, rewards",
    [
        ("g", [0.25 / G[2], 0.25 / G[3], 0.5 / G[4]]),
        ("error", [0.25 / 0.125, 0.25 / 0.125, 0.5 / 0.125]),  # h(1, 1/16) = 1/8 throughout
    ],
)
def test_algorithm_4_by_hand(quadratic, parameters, scripted, reward, rewards):
    p = parameters(
        "reg", steps=4, M=2, alpha=0.25, lambda_c=0.5, f_lb=0.0, gap=0.01, c1=0.25,
        c2=0.5, batch=7, episodes=1, reward=reward, horizon="endless",
    )  # fmt: skip
    Q, memory, history = scripted([HALF, RAISE, ACCEPT]), Minibatches(2, 1, 4), Iterates(4)
    h = lambda x, lam: float(x[0]) / 8  # noqa: E731
    start = lambda e: np.array([4.0, 1.0])  # noqa: E731
    run = algorithms.q_learning_lambda(
        quadratic, h, Starts(quadratic, start, 0), Q,
        "theta_0", memory, p, draws(), lambda e: history
    )
    assert list(run) == [history]
    # t=1, plain: x_2 = (4, 1) - (8, 5) / 4 = (2, -1/4); d = -(2 * 2, -5/4)
    # t=2, half: lambda 1/2 -> 1/4, x_3 = (2, -1/4) + (-4, 1.25) / 4 = (1, 1/16)
    # t=3, 1.25: lambda 1/4 -> 5/16, x_4 = x_3
    # t=4, accept: d = -(1.625 * 1, 4.625 / 16), lambda 1/2, x_5 = x_4 + d / 4
    x_5 = [1 - 1.625 / 4, 0.0625 - 4.625 / 64]
    assert history.xs == [[2, -0.25], [1, 0.0625], [1, 0.0625], x_5]
    log = history.log
    assert log.value.tolist() == [0.5, 0.25, 0.3125, 0.5]
    assert log.action.tolist() == [ACCEPT, HALF, RAISE, ACCEPT]
    xx = 1 + 1 / 256  # the log holds g_{lambda_{t+1}}(x_{t+1})
    g_3, g_4 = 0.5078125 + 0.25 * xx, 0.5078125 + 0.3125 * xx
    assert log.objective[:3].tolist() == [2.125 + 0.5 * 4.0625, g_3, g_4]
    assert_experiences(memory, Q, [HALF, RAISE, ACCEPT], rewards, False)
    assert log.reward[1:].tolist() == pytest.approx(rewards, rel=1e-14)
    assert Q.theta == "theta_0" and memory.sizes == [7] * 3
    # g_{lambda_t}(x_t), d(xbar) . grad g_{lambda_t}(x_t) and Eq. 6; G up to t - 1
    g_1, g_2 = 10 + 0.5 * 17, 2.125 + 0.5 * 4.0625
    expected = [
        state(0.5, 0.5, 0.25, (g_2, -(16 + 1.5625), 1.0), [g_1], p),
        state(0.25, 0.5, 0.25, (G[3], -4 * 1.5 + 1.25 * 4.5 / 16, 1.0), [g_1, g_2], p),
        state(0.3125, 0.5, 0.25, (G[4], -4 * 1.625 + 1.25 * 4.625 / 16, 1.0), [g_1, g_2, G[3]], p),
    ]
    assert np.allclose(Q.states, expected, rtol=1e-14)


@pytest.mark.parametrize("task", ["lr", "reg"])
def test_a_controller_is_applied_after_the_same_plain_steps_as_in_training(
    quadratic, parameters, scripted, task
):
    p = parameters(task, steps=6, M=4, alpha_c=0.125, alpha=0.125, lambda_c=0.5, episodes=1)
    start = lambda e: np.array([4.0, 1.0])  # noqa: E731
    applied, learned, Q = History(6), History(6), scripted([HALF] * 3)
    starts, memory = Starts(quadratic, start, 0), Memory(1, 0, 6)
    rest = starts, scripted([HALF] * 3), None, memory, p, draws(), lambda e: learned
    if task == "lr":
        algorithms.q_gradient_descent_alpha(quadratic, begin(quadratic), Q, p, applied)
        list(algorithms.q_learning_alpha(quadratic, *rest))
    else:
        algorithms.q_gradient_descent_lambda(quadratic, begin(quadratic), Q, p, applied)
        list(algorithms.q_learning_lambda(quadratic, quadratic, *rest))
    assert applied.action.tolist() == learned.action.tolist() == [ACCEPT] * 3 + [HALF] * 3
    if task == "lr":  # Algorithm 4 logs g, Algorithm 2 f
        assert applied.objective[:3].tolist() == learned.objective[:3].tolist()
    assert applied.value.tolist() == learned.value.tolist()


def test_episodes_begin_at_their_own_x_1_and_epsilon_and_may_begin_late(
    quadratic, parameters, scripted
):
    p = parameters(
        steps=2, M=1, episodes=5, epsilon_first=1.0, epsilon_last=0.0, epsilon_episodes=4,
        beta=0.8, beta_last=0.0, beta_episodes=4,
    )  # fmt: skip
    Q, starts, betas = scripted([HALF] * 6), [], []

    def start(e):
        starts.append(e)
        return np.array([float(e), 0.0])

    run = algorithms.q_learning_alpha(
        quadratic, Starts(quadratic, start, 0), Q,
        None, Memory(9, 0, 2), p, draws(), lambda e: History(2), first=3
    )
    for history in run:
        betas.append(Q.beta)
        assert history.objective[0] == 0.5 * (starts[-1] / 2) ** 2  # x_2 = x_1 / 2
    assert starts == [3, 4, 5] and Q.episodes == 3
    assert Q.epsilons == pytest.approx([0.5, 0.5, 0.25, 0.25, 0, 0])
    assert betas == pytest.approx([0.4, 0.2, 0.0])


def test_where_f_is_not_finite_no_error_rate_is_logged():
    history = History(3, {"test": lambda x: 0.9})
    for t, f_x in enumerate((1.0, math.nan, math.inf), 1):
        history.add(t, f_x, 0.5, ACCEPT, x=f_x)
    assert history.diverged_at == 3
    assert np.array_equal(history.error["test"], [0.9, math.nan, math.nan], equal_nan=True)


# -- tags -----------------------------------------------------------------------------------------

TAG = re.compile(r"# (A(\d):(\d+)|D\d+|log)")
SOURCE = (PACKAGE / "algorithms.py").read_text()


def algorithms_of(source):
    """{number: (function, printed line numbers of its docstring)} of the four algorithms."""
    found = {}
    for function in ast.parse(source).body:
        if isinstance(function, ast.FunctionDef):
            text = ast.get_docstring(function)
            number = int(re.match(r"Algorithm (\d)", text).group(1))
            found[number] = function, [int(n) for n in re.findall(r"(?m)^(\d+) +\S", text)]
    return found


def logical_lines(source):
    """[(first physical line, last, comment or None, column of the comment)] of every statement."""
    lines, first, comment = [], None, (None, None)
    skipped = (tokenize.NL, tokenize.INDENT, tokenize.DEDENT)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            comment = token.string, token.start[1]
        elif token.type == tokenize.NEWLINE:
            lines.append((first, token.start[0], *comment))
            first, comment = None, (None, None)
        elif token.type not in skipped and first is None:
            first, comment = token.start[0], (None, None)
    return lines


def faults(source):
    """What is wrong with the tags of the four algorithms, as a list of sentences."""
    found, columns = [], set()
    for number, (function, printed) in algorithms_of(source).items():
        if printed != list(range(1, len(printed) + 1)) or len(printed) < 5:
            found.append(f"Algorithm {number} lists the lines {printed}")
        body = function.body[1:]
        used = []
        for first, last, comment, column in logical_lines(source):
            if not body[0].lineno <= first <= function.end_lineno:
                continue
            tag = TAG.fullmatch(comment or "")
            if not tag:
                found.append(f"line {last} has no tag but {comment}")
                continue
            columns.add(column)
            if tag.group(2):
                used.append((int(tag.group(2)), int(tag.group(3))))
        starts = [s.lineno for part in body for s in ast.walk(part) if isinstance(s, ast.stmt)]
        found += [f"line {n} holds two statements" for n in set(starts) if starts.count(n) > 1]
        for line in printed:
            if used.count((number, line)) != 1:
                found.append(f"A{number}:{line} is tagged {used.count((number, line))} times")
        found += [f"A{a}:{n} is no line" for a, n in used if a != number or n not in printed]
    if len(columns) > 1:
        found.append(f"tags stand in the columns {sorted(columns)}")
    return found


def test_every_statement_is_tagged_and_every_printed_line_is_tagged_once():
    assert sorted(algorithms_of(SOURCE)) == [1, 2, 3, 4]
    assert [len(printed) for _, printed in algorithms_of(SOURCE).values()] == [10, 12, 21, 23]
    assert faults(SOURCE) == []


def code_lines():
    return [k for k, line in enumerate(SOURCE.splitlines()) if TAG.search(line)]


def changed(change, line):
    lines = SOURCE.splitlines()
    lines[line] = change(lines[line])
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize(
    "name, change",
    [
        ("removed", lambda line: line[: line.index("#")].rstrip()),
        ("doubled", lambda line: f"{line}\n{line}" if "  return " in line else f"{line} # D1"),
        ("misspelt", lambda line: line.replace("# ", "# a note: ")),
        ("another", lambda line: re.sub("# .*", "# A1:99", line)),
        ("moved", lambda line: line[: line.index("#")] + " " + line[line.index("#") :]),
    ],
)
def test_a_tag_that_is_removed_doubled_misspelt_wrong_or_moved_is_found(name, change):
    lines = code_lines()
    assert len(lines) > 100
    for line in lines[:: 3 if name == "removed" else 9]:
        assert faults(changed(change, line)), SOURCE.splitlines()[line]


def test_a_tag_given_to_two_statements_or_to_another_algorithm_is_found():
    lines = SOURCE.splitlines()
    half = next(k for k in code_lines() if lines[k].endswith("# A1:6"))
    assert "A1:6 is tagged 2 times" in faults(changed(lambda line: f"{line}\n{line}", half))
    wrong = faults(changed(lambda line: line.replace("# A1:6", "# A2:6"), half))
    assert {"A1:6 is tagged 0 times", "A2:6 is no line"} <= set(wrong)


def test_a_statement_put_after_another_on_its_line_or_under_an_else_is_found():
    lines = SOURCE.splitlines()
    k = next(k for k in code_lines() if lines[k].endswith("# A1:9"))
    double = changed(lambda line: line.replace("alpha * d   ", "alpha * d; y = 1"), k)
    assert double != SOURCE and any("two statements" in fault for fault in faults(double))
    branch = "        else:\n            alpha = 0" + " " * 67 + "# D1\n"
    assert any("has no tag" in fault for fault in faults(changed(lambda line: branch + line, k)))


def cited(text):
    """The numbers of all decisions named in a text; D16-D21 names six."""
    numbers = {int(n) for n in re.findall(r"\bD(\d+)\b", text)}
    for first, last in re.findall(r"\bD(\d+)-D(\d+)\b", text):
        numbers |= set(range(int(first), int(last) + 1))
    return numbers


def test_a_range_of_decisions_cites_all_of_them():
    assert cited("(4.2, D16-D18) # D2, DZ, 3D1, D1_") == {2, 16, 17, 18}


def test_the_decisions_cited_in_the_code_are_those_of_the_table_in_the_readme():
    readme = PACKAGE.parent / "README.md"
    rows = re.findall(r"(?m)^\| *D(\d+) *\|", readme.read_text()) if readme.exists() else []
    if not rows:
        pytest.skip("README.md has no table of decisions yet")
    in_code = set().union(*(cited(path.read_text()) for path in PACKAGE.rglob("*.py")))
    assert len(rows) == len(set(rows))
    assert in_code == {int(n) for n in rows}


def test_each_algorithm_fits_on_a_screen_and_nests_at_most_three_deep():
    for function in (
        algorithms.q_gradient_descent_alpha, algorithms.q_gradient_descent_lambda,
        algorithms.q_learning_alpha, algorithms.q_learning_lambda,
    ):  # fmt: skip
        source = inspect.getsource(function)
        lines = source.split('"""')[2].strip("\n").splitlines()
        assert len(lines) <= 50 and max(map(len, source.splitlines())) <= 100
        assert max(len(line) - len(line.lstrip()) for line in lines) <= 4 * 4


# -- divergence (D23) -----------------------------------------------------------------------------


def learn(case, p, seed=0, h=None):
    """Algorithm 3, or 4 if there is an h, on a small problem; (histories, memory, Q)."""
    Q = DQN(
        (len(FEATURES), 4, 3 if h else 2), np.random.default_rng([seed, 0]), p.beta, p.gamma,
        p.optimizer, p.target_every, p.double, p.clip, p.n_steps, p.label, p.explore,
        p.accepts,
    )  # fmt: skip
    memory = Memory(p.A, p.B, p.steps)
    algorithm = algorithms.q_learning_lambda if h else algorithms.q_learning_alpha
    draw = lambda e: case.net.initialise(np.random.default_rng([seed, 3, e]))  # noqa: E731
    start = lambda e: case.f.point(draw(e))  # noqa: E731
    run = algorithm(
        *([case.f, h] if h else [case.f]), Starts(case.f, start, 0), Q, Q.theta, memory, p,
        draws(seed), lambda e: History(p.steps),
    )  # fmt: skip
    return list(run), memory, Q


def assert_finite(memory, Q):
    for name in ("s", "s_next", "r", "label"):
        assert np.isfinite(getattr(memory, name)).all(), name
    assert np.abs(memory.s).max() <= 1 and np.abs(memory.s_next).max() <= 1
    assert np.isfinite(Q.theta).all()


SHORT = dict(steps=12, M=3, episodes=4, batch=8, A=2, B=1)


@pytest.mark.parametrize("alpha_c", [1e30, 1e38])
@pytest.mark.parametrize("label", ["fresh", "stored"])
def test_an_episode_that_diverges_ends_with_reward_zero_and_the_next_goes_on(
    problem, parameters, alpha_c, label
):
    p = parameters(**SHORT, alpha_c=alpha_c, label=label)
    histories, memory, Q = learn(problem(), p)
    assert len(histories) == 4
    for history in histories:
        t = history.diverged_at
        assert 1 <= t < 12 and not math.isfinite(history.objective[t - 1])
        assert history.reward[t - 1] == 0.0 and math.isfinite(history.episode_return)
        assert np.isnan(history.reward[t:]).all() and (history.action[t:] == -1).all()
    assert_finite(memory, Q)
    s, a, r, s_next, stored, end = experiences(memory)
    assert end.tolist() == [False] * (len(end) - 1) + [True] and r[-1] == stored[-1] == 0.0
    assert Q.updates == sum((h.action[p.M - 1 :] >= 0).sum() for h in histories)


@pytest.mark.parametrize("loss", ["softmax", "eq2"])
def test_a_learning_rate_of_1000_gives_defined_rewards_and_a_finite_memory(
    problem, parameters, loss
):
    """The saturated net's f is some hundreds, and finite: a result, no divergence."""
    p = parameters(**SHORT, alpha_c=1e3)
    histories, memory, Q = learn(problem(loss=loss), p)
    assert max(np.nanmax(h.objective) for h in histories) > 50
    for history in histories:
        rewards = history.reward[p.M - 1 : history.diverged_at or None]
        assert np.isfinite(rewards).all() and np.isfinite(history.episode_return)
    assert_finite(memory, Q)


@pytest.mark.parametrize("reward", ["error", "g"])
@pytest.mark.parametrize("lambda_c", [1.0, 1e30])
def test_a_coefficient_that_diverges_ends_the_episode_and_the_next_goes_on(
    problem, parameters, reward, lambda_c
):
    p = parameters("reg", **SHORT | dict(steps=30), alpha=1e3, lambda_c=lambda_c, reward=reward,
                   accepts=0.4)  # fmt: skip
    case = problem()
    histories, memory, Q = learn(case, p, h=case.h)
    assert [0 < h.diverged_at < 30 for h in histories] == [True] * 4
    assert [h.reward[h.diverged_at - 1] for h in histories] == [0.0] * 4
    assert all(math.isfinite(h.episode_return) for h in histories)
    assert_finite(memory, Q)


@pytest.mark.parametrize("task", ["lr", "reg"])
def test_a_greedy_run_that_diverges_stops_and_marks_the_step(problem, parameters, scripted, task):
    p = parameters(task, steps=40, M=1, alpha_c=1e30, alpha=1e3, lambda_c=1.0)
    case, history = problem(), History(40)
    algorithm = {
        "lr": algorithms.q_gradient_descent_alpha, "reg": algorithms.q_gradient_descent_lambda,
    }[task]  # fmt: skip
    x = algorithm(case.f, Start(case.f, case.x_1), scripted([ACCEPT] * 40), p, history)
    t = history.diverged_at
    assert 1 <= t < 40 and not math.isfinite(case.f(x))
    assert np.isfinite(history.objective[: t - 1]).all()
    assert (history.action[t:] == -1).all()


def test_a_dqn_learning_rate_of_ten_goes_on_and_counts_the_steps_not_taken(problem, parameters):
    p = parameters(
        **SHORT | dict(steps=40, episodes=15), beta=10.0, beta_last=10.0, optimizer="gd",
        target_every=0, double=False, n_steps=1, gamma=0.99, c1=1.0, c2=1.0, horizon="endless",
        f_lb=0.0,
    )  # fmt: skip
    histories, memory, Q = learn(problem(), p)
    assert len(histories) == 15 and all(h.diverged_at == 0 for h in histories)
    assert Q.rejected > 0 and Q.updates == 15 * 38
    assert_finite(memory, Q)


# -- seeds (R3) -----------------------------------------------------------------------------------


def fingerprint(problem, parameters, seed):
    case = problem()
    histories, memory, Q = learn(case, parameters(**SHORT), seed)
    logs = [h.objective.tobytes() + h.action.tobytes() + h.td_loss.tobytes() for h in histories]
    return b"".join([*logs, memory.s.tobytes(), Q.theta.tobytes()])


def test_the_same_seed_gives_the_same_bits_and_ten_seeds_ten_results(problem, parameters):
    before = np.random.get_state()
    prints = [fingerprint(problem, parameters, seed) for seed in range(10)]
    again = [fingerprint(problem, parameters, seed) for seed in range(10)]
    assert prints == again and len(set(prints)) == 10
    after = np.random.get_state()
    assert before[0] == after[0] and np.array_equal(before[1], after[1])
    assert before[2:] == after[2:]


def test_the_global_generator_has_no_part_in_a_result(problem, parameters):
    np.random.seed(1)
    first = fingerprint(problem, parameters, 0)
    np.random.seed(2)
    assert fingerprint(problem, parameters, 0) == first
