"""One code for NumPy and CuPy: cupy in one file, no hidden transfer, and parity on a real GPU.

`StrictArray` stands in for a CuPy array where there is no GPU. Like one it refuses to become a
NumPy array on its own, to be looped over by NumPy functions, or to be mixed with NumPy arrays; its
reductions stay arrays; and it leaves the device only through backend.to_host or float(), which are
counted. It is stricter than CuPy where that finds more.
"""

import ast
import json
import operator
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import qgd_np
from qgd_np import algorithms, backend
from qgd_np.backend import DeviceError, namespace, to_device, to_host
from qgd_np.bench import __main__ as bench
from qgd_np.bench import measure
from qgd_np.bench.growth import exponent
from qgd_np.dqn import DQN
from qgd_np.environment import ACCEPT, FEATURES, HALF, RAISE
from qgd_np.fast import line
from qgd_np.fast.objective import LOSSES, ErrorRate, Objective, check_fits, footprint
from qgd_np.lab import baselines
from qgd_np.lab.history import History
from qgd_np.lab.starts import Start, Starts
from qgd_np.mlp import MLP
from qgd_np.replay import Memory

pytestmark = pytest.mark.filterwarnings("error")

PACKAGE = Path(qgd_np.__file__).parent


# -- cupy in one file -----------------------------------------------------------------------------


def imports_cupy(source):
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(alias.name for alias in node.names)]
        elif isinstance(node, ast.Call):  # importlib.import_module("cupy"), __import__("cupy")
            names = [a.value for a in node.args if isinstance(a, ast.Constant)]
        else:
            continue
        if any(str(name).split(".")[0] == "cupy" for name in names):
            return True
    return False


def test_cupy_is_imported_in_the_backend_only():
    top = PACKAGE.parent
    files = [*PACKAGE.rglob("*.py"), *top.glob("*.py")]
    assert [path.name for path in files if imports_cupy(path.read_text())] == ["backend.py"]


@pytest.mark.parametrize(
    "source, found",
    [
        ("import cupy as cp", True), ("from cupy.linalg import norm", True), ("x.cupy", False),
        ("from .backend import cupy", True), ("import_module('cupy')", True), ("import np", False),
    ],
)  # fmt: skip
def test_the_scan_finds_every_kind_of_import(source, found):
    assert imports_cupy(source) == found


# -- the stand-in ---------------------------------------------------------------------------------


def raw(value):
    """The NumPy array in a StrictArray; a plain number as it is; anything else is refused."""
    if isinstance(value, StrictArray):
        return value.held
    if isinstance(value, (bool, int, float, np.generic)):
        return value
    raise TypeError(f"a device array does not take {type(value)}")


def key(index):
    """An index of a StrictArray as one of its NumPy array."""
    if isinstance(index, tuple):
        return tuple(key(part) for part in index)
    if index is None or index is Ellipsis or isinstance(index, (int, slice)):
        return index
    if isinstance(index, StrictArray):
        return index.held
    raise TypeError(f"a device array is not indexed by {type(index)}")


class StrictArray:
    """A device array; see the head of this file."""

    floats = 0  # how often one became a Python number
    __hash__ = object.__hash__

    def __init__(self, held):
        self.held = np.asarray(held)

    shape = property(lambda self: self.held.shape)
    dtype = property(lambda self: self.held.dtype)
    size = property(lambda self: self.held.size)
    ndim = property(lambda self: self.held.ndim)
    T = property(lambda self: StrictArray(self.held.T))

    def __len__(self):
        return len(self.held)

    def __float__(self):
        assert self.held.ndim == 0
        StrictArray.floats += 1
        return float(self.held)

    def refuse(self, *args, **kwargs):
        raise TypeError("a device array went to the host, or into a NumPy function, on its own")

    __array__ = __bool__ = __iter__ = __index__ = __int__ = __contains__ = refuse
    __array_ufunc__ = __array_function__ = tolist = item = refuse

    def __getitem__(self, index):
        return StrictArray(self.held[key(index)])

    def __setitem__(self, index, value):
        self.held[key(index)] = raw(value)

    def reshape(self, *shape):
        return StrictArray(self.held.reshape(*shape))

    def copy(self):
        return StrictArray(self.held.copy())

    def astype(self, dtype):
        return StrictArray(self.held.astype(dtype))

    def sum(self, axis=None, out=None, keepdims=False):
        held = self.held.sum(axis=axis, out=None if out is None else out.held, keepdims=keepdims)
        return StrictArray(held)

    def max(self, axis=None, keepdims=False):
        return StrictArray(self.held.max(axis=axis, keepdims=keepdims))

    def argmax(self, axis=None):
        return StrictArray(self.held.argmax(axis=axis))


def forward(function):
    return lambda a, b: StrictArray(function(a.held, raw(b)))


def backward(function):
    return lambda a, b: StrictArray(function(raw(b), a.held))


def inplace(function):
    def change(a, b):
        function(a.held, raw(b))
        return a

    return change


for _name in "add sub mul truediv matmul pow".split():
    setattr(StrictArray, f"__{_name}__", forward(getattr(operator, _name)))
    setattr(StrictArray, f"__r{_name}__", backward(getattr(operator, _name)))
    setattr(StrictArray, f"__i{_name}__", inplace(getattr(operator, f"i{_name}")))
for _name in "eq ne lt le gt ge".split():
    setattr(StrictArray, f"__{_name}__", forward(getattr(operator, _name)))
StrictArray.__neg__ = lambda a: StrictArray(-a.held)


def fake_cupy():
    """A module of functions that take and give StrictArrays; `transfers` lists what left."""
    xp = SimpleNamespace(ndarray=StrictArray, finfo=np.finfo, float64=np.float64, transfers=[])

    def asnumpy(array):
        assert type(array) is StrictArray
        xp.transfers.append(array.size)
        return array.held.copy()

    def asarray(array, dtype=None):
        return StrictArray(np.array(getattr(array, "held", array), dtype))

    def lift(name):
        function = getattr(np, name)

        def call(*arguments, out=None, **options):
            arguments = [
                list(map(strict, a)) if isinstance(a, (list, tuple)) else raw(a) for a in arguments
            ]
            if out is not None:
                options["out"] = strict(out)
            result = function(*arguments, **options)
            return out if out is not None else StrictArray(result)

        return call

    def strict(array):
        assert type(array) is StrictArray, f"{type(array)} among device arrays"
        return array.held

    def make(name):
        return lambda *arguments, **options: StrictArray(getattr(np, name)(*arguments, **options))

    elementwise = "exp log tanh sqrt sign maximum multiply subtract"
    for name in [*elementwise.split(), "matmul", "vdot", "empty_like", "stack", "concatenate"]:
        setattr(xp, name, lift(name))
    for name in ("empty", "zeros", "eye"):
        setattr(xp, name, make(name))
    xp.asnumpy, xp.asarray = asnumpy, asarray
    return xp


@pytest.fixture
def device(monkeypatch):
    fake = fake_cupy()
    monkeypatch.setattr(backend, "cupy", fake)
    StrictArray.floats = 0
    return fake


def test_the_stand_in_refuses_what_a_gpu_array_would_refuse(device):
    a = to_device(np.arange(3.0), "gpu")
    assert type(a) is StrictArray and namespace(a) is device and namespace(a.held) is np
    host = np.arange(3.0)
    refused = [
        lambda: np.asarray(a), lambda: np.tanh(a), lambda: np.vdot(a, a), lambda: np.stack([a, a]),
        lambda: bool(a[0]), lambda: list(a), lambda: a + host, lambda: host + a, lambda: a @ host,
        lambda: a[np.array([0, 1])], lambda: a.tolist(), lambda: max(a), lambda: 1.0 in a,
        lambda: operator.setitem(a, 0, host[0:1]), lambda: a[a.sum()] if a.sum() > 0 else None,
    ]  # fmt: skip
    for attempt in refused:
        with pytest.raises(TypeError):
            attempt()
    for attempt in (lambda: device.stack([a, host]), lambda: device.tanh(host)):
        with pytest.raises((TypeError, AssertionError)):
            attempt()
    assert device.transfers == [] and StrictArray.floats == 0
    assert to_host(a).tolist() == [0, 1, 2] and device.transfers == [3]
    assert (a.sum() * 2).shape == () and float(a.sum()) == 3.0 and StrictArray.floats == 1


# -- whole episodes, on the stand-in and on NumPy -------------------------------------------------


def instance(device, dtype=np.float64, loss="softmax", hidden=(5,), n=40, pixels=7):
    """A problem on a device; with more pixels than images the line takes the Gram product."""
    rng = np.random.default_rng(4)
    net = MLP((pixels, *hidden, 3))
    images, labels = rng.standard_normal((n, pixels)).astype(dtype), rng.integers(3, size=n)
    put = to_device(images, device), to_device(labels, device)
    f = Objective(net, *put, loss)
    h = ErrorRate(net, *put, basis=f.layer.images)
    x_1 = f.point(net.initialise(rng, dtype))
    return SimpleNamespace(net=net, f=f, h=h, x_1=x_1)


def controller(actions=2):
    return DQN((len(FEATURES), 4, actions), np.random.default_rng(7), 0.01, 0.9, "adam")


def draws():
    return SimpleNamespace(exploration=np.random.default_rng(1), replay=np.random.default_rng(2))


class Alternating:
    """Halves and accepts in turn, of either task."""

    def __init__(self, *pattern):
        self.pattern, self.t = pattern, -1

    def greedy(self, s):
        assert type(s) is np.ndarray and s.dtype == np.float64
        self.t += 1
        return self.pattern[self.t % len(self.pattern)]


def run_apply(case, p, task):
    history = History(p.steps, {"test": case.h})
    algorithm, pattern = {
        "lr": (algorithms.q_gradient_descent_alpha, (ACCEPT, HALF, ACCEPT, HALF, HALF)),
        "reg": (algorithms.q_gradient_descent_lambda, (ACCEPT, HALF, RAISE, RAISE)),
    }[task]
    history.x = algorithm(case.f, Start(case.f, case.x_1), Alternating(*pattern), p, history)
    return [history]


def run_learn(case, p, task):
    memory, histories = Memory(2, 1, p.steps), lambda e: History(p.steps)
    if task == "lr":
        Q, first, algorithm = controller(2), (case.f,), algorithms.q_learning_alpha
    else:
        Q, first, algorithm = controller(3), (case.f, case.h), algorithms.q_learning_lambda
    start = lambda e: case.f.point(to_host(case.x_1.x) + 0.0)  # noqa: E731
    starts = Starts(case.f, start, 0)
    return list(algorithm(*first, starts, Q, Q.theta, memory, p, draws(), histories))


def assert_alike(there, here, rtol):
    for a, b in zip(there, here, strict=True):
        assert a.action.tolist() == b.action.tolist()
        assert np.array_equal(a.value, b.value, equal_nan=True)
        for name in ("objective", "reward", "td_loss"):
            x, y = getattr(a, name), getattr(b, name)
            assert np.allclose(x, y, rtol=rtol, atol=0, equal_nan=True), name
        assert {k: e.tolist() for k, e in a.error.items()} == {
            k: e.tolist() for k, e in b.error.items()
        }
        x, y = to_host(a.x.x), to_host(b.x.x)
        assert np.linalg.norm(x - y) <= rtol * np.linalg.norm(y)


@pytest.mark.parametrize("hidden, pixels", [((5,), 7), ((6, 4), 7), ((5,), 80)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("task", ["lr", "reg"])
@pytest.mark.parametrize("run", [run_apply, run_learn])
def test_an_episode_on_a_strict_device_is_the_one_on_numpy(
    device, parameters, run, task, loss, hidden, pixels
):
    p = parameters(task, steps=15, M=3, episodes=2, batch=8, A=2, B=1, alpha_c=0.3, alpha=0.3)
    there = run(instance("gpu", loss=loss, hidden=hidden, pixels=pixels), p, task)
    here = run(instance("cpu", loss=loss, hidden=hidden, pixels=pixels), p, task)
    assert type(there[0].x.x) is StrictArray and type(here[0].x.x) is np.ndarray
    assert len({a for h in there for a in h.action.tolist()}) == (2 if task == "lr" else 3)
    assert_alike(there, here, 1e-10)


@pytest.mark.parametrize("steps", [10, 40])
@pytest.mark.parametrize("task", ["lr", "reg"])
def test_a_step_moves_one_small_array_to_the_host(device, parameters, scripted, task, steps):
    """Algorithms 1 and 2: one transfer a step; only the first state takes more."""
    p = parameters(task, steps=steps, M=5, alpha_c=0.3, alpha=0.3)
    case, history = instance("gpu"), History(steps)
    algorithm = {
        "lr": algorithms.q_gradient_descent_alpha, "reg": algorithms.q_gradient_descent_lambda,
    }[task]  # fmt: skip
    algorithm(case.f, Start(case.f, case.x_1), scripted([ACCEPT, HALF] * steps), p, history)
    assert len(device.transfers) + StrictArray.floats <= steps + 3
    assert len(device.transfers) >= steps and max(device.transfers) <= 8


def test_a_training_step_moves_one_small_array_to_the_host(device, parameters):
    p = parameters(steps=30, M=4, episodes=3, batch=8, A=2, B=1, alpha_c=0.3)
    case, Q = instance("gpu"), controller()
    x = [case.f.point(case.net.initialise(np.random.default_rng(k), np.float64)) for k in range(4)]
    starts = Starts(case.f, lambda e: x[e], 0)
    run = algorithms.q_learning_alpha(
        case.f, starts, Q, Q.theta, Memory(2, 1, 30), p, draws(), lambda e: History(30)
    )
    for _ in run:
        assert len(device.transfers) + StrictArray.floats <= 30 + 3
        assert max(device.transfers) <= 8
        device.transfers.clear()
        StrictArray.floats = 0


@pytest.mark.parametrize("name", baselines.RULES)
def test_the_line_search_baselines_run_on_a_strict_device(device, parameters, name):
    p = parameters(steps=12, alpha_c=0.5)
    runs = []
    for where in ("gpu", "cpu"):
        case, history = instance(where), History(12)
        history.x = baselines.follow(name, case.f, case.x_1, p, history)
        runs.append([history])
    assert_alike(*runs, 1e-10)


@pytest.mark.parametrize("name", baselines.OTHERS)
def test_what_a_user_would_pick_instead_runs_on_a_strict_device(device, parameters, name):
    p = parameters(steps=12)
    runs = []
    for where in ("gpu", "cpu"):
        case, history = instance(where), History(12)
        history.x = baselines.OTHERS[name](case.f, case.x_1, p, history)
        runs.append([history])
    assert_alike(*runs, 1e-8)


def test_a_divergence_on_a_strict_device_is_noticed(device, parameters, scripted):
    p = parameters(steps=40, M=1, alpha_c=1e30)
    case, history = instance("gpu", np.float32), History(40)
    start = Start(case.f, case.x_1)
    algorithms.q_gradient_descent_alpha(case.f, start, scripted([ACCEPT] * 40), p, history)
    assert 1 <= history.diverged_at < 40


# -- asking for a device --------------------------------------------------------------------------


def test_asking_for_a_gpu_without_cupy_is_an_error_and_auto_takes_the_cpu(monkeypatch):
    monkeypatch.setattr(backend, "cupy", None)
    with pytest.raises(DeviceError, match="CuPy is not installed"):
        backend.choose("gpu")
    assert backend.choose("auto") == backend.choose("cpu") == "cpu"


@pytest.mark.parametrize("fails", [True, False])
def test_asking_for_a_gpu_without_a_device_is_an_error(monkeypatch, fails):
    class CUDARuntimeError(RuntimeError):
        pass

    def count():
        if fails:
            raise CUDARuntimeError("no CUDA-capable device is detected")
        return 0

    runtime = SimpleNamespace(getDeviceCount=count, CUDARuntimeError=CUDARuntimeError)
    fake = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime))
    monkeypatch.setattr(backend, "cupy", fake)
    with pytest.raises(DeviceError, match="device"):
        backend.choose("gpu")
    assert backend.choose("auto") == "cpu"


# -- room on the device ---------------------------------------------------------------------------


@pytest.fixture
def small_device(device):
    """A device with little memory, half of it kept free by CuPy's pool: small_device(bytes)."""

    def shrink(size):
        runtime = SimpleNamespace(memGetInfo=lambda: (size // 2, 10**12))
        device.cuda = SimpleNamespace(runtime=runtime)
        pool = SimpleNamespace(free_bytes=lambda: size - size // 2)
        device.get_default_memory_pool = lambda: pool

    return shrink


@pytest.mark.parametrize("n, others, size", [(50_000, 10_000, 2**29), (4000, 15_000, 2**28)])
def test_more_images_than_the_device_holds_is_an_error_that_names_the_number_that_fits(
    small_device, n, others, size
):
    sizes = (3072, 100, 10)
    small_device(size)
    with pytest.raises(DeviceError, match="--train-size") as caught:
        check_fits("gpu", sizes, n, others)
    assert "\n" not in str(caught.value)
    fits = int(str(caught.value).split("--train-size ")[1].split()[0])
    check_fits("gpu", sizes, fits, others)
    with pytest.raises(DeviceError, match=f"--train-size {fits} fits"):
        check_fits("gpu", sizes, fits + 1, others)
    check_fits("cpu", sizes, n, others)


def test_where_the_other_images_alone_do_not_fit_no_number_is_named(small_device):
    small_device(2**20)
    with pytest.raises(DeviceError, match="no number of them fits"):
        check_fits("gpu", (3072, 100, 10), 1000, 10_000)


@pytest.mark.parametrize("hidden", [(20,), (20, 10)])
@pytest.mark.parametrize("n", [100, 600])
def test_an_episode_needs_no_more_than_the_footprint(monkeypatch, parameters, n, hidden):
    """Whole layers at a time, as on a GPU; the images were there before and are added."""
    monkeypatch.setattr(line, "BLOCK", 10**6)
    case = instance("cpu", np.float32, hidden=hidden, n=n, pixels=300)
    images = case.f.layer.images
    p, history = parameters(steps=12, alpha_c=0.1, M=1), History(12)
    tracemalloc.start()
    f = Objective(case.net, images, np.zeros(n, int))
    start = Start(f, f.point(case.x_1.x))
    algorithms.q_gradient_descent_alpha(f, start, Alternating(1, 0), p, history)
    used = tracemalloc.get_traced_memory()[1] + images.nbytes
    tracemalloc.stop()
    assert 0.6 * footprint(case.net.sizes, n) < used < footprint(case.net.sizes, n)


def test_free_memory_of_the_host_is_known_or_taken_as_endless(monkeypatch):
    assert backend.free_memory("cpu") > 2**20
    monkeypatch.setattr(Path, "read_text", lambda path: "MemTotal: 5 kB\n")
    assert backend.free_memory("cpu") == np.inf


# -- one kernel on a GPU --------------------------------------------------------------------------


def test_a_fused_function_is_one_kernel_on_the_device_and_its_own_lines_on_the_host(monkeypatch):
    fake, launched = fake_cupy(), []

    def fuse(kernel_name):
        return lambda function: lambda *arrays: launched.append(kernel_name) or function(*arrays)

    fake.fuse = fuse
    monkeypatch.setattr(backend, "cupy", fake)

    @backend.fused
    def twice_plus(xp, a, b):
        a *= 2
        xp.multiply(a, b, out=a)

    host, there = np.arange(3.0), to_device(np.arange(3.0), "gpu")
    assert twice_plus(host, host.copy()) is host and launched == []
    assert twice_plus(there, to_device(np.arange(3.0), "gpu")) is there
    assert launched == ["twice_plus"]
    assert to_host(there).tolist() == host.tolist() == [0, 2, 8]


# -- the bench ------------------------------------------------------------------------------------


def test_the_bench_prints_a_table_and_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "T", 4)
    monkeypatch.setattr(bench, "T", 4)
    monkeypatch.setattr(bench, "HOST_STEPS", 35)
    monkeypatch.setattr(backend, "free_memory", lambda device: 2**29)
    path, words = tmp_path / "bench.json", "--device cpu --episodes 2 --sizes 30 40 900000 --json"
    bench.main([*words.split(), str(path)])
    printed = capsys.readouterr().out
    assert "left out: n = 900000" in printed and "n = 40: episodes of 4 steps extrap" in printed
    assert printed.count("two products with the images take") == 2  # both have few images
    assert "200 episodes of 4 steps at n = 40" in printed and "extrapolated from 2" in printed
    figures = json.loads(path.read_text())
    assert [row["n"] for row in figures["rows"]] == [30, 40]
    assert figures["threads"] == backend.blas_threads() and 0 < figures["outside"] < 1
    for row in figures["rows"]:
        assert all(row[name] > 0 for name in ("half", "accept", "products", "images", "episode"))
        assert row["half floor"] > row["pass"] > 0


@pytest.mark.parametrize("words", ["--sizes 0", "--episodes x", "--json nowhere/a", "--nothing"])
def test_the_bench_refuses_before_it_measures(words, capsys, monkeypatch):
    monkeypatch.setattr(bench, "measure", None)
    assert bench.main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_growth_is_found(power):
    costs = {n: {"half": 3 * n**power} for n in (10, 100, 1000)}
    assert exponent(costs, "half") == pytest.approx(power, abs=1e-9)


# -- on a real GPU --------------------------------------------------------------------------------


def gpu_problem():
    try:
        backend.choose("gpu")
        return ""
    except DeviceError as error:
        return str(error)


gpu = pytest.mark.skipif(bool(gpu_problem()), reason=gpu_problem() or "there is a GPU")


def both(dtype, loss="softmax", hidden=(20,), n=3000):
    return [instance(device, dtype, loss, hidden, n) for device in ("gpu", "cpu")]


@gpu
@pytest.mark.parametrize("hidden", [(20,), (16, 8)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_one_step_on_a_gpu_is_the_one_on_the_cpu(dtype, rtol, loss, hidden):
    seen = []
    for case in both(dtype, loss, hidden):
        d = -case.f.gradient(case.x_1, 0.01)
        x = case.x_1 + 0.5 * d
        e = -case.f.gradient(x, 0.01)
        numbers = case.f.observe(x, d, d, 0.01) + case.f.observe(x + 0.25 * e, e, e, 0.01)
        seen.append((numbers, *(to_host(v) for v in (d.vector, x.x, e.vector)), case.h(x)))
    (numbers, *vectors, error), (numbers_, *vectors_, error_) = seen
    assert numbers == pytest.approx(numbers_, rel=rtol, abs=rtol)
    for v, v_ in zip(vectors, vectors_, strict=True):
        assert np.linalg.norm(v - v_) <= rtol * np.linalg.norm(v_)
    assert abs(error - error_) <= 2 / 3000  # a tie may fall either way


@gpu
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_ten_steps_on_a_gpu_at_a_small_rate_are_those_on_the_cpu(parameters, dtype, rtol):
    p, runs = parameters(steps=10, alpha_c=0.1), []
    for case in both(dtype):
        history = History(10)
        Q = Alternating(ACCEPT, ACCEPT, HALF)
        start = Start(case.f, case.x_1)
        history.x = algorithms.q_gradient_descent_alpha(case.f, start, Q, p, history)
        runs.append([history])
    assert_alike(*runs, rtol)


@gpu
@pytest.mark.parametrize("task", ["lr", "reg"])
def test_training_on_a_gpu_takes_the_actions_of_the_cpu(parameters, task):
    p = parameters(task, steps=12, M=3, episodes=2, batch=8, A=2, B=1, alpha_c=0.1, alpha=0.1)
    there, here = (run_learn(case, p, task) for case in both(np.float64))
    assert_alike(there, here, 1e-7)
    assert namespace(there[0].x.x) is not np


@gpu
def test_the_same_features_give_the_same_action_whatever_holds_the_objective():
    """The DQN lives on the host in either case, so its actions are bit for bit the same."""
    states = np.random.default_rng(0).uniform(-1, 1, (500, len(FEATURES)))
    taken = []
    for case in both(np.float32):
        case.f.observe(case.x_1, d := -case.f.gradient(case.x_1), d)
        Q, rng = controller(), np.random.default_rng(3)
        taken.append([Q.act(s, 0.3, rng) for s in states])
    assert taken[0] == taken[1]
