"""The environment for other agents: what its checkers say, and that it is Algorithms 1, 3 and 4."""

import warnings

import numpy as np
import pytest
from scipy.optimize import rosen, rosen_der

from qgd_np import Function, algorithms
from qgd_np.dqn import DQN, Memory
from qgd_np.fast.function import LineFunction

pytest.importorskip("gymnasium")
from gymnasium.utils.env_checker import check_env  # noqa: E402

from qgd_np.own import gym  # noqa: E402

SMALL = dict(steps=12, first=4, M=3, hidden=(5,), starts=2)


def no_log(*step, **more):
    """Keep nothing."""


def environments():
    """One of each kind."""
    yield gym.on_images("lr", "synthetic", train_size=60, **SMALL)
    yield gym.on_images("reg", "synthetic", train_size=60, validation_size=20, **SMALL)
    yield gym.on_problems((Function(rosen, rosen_der), [-1.2, 1.0]), steps=12, first=4)


@pytest.mark.parametrize("kind", range(3))
def test_both_checkers_are_silent(kind, capsys):
    env = list(environments())[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_env(env, skip_render_check=True)
        sb3 = pytest.importorskip("stable_baselines3.common.env_checker")
        sb3.check_env(env)
    assert capsys.readouterr() == ("", "")


class Kept(Memory):
    """A memory that keeps everything that is added, in a list."""

    def __init__(self, p):
        super().__init__(p, np.random.default_rng(0))
        self.all = []

    def add(self, *experience):
        self.all.append(experience)
        super().add(*experience)


@pytest.mark.parametrize("task", ["lr", "reg"])
@pytest.mark.parametrize("changes", [
    dict(returns="lower"), dict(returns="last"), dict(returns="printed"),
    dict(alpha_c=0.5, momentum=0.8, map="far", unit="base", f_lb=0.5),
])  # fmt: skip
def test_for_the_same_actions_states_and_rewards_are_those_of_the_algorithms(
    problem, parameters, task, changes
):
    p = dict(episodes=6, first=3, alpha_c=4.0, steps=15, M=3, epsilon_episodes=100, accepts=0.0)
    p = parameters(task, **p | {"f_lb": 0.0} | changes)
    net = problem(dtype=np.float64)
    f, h, memory, ends = net.plain_f, net.plain_h if task == "reg" else None, Kept(p), []
    x_1 = f.point(net.x_1.x)
    k = 2 if task == "lr" else 3
    theta_0 = np.random.default_rng(0).standard_normal(DQN((6, 4, k), p).net.n_parameters)
    Q = DQN((6, 4, k), p, np.random.default_rng(1), theta_0)
    train = algorithms.q_learning_alpha if task == "lr" else algorithms.q_learning_lambda
    measures = (f,) if task == "lr" else (f, h)
    for x in train(lambda e: (*measures, x_1, p), Q, theta_0, memory, p, lambda e: no_log):
        ends.append(x)

    env = gym.Environment(lambda e: (f, x_1, p), 1, task, h)
    for e, x_star in enumerate(ends, 1):
        s, _ = env.reset(seed=0, options={"episode": e})
        episode = [experience for experience in memory.all if experience[0] == e]
        for i, (_, s_t, a, r, s_next, _) in enumerate(episode, 1):
            assert s.tobytes() == s_t.tobytes() and env.observation_space.contains(s)
            s, reward, over, cut, info = env.step(a)
            assert s.tobytes() == s_next.tobytes() and reward == r and not cut
            assert over == (i == len(episode))
        assert np.array_equal(env.x_star, x_star) and info["f"] == f(x_star)
    assert {a for _, _, a, *_ in memory.all} == set(range(k))


def test_what_an_agent_learned_is_a_policy_of_algorithm_1():
    class Agent:
        def predict(self, s, deterministic):
            assert deterministic and s.shape == (6,)
            return np.array(int(s[3] < -0.5)), None

    env = gym.on_problems((Function(rosen, rosen_der), [-1.2, 1.0]), steps=30, first=1)
    s, over = env.reset(seed=3)[0], False
    while not over:
        s, _, over, _, info = env.step(Agent().predict(s, True)[0])
    f, x_1, p = env.episode(0)
    x = algorithms.q_gradient_descent_alpha(f, x_1, gym.Policy(Agent()), p, no_log)
    assert isinstance(f, LineFunction) and f(x) == info["f"] < 24


def test_divergence_is_terminated_with_no_reward():
    env = gym.on_problems((Function(rosen, rosen_der), [-1.2, 1.0]), alpha_c=1.0, first=1)
    env.reset(seed=0)
    for _ in range(100):
        s, r, over, _, _ = env.step(1)
        if over:
            break
    assert env.t < 50 and r == 0.0 and np.isfinite(s).all()
