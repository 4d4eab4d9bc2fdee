"""From Python: minimize by SciPy's conventions, train, save, load, and what help() says."""

import pydoc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import OptimizeResult, OptimizeWarning, basinhopping, rosen, rosen_der
from scipy.optimize import minimize as by_scipy

import qgd_np
from qgd_np import Function, algorithms, config, files
from qgd_np.dqn import DQN, Memory
from qgd_np.fast.function import LineFunction
from qgd_np.own.train import Problems

pytestmark = pytest.mark.filterwarnings("error")

A = np.diag(np.logspace(0, 2, 8))
B = np.random.default_rng(0).standard_normal((30, 4))
FUNCTIONS = {  # f, its gradient, x0, a step at which gradient descent falls
    "rosenbrock": (rosen, rosen_der, [-1.2, 1.0, 0.8], 1e-3),
    "quadratic": (lambda x: 0.5 * x @ A @ x, lambda x: A @ x, np.ones(8), 0.015),
    "logistic": (lambda x: np.logaddexp(0, B @ x).mean(),
                 lambda x: B.T @ (1 / (1 + np.exp(-B @ x))) / 30, np.zeros(4), 1.0),
    "negative": (lambda x: np.cos(x).sum() - 9, lambda x: -np.sin(x), np.full(3, 0.5), 0.5),
    "quartic": (lambda x: (x**4).sum(), lambda x: 4 * x**3, np.full(5, 2.0), 0.02),
}  # fmt: skip
each = pytest.mark.parametrize("name", FUNCTIONS)


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, *args):
        self.calls += 1
        return self.function(*args)


@each
@pytest.mark.parametrize("T", [1, 100])
def test_nothing_is_computed_twice_however_f_is_given(name, T):
    f, g, x0, alpha_c = FUNCTIONS[name]
    options, results = {"alpha_c": alpha_c, "maxiter": T}, []
    both, apart = Counted(lambda x: (f(x), g(x))), [Counted(f), Counted(g)]
    results.append(by_scipy(both, x0, jac=True, method=qgd_np.minimize, options=options))
    results.append(by_scipy(apart[0], x0, jac=apart[1], method=qgd_np.minimize, options=options))
    shift = {"args": (3.0,), "method": qgd_np.minimize, "options": options}
    results.append(by_scipy(lambda x, c: f(x) + c - 3, x0, jac=lambda x, c: g(x), **shift))
    results.append(qgd_np.minimize(lambda x: (f(x), g(x)), x0, jac=True, **options))
    accepts = int((results[0].log["action"] == 1).sum())
    for r in results:
        assert r.success and r.status == 0 and r.nit == T == len(r.log["fun"])
        assert r.fun <= f(np.array(x0)) and r.nfev <= T + 2 and r.njev <= accepts + 2
        assert np.array_equal(r.jac, g(r.x)) and np.allclose(r.fun, f(r.x), rtol=1e-12)
        assert np.allclose(r.x, results[0].x, rtol=1e-6)
    assert [counted.calls for counted in apart] == [results[1].nfev, results[1].njev]
    assert both.calls <= T + 2


@each
def test_both_callbacks_see_every_candidate_and_can_stop(name):
    f, g, x0, alpha_c = FUNCTIONS[name]
    one, other = [], []

    def stop(intermediate_result):
        other.append(intermediate_result)
        if len(other) == 7:
            raise StopIteration

    call = {"jac": g, "method": qgd_np.minimize, "options": {"alpha_c": alpha_c, "maxiter": 9}}
    by_scipy(f, x0, callback=one.append, **call)
    r = by_scipy(f, x0, callback=stop, **call)
    assert len(one) == 9 and isinstance(other[0], OptimizeResult)
    for x, seen in zip(one, other, strict=False):
        assert np.array_equal(x, seen.x) and seen.fun == f(x)
    assert (r.status, r.success, r.nit) == (99, False, 7) and "StopIteration" in r.message


@pytest.mark.filterwarnings("default")
def test_inside_basinhopping():
    f = lambda x: (np.cos(14.5 * x[0] - 0.3) + (x[0] + 0.2) * x[0],  # noqa: E731
                   np.array([-14.5 * np.sin(14.5 * x[0] - 0.3) + 2 * x[0] + 0.2]))  # fmt: skip
    how = {"jac": True, "method": qgd_np.minimize, "options": {"lower": -3.0, "maxiter": 40}}
    r = basinhopping(f, [1.0], niter=40, rng=0, minimizer_kwargs=how)
    assert r.fun == pytest.approx(-1.0009, abs=2e-3) and r.lowest_optimization_result.success


def test_what_is_not_used_or_not_known_is_said_as_scipy_says_it():
    call = {"method": qgd_np.minimize, "options": {"alpha_c": 1e-3}}
    for jac in (None, "2-point", False):
        with pytest.raises(ValueError, match="gradient is required"):
            by_scipy(rosen, [0.0, 0.0], jac=jac, **call)
    with pytest.warns(RuntimeWarning, match="does not use bounds"):
        by_scipy(rosen, [0.5, 0.0], jac=rosen_der, bounds=[(0, 1)] * 2, **call)
    with pytest.warns(OptimizeWarning, match="Unknown solver options: eps, gtol"):
        qgd_np.minimize(rosen, [0.5, 0.0], jac=rosen_der, alpha_c=1e-3, eps=1, gtol=2)
    wrong = [{"alpha_c": -1.0}, {"maxiter": 0}, {"lower": 1e9}, {"first": 101}]
    for options in wrong:
        with pytest.raises(ValueError, match="must be"):
            qgd_np.minimize(rosen, [0.5, 0.0], jac=rosen_der, **options)
    with pytest.raises(ValueError, match="start where"):
        qgd_np.minimize(lambda x: np.nan, [0.5], jac=lambda x: x)
    with pytest.raises(ValueError, match="shape"):
        qgd_np.minimize(lambda x: 1.0, [0.5], jac=lambda x: 1.0)
    with pytest.raises(ValueError, match="a number"):
        qgd_np.minimize(lambda x: x, [0.5, 1.0], jac=lambda x: x)
    with pytest.raises(files.FileError, match="nowhere"):
        qgd_np.minimize(rosen, [0.5, 0.0], jac=rosen_der, controller="nowhere")


def test_tol_ends_the_run_or_says_that_it_was_not_reached():
    f, g = lambda x: 1 + x @ x, lambda x: 2 * x
    r = by_scipy(f, np.ones(3), jac=g, method=qgd_np.minimize, tol=1e-3, options={"alpha_c": 0.2})
    assert r.success and r.nit < 40 and abs(r.jac).max() <= 1e-3 and "tol" in r.message
    r = by_scipy(f, np.ones(3), jac=g, method=qgd_np.minimize, tol=1e-3,
                 options={"alpha_c": 1e-4})  # fmt: skip
    assert (r.status, r.success) == (1, False)


@each
def test_a_rate_that_is_left_out_is_found_and_said(name):
    f, g, x0, _ = FUNCTIONS[name]
    r = qgd_np.minimize(f, x0, jac=g)
    assert r.success and r.fun < f(np.array(x0)) and f"alpha_c = {r.alpha_c:.3g} found" in r.message
    accepts = int((r.log["action"] == 1).sum())
    assert r.nfev <= 102 and r.njev <= accepts + 2 + 4
    if name == "quadratic":
        assert r.alpha_c == pytest.approx(1.75 / 100, rel=0.05)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("first", [1, 0.8])
def test_divergence_is_one_line(first):
    r = qgd_np.minimize(lambda x: np.sum(np.exp(x**2)), np.ones(2), alpha_c=50.0, first=first,
                        jac=lambda x: 2 * x * np.exp(x**2))  # fmt: skip
    assert not r.success and r.status == 2 and "smaller alpha_c" in r.message
    assert "\n" not in r.message and np.isfinite(r.x).all()


def test_the_slope_is_that_of_a_parabola_and_exact_on_one():
    f, g, x0, _ = FUNCTIONS["quadratic"]
    line, plain = LineFunction(f, g), Function(f, g)
    xbar = line.point(x0)
    d = -line.gradient(xbar)
    for alpha in (0.5, 0.01):
        x = xbar + alpha * d
        value, slope, alignment = line.observe(x, d, -d)
        expected = plain.observe(x.x, -g(x0), g(x0))
        assert np.allclose([value, slope, alignment], expected, rtol=1e-9)
    assert line.njev == 1 and line.nfev == 3
    p, ends = config.make("lr", {"alpha_c": 0.03, "first": 1}), []
    for f in (line, plain):
        Q = qgd_np.load("lr").Q
        x = algorithms.q_gradient_descent_alpha(f, f.point(x0), Q, p, lambda *step, **more: None)
        ends.append(f(x))
    assert ends[0] == pytest.approx(ends[1], rel=1e-9)


SMALL = dict(episodes=12, steps=20, M=3, first=0.5, progress=False, n_steps=5)


def test_train_takes_problems_in_turn_saves_loads_and_repeats(tmp_path):
    problems = [(Function(f, g), x0) for f, g, x0, _ in
                (FUNCTIONS[name] for name in ("rosenbrock", "quadratic"))]  # fmt: skip
    one, same = (qgd_np.train(problems, **SMALL, seed=3) for _ in range(2))
    other = qgd_np.train(problems, **SMALL, seed=4)
    assert one.Q.theta.tobytes() == same.Q.theta.tobytes() != other.Q.theta.tobytes()
    assert one.log["td_loss"].shape == (12,) and one.log["objective"].shape == (12, 20)
    starts = one.log["alpha"][:, 0]
    assert set(starts[::2]) != set(starts[1::2]) and len(set(starts)) == 2
    one.save(tmp_path / "own.h5")
    again = qgd_np.load(tmp_path / "own.h5")
    assert again.Q.theta.tobytes() == one.Q.theta.tobytes()
    assert (again.p.first, again.p.M, again.alpha_c) == (0.5, 3, None)
    assert all(np.array_equal(again.log[name], one.log[name], equal_nan=True) for name in one.log)
    results = [qgd_np.minimize(rosen, [-1.2, 1.0, 0.8], jac=rosen_der, controller=controller)
               for controller in (one, again, str(tmp_path / "own.h5"))]  # fmt: skip
    assert len({r.x.tobytes() for r in results}) == 1
    with_rate = qgd_np.train(problems[0], alpha_c=1e-3, **SMALL)
    with_rate.save(tmp_path / "own.h5")
    r = qgd_np.minimize(rosen, [-1.2, 1.0, 0.8], jac=rosen_der, controller=tmp_path / "own.h5")
    assert r.alpha_c == 1e-3 and "of the training" in r.message
    assert qgd_np.load("lr").p.first == 1


def test_a_rate_that_train_finds_is_one_at_which_f_falls():
    f, g = lambda x: 1 + ((x * x - 1) ** 2).sum(), lambda x: 4 * x * (x * x - 1)
    x_1 = np.full(3, 0.6)  # where it hardly bends
    line = LineFunction(f, g)
    trained = qgd_np.train((Function(f, g), x_1), **SMALL)
    assert line.starting_rate(line.point(x_1)) / trained.alpha_c in {2.0**k for k in range(1, 9)}
    assert qgd_np.minimize(f, x_1, jac=g, controller=trained).alpha_c == trained.alpha_c


def test_train_is_algorithm_3_with_the_reward_in_the_problems_units():
    f, g, x0, _ = FUNCTIONS["rosenbrock"]
    changes = {name: value for name, value in SMALL.items() if name != "progress"}
    trained = qgd_np.train((Function(f, g), x0), alpha_c=1e-3, **SMALL)
    problems = Problems((Function(f, g), x0), 1e-3, changes)
    line, _, p = problems.episode(0)
    shipped = qgd_np.minimize(f, x0, jac=g, alpha_c=1e-3, maxiter=20, controller="lr")
    assert p.gap == 0.1 * shipped.fun and p.c1 == p.c2 == 0.01 * shipped.fun and p.f_lb == 0
    streams = [np.random.default_rng([0, k]) for k in range(3)]
    Q = DQN((6, 32, 16, 2), p, streams[1])
    theta_0 = Q.net.initialise(streams[0], np.float64)
    p = replace(p, starts=1)
    learn = algorithms.q_learning_alpha(
        lambda e: (line, line.point(x0), p),
        Q,
        theta_0,
        Memory(p, streams[2]),
        p,
        lambda e: lambda *step: None,
    )
    ends = [line(x) for x in learn]
    assert Q.theta.tobytes() == trained.Q.theta.tobytes()
    assert trained.log["objective"][:, -1].tolist() == ends


def test_what_train_cannot_do_is_said_with_what_to_try():
    f, g, x0, _ = FUNCTIONS["quadratic"]
    with pytest.raises(config.ConfigError, match="plain steps; give a smaller one, or an earlier"):
        qgd_np.train((Function(*FUNCTIONS["quartic"][:2]), np.full(5, 2.0)), alpha_c=1.0, **SMALL)
    with pytest.raises(config.ConfigError, match="positive"):
        qgd_np.train((Function(lambda x: -1.0, g), x0), progress=False)
    with pytest.raises(config.ConfigError, match="no parameter"):
        qgd_np.train((Function(f, g), x0), progress=False, episode=3)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        qgd_np.train((Function(rosen, rosen_der), [-1.2, 1.0]), alpha_c=0.1,
                     **SMALL | {"first": 1, "accepts": 1.0})  # fmt: skip
    assert len(said) == 1 and "smaller alpha_c" in str(said[0].message)


def test_train_on_images(problem):
    net = problem()
    trained = qgd_np.train((net.f, net.x_1), alpha_c=0.5, **SMALL)
    assert np.isfinite(trained.log["return"]).all()


def test_help_fits_on_two_screens_and_starts_with_what_to_do():
    lines = pydoc.plain(pydoc.render_doc(qgd_np)).splitlines()
    assert len(lines) < 100 and "minimize(fun, x0" in "\n".join(lines[:10])
    for name in ("MLP", "Objective", "Function", "Features", "DQN", "Memory", "Controller"):
        assert getattr(qgd_np, name).__doc__ and name in qgd_np.__doc__
