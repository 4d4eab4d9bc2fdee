"""Random problems of several kinds, each with an alpha_c of its own.

Each kind is a function of a generator and of whether the problem shall be large; it returns f, its
gradient and x_1 (P,), all float64. Shapes: m rows, n columns, k classes.
"""

import numpy as np

from ..fast.function import LineFunction
from ..mlp import MLP
from ..objective import Objective, quiet, softmax_cross_entropy


def quadratic(rng, large):
    """x^T H x / 2 in 5 to 60 variables (large: to 300), condition up to 1,000."""
    n = rng.integers(100, 300) if large else rng.integers(5, 61)
    return bowl(rng, np.exp(rng.uniform(-rng.uniform(1, 7), 0, n)))


def decaying(rng, large):
    """A quadratic with the eigenvalues 1 / i^2, or two clusters: condition up to 10,000."""
    n = rng.integers(60, 100) if large else rng.integers(5, 61)
    low = 10 ** rng.uniform(-4, -1) * rng.uniform(0.5, 1, n)
    i = np.arange(1, n + 1)
    return bowl(rng, rng.choice([1 / i**2, np.where(i <= n / 4, 1, low)]))


def bowl(rng, eigenvalues):
    """A quadratic with these eigenvalues, turned at random."""
    n = len(eigenvalues)
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    H = Q * eigenvalues @ Q.T
    return lambda x: x @ H @ x / 2, lambda x: H @ x, rng.standard_normal(n)


def data(rng, large, spread=1.0):
    """m rows of n correlated columns of unlike sizes."""
    m, n = (800, rng.integers(40, 100)) if large else (200, rng.integers(4, 31))
    mixed = np.eye(n) + rng.uniform(0, 0.3) * rng.standard_normal((n, n))
    sizes = np.exp(rng.uniform(0, spread) * rng.standard_normal(n))
    return rng.standard_normal((m, n)) @ mixed * sizes


def labels(rng, X, k):
    """Classes by a random net of tanh units, with noise."""
    Z = np.tanh(X / X.std(axis=0) @ rng.standard_normal((X.shape[1], 8)) / 2)
    Z = Z @ rng.standard_normal((8, k))
    return np.argmax(Z + rng.uniform(0.2, 1.5) * rng.standard_normal(Z.shape), axis=1)


def softmax(rng, large, k=None):
    """Softmax regression: three to eight classes."""
    X, k = data(rng, large), k or rng.integers(3, 9)
    (m, n), targets = X.shape, np.eye(k)[labels(rng, X, k)].T  # (k, m)

    def loss(x):
        return softmax_cross_entropy((X @ x.reshape(n, k)).T.copy(), targets)

    gradient = lambda x: (X.T @ loss(x)[1].T).ravel() / m  # noqa: E731
    return lambda x: loss(x)[0] / m, gradient, rng.standard_normal(n * k) / n**0.5


def logistic(rng, large):
    """Logistic regression: two classes."""
    return softmax(rng, large, 2)


def mlp(rng, large):
    """The paper's net, one hidden layer of sigmoid units."""
    X, k = data(rng, large, 0.5), rng.integers(2, 6)
    net = MLP((X.shape[1], rng.integers(20, 50) if large else rng.integers(4, 17), k))
    f = Objective(net, X, labels(rng, X, k))
    return f, f.gradient, net.initialise(rng, np.float64)


def regression(rng, large, loss, slope):
    """The mean of loss(residual) over noisy rows, a tenth of them outliers."""
    X = data(rng, large)
    m, n = X.shape
    y = X @ rng.standard_normal(n) + 0.5 * rng.standard_normal(m) + 10 * (rng.random(m) < 0.1)
    return lambda x: loss(X @ x - y).mean(), lambda x: X.T @ slope(X @ x - y) / m, np.zeros(n)


def least_squares(rng, large):
    """Linear regression."""
    return regression(rng, large, lambda r: r * r / 2, lambda r: r)


def cauchy(rng, large):
    """Robust regression, log(1 + r^2); not convex."""
    return regression(rng, large, lambda r: np.log1p(r * r), lambda r: 2 * r / (1 + r * r))


def factorization(rng, large):
    """A noisy matrix as a product of two thin ones; not convex."""
    a, b, k = *rng.integers(6, 40 if large else 18, 2), rng.integers(2, 4)
    M = rng.standard_normal((a, k)) @ rng.standard_normal((k, b))
    M += 0.1 * rng.standard_normal((a, b))

    def parts(x):
        U, V = x[: a * k].reshape(a, k), x[a * k :].reshape(b, k)
        return U, V, U @ V.T - M

    def gradient(x):
        U, V, R = parts(x)
        return np.concatenate([(R @ V).ravel(), (R.T @ U).ravel()])

    return lambda x: (parts(x)[2] ** 2).sum() / 2, gradient, rng.standard_normal((a + b) * k) / 2


def rosenbrock(rng, large):
    """The sum of c (x_{i+1} - x_i^2)^2 + (1 - x_i)^2: a curved valley."""
    n, c = rng.integers(15, 40) if large else rng.integers(2, 15), 10 ** rng.uniform(0, 2)

    def gradient(x):
        t, g = x[1:] - x[:-1] ** 2, np.zeros(n)
        g[1:] += 2 * c * t
        g[:-1] += 2 * (x[:-1] - 1) - 4 * c * t * x[:-1]
        return g

    f = lambda x: c * ((x[1:] - x[:-1] ** 2) ** 2).sum() + ((1 - x[:-1]) ** 2).sum()  # noqa: E731
    return f, gradient, rng.uniform(-2, 2, n)


TRAINED = (quadratic, logistic, mlp)
NEVER = (decaying, least_squares, softmax, cauchy, factorization, rosenbrock)


@quiet
def curvature(gradient, x, rng):
    """The largest absolute curvature at x, by power iteration on differences of gradients."""
    v = rng.standard_normal(len(x))
    for _ in range(30):
        v *= 1e-4 / np.linalg.norm(v)
        v = (gradient(x + v) - gradient(x - v)) / 2e-4
    return np.linalg.norm(v)


def draw(kind, rng, factors, large=False, limit=np.inf):
    """A problem in units of f(x_1): its LineFunction and x_1; alpha_c is drawn from factors / L.

    f above the limit counts as infinite. The LineFunction also has `kind`, `factor`, `alpha_c`, L.
    """
    f, gradient, x_1 = kind(rng, large)
    unit, L = f(x_1), curvature(gradient, x_1, rng)

    def value(x):
        return found if (found := f(x) / unit) <= limit else np.inf

    function = LineFunction(value, lambda x: gradient(x) / unit)
    function.kind, function.factor, function.L = kind.__name__, rng.choice(factors), L / unit
    function.alpha_c = function.factor / function.L
    x_1 = function.point(x_1)
    x_1.function, x_1.once = function, None  # its plain steps are not taken twice
    return function, x_1
