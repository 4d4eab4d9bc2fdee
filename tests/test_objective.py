"""f, g, h and the line: against a full recomputation, and in products with the images."""

import gc
import weakref

import numpy as np
import pytest

from qgd_np.fast.line import BLOCK, GRAM, Point
from qgd_np.fast.objective import LOSSES, ErrorRate, Objective, PlainObjective
from qgd_np.mlp import MLP

pytestmark = pytest.mark.filterwarnings("error")

N = 2 * BLOCK + 77  # no multiple of a block


class Images(np.ndarray):
    """Images that count the matrix products they enter."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        if ufunc is np.matmul:
            Images.products += 1
        plain = [i.view(np.ndarray) if isinstance(i, Images) else i for i in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)


@pytest.fixture
def counted(problem):
    """A small problem whose products with the images are counted; count() resets the counter."""
    case = problem(n=50)
    case.f = Objective(case.net, case.images.view(Images), case.labels)
    case.h = ErrorRate(case.net, case.images.view(Images), case.labels)

    def count():
        number, Images.products = Images.products, 0
        return number

    count()
    case.count = count
    return case


def direct(case, theta, lam=0.0, loss="softmax"):
    """(g, gradient of g) of float64 parameters written out, without the line."""
    layers, n = case.net.layers(np.asarray(theta, np.float64)), len(case.images)
    A = [case.images.astype(np.float64)]
    for W, b in layers[:-1]:
        A.append(1 / (1 + np.exp(-(A[-1] @ W + b))))
    Z = A[-1] @ layers[-1][0] + layers[-1][1]
    a = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    y = np.eye(Z.shape[1])[case.labels]
    if loss == "softmax":
        f, delta = -np.sum(y * np.log(a)) / n, (a - y) / n
    else:
        f = -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)) / n
        by_a = (-y / a + (1 - y) / (1 - a)) / n
        delta = a * (by_a - (by_a * a).sum(axis=1, keepdims=True))
    parts = []
    for (W, _), A_l in zip(layers[::-1], A[::-1], strict=True):
        parts = [(A_l.T @ delta).ravel(), delta.sum(axis=0), *parts]
        delta = (delta @ W.T) * A_l * (1 - A_l)
    return f + lam * theta @ theta, np.concatenate(parts) + 2 * lam * theta


# -- the line against a full recomputation --------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", [(5,), (6, 4)])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_f_and_slope_on_the_line_agree_with_a_full_recomputation(
    problem, dtype, tolerance, hidden, loss
):
    case = problem(n=N, hidden=hidden, dtype=dtype, loss=loss)
    lam, x, direction = 0.03, case.x_1, None
    for _ in range(3):  # accepts
        before = direction or -case.f.gradient(x, lam)
        direction = -case.f.gradient(x, lam)
        xbar = x
        for alpha in (0.5, 0.25, 0.8):
            x = xbar + alpha * direction
            g, slope, alignment = case.f.observe(x, direction, before, lam)
            vector = xbar.x.astype(np.float64) + alpha * -direction.vector.astype(np.float64)
            d = -direction.vector.astype(np.float64)
            value, gradient = direct(case, vector, lam, loss)
            scale = np.linalg.norm(d) * np.linalg.norm(gradient)
            assert abs(g / value - 1) < tolerance
            assert abs(slope - d @ gradient) < tolerance * scale
            expected = np.mean(np.sign(d) * np.sign(-before.vector.astype(np.float64)))
            assert alignment == pytest.approx(expected, abs=1e-6)
            error = np.linalg.norm(case.f.gradient(x, lam).vector - gradient)
            assert error < 10 * tolerance * np.linalg.norm(gradient)


def test_f_has_not_drifted_after_100_accepts_in_float32(problem):
    case = problem(n=200, hidden=(20,))
    x = case.x_1
    for _ in range(100):
        x = x - 0.02 * case.f.gradient(x)
    value, _ = direct(case, x.x.astype(np.float64))
    assert abs(case.f(x) / value - 1) < 1e-4
    start, _ = direct(case, case.x_1.x.astype(np.float64))
    assert value < start - 0.01  # it has gone somewhere


def test_the_first_layer_is_computed_anew_now_and_then(problem, monkeypatch):
    """Without the refresh, an error put into Zbar would stay for good."""
    case = problem()
    x = case.x_1
    case.f(x)
    case.f.layer.Zbar += 1
    for _ in range(40):
        x = x - 0.02 * case.f.gradient(x)
    value, _ = direct(case, x.x.astype(np.float64))
    assert abs(case.f(x) / value - 1) < 1e-4


def test_a_point_on_no_known_line_still_gives_the_right_numbers(problem):
    case = problem(dtype=np.float64)
    rng = np.random.default_rng(5)
    x = case.x_1
    d = -case.f.gradient(x)
    stray = case.f.point(rng.standard_normal(case.net.n_parameters))
    e = -case.f.gradient(stray)
    points = [x + d, stray, stray + 0.5 * e, x + 0.5 * d, x + 0.5 * e, x, (x + d) + 0.25 * e]
    for point in points:
        value, gradient = direct(case, point.x)
        for direction in (d, e):
            f, slope, alignment = case.f.observe(point, direction, direction)
            assert f == pytest.approx(value, rel=1e-12)
            assert slope == pytest.approx(-direction.vector @ gradient, rel=1e-10, abs=1e-14)
            assert alignment == 1.0


def test_the_slope_where_d_was_taken_follows_lambda(problem):
    case = problem(dtype=np.float64)
    d = -case.f.gradient(case.x_1, 0.5)
    for lam in (0.5, 0.1, 0.0):
        _, gradient = direct(case, case.x_1.x, lam)
        slope = case.f.observe(case.x_1, d, d, lam)[1]
        assert slope == pytest.approx(-d.vector @ gradient, rel=1e-10)


def test_the_slope_at_a_point_whose_own_line_was_let_go_is_still_right(problem):
    case = problem(dtype=np.float64)
    x = case.x_1
    d = -case.f.gradient(x)
    old = x + 0.5 * d
    y = old + 0.5 * -case.f.gradient(old)
    for _ in range(2):
        y = y + 0.5 * -case.f.gradient(y)  # then `old` is further back than the lines reach
    assert old.base is None
    fresh = Objective(case.net, case.images, case.labels)
    value, gradient = direct(case, old.x)
    for f in (case.f, fresh):
        assert f.observe(old, d, d)[:2] == pytest.approx((value, -d.vector @ gradient), rel=1e-10)


def test_two_objectives_and_an_error_rate_follow_the_same_points_without_confusion(problem):
    case, other = problem(dtype=np.float64, seed=1), problem(n=30, dtype=np.float64, seed=2)
    x = case.x_1
    for k in range(4):
        d = -case.f.gradient(x)
        for alpha in (0.7, 0.2)[: 1 + k % 2]:
            y = x + alpha * d
            for c in (case, other):
                assert c.f(y) == pytest.approx(direct(c, y.x)[0], rel=1e-12)
            assert other.h(y) == errors(other, y.x)
        x = y


# -- few images: the product per direction with the Gram matrix ------------------------------------


def few(problem, dtype=np.float64, hidden=(5,), n=30):
    """A problem with fewer images than pixels, and an error rate on 40 other images."""
    case = problem(n=n, hidden=hidden, dtype=dtype, pixels=60)
    other = problem(n=40, dtype=dtype, pixels=60, seed=1)
    case.other = other
    case.h = ErrorRate(case.net, other.images, other.labels, basis=case.images)
    return case


@pytest.mark.parametrize("lam", [0.0, 0.03])
@pytest.mark.parametrize("hidden", [(5,), (6, 4), (5, 4, 3)])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_the_gram_product_is_the_plain_product(problem, dtype, tolerance, hidden, lam):
    case = few(problem, dtype, hidden)
    x = case.x_1
    for _ in range(5):
        d = -case.f.gradient(x, lam)
        candidate = x + 0.5 * d
        case.f(candidate), case.h(candidate)
        W, b = case.net.layers(d.vector.astype(np.float64))[0]
        for layer, images in ((case.f.layer, case.images), (case.h.layer, case.other.images)):
            plain = images @ W + b
            assert layer.gram is not None
            assert np.linalg.norm(layer.DZ - plain) < tolerance * np.linalg.norm(plain)
        x = candidate  # accept


@pytest.mark.parametrize("lam", [0.0, 0.03])
@pytest.mark.parametrize("dtype, tolerance", [(np.float32, 1e-5), (np.float64, 1e-12)])
def test_f_and_h_have_not_drifted_after_100_accepts_by_gram_products(
    problem, dtype, tolerance, lam
):
    case = few(problem, dtype)
    x, other = case.x_1, case.other
    for _ in range(100):
        x = x - 0.02 * case.f.gradient(x, lam)
        case.h(x)
    value, _ = direct(case, x.x.astype(np.float64), lam)
    assert abs(case.f(x, lam) / value - 1) < tolerance
    W, b = case.net.layers(x.x.astype(np.float64))[0]
    Z = other.images @ W + b
    assert np.linalg.norm(case.h.layer.Z(x.scale, slice(None)) - Z) < tolerance * np.linalg.norm(Z)


def test_only_directions_from_the_point_where_the_line_begins_take_the_gram_product(problem):
    """Others, and those of another objective, take the plain one: the same numbers either way."""
    case = few(problem)
    other = Objective(case.net, case.other.images[:20], case.other.labels[:20])
    case.x_1 = case.f.point(case.x_1.x + 0.5)  # biases too
    d, e = case.f.gradient(case.x_1, 0.1), other.gradient(case.x_1, 0.1)
    start = case.f.point(case.x_1.x - 0.3)
    for x in (case.x_1 - d, start - d, case.x_1 - e, start - e, (case.x_1 - d) - 0.5 * e):
        for f, images in ((case.f, case.images), (other, case.other.images[:20])):
            f(x)
            W, b = case.net.layers(x.x)[0]
            assert np.allclose(f.layer.Z(x.scale, slice(None)), images @ W + b, rtol=1e-11)
        assert case.h(x) == errors(case.other, x.x)


@pytest.mark.parametrize("n, used", [(int(GRAM * 60), True), (int(GRAM * 60) + 1, False)])
def test_the_gram_product_is_for_fewer_images_than_pixels(problem, n, used):
    case = few(problem, n=n)
    d = -case.f.gradient(case.x_1)
    case.f(case.x_1 + d), case.h(case.x_1 + d)
    assert (d.dual is not None) == used
    assert (case.f.layer.gram is not None) == (case.h.layer.gram is not None) == used


def test_with_few_images_an_accept_costs_one_product_with_the_pixels_and_h_none(problem):
    case = few(problem)
    f = Objective(case.net, case.images.view(Images), case.labels)
    h = ErrorRate(case.net, case.other.images.view(Images), case.other.labels, f.layer.images)
    x, d = case.x_1, -f.gradient(case.x_1)
    f(x + 0.5 * d), h(x + 0.5 * d)
    for _ in range(5):
        Images.products = 0
        candidate = x + 0.25 * d  # a half
        f(candidate), h(candidate)
        assert Images.products == 0
        x, d = candidate, -f.gradient(candidate)  # an accept
        f(x + 0.5 * d), h(x + 0.5 * d)
        assert Images.products == 1  # X^T delta


# -- cost -----------------------------------------------------------------------------------------


def test_a_half_costs_no_product_with_the_images_and_an_accept_costs_two(counted):
    x = counted.x_1
    d = d_before = -counted.f.gradient(x)
    counted.f.observe(x + 0.5 * d, d, d_before)
    counted.count()
    for round_ in range(5):
        for k in range(1, 4):  # halves
            candidate = x + 0.5**k * d
            counted.f.observe(candidate, d, d_before)
            counted.f(candidate)
        assert counted.count() == 0
        x, d_before = candidate, d  # accept
        d = -counted.f.gradient(x)
        candidate = x + 0.5 * d
        counted.f.observe(candidate, d, d_before, 0.1 * round_)
        assert counted.count() == 2


def test_an_accept_of_the_newest_candidate_costs_an_error_rate_one_product(counted):
    """h needs no gradient: only X d for each new direction, and nothing on a half."""
    x, d = counted.x_1, -counted.f.gradient(counted.x_1)
    counted.h(x + 0.5 * d)
    for _ in range(4):
        counted.count()
        counted.h(x + 0.25 * d)
        assert counted.count() == 0
        x = x + 0.25 * d
        d = -counted.f.gradient(x)
        counted.count()
        counted.h(x + 0.5 * d)
        assert counted.count() == 1


def test_a_change_of_lambda_alone_evaluates_nothing(counted, monkeypatch):
    d = -counted.f.gradient(counted.x_1)
    x = counted.x_1 + 0.5 * d
    f, squares = counted.f(x), float(x.x @ x.x)
    counted.count()
    monkeypatch.setattr(Objective, "_evaluate", None)  # a call of it would raise
    for lam in (0.0, 0.01, 0.5, 3.0):
        assert counted.f(x, lam) == pytest.approx(f + lam * squares, rel=1e-6)
        again = counted.x_1 + 0.5 * d  # an equal point, as after a half of lambda
        assert counted.f(again, lam) == counted.f(x, lam)
    assert counted.count() == 0


def test_older_points_and_directions_are_released(problem):
    case = problem()
    x, seen = case.x_1, []
    seen.append(weakref.ref(x.x))
    case.x_1 = None
    for _ in range(8):
        d = -case.f.gradient(x)
        seen.append(weakref.ref(d.vector))
        candidate = x + 0.1 * d
        case.f(candidate)
        x = candidate
        seen.append(weakref.ref(x.x))
    del candidate, d
    gc.collect()
    alive = [k for k, reference in enumerate(seen) if reference() is not None]
    assert len(alive) <= 8, alive  # the last two lines: points and directions
    assert min(alive) >= len(seen) - 8


# -- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", LOSSES)
def test_g_is_f_plus_lambda_times_the_squares_of_the_whole_iterate(problem, loss):
    case = problem(dtype=np.float64, loss=loss)
    x = case.f.point(case.x_1.x + 0.5)  # biases too
    for lam in (0.0, 0.2):
        value, gradient = direct(case, x.x, lam, loss)
        assert case.f(x, lam) == pytest.approx(value, rel=1e-12)
        assert np.allclose(case.f.gradient(x, lam).vector, gradient, rtol=1e-11, atol=1e-14)
    assert case.f(x, 0.2) - case.f(x) == pytest.approx(0.2 * np.sum(x.x**2), rel=1e-12)


def test_losses_of_one_image_by_hand():
    # softmax of (ln 2, 0, 0) is (1/2, 1/4, 1/4); class 1
    y = np.array([[0.0], [1.0], [0.0]])
    Z = np.array([[np.log(2)], [0.0], [0.0]])
    loss, delta = LOSSES["softmax"](Z.copy(), y)
    assert loss == pytest.approx(np.log(4)) and np.allclose(delta.T, [[0.5, -0.75, 0.25]])
    loss, delta = LOSSES["eq2"](Z.copy(), y)
    assert loss == pytest.approx(np.log(4) + np.log(2) + np.log(4 / 3))
    # d loss / d a = (2, -4, 4/3), its mean under a is 1/3
    assert np.allclose(delta.T, [[0.5 * (2 - 1 / 3), 0.25 * (-4 - 1 / 3), 0.25 * (4 / 3 - 1 / 3)]])


def errors(case, theta):
    """The share of wrong predictions, written out."""
    (W, b), (V, c) = case.net.layers(np.asarray(theta, np.float64))
    A = 1 / (1 + np.exp(-(case.images @ W + b)))
    return np.mean([int(np.argmax(A[i] @ V + c)) != y for i, y in enumerate(case.labels)])


def test_the_error_rate_is_the_share_of_wrong_predictions(problem):
    case = problem(n=BLOCK + 13, dtype=np.float64)
    d = -case.f.gradient(case.x_1)
    for alpha in (0.0, 0.3, 1.0, 4.0):
        x = case.x_1 + alpha * d
        assert case.h(x) == case.h(x, 0.5) == errors(case, x.x)


def test_the_error_rate_is_zero_for_perfect_and_one_for_opposite_labels(problem):
    case = problem()
    right = case.net.forward(case.x_1.x, case.images)[-1].argmax(axis=1)
    assert ErrorRate(case.net, case.images, right)(case.x_1) == 0.0
    assert ErrorRate(case.net, case.images, (right + 1) % 3)(Point(case.x_1.x)) == 1.0


# -- a user's own objective -----------------------------------------------------------------------


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def rosenbrock_gradient(x):
    r = x[1] - x[0] ** 2
    return np.array([-2 * (1 - x[0]) - 400 * x[0] * r, 200 * r])


def test_a_plain_objective_has_the_same_interface():
    f = PlainObjective(rosenbrock, rosenbrock_gradient)
    x = f.point([-1.0, 2.0])
    assert f(x) == 104.0 and f(x, 0.5) == 106.5
    assert f.gradient(x).tolist() == [396.0, 200.0]
    assert f.gradient(x, 0.5).tolist() == [395.0, 202.0]
    d, before = -f.gradient(x), np.array([-1.0, 1.0])
    value, slope, alignment = f.observe(x, d, before, 0.5)
    assert value == 106.5
    assert slope == -(396.0 * 395.0 + 200.0 * 202.0)
    assert alignment == 0.0  # (-,-) against (-,+): one component agrees, one does not
    assert all(type(number) is float for number in (value, slope, alignment))


def test_objective_and_plain_objective_take_the_same_steps(problem):
    case = problem(dtype=np.float64)
    plain = PlainObjective(lambda x: direct(case, x)[0], lambda x: direct(case, x)[1])
    x, y = case.x_1, plain.point(case.x_1.x)
    for _ in range(5):
        d, e = -case.f.gradient(x, 0.01), -plain.gradient(y, 0.01)
        x, y = x + 0.5 * d, y + 0.5 * e
        seen, expected = case.f.observe(x, d, d, 0.01), plain.observe(y, e, e, 0.01)
        assert seen == pytest.approx(expected, rel=1e-10)


def test_the_net_may_be_any_depth_and_the_loss_must_be_known(problem):
    case = problem(n=9, hidden=(4, 3, 2), dtype=np.float64)
    value, gradient = direct(case, case.x_1.x)
    assert case.f(case.x_1) == pytest.approx(value, rel=1e-12)
    assert np.allclose(case.f.gradient(case.x_1).vector, gradient, rtol=1e-11, atol=1e-15)
    with pytest.raises(KeyError):
        Objective(MLP((2, 2, 2)), np.zeros((1, 2)), np.zeros(1, int), "hinge")
