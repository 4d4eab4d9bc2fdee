"""Algorithm 1 on a user's f, by the conventions of scipy.optimize.minimize."""

import math
import warnings
from inspect import signature

import numpy as np

from .. import config
from ..algorithms import q_gradient_descent_alpha
from ..fast.function import LineFunction
from ..lab.comparison import BROUGHT
from ..lab.training import Log
from .train import Controller, load

DONE, NOT_REACHED, WORSE, STOPPED = 0, 1, 2, 99  # the status of a result


class Stop(Exception):
    """Stop(status, x): Algorithm 1 is left early, at this point."""


class Steps(Log):
    """The log of the steps, which also calls back and ends the run where SciPy would."""

    def __init__(self, f, x_1, Q, p, callback, tol):
        super().__init__(lambda x, alpha: f.value(x), x_1, Q, p)
        self.of, self.callback, self.tol, self.t = f, callback, tol, 0
        self.lowest = x_1  # the candidate with the lowest f

    def __call__(self, t, x, alpha, a, s=None):
        """Keep step t, at which x = x_{t+1}."""
        xbar, gradient = self.of.taken
        if self.tol is not None and abs(gradient.vector).max() <= self.tol:
            raise Stop(DONE, xbar)
        super().__call__(t, x, alpha, a, s=s)
        self.t = t
        if self.diverged_at:
            raise Stop(WORSE, self.lowest)
        self.lowest = min(self.lowest, x, key=self.of.value)
        try:
            self.callback(x.x.copy(), self.of.value(x))
        except StopIteration:
            raise Stop(STOPPED, self.lowest) from None


def minimize(fun, x0, args=(), jac=None, hess=None, hessp=None, bounds=None, constraints=(),
             tol=None, callback=None, *, controller="anywhere", alpha_c=None, maxiter=100,
             first=None, lower=None, disp=False, **unknown):  # fmt: skip
    """Minimise f by Q-gradient descent (Algorithm 1): a DQN accepts a candidate or halves its step.

    On its own, or as scipy.optimize.minimize(fun, x0, jac=True, method=qgd_np.minimize,
    options={"alpha_c": 0.1}); what is not named here is as there.

    fun         fun(x, *args) -> float, or (float, gradient) with jac=True; x (P,)
    jac         jac(x, *args) -> (P,), or True. Needed: differences are refused with ValueError
    tol         end when no component of the gradient at an accepted x is larger
    callback    called after each candidate, callback(x) or callback(intermediate_result=...);
                StopIteration ends the run
    controller  a Controller, the path of one, or a shipped name: "anywhere", trained on random
                problems, "lr", trained on images, or another seed's: "anywhere-seed-0", ..., -9
    alpha_c     the step after an accept, the largest there is. Left out: the one that the
                controller was trained with, else one found from four gradients near x0 (D35)
    maxiter     candidates, T; each costs one call of fun, and each accept one of jac
    first       the step, or share of them, at which the controller is asked first; before it, plain
                steps at alpha_c. Left out: as it was trained, for a shipped one 1 (D35)
    lower       a number below every value of f, for a controller that sees f as a ratio (D8), as
                "lr" does. Left out: 0, or less if f(x0) is not positive

    Returns the best that was seen (D47) as an OptimizeResult: x, fun, jac, nit, nfev, njev,
    success, status, message, alpha_c, and log, {fun, alpha, action, state}: what each step t made
    of x_{t+1}, NaN or -1 where none was.
    status 0: T candidates seen, or tol reached; 1: tol not reached; 2: f ended above f(x0) or left
    the finite numbers; 99: stopped by the callback.
    """
    from scipy.optimize import OptimizeResult, OptimizeWarning  # slow to import
    from scipy.optimize import minimize as by_scipy

    if jac is True:
        return by_scipy(fun, x0, args, minimize, True, hess, hessp, bounds, constraints, tol,
                        callback, dict(controller=controller, alpha_c=alpha_c, maxiter=maxiter,
                                       first=first, lower=lower, disp=disp, **unknown))  # fmt: skip
    if not callable(jac):
        raise ValueError("the gradient is required: give jac=True or a callable jac")
    x0, args = np.atleast_1d(np.array(x0, np.float64)), args if isinstance(args, tuple) else (args,)
    if x0.ndim != 1:
        raise ValueError("'x0' must only have one dimension.")
    unused = {"hess": hess, "hessp": hessp, "bounds": bounds, "constraints": constraints or None}
    for name in [name for name, value in unused.items() if value is not None]:
        warnings.warn(f"Q-gradient descent does not use {name}", RuntimeWarning, stacklevel=2)
    if unknown:
        names = ", ".join(unknown)
        warnings.warn(f"Unknown solver options: {names}", OptimizeWarning, stacklevel=3)

    known = controller if isinstance(controller, Controller) else load(controller)
    f = LineFunction(lambda x: fun(x, *args), lambda x: jac(x, *args))
    x_1 = f.point(x0)
    x_1.once = None  # nobody starts from here again: no copy is kept
    value = f.value(x_1)
    if not math.isfinite(value):
        raise ValueError(f"f(x0) = {value}: start where f is finite")
    f.lower = (0.0 if value > 0 else value - max(1.0, -value)) if lower is None else float(lower)
    if value <= f.lower:
        raise ValueError(f"lower={lower}: must be below every value of f, and f(x0) = {value}")
    rate = known.alpha_c if alpha_c is None else alpha_c
    how = "" if alpha_c is not None else " of the training" if rate else " found near x0"
    changes = {name: getattr(known.p, name) for name in (*BROUGHT, "map")}
    changes |= {"steps": 100 if maxiter is None else maxiter, "returns": "lowest"}
    changes |= {} if first is None else {"first": first}
    p = config.make("lr", changes, {"alpha_c": f.starting_rate(x_1) if rate is None else rate})

    log = Steps(f, x_1, known.Q, p, calling(callback, OptimizeResult), tol)
    try:
        x, status = q_gradient_descent_alpha(f, x_1, known.Q, p, log), DONE
        status = status if tol is None else NOT_REACHED
    except Stop as stop:
        status, x = stop.args
    end = f.value(x)
    status = status if end <= value or status == STOPPED else WORSE
    message = {
        DONE: f"{log.t} candidates seen" if tol is None else "the gradient is within tol",
        NOT_REACHED: "Maximum number of iterations has been exceeded.",
        WORSE: f"f ended at {log.objective[max(log.t, 1) - 1]:.3g}, above f(x0); try a smaller "
        "alpha_c, or an earlier first asked step, first=1",
        STOPPED: "`callback` raised `StopIteration`.",
    }[status] + f"; alpha_c = {p.alpha_c:.3g}{how}"
    if end < f.lower:
        message += f"; f went below lower = {f.lower:.3g}, where the controller sees nothing"
    if disp:
        print(message)
    return OptimizeResult(
        x=x.x.copy(), fun=end, jac=f.gradient(x).vector.copy(), nit=log.t, nfev=f.nfev,
        njev=f.njev, success=status == DONE, status=status, message=message, alpha_c=p.alpha_c,
        log=dict(fun=log.objective, alpha=log.value, action=log.action, state=log.state),
    )  # fmt: skip


def calling(callback, OptimizeResult):
    """callback as a function of x and f(x), whichever of SciPy's two signatures it has."""
    if callback is None:
        return lambda x, value: None
    if set(signature(callback).parameters) == {"intermediate_result"}:
        return lambda x, value: callback(intermediate_result=OptimizeResult(x=x, fun=value))
    return lambda x, value: callback(x)
