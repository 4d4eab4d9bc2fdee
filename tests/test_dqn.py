"""Eq. 10 on Markov decision processes with known Q, its targets by hand, and the replay memory."""

import numpy as np
import pytest

from qgd_np.dqn import DQN
from qgd_np.replay import Memory

pytestmark = pytest.mark.filterwarnings("error")


def dqn(sizes=(3, 8, 2), seed=0, beta=0.1, gamma=0.5, **options):
    return DQN(sizes, np.random.default_rng(seed), beta, gamma, **options)


def memory_of(episodes, features=3):
    """A memory of whole episodes; each a list of (s, a, r, s', end)."""
    memory = Memory(len(episodes), 0, max(map(len, episodes)), features)
    rows = []
    for episode in episodes:
        memory.begin_episode()
        for s, a, r, s_next, end in episode:
            rows.append(memory.start + memory.count)
            memory.add(s, a, r, s_next, end=end)
        memory.end_episode()
    memory.begin_episode()
    return memory, np.array(rows)


# -- known Q --------------------------------------------------------------------------------------

STATES = np.eye(3)
Q_STAR = np.array([[0.3, 0.25], [0.4, 0.5], [0.0, 1.0]])


def chain():
    """States 0 -> 1 -> 2, gamma = 1/2. Action 0 stops for 0.3, 0.4, 0; action 1 goes on for 0, 0
    and ends in state 2 with 1. So Q* is 1 in state 2, half of that in 1, half of 1/2 in 0."""
    stop = [(STATES[k], 0, r, STATES[k], True) for k, r in enumerate((0.3, 0.4, 0.0))]
    go = [(STATES[0], 1, 0.0, STATES[1], False), (STATES[1], 1, 0.0, STATES[2], False)]
    return memory_of([[e] for e in [*stop, *go, (STATES[2], 1, 1.0, STATES[2], True)]])


@pytest.mark.parametrize(
    "options, updates",
    [
        (dict(optimizer="gd", beta=3.0), 6000),
        (dict(optimizer="adam", beta=0.02), 2000),
        (dict(optimizer="adam", beta=0.02, target_every=20, double=True), 2000),
        (dict(optimizer="gd", beta=3.0, target_every=20), 6000),
    ],
)
def test_the_known_q_of_a_chain_is_learned(options, updates):
    Q, (memory, rows) = dqn(**options), chain()
    losses = [Q.update(memory, rows) for _ in range(updates)]
    assert np.abs(Q.q(STATES) - Q_STAR).max() < 0.01
    assert [Q.greedy(s) for s in STATES] == [0, 1, 1]
    assert losses[-1] < 1e-4 < losses[0]
    assert Q.updates == updates and Q.rejected == 0


def test_the_known_q_of_an_endless_loop_is_learned():
    """One state for ever: action 1 pays 1, so Q(1) = 1 / (1 - gamma) = 2 and Q(0) = gamma 2 = 1."""
    s = STATES[0]
    memory, rows = memory_of([[(s, 0, 0.0, s, False)], [(s, 1, 1.0, s, False)]])
    Q = dqn(beta=1.0)
    for _ in range(3000):
        Q.update(memory, rows)
    assert np.allclose(Q.q(s), [1.0, 2.0], atol=0.01)


def test_one_plain_update_is_equation_10_by_hand():
    """One hidden unit at theta = 0: yhat = 0 and A = 1/2, so only W_2 and b_2 get a gradient."""
    Q = dqn((1, 1, 2), beta=0.5, gamma=0.5)
    Q.theta = np.zeros(6)  # W_1, b_1, W_2 (2), b_2 (2)
    one = np.ones(1)
    memory, rows = memory_of([[(one, 1, 3.0, one, True)], [(one, 0, -1.0, one, True)]], features=1)
    loss = Q.update(memory, rows)
    assert loss == (3.0**2 + 1.0**2) / (2 * 2)
    # d loss / d yhat_i = (yhat_i - y_i) / |S| = -3/2 for action 1 and 1/2 for action 0
    assert Q.theta.tolist() == [0, 0, -0.5 * 0.25, 0.5 * 0.75, -0.5 * 0.5, 0.5 * 1.5]


def test_the_target_is_no_part_of_the_gradient():
    """The loop of one state: with the target held, d yhat is gamma-free and theta moves alike."""
    s = STATES[0]
    memory, rows = memory_of([[(s, 0, 0.3, s, False)]])
    Q = dqn(beta=0.1)
    y = 0.3 + 0.5 * Q.q(s).max()
    fixed, fixed_rows = memory_of([[(s, 0, y, s, True)]])
    other = dqn(beta=0.1)
    Q.update(memory, rows)
    other.update(fixed, fixed_rows)
    assert np.allclose(Q.theta, other.theta, rtol=0, atol=1e-15)
    assert not np.array_equal(Q.theta, dqn().theta)


def test_adam_takes_first_a_step_of_beta_in_every_parameter_with_a_gradient():
    Q, (memory, rows) = dqn(optimizer="adam", beta=0.01), chain()
    before = Q.theta
    Q.update(memory, rows)
    assert np.allclose(np.abs(Q.theta - before), 0.01, rtol=1e-3)


def test_clipping_shortens_the_step_to_the_norm_and_leaves_short_ones_alone():
    memory, rows = chain()
    steps = {}
    for clip in (0.0, 1e-3, 1e3):
        Q = dqn(beta=0.1, clip=clip)
        before = Q.theta
        Q.update(memory, rows)
        steps[clip] = Q.theta - before
    assert np.linalg.norm(steps[1e-3]) == pytest.approx(0.1 * 1e-3)
    assert np.allclose(steps[1e-3] / 1e-4, steps[0.0] / np.linalg.norm(steps[0.0]))
    assert np.array_equal(steps[1e3], steps[0.0])


# -- targets by hand ------------------------------------------------------------------------------


def table(Q, values, frozen=None):
    """Give a DQN of one state the values Q(s, .) and the target network the values `frozen`."""
    Q.theta = np.zeros_like(Q.theta)
    Q.theta[-len(values) :] = values
    Q.frozen = np.zeros_like(Q.theta)
    Q.frozen[-len(values) :] = values if frozen is None else frozen


def two_episodes():
    """Rewards 1, 2, 4, 8 that end in divergence, and 16, 32, 64 that were cut off at T."""
    s = STATES[0]
    first = [(s, 0, r, s, r == 8.0) for r in (1.0, 2.0, 4.0, 8.0)]
    return memory_of([first, [(s, 0, r, s, False) for r in (16.0, 32.0, 64.0)]])


def test_one_step_targets_by_hand():
    Q, (memory, rows) = dqn(), two_episodes()
    table(Q, [6.0, 10.0])
    assert Q.target(memory, rows).tolist() == [6, 7, 9, 8, 21, 37, 69]


def test_targets_over_several_rewards_by_hand():
    Q, (memory, rows) = dqn(n_steps=3), two_episodes()
    table(Q, [6.0, 10.0])
    assert Q.target(memory, rows).tolist() == [
        1 + 2 / 2 + 4 / 4 + 10 / 8,
        2 + 4 / 2 + 8 / 4,  # the end: no value follows
        4 + 8 / 2,
        8,
        16 + 32 / 2 + 64 / 4 + 10 / 8,
        32 + 64 / 2 + 10 / 4,  # cut off: as many rewards as there are, then the value
        64 + 10 / 2,
    ]


def test_a_target_never_runs_into_the_rows_of_another_episode():
    Q, (memory, rows) = dqn(n_steps=100), two_episodes()
    table(Q, [0.0, 0.0])
    memory.r[np.setdiff1d(np.arange(len(memory.r)), rows)] = 1e9  # rows of nobody
    assert Q.target(memory, rows)[[0, 4]].tolist() == [1 + 1 + 1 + 1, 16 + 16 + 16]


def test_the_target_network_gives_the_value_and_the_double_target_takes_the_nets_own_action():
    memory, rows = two_episodes()
    expected = {
        (0, False): 10.0,  # its own maximum
        (5, False): 7.0,  # the target network's maximum
        (5, True): 3.0,  # the target network's value of its own best action
        (0, True): 10.0,
    }
    for (target_every, double), value in expected.items():
        Q = dqn(target_every=target_every, double=double)
        table(Q, [6.0, 10.0], frozen=[7.0, 3.0])
        assert Q.target(memory, rows[:1]).tolist() == [1 + 0.5 * value]


def test_the_target_network_is_a_copy_made_every_so_many_updates():
    Q, (memory, rows) = dqn(target_every=3), chain()
    thetas = [Q.theta.copy()]
    for k in range(1, 8):
        Q.update(memory, rows)
        thetas.append(Q.theta.copy())
        assert np.array_equal(Q.frozen, thetas[k - k % 3])
    assert len({theta.tobytes() for theta in thetas}) == 8


def test_the_stored_label_is_the_target_at_the_time_and_is_not_refreshed():
    s = STATES[0]
    Q = dqn(label="stored")
    table(Q, [6.0, 10.0])
    label = Q.label_now(1.0, s, False)
    assert label == 1.0 + 0.5 * 10.0 and Q.label_now(1.0, s, True) == 1.0
    memory = Memory(1, 0, 2, 3)
    memory.begin_episode()
    memory.add(s, 0, 1.0, s, label)
    table(Q, [60.0, 100.0])
    assert Q.target(memory, np.array([0])).tolist() == [6.0]
    assert dqn().label_now(1.0, s, False) == 0.0  # not made where it is not used


# -- actions --------------------------------------------------------------------------------------


def test_the_policy_is_greedy_but_for_a_share_of_epsilon():
    Q, rng = dqn((3, 4, 3)), np.random.default_rng(0)
    table(Q, [1.0, 3.0, 2.0])
    assert Q.greedy(STATES[0]) == 1
    assert {Q.act(STATES[0], 0.0, rng) for _ in range(50)} == {1}
    taken = np.bincount([Q.act(STATES[0], 0.6, rng) for _ in range(5000)], minlength=3) / 5000
    assert np.allclose(taken, [0.2, 0.6, 0.2], atol=0.03)


def test_the_exploring_actions_of_an_episode_share_one_drawn_share_of_accepts():
    Q = dqn((3, 4, 3), explore="episode", accepts=0.4)
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(200):
        Q.draw_exploration(rng)
        half, accept, more = Q.weights
        assert half == more and half + accept + more == pytest.approx(1)
        shares.append(accept)
    assert 0.4 <= min(shares) < 0.45 and 0.95 < max(shares) <= 1.0
    taken = np.bincount([Q.act(STATES[0], 1.0, rng) for _ in range(5000)], minlength=3) / 5000
    assert np.allclose(taken, Q.weights, atol=0.03)
    uniform = dqn((3, 4, 3))
    uniform.draw_exploration(rng)
    assert uniform.weights.tolist() == [1 / 3] * 3


# -- steps that are not finite --------------------------------------------------------------------


def test_a_step_to_parameters_that_are_not_finite_is_not_taken_and_is_counted():
    Q, (memory, rows) = dqn(), chain()
    Q.beta = np.inf
    before = Q.theta
    Q.update(memory, rows)
    Q.update(memory, rows)
    assert Q.rejected == Q.updates == 2 and Q.theta is before
    Q.beta = 0.1
    Q.update(memory, rows)
    assert Q.rejected == 2 and Q.theta is not before


def test_an_adam_step_that_was_not_taken_leaves_no_trace_in_the_moments():
    Q, (memory, rows) = dqn(optimizer="adam", beta=0.02), chain()
    good = Q.theta
    Q.theta = 1e160 * good  # the gradient of such a net overflows
    Q.update(memory, rows)
    assert Q.rejected == 1 and not Q.m.any() and not Q.v.any()
    Q.theta = good
    for _ in range(2000):
        Q.update(memory, rows)
    assert Q.rejected == 1 and np.abs(Q.q(STATES) - Q_STAR).max() < 0.02


def test_a_learning_rate_of_ten_never_leaves_parameters_that_are_not_finite():
    s = STATES[0]
    memory, rows = memory_of([[(s, 0, 1.0, s, False)], [(s, 1, 1.0, STATES[1], False)]])
    Q = dqn(beta=10.0, gamma=0.99)
    for _ in range(500):
        Q.update(memory, rows)
        assert np.isfinite(Q.theta).all()
    assert Q.rejected > 0


def test_training_goes_on_bit_for_bit_from_a_tree():
    memory, rows = chain()
    Q = dqn(optimizer="adam", target_every=3)
    for _ in range(5):
        Q.update(memory, rows)
    other = dqn(optimizer="adam", target_every=3, seed=1)
    other.restore(Q.tree())
    for _ in range(7):
        assert Q.update(memory, rows) == other.update(memory, rows)
    assert np.array_equal(Q.theta, other.theta) and np.array_equal(Q.frozen, other.frozen)


# -- the memory -----------------------------------------------------------------------------------


def play(memory, episode, length, reward):
    """Play an episode whose rows carry its number in s; its return is the reward."""
    memory.begin_episode()
    for t in range(length):
        memory.add([episode, t], t % 2, reward / length, [episode, t + 1], end=t == length - 1)
    return memory.end_episode()


def held(memory):
    """The numbers of the episodes that can be drawn, each with its count of rows."""
    memory.begin_episode()
    rows = memory.rows[: memory.before]
    assert len(rows) == len(set(rows.tolist()))
    numbers, counts = np.unique(memory.s[rows, 0], return_counts=True)
    return dict(zip(numbers.astype(int).tolist(), counts.tolist(), strict=True))


@pytest.mark.parametrize("recent, best", [(1, 0), (1, 1), (3, 2), (10, 5), (2, 6)])
def test_the_memory_keeps_exactly_the_most_recent_and_the_best_episodes(recent, best):
    rng = np.random.default_rng(100 * recent + best)
    memory = Memory(recent, best, 4, 2)
    lengths, returns = [], []
    for episode in range(60):
        lengths.append(int(rng.integers(1, 5)))
        returns.append(play(memory, episode, lengths[-1], rng.standard_normal()))
        by_return = sorted(range(episode + 1), key=lambda e: -returns[e])
        expected = set(range(episode + 1)[-recent:]) | set(by_return[:best])
        assert held(memory) == {e: lengths[e] for e in expected}


def test_of_two_episodes_with_the_same_return_the_earlier_stays_among_the_best():
    memory = Memory(1, 2, 3, 2)
    for episode, reward in enumerate([1.0, 1.0, 1.0, 0.0]):
        play(memory, episode, 2, reward)
    assert set(held(memory)) == {0, 1, 3}


def test_a_draw_is_uniform_over_the_rows_in_memory_and_touches_no_other():
    memory, rng = Memory(2, 1, 5, 2), np.random.default_rng(0)
    for episode, reward in enumerate([9.0, 1.0, 2.0, 3.0]):  # kept: 0, 2 and 3; 1 is forgotten
        play(memory, episode, 2 + episode, reward)
    memory.begin_episode()
    for t in range(3):
        memory.add([7, t], 0, 0.0, [7, t + 1])
        drawn = memory.s[memory.sample(1000, rng)]
        known = {(0, 0), (0, 1), *((2, k) for k in range(4)), *((3, k) for k in range(5))}
        known |= {(7, k) for k in range(t + 1)}
        assert {tuple(row) for row in drawn.astype(int).tolist()} == known
    counts = np.bincount(memory.sample(28000, rng), minlength=len(memory.r))
    assert len(known) == 14 and np.abs(counts[counts > 0] / 2000 - 1).max() < 0.1


def test_an_episode_that_was_broken_off_leaves_no_row_behind():
    memory = Memory(2, 0, 4, 2)
    play(memory, 0, 4, 1.0)
    memory.begin_episode()
    memory.add([1, 0], 0, 5.0, [1, 1])  # interrupted: no end_episode
    play(memory, 2, 2, 1.0)
    assert held(memory) == {0: 4, 2: 2}
    memory.begin_episode()
    assert memory.end_episode() == 0.0 and held(memory) == {0: 4, 2: 2}


@pytest.mark.parametrize("reward", [np.nan, np.inf, -np.inf])
def test_the_memory_refuses_a_reward_that_is_not_finite(reward):
    memory = Memory(1, 1, 3, 2)
    memory.begin_episode()
    memory.add([0, 0], 0, 1.0, [0, 1])
    with pytest.raises(ValueError, match="finite"):
        memory.add([0, 1], 0, reward, [0, 2])
    assert memory.end_episode() == 1.0 and held(memory) == {0: 1}


def test_a_restored_memory_goes_on_bit_for_bit():
    rng = np.random.default_rng(3)
    memory, other = Memory(3, 2, 4, 2), Memory(3, 2, 4, 2)
    for episode in range(9):
        play(memory, episode, int(rng.integers(1, 5)), rng.standard_normal())
    other.restore(memory.tree())
    for episode in range(9, 25):
        length, reward = int(rng.integers(1, 5)), rng.standard_normal()
        for m in (memory, other):
            play(m, episode, length, reward)
        seed = int(rng.integers(1000))
        for m in (memory, other):
            m.begin_episode()
            m.add([episode, 9], 1, 0.5, [episode, 10])
        draws = [m.sample(64, np.random.default_rng(seed)) for m in (memory, other)]
        assert np.array_equal(*draws)
    for name, value in memory.tree().items():
        assert np.array_equal(value, other.tree()[name]), name


def test_a_tree_is_a_snapshot_that_later_episodes_do_not_change():
    memory = Memory(1, 1, 3, 2)
    play(memory, 0, 3, 1.0)
    tree = memory.tree()
    copy = {name: value.copy() for name, value in tree.items()}
    other = Memory(1, 1, 3, 2)
    other.restore(tree)
    for m in (memory, other):
        for episode in range(1, 6):
            play(m, episode, 3, float(episode))
    assert all(np.array_equal(tree[name], copy[name]) for name in copy)
