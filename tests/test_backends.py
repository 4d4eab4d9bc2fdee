"""One code for NumPy and CuPy: cupy in one file, no hidden transfer, and parity on a real GPU.

`StrictArray` stands in for a CuPy array where there is no GPU. Like one it refuses to become a
NumPy array on its own or to be mixed with NumPy arrays; its reductions stay arrays; and it leaves
the device only through backend.to_host or float(), which are counted. So are the kernels that CuPy
14 would launch, a call of cuBLAS as one, and the bytes that they read and write.
"""

import functools
import json
import operator
import os
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest

import qgd_np
from qgd_np import backend, config
from qgd_np.algorithms import q_learning_alpha, q_learning_lambda
from qgd_np.backend import namespace, to_device, to_host
from qgd_np.bench import __main__ as bench
from qgd_np.dqn import DQN, Memory
from qgd_np.environment import ACTIONS
from qgd_np.fast import line
from qgd_np.fast.objective import LOSSES, Objective
from qgd_np.lab import device as lab_device
from qgd_np.lab import policies
from qgd_np.lab.device import DeviceError, choose, describe
from qgd_np.lab.training import Log
from qgd_np.mlp import MLP

pytestmark = pytest.mark.filterwarnings("error")
left = []  # the sizes of what has left the device
launched = []  # the bytes that each kernel has read and written
dtypes = set()  # of all arrays that kernels have met
kernel = []  # of the fused kernel that is being run: its arrays, those read and those written


def test_cupy_is_imported_in_the_backend_only():
    package = Path(qgd_np.__file__).parent
    sources = [*package.rglob("*.py"), *package.parent.glob("*.py")]
    found = re.compile(r"^\s*(import|from) .*\bcupy\b|import\w*\(.cupy", re.MULTILINE)
    assert [s.name for s in sources if found.search(s.read_text())] == ["backend.py"]


def held(value):
    """The NumPy array in a StrictArray, or those in a list or an index; what is no array, as is."""
    if isinstance(value, np.ndarray):
        raise TypeError("a host array among device arrays")
    if isinstance(value, (list, tuple)):
        return type(value)(map(held, value))
    return value.held if isinstance(value, StrictArray) else value


def lifted(function, launches=True):
    """A function or method of NumPy arrays as one of StrictArrays."""

    def call(*arguments, out=None, **options):
        into = {} if out is None else {"out": held(out)}
        arrays = [a for a in held(arguments) if isinstance(a, np.ndarray)]
        result = function(*held(arguments), **into, **options)
        if function is operator.setitem:
            arrays, result = arrays[1:], arrays[0][held(arguments[1])]
        if launches:
            launch(arrays, result)
        return StrictArray(result)

    return call


def launch(read, written):
    """Count a kernel, or note what a fused one does: only its own arrays are in memory."""
    dtypes.update(array.dtype for array in (*read, np.asarray(written)))
    if not kernel:
        launched.append(sum(array.nbytes for array in (*read, np.asarray(written))))
        return
    arrays, first_read, changed = kernel[-1]
    place = lambda array: array.__array_interface__["data"][0]  # noqa: E731
    first_read.update({place(array) for array in read} & {*arrays} - changed)
    changed.update({place(np.asarray(written))} & {*arrays})


def fuse(kernel_name):
    """cupy.fuse: the lines of a function, also of those called in it, as one kernel."""

    def call(lines, *arguments):
        arrays = [a.held for a in arguments if isinstance(a, StrictArray)]
        own = {a.__array_interface__["data"][0]: a.nbytes for a in arrays}
        if kernel:
            return lines(*arguments)
        kernel.append((own, set(), set()))
        try:
            assert lines(*arguments) is None  # else it would be written to an array of its own
        finally:
            _, read, changed = kernel.pop()
        launched.append(sum(own[place] for place in (*read, *changed)))

    return lambda lines: functools.partial(call, lines)


class StrictArray:
    """A device array; see the head of this file."""

    __hash__ = object.__hash__

    def __init__(self, array):
        self.held = np.asarray(array)

    def __getattr__(self, name):
        if name in ("shape", "dtype", "size"):
            return getattr(self.held, name)
        if name in ("reshape", "copy", "astype", "sum", "max", "argmax"):
            method = getattr(np.ndarray, name)
            return functools.partial(lifted(method, name != "reshape"), self)
        raise AttributeError(name)

    def __len__(self):
        return len(self.held)

    def __float__(self):
        number = float(self.held)
        left.append(1)
        return number

    def refuse(self, *arguments, **options):
        raise TypeError("a device array went to the host, or into a NumPy function, on its own")

    __array__ = __bool__ = __iter__ = __index__ = __int__ = __contains__ = refuse
    __array_ufunc__ = __array_function__ = refuse
    T = property(lifted(np.transpose, False))

    def __getitem__(self, key):
        return lifted(operator.getitem, isinstance(key, StrictArray))(self, key)


OPERATORS = "add sub mul truediv matmul pow neg eq ne lt le gt ge setitem iadd isub imul itruediv"
for _name in OPERATORS.split():
    setattr(StrictArray, f"__{_name}__", lifted(getattr(operator, _name)))
for _name in "add sub mul truediv".split():
    setattr(StrictArray, f"__r{_name}__", lifted(lambda a, b, n=_name: getattr(operator, n)(b, a)))
FUNCTIONS = """exp log tanh sqrt sign maximum add multiply subtract divide matmul empty empty_like
    zeros ones eye"""


@pytest.fixture
def device(monkeypatch):
    """A module in the place of cupy."""
    xp = ModuleType("cupy")
    vars(xp).update(ndarray=StrictArray, finfo=np.finfo, fuse=fuse, cuda=Mock())
    for name in FUNCTIONS.split():
        setattr(xp, name, lifted(getattr(np, name), not name.startswith("empty")))
    xp.asnumpy = lambda a: left.append(a.size) or a.held.copy()
    xp.asarray = lambda a, *like, **_: StrictArray(np.array(getattr(a, "held", a), *like))
    xp.vdot = lambda a, b: (a.reshape(-1) * b.reshape(-1)).sum()
    xp.cublas = SimpleNamespace(dot=lifted(lambda a, b, out: np.copyto(out, a @ b) or out))
    monkeypatch.setattr(backend, "cupy", xp)
    left.clear()
    return xp


def test_the_stand_in_refuses_what_a_gpu_array_would_refuse(device):
    a, host = to_device(np.arange(3.0), "gpu"), np.arange(3.0)
    assert type(a) is StrictArray and namespace(a) is device and namespace(host) is np
    refused = [
        lambda: np.asarray(a), lambda: np.tanh(a), lambda: np.vdot(a, a), lambda: np.stack([a, a]),
        lambda: bool(a[0]), lambda: list(a), lambda: a + host, lambda: host + a, lambda: a @ host,
        lambda: a[np.array([0, 1])], lambda: a.tolist(), lambda: max(a), lambda: 1.0 in a,
        lambda: operator.setitem(a, 0, host[0:1]), lambda: device.tanh(host),
        lambda: operator.setitem(host, 0, a), lambda: device.stack([a, host]),
    ]  # fmt: skip
    for attempt in refused:
        with pytest.raises((TypeError, AttributeError, ValueError)):
            attempt()
    assert left == [] and (a.sum() * 2).shape == () and float(a[1]) == 1.0 and left == [1]
    assert to_host(a).tolist() == [0, 1, 2] and left == [1, 3]


@pytest.fixture
def problem(problem):
    """The same; with more pixels than images the line takes the Gram product."""
    return functools.partial(problem, n=40, dtype=np.float64)


def parameters(task, **changes):
    small = dict(steps=15, M=3, first=0, episodes=2, batch=8, A=2, B=1, alpha_c=0.3, alpha=0.3)
    return config.make(task, small, changes)


def apply(case, name, p, trace=None):
    """The log of an episode under a policy of lab/policies.py: most are Algorithm 1 or 2."""
    case.errors, case.measure = {"validation": case.h}, lambda p: case.h
    log = Log(lambda x, value: case.f(x), case.x_1, None, p, case.errors, trace)
    return [log.close(POLICIES[name](case, case.x_1, p, log))]


def train(case, task, p, trace=None):
    """The logs of Algorithm 3 or 4, always from the same x_1, whose plain steps are remembered."""
    rng, logs, f, x_1 = np.random.default_rng(1), [], case.f, case.x_1
    Q, memory = DQN((6, 4, len(ACTIONS[task])), p, rng), Memory(p, rng)

    def begin(e):
        logs.append(Log(lambda x, value: f(x), x_1, Q, p, trace=trace))
        return logs[-1]

    rest = Q, Q.net.initialise(rng, float), memory, p, begin
    if task == "lr":
        episodes = q_learning_alpha(lambda e: (f, x_1, p), *rest)
    else:
        episodes = q_learning_lambda(lambda e: (f, case.h, x_1, p), *rest)
    return [logs[-1].close(x) for x in episodes]


def assert_alike(there, here, rtol):
    assert namespace(there[0].x.x) is not np and namespace(here[0].x.x) is np
    for a, b in zip(there, here, strict=True):
        assert a.action.tolist() == b.action.tolist() and str(a.error) == str(b.error)
        for name in ("objective", "value", "reward", "td_loss", "state", "q"):
            np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol, rtol)
        assert np.linalg.norm(to_host(a.x.x) - b.x.x) <= rtol * np.linalg.norm(b.x.x)


@pytest.mark.parametrize("hidden, pixels", [((5,), 7), ((6, 4), 7), ((5,), 80)])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("task", ["lr", "reg"])
def test_training_on_a_strict_device(problem, device, task, loss, hidden, pixels):
    cases = (problem(d, loss=loss, hidden=hidden, pixels=pixels) for d in ("gpu", "cpu"))
    there, here = (train(case, task, parameters(task)) for case in cases)
    assert {a for log in there for a in log.action.tolist()} == set(range(len(ACTIONS[task])))
    assert_alike(there, here, 1e-10)


POLICIES = {f"reg {k}": rule for k, rule in policies.COEFFICIENT.items()} | policies.LEARNING_RATE


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_runs_on_a_strict_device(problem, device, name):
    p = parameters("reg" if name.startswith("reg") else "lr")
    assert_alike(*(apply(problem(d), name, p) for d in ("gpu", "cpu")), 1e-8)


@pytest.mark.parametrize("name, counts", [
    ("lr", {1}), ("reg", {0, 1, 2}), ("pattern9", {2}), ("reg 2 raises", {0, 1, 2}),
])  # fmt: skip
@pytest.mark.parametrize("pixels", [7, 80])
def test_a_step_moves_a_small_array_and_h_a_turn_none(problem, device, name, counts, pixels):
    run, case = apply if name in POLICIES else train, problem("gpu", pixels=pixels)
    p, moved = parameters("reg" if name.startswith("reg") else "lr"), []
    logs = run(case, name, p, lambda log, t: moved.append(len(left)))
    each = np.diff(np.reshape(moved, (len(logs), -1)))  # of every step of an episode but the first
    assert each.size >= 14 and {*each.flat} == counts and max(left) <= 8


def test_launches_bytes_and_transfers_of_a_half_step_and_an_accept(device, monkeypatch):
    """The table of data/README.md: the images are many, so bytes are linear in n."""
    monkeypatch.setattr(line, "GRAM", 0)
    costs = {n: cost_of_steps(n) for n in (100, 200)}
    for name, expected in {"half": (12, 1, 239), "accept": (24, 1, 1646)}.items():
        (kernels, moved, there), (again, more, _) = (costs[n][name] for n in (100, 200))
        megabytes = round((moved + (50000 - 100) * (more - moved) / 100) / 1e6)
        assert (kernels, there, megabytes) == expected and again == kernels
    assert dtypes == {np.dtype(np.float32)}


def cost_of_steps(n):
    """{name: (kernels, bytes, transfers)} of a half step, and of an accept with the first look."""
    rng, net, costs = np.random.default_rng(0), MLP((3072, 100, 10)), {}
    images, labels = rng.standard_normal((n, 3072), np.float32), rng.integers(10, size=n)
    f = Objective(net, to_device(images, "gpu"), to_device(labels, "gpu"))
    x, d = f.point(net.initialise(rng)), None
    dtypes.clear()
    for t, name in enumerate(("first", "half", "accept", "half", "accept")):
        before = len(launched), len(left)
        if name != "half":
            d_before, d = d, -f.gradient(x)
            xbar = x
        x = xbar + 0.1 / (t + 1) * d
        f.observe(x, d, d_before or d)
        cost = launched[before[0] :]
        costs[name] = len(cost), sum(cost), len(left) - before[1]
    return costs


@pytest.mark.parametrize("found", [None, 0, RuntimeError("no device"), 1])
def test_a_gpu_is_taken_if_it_is_there_and_never_silently_replaced(monkeypatch, found):
    """found: None without CuPy, else what it says when it is asked for devices."""
    runtime = Mock(CUDARuntimeError=RuntimeError, **{"getDeviceCount.side_effect": [found] * 3})
    runtime.getDeviceProperties.return_value = {"name": b"a GPU"}
    runtime.runtimeGetVersion.return_value, runtime.driverGetVersion.return_value = 12090, 13000
    fake = None if found is None else Mock(**{"cuda.runtime": runtime}, __version__="14.2.0")
    monkeypatch.setattr(backend, "cupy", fake)
    monkeypatch.setattr(backend, "import_error", ImportError("its\n reason"))
    monkeypatch.setattr(lab_device, "_products", {})
    monkeypatch.setenv("CUPY_TF32", "1")
    assert choose("cpu") == describe("cpu") == "cpu"
    if found == 1:
        assert choose("auto") == choose("gpu") == "gpu"
        versions = "CuPy 14.2.0, CUDA 12.9, driver 13.0"
        assert describe("gpu") == f"gpu: a GPU, float32 products, {versions}"
        assert os.environ["CUPY_TF32"] == "0"
        with pytest.raises(DeviceError, match="--tf32"):
            choose("gpu", tf32=True)
        lab_device.free_staging("gpu")
        fake.get_default_pinned_memory_pool().free_all_blocks.assert_called_once_with()
    else:
        assert choose("auto") == "cpu"
        with pytest.raises(DeviceError, match=r"imported \(its reason\)|no .*device"):
            choose("gpu")


def test_a_fused_function_is_one_kernel_on_a_device_and_its_own_lines_on_the_host(device):
    host, other, there = np.arange(3.0), np.ones(3), to_device(np.arange(3.0), "gpu")

    @backend.fused
    def product(xp, a, b):
        xp.multiply(a, b, out=a)

    @backend.fused
    def twice(xp, a, b):
        product(product(a, b), b)

    launched.clear()
    assert twice(host, host + 0) is host and host.tolist() == [0, 1, 8] and not launched
    assert twice(there, to_device(other, "gpu")) is there and launched == [3 * 24]


def test_the_bench_prints_a_table_and_writes_its_figures(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench, "measure", Mock(side_effect=[MemoryError, {"half": 1.5}]))
    bench.main(f"--device cpu --sizes 10 20 --json {tmp_path}/bench.json".split())
    printed = capsys.readouterr().out
    assert "left out: n = 10," in printed and re.search(r"n = +20\nhalf +1\.500\n", printed)
    assert json.loads((tmp_path / "bench.json").read_text())["n"] == {"20": {"half": 1.5}}


@pytest.mark.parametrize("where", ["cpu", "gpu"])
def test_the_bench_measures_on_the_cpu_and_on_a_strict_device(device, monkeypatch, where):
    monkeypatch.setattr(bench, "T", 4)
    monkeypatch.setattr(bench, "find_spec", lambda name: None)  # torch: slow to import
    row = bench.measure(20, where, 2)
    assert all(not value <= 0 for value in row.values()) and len(row) > 14


@pytest.mark.parametrize("words", ["--sizes 0", "--episodes x", "--device gpu", "--nothing"])
def test_the_bench_refuses_in_one_line(words, capsys, monkeypatch):
    monkeypatch.setattr(backend, "cupy", None)
    assert bench.main(words.split()) == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.startswith("error: ") and printed.err.count("\n") == 1


gpu = pytest.mark.skipif(choose("auto") == "cpu", reason="there is no GPU")


@gpu
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_one_step_on_a_gpu_is_that_on_the_cpu(problem, dtype, rtol, loss):
    seen, size = [], dict(n=3000, hidden=(16, 8), dtype=dtype, loss=loss)
    for case in (problem(d, **size) for d in ("gpu", "cpu")):
        d = -case.f.gradient(case.x_1, 0.01)
        x = case.x_1 + 0.5 * d
        e = -case.f.gradient(x, 0.01)
        numbers = case.f.observe(x, d, d, 0.01) + case.f.observe(x + 0.25 * e, e, e, 0.01)
        seen.append((np.array(numbers), *(to_host(v) for v in (d.vector, x.x, e.vector))))
    for there, here in zip(*seen, strict=True):
        assert np.linalg.norm(there - here) <= rtol * np.linalg.norm(here)


@gpu
@pytest.mark.parametrize("dtype, rtol", [(np.float32, 1e-4), (np.float64, 1e-9)])
def test_ten_steps_on_a_gpu_are_those_on_the_cpu(problem, dtype, rtol):
    p = parameters("lr", steps=10, alpha_c=0.1)
    there, here = (apply(problem(d, n=3000, dtype=dtype), "pattern9", p) for d in ("gpu", "cpu"))
    assert_alike(there, here, rtol)
