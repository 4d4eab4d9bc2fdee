"""The six features, Eq. 4 and Eq. 6 from hand-made numbers, and the epsilon schedule."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest

from qgd_np.environment import ACTIONS, FEATURES, encoding, schedule, state
from qgd_np.fast.objective import PlainObjective

pytestmark = pytest.mark.filterwarnings("error")

P = SimpleNamespace(M=3)
VALUE, OBJECTIVE, MAXIMUM, SLOPE, ENCODING, ALIGNMENT = range(6)


def features(value=1.0, value_c=1.0, rate=1.0, f=2.0, slope=-1.0, alignment=0.0, F=(2.0,), p=P):
    return state(value, value_c, rate, (f, slope, alignment), list(F), p)


def test_the_six_features_of_hand_made_numbers():
    s = features(
        value=0.25, value_c=1.0, rate=0.5, f=1.0, slope=-0.5, alignment=0.25,
        F=[1.25, 1.5, 0.8, 1.2, 1.1],
    )  # fmt: skip
    assert len(s) == len(FEATURES) == 6
    assert s[VALUE] == -0.5  # two halves of eight
    assert s[OBJECTIVE] == pytest.approx(math.tanh(4 * math.log(1.0 / 0.8)))  # 0.8, the lowest
    assert s[MAXIMUM] == pytest.approx(math.tanh(16 * math.log(1.2 / 1.25)))  # 0.8, 1.2, 1.1
    assert s[SLOPE] == pytest.approx(math.tanh(0.5 * -0.5 / 1.0))
    assert s[ENCODING] == 0.0  # among the three lowest, 0.8, 1.1 and 1.2
    assert s[ALIGNMENT] == 0.25


def test_the_first_state_has_only_the_first_objective_value():
    s = features(f=2.5, F=())
    assert s[[VALUE, OBJECTIVE, MAXIMUM, ENCODING]].tolist() == [0.0, 0.0, 0.0, 1.0]


def test_feature_three_looks_back_M_steps():
    F = [2.0, 2.1, 1.0, 1.0, 1.0]
    maximum = lambda M: features(F=F, p=SimpleNamespace(M=M))[MAXIMUM]  # noqa: E731
    assert maximum(3) == pytest.approx(math.tanh(16 * math.log(1.0 / 2.0)))
    assert maximum(4) == maximum(80) == pytest.approx(math.tanh(16 * math.log(2.1 / 2.0)))


def test_the_coefficient_and_the_learning_rate_share_the_map_of_their_value():
    for value_c in (1.0, 0.01):
        values = [value_c * factor for factor in (1 / 32, 1 / 16, 0.5, 1, 1.25, 16, 32)]
        mapped = [features(value=v, value_c=value_c)[VALUE] for v in values]
        expected = [-1, -1, -0.25, 0, math.log2(1.25) / 4, 1, 1]
        assert mapped == pytest.approx(expected, abs=1e-12)


def test_a_coefficient_of_zero_has_a_state():
    assert features(value=0.0, value_c=0.0)[VALUE] == 0.0
    assert features(value=0.0, value_c=1.0)[VALUE] == -1.0


EXTREMES = (-math.inf, -1e308, -1.0, 0.0, 1e-300, 1.0, 1e308, math.inf, math.nan)


@pytest.mark.parametrize("first", EXTREMES)
def test_every_feature_lies_in_minus_one_to_one_for_any_number_at_all(first):
    for f, slope, last in itertools.product(EXTREMES, repeat=3):
        for F in ([], [first], [first, last], [1.0, first, last]):
            s = features(f=f, slope=slope, alignment=last, F=F)
            assert np.all(np.abs(s) <= 1.0), (f, slope, F, s)  # NaN would fail
    for value in (0.0, 1e-300, 1e308, math.inf):
        assert np.all(np.abs(features(value=value, f=first, F=[first])) <= 1.0)


def test_numbers_that_are_not_finite_take_the_upper_end():
    for bad in (math.nan, math.inf):
        s = features(f=bad, slope=bad, alignment=bad, F=[2.0, 1.0, 1.5, bad])
        assert s[OBJECTIVE] == s[SLOPE] == s[ALIGNMENT] == 1.0
        assert s[ENCODING] == -1.0
    assert features(F=[2.0, math.inf])[MAXIMUM] == 1.0


@pytest.mark.parametrize(
    "name, feature, values",
    [
        ("value", VALUE, [2.0**k for k in range(-4, 5)]),
        ("f", OBJECTIVE, [0.5, 1.0, 1.9, 2.0, 2.1, 4.0]),
        ("slope", SLOPE, [-4.0, -1.0, -0.1, 0.0, 0.1, 1.0]),
        ("alignment", ALIGNMENT, [-1.0, -0.5, 0.0, 0.5, 1.0]),
    ],
)
def test_each_map_is_strictly_monotone_and_touches_its_own_feature_only(name, feature, values):
    states = np.array([features(**{name: value}) for value in values])
    assert np.all(np.diff(states[:, feature]) > 0)
    others = [k for k in range(6) if k != feature]
    if name == "f":  # f enters the slope's scale and Eq. 4 too
        others = [VALUE, MAXIMUM, ALIGNMENT]
    assert np.all(states[:, others] == states[0, others])


def test_the_maximum_feature_is_monotone_in_the_maximum():
    mapped = [features(F=[2.0, v, 1.0])[MAXIMUM] for v in (2.0, 2.05, 2.1, 2.3)]
    assert np.all(np.diff(mapped) > 0)


def test_features_do_not_depend_on_the_scale_of_the_objective():
    s = features(f=1.4, slope=-0.3, F=[2.0, 1.5])
    scaled = features(f=14.0, slope=-3.0, F=[20.0, 15.0])
    assert np.allclose(s, scaled, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    "f, expected",
    [(0.9, 1.0), (1.0, 1.0), (1.1, 0.0), (3.0, 0.0), (3.01, -1.0), (5.0, -1.0), (6.0, -1.0)],
)
def test_equation_4_below_among_or_above_the_lowest_values(f, expected):
    assert encoding(f, [4.0, 1.0, 5.0, 3.0, 2.0], 3) == expected  # the three lowest: 1, 2, 3


def test_equation_4_with_fewer_than_M_values_takes_those_there_are():
    assert encoding(2.0, [2.0], 5) == 1.0
    assert encoding(2.1, [2.0], 5) == -1.0
    assert encoding(2.1, [2.0, 3.0], 5) == 0.0


def test_equation_6_by_hand():
    f = PlainObjective(lambda x: 0.0, lambda x: 0 * x)
    d, before = np.array([1.0, -2.0, 3.0, 0.0]), np.array([5.0, -1.0, -1.0, 7.0])
    x = f.point(np.zeros(4))
    assert f.observe(x, d, before)[2] == (1 + 1 - 1 + 0) / 4
    assert f.observe(x, d, d)[2] == 0.75  # a half step: the share of components that are not zero
    assert f.observe(x, d, -d)[2] == -0.75


def test_equation_6_of_directions_of_the_objective_net(problem):
    case = problem(n=5, dtype=np.float64)
    case.images[:, 0] = 0  # a pixel that never varies: five components of d are zero
    f, x = case.f, case.x_1
    first = -f.gradient(x)
    x = x + 2.0 * first
    second = -f.gradient(x)
    u, v = np.sign(first.vector), np.sign(second.vector)
    assert f.observe(x, second, first)[2] == pytest.approx(np.mean(u * v), abs=1e-12)
    assert -1 < np.mean(u * v) < 1
    assert f.observe(x, second, second)[2] == pytest.approx(1 - 5 / len(u), abs=1e-12)
    assert f.observe(x, -second, second)[2] == pytest.approx(5 / len(u) - 1, abs=1e-12)


def test_epsilon_falls_linearly_and_then_stays():
    epsilon = [schedule(e, 1.0, 0.1, 3) for e in range(1, 7)]
    assert epsilon == pytest.approx([1.0, 0.7, 0.4, 0.1, 0.1, 0.1])
    assert schedule(51, 1.0, 0.1, 50) == 0.1 < schedule(50, 1.0, 0.1, 50)


def test_a_fixed_epsilon_is_a_schedule_over_one_episode():
    assert [schedule(e, 0.01, 0.01, 1) for e in (1, 2, 100)] == pytest.approx([0.01] * 3)


def test_the_learning_rate_has_two_actions_and_the_coefficient_three():
    assert ACTIONS == {"lr": ("half", "accept"), "reg": ("half", "accept", "raise")}
