"""What a step costs on this machine, beside its floor; milliseconds, on random images."""

import cProfile
import json
import os
import pstats
import sys
import timeit
from importlib.util import find_spec

import numpy as np

from .. import backend, files
from ..algorithms import q_gradient_descent_alpha, q_learning_alpha
from ..config import make
from ..dqn import DQN, Memory
from ..environment import descent
from ..fast.objective import Objective
from ..lab.device import blas_threads, choose, describe, synchronize
from ..lab.flags import Parser, count, one_line
from ..lab.training import Log, Scripted
from ..mlp import MLP

SIZES = (3072, 100, 10)  # p pixels, q hidden units, k classes
T, RUN = 100, 200  # steps of an episode, episodes of a training (paper 4.2)


def measure(n, device, episodes):
    """{name: milliseconds or ratio} with n images."""
    rng = np.random.default_rng(0)
    images, labels = rng.standard_normal((n, SIZES[0]), np.float32), rng.integers(SIZES[-1], size=n)
    f = Objective(MLP(SIZES), *(backend.to_device(a, device) for a in (images, labels)))
    x = f.point(f.net.initialise(rng))
    row = episode_times(f, x, episodes) | step_times(f, x, device)
    row["accept / products"] = row["accept"] / row["its two products"]
    for kind in ("naive", "torch", "compiled"):  # f and its gradient at x_1 and at every candidate
        row[f"{kind} episode"] = (T + 1) * row[f"{kind} step"]
        row[f"{kind} / episode"] = row[f"{kind} episode"] / row["episode"]
    return row


def best_of(function, device="cpu", repeats=25):
    """The shortest of several runs of function(), device included."""
    call = lambda: (function(), synchronize(device))  # noqa: E731
    call()  # not timed: first touches of memory, start of threads
    return 1e3 * min(timeit.repeat(call, number=1, repeat=repeats))


def step_times(f, x, device):
    """Half step, turn of lambda (a half or 1.25 in Algorithm 2), accept, naive step; the floors.

    Floors: of an accept its two products; of a half step one pass over its arrays of n x q, two
    read and one written.
    """
    xp, layer, d = backend.namespace(f.delta), f.layer, -f.gradient(x)
    bare, heavy, torch = make("lr"), make("lr", {"momentum": 0.9}), find_spec("torch")
    value, (W, _), _ = iter(np.linspace(0.1, 0.05, 99)), *f.net.layers(x.x + 0)
    direction = (layer.images, W) if layer.gram is None else (layer.gram, f.delta)  # n columns

    def accept(p):
        nonlocal x, d
        x, before = x + 0.01 * d, d
        d = descent(f, x, d, p)
        f.observe(x + 0.01 * d, d, before)

    def products():
        xp.matmul(layer.images.T, f.delta, out=W)
        xp.matmul(*direction, out=layer.DZ)

    timed = {
        "half": lambda: f.observe(x + next(value) * d, d, d),
        "turn": lambda: f.observe(x + 0.01 * d, d, d, next(value)),
        "accept": lambda: accept(bare),
        "accept, momentum": lambda: accept(heavy),
        "naive step": lambda: f.gradient(f.point(x.x + 0)),
        "torch step": torch and torch_step(layer.images, device),
        "compiled step": torch and device == "gpu" and torch_step(layer.images, device, True),
        "its two products": products,  # from here on, what the line knows is overwritten
        "pass": lambda: xp.add(layer.Zbar, layer.DZ, out=f.delta),
    }
    return {name: best_of(step, device) if step else np.nan for name, step in timed.items()}


def torch_step(images, device, compiled=False):
    """f and its gradient in torch, on the same device, to be called; compiled: torch.compile."""
    import torch

    torch.set_num_threads(blas_threads())
    torch.backends.cuda.matmul.allow_tf32 = os.environ.get("CUPY_TF32") == "1"
    images = torch.as_tensor(backend.to_host(images), device="cuda" if device == "gpu" else "cpu")
    labels = torch.arange(len(images), device=images.device) % SIZES[-1]
    first, second = torch.nn.Linear(*SIZES[:2]), torch.nn.Linear(*SIZES[1:])
    net = torch.nn.Sequential(first, torch.nn.Sigmoid(), second).to(images.device)
    f = lambda: torch.nn.functional.cross_entropy(net(images), labels)  # noqa: E731
    f = torch.compile(f) if compiled else f

    def step():
        loss = f()
        return torch.autograd.grad(loss, list(net.parameters())), loss.item()

    return step


def episode_times(f, x, episodes):
    """Algorithm 1, half and accept in turn; Algorithm 3, actions random; an update by Eq. 10."""
    p = make("lr", dict(first=0, M=1, alpha_c=0.01, explore="uniform", epsilon_last=1, steps=T,
                        episodes=episodes))  # fmt: skip
    rng, halves = np.random.default_rng(0), Scripted(lambda t: t % 2)
    Q, memory = DQN((6, *p.dqn_hidden, 2), p, rng), Memory(p, rng)
    theta_0, log = Q.net.initialise(rng, float), lambda e: Log(lambda x, alpha: f(x), x, Q, p)
    one = best_of(lambda: q_gradient_descent_alpha(f, x, halves, p, log(1)), repeats=1)
    with cProfile.Profile(builtins=False) as profile:  # slows what is outside of f and Q most
        list(q_learning_alpha(lambda e: (f, x, p), Q, theta_0, memory, p, log))
    stats, own = pstats.Stats(profile), ("_numbers", "gradient", "act", "update")
    inside = sum(entry[3] for (*_, name), entry in stats.stats.items() if name in own)
    return {
        "episode": one,
        f"{RUN} episodes of training": 1e3 * RUN * stats.total_tt / episodes,
        "share outside f and Q": 1 - inside / stats.total_tt,
        "DQN update": best_of(lambda: Q.update(memory, memory.sample(p.batch)), repeats=500),
    }


def run(arguments):
    """Measure and print."""
    device, rows = choose(arguments.device, arguments.tf32), {}
    machine = f"{describe(device)}, {blas_threads()} BLAS threads"
    for n in arguments.sizes:
        try:
            rows[n] = measure(n, device, arguments.episodes)
        except MemoryError:
            print(f"left out: n = {n}, it does not fit into memory")
    print(f"{machine + ', n =':30}" + "".join(f"{n:12}" for n in rows))
    for name in next(iter(rows.values()), ()):
        print(f"{name:30}" + "".join(f"{row[name]:12.3f}" for row in rows.values()))
    if arguments.json:
        files.save(arguments.json, json.dumps({"machine": machine, "n": rows}).encode())


def main(argv=None):
    """The command line; returns the exit status."""
    parser = Parser(prog="python -m qgd_np.bench", description=__doc__)
    add = parser.add_argument
    add("--sizes", type=count, nargs="+", default=[1000, 5000, 50000], metavar="N", help="images")
    add("--device", default="auto", choices=("auto", "cpu", "gpu"))
    add("--tf32", action="store_true", help="TensorFloat-32 products on a GPU")
    add("--episodes", type=count, default=1, metavar="E", help=f"of a training of {RUN} [1]")
    add("--json", metavar="FILE", help="write the figures there too")
    return one_line(lambda: run(parser.parse_args(argv)))


if __name__ == "__main__":
    sys.exit(main())
