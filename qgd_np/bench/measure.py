"""What the bench measures: steps, episodes and training, and the floors beside them.

Random images of CIFAR-10's shape; timings do not depend on the values. Milliseconds, the best of
several, all in one process.
"""

import time
from types import SimpleNamespace

import numpy as np

from .. import backend, config
from ..algorithms import q_gradient_descent_alpha, q_learning_alpha
from ..dqn import DQN
from ..environment import ACCEPT
from ..fast.line import blocks
from ..fast.objective import Objective
from ..lab.history import History
from ..lab.starts import Start, Starts
from ..mlp import MLP
from ..replay import Memory

SIZES = (3072, 100, 10)
T = 100  # steps of an episode (paper 4.2)


class Scripted:
    """A policy for the timings: a fixed, random list of actions, half of them accepts."""

    def __init__(self, steps):
        self.actions = (np.random.default_rng(0).permutation(steps) % 2).tolist()

    def greedy(self, s):
        """The next action of the list, whatever the state."""
        self.actions = self.actions[1:] + self.actions[:1]
        return self.actions[-1]


class Clock:
    """Hands everything on to an object and adds up the seconds spent in its methods."""

    def __init__(self, timed):
        self.__dict__.update(timed=timed, seconds=0.0)

    def __call__(self, *arguments):
        return self._time(self.timed, arguments)

    def __getattr__(self, name):
        value = getattr(self.timed, name)
        return (lambda *arguments: self._time(value, arguments)) if callable(value) else value

    def __setattr__(self, name, value):
        setattr(self.timed, name, value)

    def _time(self, function, arguments):
        start = time.perf_counter()
        result = function(*arguments)
        self.__dict__["seconds"] += time.perf_counter() - start
        return result


def best_of(function, device, repeats):
    """The shortest of several runs of function(), in milliseconds, device included."""
    if repeats > 1:
        function()  # not timed: first touches of memory, start of threads
    times = []
    for _ in range(repeats):
        backend.synchronize(device)
        start = time.perf_counter()
        function()
        backend.synchronize(device)
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def problem(n, device="cpu", sizes=SIZES):
    """An objective on n random images and a starting point."""
    rng = np.random.default_rng(0)
    images = rng.standard_normal((n, sizes[0]), np.float32)
    labels = rng.integers(0, sizes[-1], n)
    f = Objective(MLP(sizes), *(backend.to_device(a, device) for a in (images, labels)))
    return f, f.point(f.net.initialise(rng))


# -- steps and episodes ---------------------------------------------------------------------------


def step_times(f, x, device, repeats):
    """Half step of alpha, turn of lambda, accept, the floors, and the naive step.

    Floors: of an accept its two products, and two products with the images; of a half step one
    pass over its arrays of n x q, two read and one written, and its bare calls, the sigmoid and the
    three products with the second layer.
    """
    xp, layer = backend.namespace(f.delta), f.layer
    place = SimpleNamespace(x=x, d=-f.gradient(x), alpha=0.1, lam=0.1)
    f.observe(place.x + 0.1 * place.d, place.d, place.d)

    def half():
        place.alpha *= 0.99
        f.observe(place.x + place.alpha * place.d, place.d, place.d)

    def turn():  # a half or 1.25 of Algorithms 2 and 4: the next candidate is where the last was
        place.lam *= 0.99
        f.observe(place.x + place.alpha * place.d, place.d, place.d, place.lam)

    def accept():
        before = place.d
        place.x = place.x + 0.01 * place.d
        place.d = -f.gradient(place.x)
        f.observe(place.x + 0.01 * place.d, place.d, before)

    (W, _), (V, _) = f.net.layers(place.x.x + 0)  # (p, q), (q, k), to be overwritten

    def calls():
        for rows in blocks(f.delta):
            A = xp.tanh(layer.Zbar[rows], out=layer.room[: len(f.delta[rows])])  # (m, q)
            Z = A @ V  # (m, k)
            xp.matmul(A.T, Z)
            xp.matmul(Z, V.T, out=f.delta[rows])

    def products(left, right):
        xp.matmul(layer.images.T, f.delta, out=W)
        xp.matmul(left, right, out=layer.DZ)

    def naive():
        f.gradient(f.point(place.x.x + 0))

    steps = {"half": half, "turn": turn, "accept": accept, "naive step": naive}
    times = {name: best_of(step, device, repeats) for name, step in steps.items()}
    f.gradient(place.x)  # the floors overwrite what the line knows, so they come last
    times["images"] = best_of(lambda: products(layer.images, W), device, repeats)
    times["products"] = times["images"]
    if layer.gram is not None:  # with few images the second product has n columns
        few = lambda: products(layer.gram, f.delta)  # noqa: E731
        times["products"] = best_of(few, device, repeats)
    times["pass"] = best_of(lambda: xp.add(layer.Zbar, layer.DZ, out=f.delta), device, repeats)
    times["half floor"] = times["pass"] + best_of(calls, device, repeats)
    return times


def update_times(repeats=500):
    """One update of Eq. 10 with a batch of 64 on the default DQN, and its products and tanh."""
    rng, p = np.random.default_rng(0), config.make("lr")
    Q = DQN((6, *p.dqn_hidden, 2), rng, p.beta, p.gamma, p.optimizer, p.target_every, p.double,
            p.clip, p.n_steps)  # fmt: skip
    memory = Memory(p.A, p.B, T)
    memory.begin_episode()
    for _ in range(T):
        memory.add(rng.uniform(-1, 1, 6), int(rng.integers(2)), rng.random(), rng.random(6))
    A = [rng.random((p.batch, q)) for q in Q.net.sizes]
    W = [W for W, _ in Q.net.layers(Q.theta)]

    def floor():
        for _ in range(3):  # Q of s, and of s' by theta and by the target network
            for A_l, W_l in zip(A, W, strict=False):
                A_l @ W_l
            for A_l in A[1:-1]:
                np.tanh(A_l)
        for A_l, W_l, delta in zip(A, W, A[1:], strict=False):
            A_l.T @ delta, delta @ W_l.T

    update = best_of(lambda: Q.update(memory, memory.sample(p.batch, rng)), "cpu", repeats)
    return {"dqn update": update, "dqn floor": best_of(floor, "cpu", repeats)}


def episode_times(f, x, device, all_steps=True):
    """An episode of T steps of Algorithm 1 under a random policy; the same naively and in torch.

    all_steps False: from the first 2 and the first 12 steps, as each further pair costs the same.
    """

    def line(steps):
        p = SimpleNamespace(alpha_c=0.01, steps=steps, M=1, returns="last")
        start = Start(f, f.point(x.x))
        return f(q_gradient_descent_alpha(f, start, Scripted(steps), p, History(steps)))

    def naive(steps):
        return f(f.point(plain_loop(x.x, gradient, steps)))

    def gradient(vector):
        point = f.point(vector)
        f(point)
        return f.gradient(point).vector

    runs = {"episode": line, "naive": naive, "torch": torch_loop(f, x, device)}
    seen = {name: whole_episode(run, device, all_steps) for name, run in runs.items() if run}
    ends = [f_x for _, f_x in seen.values()]
    if max(ends) - min(ends) > 1e-3 * min(ends):
        raise SystemExit(f"the loops end at different f: {ends}")
    return dict.fromkeys(runs) | {name: milliseconds for name, (milliseconds, _) in seen.items()}


def whole_episode(run, device, all_steps):
    """Milliseconds of run(T), or what they will be as run(2) and run(12) say, and f at the end."""
    ends = []
    lengths = (T,) if all_steps else (2, 12)
    times = [best_of(lambda k=k: ends.append(run(k)), device, 1) for k in lengths]
    if not all_steps:
        times.append(times[0] + (times[1] - times[0]) / 10 * (T - 2))
    return times[-1], ends[-1]


def plain_loop(x, gradient, steps):
    """The episode as one would write it: a gradient for every candidate; returns the last one."""
    xbar, alpha, d = x, 0.01, -gradient(x)
    for a in Scripted(steps).actions:
        g = gradient(x)
        if a == ACCEPT:
            xbar, d, alpha = x, -g, 0.01
        else:
            alpha = alpha / 2
        x = xbar + alpha * d
    return x


def torch_loop(f, x, device):
    """run(steps): the plain loop in torch on the same device, or None where it is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(backend.blas_threads())
    torch.backends.cuda.matmul.allow_tf32 = backend.tf32()
    place = "cuda" if device == "gpu" else "cpu"
    put = lambda array: torch.as_tensor(backend.to_host(array), device=place)  # noqa: E731
    images, start, labels = put(f.layer.images), put(x.x), put(f.targets).argmax(dim=0)
    first, (p, q, k) = f.net.first, f.net.sizes

    def loss(v):
        A = torch.sigmoid(torch.addmm(v[p * q : first], images, v[: p * q].view(p, q)))
        Z = torch.addmm(v[-k:], A, v[first:-k].view(q, k))
        return torch.nn.functional.cross_entropy(Z, labels)

    def gradient(vector):
        v = vector.detach().requires_grad_()
        value = loss(v)
        value.backward()
        float(value.detach())  # f(x) is looked at every step
        return v.grad

    return lambda steps: float(loss(plain_loop(start, gradient, steps)).detach())


# -- training -------------------------------------------------------------------------------------


def training(f, x, episodes, steps=T):
    """Algorithm 3 with random actions; yields (seconds, outside) for every episode.

    outside: those seconds that were spent outside of the objective and the DQN. The memory is a
    small one, full early, so that what would grow from then on shows.
    """
    p = config.make("lr", dict(steps=steps, M=1, starts=1, episodes=episodes, alpha_c=0.01,
                               epsilon_last=1.0, explore="uniform", A=5, B=5))  # fmt: skip
    exploration, replay, theta = (np.random.default_rng(k) for k in range(3))
    Q = DQN((6, *p.dqn_hidden, 2), theta, p.beta, p.gamma, p.optimizer, p.target_every, p.double)
    draws, clocks = SimpleNamespace(exploration=exploration, replay=replay), (Clock(f), Clock(Q))
    starts, memory = Starts(f, lambda k: x, p.starts), Memory(p.A, p.B, steps)
    started, inside = time.perf_counter(), 0.0
    for _ in q_learning_alpha(clocks[0], starts, clocks[1], Q.theta, memory, p, draws,
                              lambda e: History(steps)):  # fmt: skip
        now, total = time.perf_counter(), sum(clock.seconds for clock in clocks)
        yield now - started, now - started - (total - inside)
        started, inside = now, total
