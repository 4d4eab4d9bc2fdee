"""python -m qgd_np.bench: what each step costs here, beside its floor measured in the same process.

Random images of CIFAR-10's shape; timings do not depend on the values. Floors: for an accept the
two matrix products with the images that it cannot avoid; for a half step one pass over its arrays
of n x 100 (two read, one written). Every figure is the best of several, in milliseconds.
"""

import argparse
import json
import time
from types import SimpleNamespace

import numpy as np

from . import backend
from .algorithms import q_gradient_descent_alpha
from .dqn import DQN
from .environment import ACCEPT, HALF
from .history import History
from .mlp import MLP
from .objective import Objective
from .replay import Memory
from .starts import Start

SIZES = (3072, 100, 10)


class Scripted:
    """A policy for the timings: a fixed, random list of actions, half of them accepts."""

    def __init__(self, steps, seed=0):
        self.actions = np.random.default_rng(seed).permutation(steps) % 2
        self.actions[0] = ACCEPT

    def greedy(self, s):
        """The next action of the list, whatever the state."""
        action, self.actions = self.actions[0], np.roll(self.actions, -1)
        return int(action)


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


def problem(n, device, seed=0):
    """An objective on n random images and a starting point."""
    rng = np.random.default_rng(seed)
    images = rng.standard_normal((n, SIZES[0]), np.float32)
    labels = rng.integers(0, SIZES[-1], n)
    f = Objective(MLP(SIZES), *(backend.to_device(a, device) for a in (images, labels)))
    return f, f.point(f.net.initialise(rng))


def step_times(f, x, device, repeats):
    """Half step, accept, their floors and the naive step, in milliseconds."""
    xp, layer = backend.namespace(f.delta), f.layer
    place = SimpleNamespace(x=x, d=-f.gradient(x), alpha=0.1)
    f.observe(place.x + 0.1 * place.d, place.d, place.d)

    def half():
        place.alpha *= 0.99
        f.observe(place.x + place.alpha * place.d, place.d, place.d)

    def accept():
        before = place.d
        place.x = place.x + 0.01 * place.d
        place.d = -f.gradient(place.x)
        f.observe(place.x + 0.01 * place.d, place.d, before)

    W = f.net.layers(place.x.x)[0][0]
    out = xp.empty_like(W)

    def products():
        xp.matmul(layer.images.T, f.delta, out=out)
        factors = (layer.images, W) if layer.gram is None else (layer.gram, f.delta)
        xp.matmul(*factors, out=layer.DZ)

    def one_pass():
        xp.add(layer.Zbar, layer.DZ, out=f.delta)

    def naive():
        f(f.point(place.x.x + 0))
        f.gradient(f.last)

    timed = {"half": half, "accept": accept, "naive": naive}
    times = {name: best_of(g, device, repeats) for name, g in timed.items()}
    f.gradient(place.x)  # the floors overwrite what the line knows, so they come last
    return times | {
        "products": best_of(products, device, repeats),
        "pass": best_of(one_pass, device, repeats),
    }


def episode_times(f, x, device, steps=100):
    """An episode of Algorithm 1 under a random policy, and the same by a naive loop."""
    p = SimpleNamespace(alpha_c=0.01, steps=steps, M=1)
    actions = Scripted(steps).actions

    def line():
        q_gradient_descent_alpha(f, Start(f, f.point(x.x)), Scripted(steps), p, History(steps))

    def naive():
        xbar, alpha, vector = x.x, p.alpha_c, x.x
        d = -f.gradient(f.point(xbar)).vector
        for a in actions:
            point = f.point(vector)
            f(point)
            gradient = f.gradient(point).vector
            if a == HALF:
                alpha = alpha / 2
            else:
                xbar, d, alpha = vector, -gradient, p.alpha_c
            vector = xbar + alpha * d

    return {"episode": best_of(line, device, 1), "naive episode": best_of(naive, device, 1)}


def update_time(repeats=300):
    """One update of Eq. 10 with a batch of 64 on the default DQN, in microseconds."""
    rng = np.random.default_rng(0)
    Q = DQN((6, 32, 16, 2), rng, 1e-3, 0.97, "adam", 200, True, 0.0, 10)
    memory = Memory(20, 10, 100)
    memory.begin_episode()
    for _ in range(100):
        memory.add(rng.uniform(-1, 1, 6), int(rng.integers(2)), rng.random(), rng.random(6))
    return 1e3 * best_of(lambda: Q.update(memory, memory.sample(64, rng)), "cpu", repeats)


def torch_episode(f, x, device, steps=100):
    """The same episode in plain torch, or None where torch is not installed."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(backend.blas_threads())
    place = "cuda" if device == "gpu" else "cpu"
    images, W1, b1, W2, b2 = (
        torch.tensor(backend.to_host(a), device=place)
        for a in (f.layer.images, *(part for layer in f.net.layers(x.x) for part in layer))
    )
    labels = torch.tensor(backend.to_host(f.targets).argmax(axis=0), device=place)

    def value_and_gradient(parameters):
        parameters = [v.detach().requires_grad_() for v in parameters]
        A = torch.sigmoid(images @ parameters[0] + parameters[1])
        f_x = torch.nn.functional.cross_entropy(A @ parameters[2] + parameters[3], labels)
        f_x.backward()
        return float(f_x.detach()), [v.grad for v in parameters]

    def episode():
        point = xbar = [W1, b1, W2, b2]
        gradient, alpha = value_and_gradient(xbar)[1], 0.01
        direction = gradient
        for a in Scripted(steps).actions:
            if a == HALF:
                alpha = alpha / 2
            else:
                xbar, direction, alpha = point, gradient, 0.01
            point = [v - alpha * g for v, g in zip(xbar, direction, strict=True)]
            episode.f, gradient = value_and_gradient(point)

    time_taken = best_of(episode, device, 1)
    p = SimpleNamespace(alpha_c=0.01, steps=steps, M=1)
    ours = q_gradient_descent_alpha(f, Start(f, f.point(x.x)), Scripted(steps), p, History(steps))
    if abs(f(ours) - episode.f) > 1e-3 * abs(episode.f):
        raise SystemExit(f"torch disagrees: f {episode.f} against {f(ours)}")
    return time_taken


def measure(n, device):
    """Every figure for n images, as a dict."""
    f, x = problem(n, device)
    repeats = 5 if n > 10000 else 15
    row = {"n": n} | step_times(f, x, device, repeats) | episode_times(f, x, device)
    row["torch episode"] = torch_episode(f, x, device)
    return row


def report(rows, update):
    """The table as text."""
    lines = [
        f"{'n':>6} {'half':>8} {'one pass':>8} {'ratio':>6} {'accept':>8} {'products':>8} "
        f"{'ratio':>6} {'half/accept':>11} {'episode':>9} {'naive':>9} {'gain':>5} {'torch':>9}"
    ]
    for r in rows:
        torch_time = f"{r['torch episode']:9.0f}" if r["torch episode"] else "not here"
        lines.append(
            f"{r['n']:6d} {r['half']:8.2f} {r['pass']:8.2f} {r['half'] / r['pass']:6.1f} "
            f"{r['accept']:8.2f} {r['products']:8.2f} {r['accept'] / r['products']:6.2f} "
            f"{r['half'] / r['accept']:11.3f} {r['episode']:9.0f} {r['naive episode']:9.0f} "
            f"{r['naive episode'] / r['episode']:5.2f} {torch_time:>9}"
        )
    return "\n".join([*lines, f"one DQN update: {update:.0f} microseconds"])


def main(argv=None):
    """The command line of the bench."""
    parser = argparse.ArgumentParser(prog="python -m qgd_np.bench", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 50000], metavar="N")
    parser.add_argument("--device", default="auto", choices=("auto", "cpu", "gpu"))
    parser.add_argument("--tf32", action="store_true", help="TensorFloat-32 products on a GPU")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args(argv)
    try:
        device = backend.choose(arguments.device, arguments.tf32)
    except backend.DeviceError as error:
        parser.error(str(error))
    threads = backend.blas_threads()
    about = f"{backend.describe(device)}, {threads} BLAS threads, NumPy {np.__version__}"
    print(f"{about}; milliseconds")
    rows, update = [measure(n, device) for n in arguments.sizes], update_time()
    print(report(rows, update))
    if arguments.json:
        with open(arguments.json, "w") as file:
            about = {"device": backend.describe(device), "threads": threads}
            json.dump(about | {"rows": rows, "dqn update (us)": update}, file, indent=1)


if __name__ == "__main__":
    main()
