"""Both nets' gradients against central differences, and the nets with saturated units (R7)."""

import numpy as np
import pytest

from qgd_np.fast.objective import LOSSES, Objective
from qgd_np.mlp import MLP, sigmoid

pytestmark = pytest.mark.filterwarnings("error")


def random_case(seed):
    """A net of random shape, its inputs and its parameters, in float64."""
    rng = np.random.default_rng(seed)
    depth = 1 + seed % 3
    sizes = rng.integers(1, 7, size=depth + 2)
    if seed % 4 == 0:
        sizes[1] = 1  # one hidden unit
    net = MLP(sizes)
    rows = 1 if seed % 5 == 0 else int(rng.integers(2, 12))
    inputs = rng.standard_normal((rows, net.sizes[0]))
    theta = net.initialise(rng, np.float64)
    theta += 0.3 * rng.standard_normal(len(theta))  # biases away from 0
    return rng, net, inputs, theta


def central(function, theta, k, h=1e-3):
    """d function / d theta_k from central differences at h and 2 h, the error of order h^4."""
    e = np.zeros_like(theta)
    e[k] = h
    near = function(theta + e) - function(theta - e)
    far = function(theta + 2 * e) - function(theta - 2 * e)
    return (8 * near - far) / (12 * h)


def assert_gradient(gradient, function, theta, rng):
    which = rng.permutation(len(theta))[:40]
    numeric = np.array([central(function, theta, k) for k in which])
    size = np.abs(gradient).max()
    assert size > 1e-6
    assert np.abs(gradient[which] - numeric).max() < 1e-7 * size


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("loss", LOSSES)
def test_objective_net_gradient_agrees_with_central_differences(seed, loss):
    rng, net, inputs, theta = random_case(seed)
    net = MLP((*net.sizes[:-1], net.sizes[-1] + 1))  # one class alone has no gradient
    theta = net.initialise(rng, np.float64) + 0.3 * rng.standard_normal(net.n_parameters)
    f = Objective(net, inputs, rng.integers(net.sizes[-1], size=len(inputs)), loss)
    lam = 0.1 * (seed % 2)
    gradient = f.gradient(f.point(theta), lam).vector
    assert_gradient(gradient, lambda theta: f(f.point(theta), lam), theta, rng)


@pytest.mark.parametrize("seed", range(50))
def test_dqn_gradient_agrees_with_central_differences(seed):
    rng, net, inputs, theta = random_case(seed)
    y = rng.standard_normal((len(inputs), net.sizes[-1]))

    def loss(theta):
        return 0.5 * np.sum((net.forward(theta, inputs)[-1] - y) ** 2)

    activations = net.forward(theta, inputs)
    gradient = net.backward(theta, inputs, activations, activations[-1] - y)
    assert_gradient(gradient, loss, theta, rng)


def test_the_random_shapes_include_batches_of_one_single_units_and_several_layers():
    cases = [random_case(seed) for seed in range(50)]
    assert sum(len(inputs) == 1 for _, _, inputs, _ in cases) >= 5
    assert sum(min(net.sizes[1:-1]) == 1 for _, net, _, _ in cases) >= 5
    assert {len(net.sizes) for _, net, _, _ in cases} == {3, 4, 5}
    assert len({net.sizes for _, net, _, _ in cases}) >= 45


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_exact_in_the_middle_and_quiet_at_both_ends(dtype):
    z = np.array([-800, -90, -1, 0, 1, 90, 800], dtype)
    a = sigmoid(z.copy())
    assert a.dtype == dtype and a[3] == 0.5
    assert a[0] == 0 and a[-1] == 1
    assert np.allclose(a[[2, 4]], 1 / (1 + np.exp([1.0, -1.0])), rtol=1e-6)
    assert np.all(np.diff(a) >= 0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("hidden", [(4,), (4, 3)])
def test_saturated_units_give_finite_numbers_without_a_warning(loss, dtype, hidden):
    rng = np.random.default_rng(1)
    net = MLP((6, *hidden, 3))
    images = rng.standard_normal((20, 6)).astype(dtype)
    theta = net.initialise(rng, dtype)
    layers = net.layers(theta)
    layers[0][0][:] *= 800 / np.abs(images @ layers[0][0]).max()
    for W, _ in layers[1:]:
        W[:] = 800 * np.sign(W) / W.shape[0]
    assert np.isclose(np.abs(images @ layers[0][0]).max(), 800, rtol=1e-3)
    assert np.abs(net.forward(theta, images)[-1]).max() > 200

    f = Objective(net, images, rng.integers(3, size=20), loss)
    x = f.point(theta)
    d = -f.gradient(x)
    assert np.isfinite(f(x)) and np.isfinite(d.vector).all()
    assert np.isfinite(f.observe(x + 0.5 * d, d, d)).all()


def test_initial_weights_have_variance_one_over_fan_in_and_biases_are_zero():
    net = MLP((400, 100, 10))
    theta = net.initialise(np.random.default_rng(0))
    assert theta.dtype == np.float32 and len(theta) == 401 * 100 + 101 * 10
    for W, b in net.layers(theta):
        assert abs(W.std() * np.sqrt(W.shape[0]) - 1) < 0.05
        assert not b.any()


def test_layers_are_views_of_one_flat_vector_in_order():
    net = MLP((2, 3, 1))
    theta = np.arange(13.0)
    (W1, b1), (W2, b2) = net.layers(theta)
    assert W1.tolist() == [[0, 1, 2], [3, 4, 5]] and b1.tolist() == [6, 7, 8]
    assert W2.tolist() == [[9], [10], [11]] and b2.tolist() == [12]
    W2[1] = -1
    assert theta[10] == -1 and net.first == 9


@pytest.mark.parametrize("sizes", [(3, 2), (3, 0, 2), (0, 3, 2)])
def test_a_net_without_hidden_units_is_refused(sizes):
    with pytest.raises(ValueError, match="hidden units"):
        MLP(sizes)
