"""Eq. 10 on Markov decision processes with known Q, its targets by hand, and the replay memory."""

from types import SimpleNamespace
from unittest.mock import Mock, call

import numpy as np
import pytest

from qgd_np.dqn import DQN, Memory, schedule

pytestmark = pytest.mark.filterwarnings("error")

AS_PRINTED = dict(optimizer="gd", target_every=0, double=False, n_steps=1, gamma=0.5, beta=0.1,
                  explore="uniform", label="fresh")  # fmt: skip
STATES = np.eye(3)


@pytest.fixture
def dqn(parameters):
    """Return make(sizes, rng, **changes) -> a DQN of random parameters, else as printed."""

    def make(sizes=(3, 6, 5, 2), rng=None, **changes):
        Q = DQN(sizes, parameters(**AS_PRINTED | changes), rng or np.random.default_rng(0))
        Q.theta = Q.net.initialise(np.random.default_rng(0), np.float64)
        return Q

    return make


def memory_of(episodes, label=None, features=3):
    """A memory of whole episodes, each a list of (s, a, r, s', over), and the rows in order."""
    p = SimpleNamespace(A=len(episodes), B=0, steps=max(map(len, episodes)))
    memory, rows = Memory(p, np.random.default_rng(0), label, features), []
    for e, episode in enumerate(episodes, 1):
        for experience in episode:
            memory.add(e, *experience)
            rows.append(memory.start + memory.count - 1)
    return memory, np.array(rows)


def chain():
    """States 0 -> 1 -> 2, gamma = 1/2. Action 0 stops for 0.3, 0.4, 0; action 1 goes on for 0, 0
    and ends in state 2 with 1. So Q* is 1 in state 2, half of that in 1, half of 1/2 in 0."""
    stop = [(STATES[k], 0, r, STATES[k], True) for k, r in enumerate((0.3, 0.4, 0.0))]
    go = [(STATES[0], 1, 0.0, STATES[1], False), (STATES[1], 1, 0.0, STATES[2], False)]
    return memory_of([[e] for e in [*stop, *go, (STATES[2], 1, 1.0, STATES[2], True)]])


@pytest.mark.parametrize("changes, updates", [
    (dict(beta=3.0), 4000),
    (dict(optimizer="adam", beta=0.02), 1000),
    (dict(optimizer="adam", beta=0.02, target_every=20, double=True), 1000),
    (dict(optimizer="adam", beta=0.02, target_every=20), 1000),
])  # fmt: skip
def test_the_known_q_of_a_chain_is_learned(dqn, changes, updates):
    Q, (memory, rows) = dqn(**changes), chain()
    losses = [Q.update(memory, rows) for _ in range(updates)]
    assert np.allclose(Q.q(STATES), [[0.3, 0.25], [0.4, 0.5], [0.0, 1.0]], atol=0.01)
    assert [Q.greedy(s) for s in STATES] == [0, 1, 1]
    assert losses[-1] < 1e-4 < losses[0]
    assert Q.updates == updates and Q.rejected == 0


def test_equation_10_against_central_differences_with_the_target_held(dqn):
    rng, Q = np.random.default_rng(1), dqn(beta=1.0)
    s, s_next = rng.standard_normal((2, 5, 3))
    memory, rows = memory_of([[(s[k], k % 2, k / 3, s_next[k], k > 2) for k in range(5)]])
    rows = rows[[0, 3, 3, 4, 2, 1]]  # one is drawn twice
    s, a, y, theta = memory.s[rows], memory.a[rows], Q.target(memory, rows), Q.theta

    def loss(theta):
        return np.sum((Q.net.forward(theta, s)[-1][np.arange(6), a] - y) ** 2) / (2 * 6)

    assert Q.update(memory, rows) == pytest.approx(loss(theta), rel=1e-14)
    numeric = [(loss(theta + e) - loss(theta - e)) / 2e-5 for e in 1e-5 * np.eye(len(theta))]
    assert np.allclose(theta - Q.theta, numeric, rtol=0, atol=1e-9)


def test_two_adam_steps_by_hand(dqn):
    Q, (memory, rows) = dqn(optimizer="adam", beta=0.01), chain()
    plain, m, v = dqn(beta=1.0), 0.0, 0.0
    for t in (1, 2):
        theta, plain.theta = Q.theta, Q.theta.copy()
        plain.update(memory, rows)
        gradient = theta - plain.theta
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        Q.update(memory, rows)
        step = 0.01 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        assert np.allclose(theta - Q.theta, step, rtol=1e-8, atol=1e-15)
    assert np.allclose(Q.m, m, atol=1e-15) and np.allclose(Q.v, v, atol=1e-15)


@pytest.mark.parametrize("optimizer", ["gd", "adam"])
def test_a_step_to_parameters_that_are_not_finite_leaves_no_trace_and_is_counted(dqn, optimizer):
    Q, (memory, rows) = dqn(optimizer=optimizer), chain()
    Q.update(memory, rows)
    before, Q.beta = (Q.theta, Q.m, Q.v), np.inf
    for rejected in (1, 2):
        Q.update(memory, rows)
        assert Q.rejected == rejected and Q.updates == 1 + rejected
        assert all(a is b for a, b in zip((Q.theta, Q.m, Q.v), before, strict=True))
    Q.beta = 0.1
    Q.update(memory, rows)
    assert Q.rejected == 2 and Q.theta is not before[0] and np.isfinite(Q.theta).all()


def table(Q, values, frozen=None):
    """Give Q the values Q(s, .) in every state, and the target network the values `frozen`."""
    Q.theta = np.array([0.0] * (len(Q.theta) - len(values)) + values)
    Q.frozen = np.array([0.0] * (len(Q.theta) - len(values)) + (frozen or values))


def two_episodes():
    """Rewards 1, 2, 4, 8 that end in divergence, and 16, 32, 64 after which a state follows."""
    s = STATES[0]
    first = [(s, 0, r, s, r == 8.0) for r in (1.0, 2.0, 4.0, 8.0)]
    return memory_of([first, [(s, 0, r, s, False) for r in (16.0, 32.0, 64.0)]])


@pytest.mark.parametrize("n_steps, expected", [
    (1, [1 + 5, 2 + 5, 4 + 5, 8, 16 + 5, 32 + 5, 64 + 5]),
    (3, [
        1 + 2 / 2 + 4 / 4 + 10 / 8,
        2 + 4 / 2 + 8 / 4,  # the end: no value follows
        4 + 8 / 2, 8,
        16 + 32 / 2 + 64 / 4 + 10 / 8,
        32 + 64 / 2 + 10 / 4,  # as many rewards as there are, then the value
        64 + 10 / 2,
    ]),
    (100, [4, 6, 8, 8, 48 + 10 / 8, 64 + 10 / 4, 64 + 5]),
])  # fmt: skip
def test_targets_by_hand(dqn, n_steps, expected):
    Q, (memory, rows) = dqn(n_steps=n_steps), two_episodes()
    table(Q, [6.0, 10.0])
    memory.r[np.setdiff1d(np.arange(len(memory.r)), rows)] = 1e9  # rows of nobody
    assert Q.target(memory, rows).tolist() == expected
    assert Q.target(memory, rows[[5, 0, 0]]).tolist() == [expected[k] for k in (5, 0, 0)]


def test_the_value_of_a_target_is_that_of_the_state_after_its_last_reward(dqn):
    Q = dqn(n_steps=2)
    memory, rows = memory_of([[(STATES[k], 0, 0.0, STATES[k + 1], False) for k in (0, 1)]])
    value = Q.q(STATES).max(axis=1)
    assert np.allclose(Q.target(memory, rows), [value[2] / 4, value[2] / 2], rtol=1e-15)


@pytest.mark.parametrize("target_every, double, value", [
    (0, False, 10.0),  # its own maximum
    (5, False, 7.0),  # the target network's maximum
    (5, True, 3.0),  # the target network's value of its own best action
    (0, True, 10.0),
])  # fmt: skip
def test_the_target_network_and_the_double_target(dqn, target_every, double, value):
    memory, rows = two_episodes()
    Q = dqn(target_every=target_every, double=double)
    table(Q, [6.0, 10.0], frozen=[7.0, 3.0])
    assert Q.target(memory, rows[:1]).tolist() == [1 + 0.5 * value]
    assert Q.label(1.0, STATES[0], False) == 1 + 0.5 * value and Q.label(1.0, STATES[0], True) == 1


def test_the_target_network_is_a_copy_made_every_so_many_updates(dqn):
    Q, (memory, rows) = dqn(target_every=3), chain()
    thetas = [Q.theta.copy()]
    for k in range(1, 8):
        Q.update(memory, rows)
        thetas.append(Q.theta.copy())
        assert np.array_equal(Q.frozen, thetas[k - k % 3])
    assert len({theta.tobytes() for theta in thetas}) == 8


def test_the_stored_label_is_the_target_at_the_time_and_is_not_refreshed(dqn):
    Q = dqn(label="stored")
    table(Q, [6.0, 10.0])
    label = Mock(side_effect=Q.label)
    steps = [(STATES[0], 0, 1.0, STATES[1]), (STATES[0], 0, 2.0, STATES[1], True)]
    memory, rows = memory_of([steps], label)
    assert str(label.mock_calls) == str([call(r, STATES[1], r == 2.0) for r in (1.0, 2.0)])
    assert memory.over[rows].tolist() == [False, True]
    table(Q, [60.0, 100.0])
    assert Q.target(memory, rows).tolist() == [6.0, 2.0]
    assert not memory_of([steps])[0].y.any()  # not made where it is not used


def test_other_parameters_begin_anew_and_the_same_go_on(dqn):
    Q, (memory, rows) = dqn(optimizer="adam", target_every=2), chain()
    for _ in range(3):
        Q.update(memory, rows)
    kept = Q.theta, Q.frozen, Q.m, Q.v
    Q.theta = Q.theta
    assert all(a is b for a, b in zip(kept, (Q.theta, Q.frozen, Q.m, Q.v), strict=True))
    assert Q.updates == 3 and Q.m.any() and Q.v.any() and Q.frozen is not Q.theta
    Q.theta = other = Q.theta.copy()
    assert Q.theta is Q.frozen is other and not Q.m.any() and not Q.v.any() and Q.updates == 0
    assert DQN((3, 8, 2), Q.p).theta.tolist() == [0.0] * 50
    assert DQN((3, 8, 2), Q.p, theta=other).theta is other


def test_the_policy_is_greedy_but_for_a_share_of_epsilon(dqn):
    rng, s = Mock(**{"random.side_effect": [0.5, 0.4999], "choice.return_value": 2}), np.zeros(2)
    Q = dqn((2, 4, 4, 3), rng)
    assert np.isnan(Q.values).all() and Q.values.shape == (3,) and Q.explored is False
    table(Q, [1.0, 3.0, 2.0])
    Q.epsilon = 0.5
    for a, explored in ((1, False), (2, True)):
        assert Q.act(s) == a and Q.explored == explored and Q.values.tolist() == [1, 3, 2]
    rng.choice.assert_called_once_with(3, p=Q.weights)
    assert Q.greedy(s) == 1 and Q.explored is False and Q.weights.tolist() == [1 / 3] * 3


def test_the_exploring_actions_of_an_episode_share_one_drawn_share_of_accepts(dqn):
    rng = Mock(**{"uniform.side_effect": [0.5, 0.25]})
    Q, uniform = (dqn((3, 4, 4, 3), rng, explore=k, accepts=0.2) for k in ("episode", "uniform"))
    for e, weights in ((1, [0.25, 0.5, 0.25]), (2, [0.375, 0.25, 0.375])):
        Q.new_episode(e), uniform.new_episode(e)
        assert Q.weights.tolist() == weights and uniform.weights.tolist() == [1 / 3] * 3
        rng.uniform.assert_called_with(0.2, 1.0)


def test_schedules_reach_their_last_value_in_the_last_of_their_episodes(dqn):
    four = [schedule(e, 1.0, 0.1, 4) for e in range(1, 7)]
    assert four == pytest.approx([1, 0.7, 0.4, 0.1, 0.1, 0.1])
    assert [schedule(e, 0.9, 0.01, 1) for e in (1, 2, 100)] == pytest.approx([0.01] * 3)
    assert [schedule(e, 3.0, 1.0, 2) for e in (1, 2, 3)] == [3.0, 1.0, 1.0]
    Q = dqn(epsilon_first=0.9, epsilon_last=0.3, epsilon_episodes=3, beta=0.5, beta_last=0.1,
            beta_episodes=5)  # fmt: skip
    assert (Q.epsilon, Q.beta) == (0.9, 0.5)
    Q.new_episode(2)
    assert (Q.epsilon, Q.beta) == pytest.approx((0.6, 0.4))


@pytest.mark.parametrize("A, B", [(1, 0), (1, 1), (3, 2), (10, 5), (2, 6)])
def test_the_memory_keeps_exactly_the_most_recent_and_the_best_episodes(A, B):
    rng = np.random.default_rng(100 * A + B)
    memory = Memory(SimpleNamespace(A=A, B=B, steps=4), rng, features=2)
    lengths, returns = {}, {}
    for e in range(1, 41):
        rewards = rng.integers(-2, 3, size=int(rng.integers(1, 5)))  # of a tie the earlier stays
        for t, r in enumerate(rewards):
            memory.add(e, [e, t], t % 2, r, [e, t + 1], t == 3)
            kept = memory.rows[: memory.before]
            best = sorted(returns, key=lambda k: -returns[k])[:B]
            assert sorted(memory.s[kept].tolist()) == [
                [k, i] for k in sorted({*best, *range(max(1, e - A), e)}) for i in range(lengths[k])
            ]
            running = memory.rows[memory.before :][: memory.count]
            assert memory.s[running].tolist() == [[e, i] for i in range(t + 1)]
            assert set(running).isdisjoint(kept) and len(set(kept)) == len(kept)
            assert (memory.s_next[running] == memory.s[running] + [0, 1]).all()
            assert memory.a[running].tolist() == [0, 1, 0, 1][: t + 1]
            assert np.array_equal(memory.r[running], rewards[: t + 1])
            assert memory.over[running].tolist() == [False, False, False, True][: t + 1]
            assert set(memory.last[running]) == {running[-1]}
        lengths[e], returns[e] = len(rewards), rewards.sum()


def test_a_draw_is_uniform_over_all_experiences_with_those_of_the_running_episode():
    memory = Memory(SimpleNamespace(A=2, B=1, steps=5), np.random.default_rng(0), features=2)
    for e, r in enumerate([9.0, 1.0, 2.0, 3.0]):  # kept: 0, 2 and 3; 1 is forgotten
        for t in range(2 + e):
            memory.add(e + 1, [e, t], 0, r / (2 + e), [e, t + 1])
    known = {(0, 0), (0, 1), *((2, k) for k in range(4)), *((3, k) for k in range(5))}
    for t in range(3):
        memory.add(5, [7, t], 0, 0.0, [7, t + 1])
        known.add((7, t))
        drawn = memory.s[memory.sample(1000)].astype(int)
        assert drawn.shape == (1000, 2) and set(map(tuple, drawn.tolist())) == known
    counts = np.bincount(memory.sample(28000), minlength=len(memory.r))
    assert len(known) == 14 and np.abs(counts[counts > 0] / 2000 - 1).max() < 0.1


@pytest.mark.parametrize("reward", [np.nan, np.inf, -np.inf])
def test_the_memory_refuses_a_reward_that_is_not_finite(reward):
    memory, rows = two_episodes()
    with pytest.raises(ValueError, match="finite"):
        memory.add(3, STATES[0], 0, reward, STATES[1])
    assert np.isfinite(memory.r).all() and memory.e == 2 and memory.count == 3
