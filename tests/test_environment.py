"""The six features, Eq. 4 and Eq. 6 from hand-made numbers, and how an episode ends."""

import itertools
import math
from types import SimpleNamespace
from unittest.mock import Mock, call

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qgd_np.config import Config
from qgd_np.environment import ACTIONS, FEATURES, Features, encoding, ending, returned
from qgd_np.objective import Function

pytestmark = pytest.mark.filterwarnings("error")

VALUE, OBJECTIVE, MAXIMUM, SLOPE, ENCODING, ALIGNMENT = range(6)


def state(value=1.0, value_c=1.0, rate=1.0, f=2.0, slope=-1.0, alignment=0.0, F=(2.0,), M=3):
    found = SimpleNamespace(observe=lambda *_: (f, slope, alignment))
    return Features(found, F, None, value_c, rate, Config(M=M))(None, None, value)


def test_the_six_features_of_hand_made_numbers():
    s = state(0.25, 1.0, 0.5, f=1.0, slope=-0.5, alignment=0.25, F=[1.25, 1.5, 0.8, 1.2, 1.1])
    assert s.shape == (6,) and len(FEATURES) == 6
    assert ACTIONS == {"lr": ("half", "accept"), "reg": ("half", "accept", "raise")}
    assert s[VALUE] == -0.5  # two halves of eight
    assert s[OBJECTIVE] == pytest.approx(math.tanh(4 * math.log(1.0 / 0.8)))  # 0.8, the lowest
    assert s[MAXIMUM] == pytest.approx(math.tanh(16 * math.log(1.2 / 1.25)))  # 0.8, 1.2, 1.1
    assert s[SLOPE] == pytest.approx(math.tanh(0.5 * -0.5 / 1.0))
    assert s[ENCODING] == 0.0  # among the three lowest, 0.8, 1.1 and 1.2
    assert s[ALIGNMENT] == 0.25


def test_what_was_seen_before_is_kept_from_state_to_state():
    f, F = Mock(), [3.0]
    f.observe.side_effect = [(value, 0.0, 0.0) for value in (2.0, 2.5, 4.0)]
    seen = Features(f, F, "d_1", 1.0, 1.0, Config(M=2))
    s = [seen("x_2", "d_2", alpha=0.5), seen("x_3", "d_2", lam=0.25), seen("x_4", "d_4", 2.0)]
    looks = ("x_2", "d_2", "d_1", 0.0), ("x_3", "d_2", "d_2", 0.25), ("x_4", "d_4", "d_2", 0.0)
    assert f.observe.mock_calls == [call(*look) for look in looks]
    assert [k[VALUE] for k in s] == [-0.25, -0.5, 0.25]
    assert [k[ENCODING] for k in s] == [1, 0, -1]  # in [3], [2, 3], [2, 2.5] of three
    lowest, highest = [3.0, 2.0, 2.0], [3.0, 3.0, 2.5]
    for k, f in enumerate([2.0, 2.5, 4.0]):
        assert s[k][OBJECTIVE] == pytest.approx(math.tanh(4 * math.log(f / lowest[k])))
        assert s[k][MAXIMUM] == pytest.approx(math.tanh(16 * math.log(highest[k] / 3.0)))
    assert F == [3.0]  # the list that was given belongs to the plain steps


def test_the_far_maps_and_the_slope_where_the_line_begins():
    f = Mock()
    slopes = {("x_2", "d_2"): -4.0, ("x_3", "d_2"): 2.0, ("x_3", "d_3"): -8.0, ("x_4", "d_3"): 2.0}
    f.observe.side_effect = lambda x, d, *_: (2.0, slopes[x, d], 0.0)
    seen = Features(f, [1.0], "d_1", 1.0, 0.5, Config(M=2, map="far"))
    s = [seen("x_2", "d_2", 0.5), seen("x_3", "d_2", 0.25), seen("x_4", "d_3", 2.0)]
    assert [k[VALUE] for k in s] == pytest.approx([-0.1, -0.2, 0.1])
    assert [k[SLOPE] for k in s] == pytest.approx([math.tanh(k) for k in (-1, 0.5, 0.25)])
    assert s[2][MAXIMUM] == pytest.approx(math.tanh(math.log(2.0)))
    assert seen.gradients == 3  # the plain step's, d_2's and d_3's


def test_feature_three_looks_back_m_steps():
    maximum = lambda M: state(F=[2.0, 2.1, 1.0, 1.0, 1.0], M=M)[MAXIMUM]  # noqa: E731
    assert maximum(3) == pytest.approx(math.tanh(16 * math.log(1.0 / 2.0)))
    assert maximum(4) == maximum(80) == pytest.approx(math.tanh(16 * math.log(2.1 / 2.0)))
    first = state(f=2.5, F=())  # only f(x_1) is known
    assert first[[VALUE, OBJECTIVE, MAXIMUM, ENCODING]].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_the_value_is_seen_relative_to_its_value_after_an_accept():
    for value_c in (1.0, 0.01):
        factors = (1 / 32, 1 / 16, 0.5, 1, 1.25, 16, 32)
        mapped = [state(value=value_c * factor, value_c=value_c)[VALUE] for factor in factors]
        assert mapped == pytest.approx([-1, -1, -0.25, 0, math.log2(1.25) / 4, 1, 1], abs=1e-12)


def test_what_is_zero_counts_as_1e_12():
    assert state(value=0.0, value_c=0.0)[VALUE] == 0.0
    assert state(value=4e-12, value_c=0.0)[VALUE] == state(0.0, 0.25e-12)[VALUE] + 0.5 == 0.5
    assert state(value=0.0, value_c=1.0)[VALUE] == -1.0
    assert state(f=0.0, F=[0.9e-12])[OBJECTIVE] == state(f=1.0, F=[0.0, 1e-12])[MAXIMUM] == 0.0
    assert state(f=0.0, slope=-1e-12)[SLOPE] == pytest.approx(math.tanh(-1))


EXTREMES = st.sampled_from([-math.inf, -1e308, 0.0, 1e-300, 1.0, 1e308, math.inf, math.nan])
NUMBERS = EXTREMES | st.floats()


@settings(max_examples=400, deadline=None, derandomize=True, database=None)
@given(st.floats(0.0), NUMBERS, NUMBERS, NUMBERS, st.lists(NUMBERS, max_size=4))
def test_every_feature_lies_in_minus_one_to_one_for_any_number_at_all(value, f, slope, other, F):
    s = state(value=value, f=f, slope=slope, alignment=other, F=F)
    assert np.all(np.abs(s) <= 1.0)  # NaN would fail


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_numbers_that_are_not_finite_take_the_upper_end(bad):
    s = state(f=bad, slope=bad, alignment=bad, F=[2.0, 1.0, 1.5, bad])
    assert s[[OBJECTIVE, SLOPE, ENCODING, ALIGNMENT]].tolist() == [1, 1, -1, 1]
    assert state(slope=bad)[SLOPE] == state(f=bad)[SLOPE] == 1.0
    assert state(F=[2.0, math.inf])[MAXIMUM] == state(F=[bad, 2.0], M=1)[MAXIMUM] == 1.0


@pytest.mark.parametrize("name, feature, values", [
    ("value", VALUE, [2.0**k for k in range(-4, 5)]),
    ("f", OBJECTIVE, [0.5, 1.0, 1.9, 2.0, 2.1, 4.0]),
    ("slope", SLOPE, [-4.0, -1.0, -0.1, 0.0, 0.1, 1.0]),
    ("alignment", ALIGNMENT, [-1.0, -0.5, 0.0, 0.5, 1.0]),
])  # fmt: skip
def test_each_map_is_strictly_monotone_and_touches_its_own_feature_only(name, feature, values):
    states = np.array([state(**{name: value}) for value in values])
    assert np.all(np.diff(states[:, feature]) > 0)
    others = {*range(6)} - {feature, *([SLOPE, ENCODING] if name == "f" else [])}
    assert np.all(states[:, list(others)] == states[0, list(others)])


@pytest.mark.parametrize("f, F, M, expected", [
    *((f, [4.0, 1.0, 5.0, 3.0, 2.0], 3, e)  # the three lowest: 1, 2, 3
      for f, e in [(0.9, 1), (1.0, 1), (1.1, 0), (3.0, 0), (3.01, -1), (5.0, -1), (6.0, -1)]),
    (2.0, [2.0], 5, 1), (2.1, [2.0], 5, -1), (2.1, [2.0, 3.0], 5, 0), (1.5, [2.0, 1.0], 1, -1),
])  # fmt: skip
def test_equation_4_below_among_or_above_the_m_lowest_values(f, F, M, expected):
    assert encoding(f, F, M) == expected


def test_equation_6_by_hand():
    f = Function(lambda x: 0.0, lambda x: 0 * x)
    d, before = np.array([1.0, -2.0, 3.0, 0.0]), np.array([5.0, -1.0, -1.0, 7.0])
    x = f.point(np.zeros(4))
    assert f.observe(x, d, before)[2] == (1 + 1 - 1 + 0) / 4
    assert f.observe(x, d, d)[2] == 0.75  # a half step: the share of components that are not zero
    assert f.observe(x, d, -d)[2] == -0.75


@pytest.mark.parametrize("f_x, f_bar, chosen", [
    (1.0, 2.0, "x"), (2.0, 2.0, "x"), (3.0, 2.0, "xbar"), (math.nan, 2.0, "xbar"),
])  # fmt: skip
def test_what_an_episode_returns(f_x, f_bar, chosen):
    f = {"x_t": 0.0, "x": f_x, "xbar": f_bar, "lowest": 1.5}.get
    best = "x" if f_x < 1.5 else "lowest"
    seen = SimpleNamespace(x="x_t", lowest="lowest", m=f)
    for returns, expected in (
        ("printed", "x_t"), ("last", "x"), ("lower", chosen), ("lowest", best),
    ):  # fmt: skip
        assert returned(seen, "x", "xbar", f, SimpleNamespace(returns=returns)) == expected


def test_the_map_of_differences_on_a_line():
    """f = x^2 - 5 from x = 2, d = -4: unmoved by a constant added to f, and f may be negative."""
    for c, k in ((-5.0, 1.0), (100.0, 1.0), (0.0, 1e-14)):  # nor by a factor
        f = Function(lambda x, c=c, k=k: float(k * (x[0] ** 2 + c)), lambda x, k=k: 2 * k * x)
        xbar, d = np.array([2.0]), np.array([-4.0])
        features = Features(f, [], None, 1.0, 1.0, Config(M=3, map="line"))
        assert features(xbar, d, 1.0) == pytest.approx([0, 0, 0, -1 / 2, 1, 1])  # s = -|s_0| = -16
        # at alpha = 1: x = -2, f as at x̄, s = 16; at 1/2: x = 0, the minimum, 4 below
        assert features(xbar + d, d, 1.0) == pytest.approx([0, 0, 0, 1 / 2, 1, 1])
        assert features(xbar + d / 2, d, 0.5) == pytest.approx([-0.1, -1 / 3, 0, 0, 1, 1])
        # at 1/4: x = 1, f 1 above the lowest, the highest 4 above it, both in units of 4; s = -8
        expected = [-0.2, 1 / 5, 1 / 2, -1 / 3, 0, 1]
        assert features(xbar + d / 4, d, 0.25) == pytest.approx(expected)
    found = SimpleNamespace(observe=lambda *_: (math.nan,) * 3)  # what is not finite is 1
    s = Features(found, [2.0], None, 1.0, 1.0, Config(map="line"))(None, "d", 1.0)
    assert s[[OBJECTIVE, SLOPE]] == pytest.approx(1)


def test_the_end_of_an_episode_by_hand():
    """r = 5, gamma / (1 - gamma) = 3, c_1 = 2: the end is worth 3 * 2 / max(m - 1, 0.5)."""
    p = SimpleNamespace(steps=4, gamma=0.75, c1=2.0, c2=9.0, f_lb=1.0, gap=0.5, horizon="returned",
                        logarithm=0.0)  # fmt: skip
    assert ending(3, 5.0, 7.0, 4.0, p) == (5.0, False)
    assert ending(4, 5.0, 7.0, 4.0, p) == (5.0 + 2.0, True)
    assert ending(4, 5.0, 7.0, 1.1, p) == (5.0 + 12.0, True)
    p.horizon = "endless"
    assert ending(3, 5.0, 7.0, 4.0, p) == ending(4, 5.0, 7.0, 4.0, p) == (5.0, False)
    for f_x, t in itertools.product((math.nan, math.inf), (1, 3, 4)):
        assert ending(t, 5.0, f_x, 4.0, p) == (0.0, True)
    p.logarithm = 3.0  # of an accept's reward; a half has none (D42)
    assert ending(3, math.e**2, 7.0, 4.0, p) == (pytest.approx(6.0), False)
    assert ending(3, 1 / math.e, 7.0, 4.0, p) == (pytest.approx(-3.0), False)
    assert ending(3, 0.0, 7.0, 4.0, p) == (0.0, False)
