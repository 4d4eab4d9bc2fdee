"""Five smooth problems that nothing was tuned for: f after 100 candidates, by policy and alpha_c.

    python tests/long/own_problems.py

alpha_c is 1/4, 1, 4 and 16 over the largest curvature at x_1. All policies return the lowest f that
they have seen. `lr`, `anywhere`: shipped controllers, in minimize; trained: a controller trained on
this problem at this alpha_c, by default; L-BFGS: SciPy's, its lowest f with as many gradients as
`anywhere` took. In the last line of a problem alpha_c is left out: the one that minimize finds, and
train halves where it must.
"""

from types import SimpleNamespace

import numpy as np
from scipy.optimize import minimize

import qgd_np
from qgd_np import config
from qgd_np.fast.function import LineFunction
from qgd_np.lab.policies import LEARNING_RATE

rng = np.random.default_rng(2024)
X = rng.standard_normal((120, 30)) @ (np.eye(30) + 0.15 * rng.standard_normal((30, 30)))
y = X @ rng.standard_normal(30) + 0.5 * rng.standard_normal(120)
outliers = y + 20 * (rng.random(120) < 0.1)
classes = np.eye(3)[np.argmax(X[:, :3] + rng.standard_normal((120, 3)), axis=1)]  # (120, 3)
M = rng.standard_normal((15, 3)) @ rng.standard_normal((3, 12)) + 0.1


def least_squares(x):
    """Linear regression, with a small ridge."""
    r = X @ x - y
    return r @ r / 240 + 1e-3 * x @ x, X.T @ r / 120 + 2e-3 * x


def softmax_regression(x):
    """Three classes, with a small ridge."""
    Z = X @ x.reshape(30, 3)
    Z = Z - Z.max(axis=1, keepdims=True)
    total = np.log(np.exp(Z).sum(axis=1))
    gradient = X.T @ (np.exp(Z - total[:, None]) - classes) / 120
    return (total - (Z * classes).sum(axis=1)).mean() + 1e-3 * x @ x, gradient.ravel() + 2e-3 * x


def cauchy_regression(x):
    """Regression with outliers and a loss that bends down, log(1 + r^2); not convex."""
    r = X @ x - outliers
    return np.log1p(r * r).mean(), X.T @ (2 * r / (1 + r * r)) / 120


def factorization(x):
    """A matrix as a product of two thin ones; not convex."""
    U, V = x[:45].reshape(15, 3), x[45:].reshape(12, 3)
    R = U @ V.T - M
    return (R * R).sum() / 2, np.concatenate([(R @ V).ravel(), (R.T @ U).ravel()])


def dixon_price(x):
    """(x_1 - 1)^2 + sum of i (2 x_i^2 - x_{i-1})^2 in ten variables: a curved valley."""
    i, t = np.arange(2, 11), 2 * x[1:] ** 2 - x[:-1]
    gradient = np.zeros(10)
    gradient[0] = 2 * (x[0] - 1)
    gradient[1:] += 8 * i * t * x[1:]
    gradient[:-1] -= 2 * i * t
    return (x[0] - 1) ** 2 + i @ (t * t), gradient


PROBLEMS = {
    least_squares: np.zeros(30), softmax_regression: np.zeros(90),
    cauchy_regression: np.zeros(30), factorization: 0.3 * rng.standard_normal(81),
    dixon_price: np.full(10, 1.5),
}  # fmt: skip


def curvature(problem, x):
    """The largest absolute eigenvalue of the Hessian at x, by central differences."""
    steps = 1e-5 * np.eye(len(x))
    H = np.array([problem(x + e)[1] - problem(x - e)[1] for e in steps]) / 2e-5
    return abs(np.linalg.eigvalsh((H + H.T) / 2)).max()


def by_policy(name, problem, x_1, alpha_c):
    """f after 100 candidates of a policy to compare with."""
    f = LineFunction(lambda x: problem(x)[0], lambda x: problem(x)[1])
    p = config.make("lr", {"alpha_c": alpha_c, "returns": "lowest"})
    nothing = lambda *step, **more: None  # noqa: E731
    x = LEARNING_RATE[name](SimpleNamespace(f=f), f.point(x_1), p, nothing)
    return f.value(x)


def by_lbfgs(problem, x_1, gradients):
    """The lowest f that SciPy's L-BFGS-B has seen by then."""
    seen = []

    def counted(x):
        if len(seen) == gradients:
            raise KeyboardInterrupt
        seen.append(problem(x)[0])
        return problem(x)

    try:
        minimize(counted, x_1, jac=True, method="L-BFGS-B", options={"maxiter": 1000})
    except KeyboardInterrupt:
        pass
    return min(seen)


def main():
    """Print the table."""
    columns = "problem, f(x_1)|alpha_c|gd|Armijo|nonmonotone|`lr`|`anywhere`|accepts|trained|L-BFGS"
    columns = columns.split("|")
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for problem, x_1 in PROBLEMS.items():
        value = lambda x, problem=problem: problem(x)[0]  # noqa: E731
        gradient = lambda x, problem=problem: problem(x)[1]  # noqa: E731
        L = curvature(problem, x_1)
        for k in (0.25, 1, 4, 16, None):
            alpha_c = None if k is None else k / L
            ours, lr = (qgd_np.minimize(problem, x_1, jac=True, alpha_c=alpha_c, controller=name)
                        for name in ("anywhere", "lr"))  # fmt: skip
            others = [by_policy(name, problem, x_1, ours.alpha_c)
                      for name in ("gd", "armijo", "nonmonotone")]  # fmt: skip
            pair = qgd_np.Function(value, gradient), x_1
            try:
                trained = qgd_np.train(pair, alpha_c=alpha_c, progress=False)
                own = qgd_np.minimize(problem, x_1, jac=True, controller=trained).fun
            except config.ConfigError:
                own = np.inf
            took = int((ours.log["action"] == 1).sum())
            numbers = [*others, lr.fun, ours.fun, own, by_lbfgs(problem, x_1, took)]
            shown = [f"{n:.3g}" if n < 10 * value(x_1) else "diverges" for n in numbers]
            shown.insert(5, str(took))
            name = problem.__name__.replace("_", " ") + f", {value(x_1):.3g}"
            rate = f"{ours.alpha_c * L:.2g}/L" + ("" if k else " (found)")
            print(f"| {name} | {rate} | {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
