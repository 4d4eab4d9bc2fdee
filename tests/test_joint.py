"""One DQN for both hyper-parameters: by hand, its exploration, its budget of gradients."""

import math
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import ROOT, differences, refused

from qgd_np import files, page
from qgd_np.beyond import joint
from qgd_np.environment import Features
from qgd_np.lab.training import ACTIONS, SEEN, accepts
from qgd_np.objective import Function

HALF_KEEP, ACCEPT_DOWN, ACCEPT_KEEP, HALF_UP = 2, 1, 3, 4
PLAYED = [HALF_UP, ACCEPT_DOWN, ACCEPT_KEEP, HALF_KEEP]
VALUES = dict(steps=4, first=1, M=3, alpha_c=0.25, lambda_c=0.5, f_lb=0.0, gap=0.01, c1=0.25,
              c2=0.5, episodes=1, gamma=0.75, horizon="returned", returns="printed", map="near",
              sees="g")  # fmt: skip


class Player:
    """In place of the DQN and of the memory."""

    def __init__(self, actions):
        self.actions, self.states, self.added = iter(actions), [], []

    def greedy(self, s):
        self.states.append(s)
        return next(self.actions)

    act = greedy
    new_episode = sample = staticmethod(lambda number: number)
    update = staticmethod(lambda memory, rows: 0.0)

    def add(self, *experience):
        self.added.append(experience)


def play(p, actions, learn, f=None, m=lambda x, lam=0.0: x[0] / 8):
    """The log of each step, the player and x*."""
    f = f or Function(lambda x: (x[0] ** 2 + 4 * x[1] ** 2) / 2, lambda x: x * [1.0, 4.0])
    logged, Q, x_1 = [], Player(actions), f.point([4.0, 1.0])

    def log(t, x, lam, a, r=math.nan, loss=math.nan, s=None, alpha=math.nan):
        logged.append((x.tolist(), lam, alpha, a))

    if learn:
        episode = lambda e: (f, m, x_1, p)  # noqa: E731
        (x_star,) = joint.q_learning_both(episode, Q, None, Q, p, lambda e: log)
    else:
        x_star = joint.q_gradient_descent_both(f, m, x_1, Q, p, log)
    return logged, Q, x_star


@pytest.mark.parametrize("learn", [False, True])
def test_both_by_hand(parameters, learn):
    p = parameters("joint", **VALUES)
    logged, Q, x_star = play(p, PLAYED, learn)
    x_3 = [3 * (1 - 1.625 / 4), 0.375 * (1 - 4.625 / 4)]  # d = -(1.625 x, 4.625 y) at 0.3125
    x_4 = [x_3[0] * (1 - 1.625 / 4), x_3[1] * (1 - 4.625 / 4)]
    x_5 = [x_3[0] * (1 - 1.625 / 8), x_3[1] * (1 - 4.625 / 8)]
    steps = [
        ([3.0, 0.375], 0.625, 0.125, HALF_UP),  # on the line of -(8, 5), at lambda_c
        (x_3, 0.3125, 0.25, ACCEPT_DOWN),  # the gradient is taken with the new lambda
        (x_4, 0.3125, 0.25, ACCEPT_KEEP),  # an accept resets alpha, not lambda
        (x_5, 0.3125, 0.125, HALF_KEEP),
    ]
    for (x, *rest), (found, *others) in zip(steps, logged, strict=True):
        assert found == pytest.approx(x, rel=1e-14) and rest == others
    assert x_star.tolist() == pytest.approx(x_4)  # x_T, as printed
    seventh = [math.log2(k) / 4 for k in (1, 1.25, 0.625, 0.625)]
    s = [row[1] for row in Q.added] if learn else Q.states
    assert [k[6] for k in s] == pytest.approx(seventh)
    assert [k[0] for k in s] == [0.0, -0.25, 0.0, 0.0]
    seen = SimpleNamespace(observe=lambda *_: (4.5 + 2 * 0.140625 + 0.625 * 9.140625, -1.5, 1.0))
    six = Features(seen, [10.0 + 0.5 * 17], None, 0.25, 0.25, p)(None, None, 0.125)
    assert s[1][[0, 1, 2, 4, 5]] == pytest.approx(six[[0, 1, 2, 4, 5]])  # g at lambda_2
    if learn:
        m = [3 / 8, 3 / 8, x_3[0] / 8, x_5[0] / 8]
        r = [c / k for c, k in zip((0.25, 0.5, 0.5, 0.25), m, strict=True)]
        r[-1] += 3 * 0.25 / (x_4[0] / 8)
        assert [row[3] for row in Q.added] == pytest.approx(r)
        assert [row[5] for row in Q.added] == [False] * 3 + [True]


def test_the_reward_in_units_of_the_measure_at_xbar(parameters):
    p = parameters("joint", **VALUES | dict(unit="base", horizon="endless", sees="h", map="far"))
    _, Q, _ = play(p, PLAYED, True)
    r = [row[3] for row in Q.added]
    assert r[:2] == pytest.approx([0.25 / (3 / 4), 0.5 / (3 / 4)])  # both times xbar = x_1
    assert r[2] == pytest.approx(0.5 / (1 - 1.625 / 4))
    assert Q.added[1][1][1] == pytest.approx(math.tanh(4 * math.log(3 / 4)))  # h, not g
    assert Q.added[1][1][6] == pytest.approx(math.log2(1.25) / 10)


def test_the_gradients_end_an_episode(parameters):
    p = parameters("joint", **VALUES | dict(gradients=2, steps=9))
    for learn in (False, True):
        logged, *_ = play(p, [ACCEPT_DOWN, HALF_UP, ACCEPT_KEEP, HALF_UP, ACCEPT_KEEP], learn)
        assert [step[3] for step in logged] == [ACCEPT_DOWN, HALF_UP, ACCEPT_KEEP, HALF_UP]


def test_what_accepts_and_how_it_is_explored(parameters):
    assert len(ACTIONS["joint"]) == 6 and len(SEEN["joint"]) == 7
    for names in ACTIONS.values():
        found = accepts(np.arange(-1, len(names)))
        assert found.tolist() == [False, *(name.startswith("accept") for name in names)]
    p = parameters("joint", explore="episode", accepts=0.2)
    Q = joint.BothDQN((7, 4, 6), p, np.random.default_rng(0))
    drift = []
    for e in range(1, 2001):
        Q.new_episode(e)
        turns = Q.weights[0::2] + Q.weights[1::2]
        assert Q.weights.sum() == pytest.approx(1) and 0.2 <= Q.weights[1::2].sum() <= 1
        drift.append(turns @ np.log(joint.TURN))
    assert abs(np.mean(drift)) < 0.02 < np.std(drift)  # lambda rises as much as it falls


def test_it_trains_traces_goes_on_and_is_used_again(call, folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(ROOT / "run_reg.py")])  # what each seed is a process of
    tiny, words = ["--joint", "--gradients", "4"], folder / "joint"
    assert call("reg", *tiny, "--episodes", "3", "--trace", "--out", words / "a") == 0
    said = capsys.readouterr().out
    assert "both hyper-parameters on x_1 of seed 1000" in said and "coefficient" in said
    assert call("reg", "--joint", "--resume", "--out", words / "a", "--episodes", "5") == 0
    assert call("reg", *tiny, "--episodes", "5", "--out", words / "b") == 0
    one, other = (files.read(words / name / "run.h5", "run") for name in "ab")
    assert differences(one["train"], other["train"]) == []
    assert one["train"]["alpha"].shape == one["train"]["lambda"].shape == (5, 10)
    assert one["evaluation"]["qgd"]["state"].shape == (1, 10, 7)
    assert one["evaluation"]["qgd"]["gradients"] <= 4
    assert call("reg", *tiny, "--episodes", "5", "--seeds", "0:2", "--out", words / "d") == 0
    seed = files.read(words / "d" / "seed-0" / "run.h5", "run")
    assert differences(one["train"], seed["train"]) == []
    controller = words / "b" / "controller.h5"
    assert call("reg", *tiny, "--controller", controller, "--out", words / "c") == 0
    for flags, said in [
        (["--resume", "--out", words / "a"], "one of run_reg.py --joint"),
        (["--controller", controller, "--data", "synthetic"], "no controller for run_reg.py here"),
        (["--joint", "--preset", "fig12"], "is for run_reg.py"),
    ]:
        assert said in refused(call, capsys, "reg", *flags), flags
    with pytest.raises(files.FileError, match="no page"):
        page.write(words / "b" / "run.h5")
