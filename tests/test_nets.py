"""Both nets' gradients against central differences; f, g and h on the line against as defined."""

import gc
import weakref

import numpy as np
import pytest

from qgd_np.fast.line import BLOCK, GRAM
from qgd_np.fast.objective import ErrorRate, Objective
from qgd_np.mlp import MLP, sigmoid
from qgd_np.objective import LOSSES, Function
from qgd_np.objective import Objective as PlainObjective

pytestmark = pytest.mark.filterwarnings("error")

PRECISIONS = [(np.float32, 1e-5), (np.float64, 1e-12)]


def assert_gradient(gradient, function, theta, rng, h=1e-3):
    """Against central differences at h and 2 h, whose error is of order h^4."""
    which = rng.permutation(len(theta))[:40]
    numeric = []
    for e in h * np.eye(len(theta))[which]:
        near, far = function(theta + e) - function(theta - e), function(theta + 2 * e)
        numeric.append((8 * near - far + function(theta - 2 * e)) / (12 * h))
    size = np.abs(gradient).max()
    assert size > 1e-6 and np.abs(gradient[which] - numeric).max() < 1e-7 * size


@pytest.mark.parametrize("seed", range(50))
def test_gradients_of_both_nets_agree_with_central_differences(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, size=3 + seed % 3)  # one to three hidden layers
    sizes[-1] += 1  # one class alone has no gradient
    if seed % 4 == 0:
        sizes[1] = 1  # one hidden unit
    net, rows = MLP(sizes), 1 if seed % 5 == 0 else int(rng.integers(2, 12))  # or a batch of one
    theta = net.initialise(rng, np.float64) + 0.3 * rng.standard_normal(net.n_parameters)
    inputs, labels = rng.standard_normal((rows, sizes[0])), rng.integers(sizes[-1], size=rows)
    lam = 0.1 * (seed % 2)
    for loss in LOSSES:
        plain = PlainObjective(net, inputs, labels, loss)
        gradient = plain.gradient(theta, lam)
        assert_gradient(gradient, lambda x, g=plain: g(x, lam), theta, rng)
        fast = Objective(net, inputs, labels, loss)
        along = fast.gradient(fast.point(theta), lam).vector
        assert np.linalg.norm(along - gradient) < 1e-12 * np.linalg.norm(gradient)
    y = rng.standard_normal((len(inputs), net.sizes[-1]))  # the DQN: half the squared error
    activations = net.forward(theta, inputs)
    gradient = net.backward(theta, inputs, activations, activations[-1] - y)
    half = lambda x: 0.5 * np.sum((net.forward(x, inputs)[-1] - y) ** 2)  # noqa: E731
    assert_gradient(gradient, half, theta, rng)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sigmoid_is_exact_in_the_middle_and_quiet_at_both_ends(dtype):
    a = sigmoid(np.array([-800, -90, -1, 0, 1, 90, 800], dtype))
    assert a.dtype == dtype and a[[0, 3, 6]].tolist() == [0, 0.5, 1]
    assert np.allclose(a[[2, 4]], 1 / (1 + np.exp([1.0, -1.0])), rtol=1e-6)
    assert np.all(np.diff(a) >= 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [(4,), (4, 3)])
def test_saturated_units_give_finite_numbers_without_a_warning(problem, loss, dtype, hidden):
    case = problem(n=20, hidden=hidden, dtype=dtype, loss=loss)
    theta = case.x_1.x.copy()
    layers = case.net.layers(theta)
    layers[0][0][:] *= 800 / np.abs(case.images @ layers[0][0]).max()
    for W, _ in layers[1:]:
        W[:] = 800 * np.sign(W) / W.shape[0]
    assert np.abs(case.net.forward(theta, case.images)[-1]).max() > 200
    for f in (case.f, case.plain_f):
        x = f.point(theta)
        d = -f.gradient(x)
        assert np.isfinite(f(x)) and np.isfinite(getattr(d, "vector", d)).all()
        assert np.isfinite(f.observe(x + 0.5 * d, d, d)).all()


def test_a_net_is_one_flat_vector_in_order_with_weights_of_variance_one_over_fan_in():
    net = MLP((400, 100, 10))
    theta = net.initialise(np.random.default_rng(0))
    assert theta.dtype == np.float32 and len(theta) == 401 * 100 + 101 * 10
    for W, b in net.layers(theta):
        assert abs(W.std() * np.sqrt(W.shape[0]) - 1) < 0.05 and not b.any()
    net, theta = MLP((2, 3, 1)), np.arange(13.0)
    (W1, b1), (W2, b2) = net.layers(theta)
    assert W1.tolist() == [[0, 1, 2], [3, 4, 5]] and b1.tolist() == [6, 7, 8] and net.first == 9
    assert W2.tolist() == [[9], [10], [11]] and b2.tolist() == [12]
    W2[1] = -1  # a view
    assert theta[10] == -1
    for sizes in ((3, 2), (3, 0, 2), (0, 3, 2)):
        with pytest.raises(ValueError, match="hidden units"):
            MLP(sizes)


def test_losses_of_one_image_by_hand():
    # softmax of (ln 2, 0, 0) is (1/2, 1/4, 1/4); class 1
    y, Z = np.array([[0.0], [1.0], [0.0]]), np.array([[np.log(2)], [0.0], [0.0]])
    loss, delta = LOSSES["softmax"](Z.copy(), y)
    assert loss == pytest.approx(np.log(4)) and np.allclose(delta.T, [[0.5, -0.75, 0.25]])
    loss, delta = LOSSES["eq2"](Z.copy(), y)
    assert loss == pytest.approx(np.log(4) + np.log(2) + np.log(4 / 3))
    # d loss / d a = (2, -4, 4/3), its mean under a is 1/3
    assert np.allclose(delta.T, [[0.5 * (2 - 1 / 3), 0.25 * (-4 - 1 / 3), 0.25 * (4 / 3 - 1 / 3)]])
    with pytest.raises(KeyError):
        Objective(MLP((2, 2, 2)), np.zeros((1, 2)), np.zeros(1, int), "hinge")


@pytest.mark.parametrize("loss", LOSSES)
def test_f_g_and_h_are_those_of_equations_2_3_and_9_written_out(problem, loss):
    case = problem(n=20, hidden=(4, 3), dtype=np.float64, loss=loss)
    theta, f, wrong = case.x_1.x + 0.1, [], 0  # biases too
    for image, label in zip(case.images, case.labels, strict=True):
        a = image
        for k, (W, b) in enumerate(case.net.layers(theta)):
            z = W.T @ a + b
            a = 1 / (1 + np.exp(-z)) if k < 2 else np.exp(z) / np.exp(z).sum()
        y = np.eye(3)[label]
        eq2 = -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a))
        f.append(eq2 if loss == "eq2" else -np.log(a[label]))
        wrong += np.argmax(a) != label
    for objective, h in ((case.f, case.h), (case.plain_f, case.plain_h)):
        x = objective.point(theta)
        assert objective(x) == pytest.approx(np.mean(f), rel=1e-13)
        assert objective(x, 0.2) == pytest.approx(np.mean(f) + 0.2 * theta @ theta, rel=1e-13)
        assert h(x) == h(x, 0.5) == wrong / 20


def test_a_function_of_ones_own_has_the_same_interface_and_computes_nothing_twice():
    calls = []
    f = Function(
        lambda x: (calls.append("f"), (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2)[1],
        lambda x: (calls.append("df"), np.array([396.0, 200.0]))[1],
    )
    x, *others = (f.point([k, 2.0 * (k < 0)]) for k in (-1.0, 0.0, 1.0))
    assert f(x) == 104.0 and f(x, 0.5) == 106.5
    assert f.gradient(x, 0.5).tolist() == [395.0, 202.0]
    seen = f.observe(x, -f.gradient(x), np.array([-1.0, 1.0]), 0.5)
    assert seen == (106.5, -(396.0 * 395.0 + 200.0 * 202.0), 0.0)
    assert all(type(number) is float for number in seen)
    assert [f(k) for k in (*others, x)] == [1.0, 100.0, 104.0] and calls == ["f", "df", "f", "f"]
    f(f.point([0.0, 0.0])), f(others[0])  # three iterates are known, this one no more
    assert len(calls) == 6


MANY = dict(n=2 * BLOCK + 77)  # no multiple of a block
FEW = dict(n=int(GRAM * 60), pixels=60)  # so few that the product per direction is with Y X^T


def assert_as_defined(case, x, d, d_before, lam, tolerance):
    """g, slope, alignment and gradient at x as the plain definition has them in float64."""
    vectors = [v.vector.astype(np.float64) * v.scale for v in (d, d_before)]
    theta = x.x.astype(np.float64)
    value, slope, alignment = case.plain.observe(theta, *vectors, lam)
    gradient = case.plain.gradient(theta, lam)
    seen, size = case.f.observe(x, d, d_before, lam), np.linalg.norm(gradient)
    assert abs(seen[0] / value - 1) < tolerance and abs(case.f(x, lam) / value - 1) < tolerance
    assert abs(seen[1] - slope) < tolerance * np.linalg.norm(vectors[0]) * size
    assert abs(seen[2] - alignment) < 1e-6
    assert np.linalg.norm(case.f.gradient(x, lam).vector - gradient) < 10 * tolerance * size


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("hidden", [(5,), (6, 4)])
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@pytest.mark.parametrize("size", [MANY, FEW])
def test_a_random_walk_is_as_defined(problem, dtype, tolerance, size, hidden, loss):
    case = problem(**size, hidden=hidden, dtype=dtype, loss=loss)
    other = problem(**size | dict(n=40), dtype=dtype, hidden=hidden, seed=1)
    h = ErrorRate(case.net, other.images, other.labels, case.images)
    case.plain = PlainObjective(case.net, case.images.astype(np.float64), case.labels, loss)
    rng, xbar, lam, alpha = np.random.default_rng(3), case.x_1, 0.03, 0.5
    d = d_before = -case.f.gradient(xbar, lam)
    x, behind = xbar, [xbar]
    for _ in range(40):
        event = rng.choice(["half", "accept", "lambda", "raise", "h", "older", "jump"],
                           p=[0.2, 0.3, 0.15, 0.1, 0.1, 0.1, 0.05])  # fmt: skip
        if event == "accept":
            xbar, d_before, alpha = x, d, 0.5
            d = -case.f.gradient(x, lam)
            behind.append(x)
        elif event in ("half", "raise"):
            alpha *= 0.5 if event == "half" else 1.25
        elif event == "lambda":
            lam = float(rng.choice([0.0, 0.01, 0.03]))
        elif event == "h":
            wrong = other.plain_h(x.x)  # equal but for a tie that the line decides otherwise
            assert abs(h(x) - wrong) <= (0 if dtype is np.float64 else 1.1 / 40)
        elif event == "older":
            k = int(rng.integers(len(behind)))  # its own line may have been let go
            assert_as_defined(case, behind[k], d, d_before, lam, tolerance)
        elif event == "jump":
            xbar = case.f.point(x.x + dtype(0.01))
        x = xbar + alpha * d
        assert_as_defined(case, x, d, d_before, lam, tolerance)
    for layer in (case.f.layer, h.layer):
        assert (layer.gram is not None) == (size is FEW)


@pytest.mark.parametrize("lam", [0.0, 0.03])
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
@pytest.mark.parametrize("size", [dict(n=200, hidden=(20,)), FEW])
def test_nothing_has_drifted_after_100_accepts(problem, size, dtype, tolerance, lam):
    case = problem(**size, dtype=dtype)
    x, before = case.x_1, case.f(case.x_1, lam)
    plain = PlainObjective(case.net, case.images.astype(np.float64), case.labels)
    for error in (0, 1):  # it would stay, were the first layer not computed anew now and then
        case.f.layer.Zbar += error
        for _ in range(100):
            x = x - 0.02 * case.f.gradient(x, lam)
            case.h(x)
        assert abs(case.f(x, lam) / plain(x.x.astype(np.float64), lam) - 1) < tolerance
        assert case.f(x, lam) < before - 0.01 and case.h(x) == case.plain_h(x.x)


@pytest.mark.parametrize("size", [dict(), FEW])
def test_points_and_directions_of_other_lines_and_objectives_are_not_confused(problem, size):
    case, other = problem(dtype=np.float64, **size), problem(seed=1, dtype=np.float64, **size)
    case.plain = case.plain_f
    x, stray = case.f.point(case.x_1.x + 0.5), case.f.point(case.x_1.x - 0.3)  # biases too
    d, e = -case.f.gradient(x, 0.1), -case.f.gradient(stray)
    own = -other.f.gradient(x)
    points = [x + d, stray, stray + 0.5 * e, x + 0.5 * d, x + 0.5 * e, x, (x + d) + 0.25 * e,
              x - own, stray + own, x]  # fmt: skip
    for point in points:
        for direction in (d, e, own):
            for lam in (0.1, 0.0):
                assert_as_defined(case, point, direction, d, lam, 1e-10)
        assert other.f(point) == pytest.approx(other.plain_f(point.x), rel=1e-12)
        assert other.h(point) == other.plain_h(point.x)


class Images(np.ndarray):
    """Images that count the matrix products they enter."""

    products = 0

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        Images.products += ufunc is np.matmul
        plain = [i.view(np.ndarray) if isinstance(i, Images) else i for i in inputs]
        return getattr(ufunc, method)(*plain, **kwargs)


def products(of):
    """The products with the images that of() makes."""
    Images.products = 0
    of()
    return Images.products


@pytest.mark.parametrize("size, accept, error", [
    (dict(n=50), 2, 1), (FEW | dict(n=FEW["n"] + 1), 2, 1), (FEW, 1, 0),
])  # fmt: skip
def test_a_half_costs_no_product_with_the_images_and_an_accept_two(problem, size, accept, error):
    """With few images one. h needs no gradient: on a new direction one product, or none."""
    case = problem(**size)
    f = Objective(case.net, case.images.view(Images), case.labels)
    h = ErrorRate(case.net, case.images.view(Images), case.labels, f.layer.images)
    x, d = case.x_1, -f.gradient(case.x_1)
    f.observe(x + 0.5 * d, d, d), h(x + 0.5 * d)
    for _ in range(5):
        for alpha in (0.25, 0.125):  # halves
            candidate = x + alpha * d
            assert products(lambda x=candidate, d=d: (f.observe(x, d, d), f(x), h(x))) == 0
        before, x, d = d, candidate, None
        assert products(lambda x=x: f.gradient(x)) == 1
        d = -f.gradient(x)
        look = lambda x=x + 0.5 * d, d=d, e=before: f.observe(x, d, e, 0.1)  # noqa: E731
        assert products(look) == accept - 1
        assert products(lambda x=x + 0.5 * d: h(x)) == error


def test_a_change_of_lambda_alone_evaluates_nothing(problem, monkeypatch):
    case = problem()
    d = -case.f.gradient(case.x_1)
    x = case.x_1 + 0.5 * d
    f, squares = case.f(x), float(x.x @ x.x)
    monkeypatch.setattr(Objective, "_evaluate", None)  # a call of it would raise
    for lam in (0.0, 0.01, 0.5, 3.0):
        assert case.f(x, lam) == pytest.approx(f + lam * squares, rel=1e-6)
        assert case.f(case.x_1 + 0.5 * d, lam) == case.f(x, lam)  # an equal point


def test_older_points_and_directions_are_released(problem):
    case = problem()
    x, seen, case.x_1 = case.x_1, [], None
    for _ in range(8):
        d = -case.f.gradient(x)
        seen += [weakref.ref(x.x), weakref.ref(d.vector)]
        x = x + 0.1 * d
        case.f(x)
    del d
    gc.collect()
    assert not any(reference() is not None for reference in seen[:-7])  # but for the last two lines
