"""Which device a run is on, and how many BLAS threads it has."""

import os

from threadpoolctl import threadpool_info

from .. import backend
from ..config import UserError


class DeviceError(UserError):
    """The device that was asked for is not there."""


_products = {}  # {"tf32": whether this process multiplies on a GPU in TensorFloat-32}


def choose(device, tf32=False):
    """Turn auto / cpu / gpu into "cpu" or "gpu"; tf32: TensorFloat-32 products on a GPU.

    Raises DeviceError for a GPU that cannot be used: there is no silent fallback.
    """
    problem = "asked for the CPU" if device == "cpu" else _gpu_problem()
    if device == "gpu" and problem:
        raise DeviceError(f"--device gpu: {problem}; --device cpu needs none")
    if problem:
        return "cpu"
    if _products.setdefault("tf32", tf32) != tf32:
        raise DeviceError("--tf32: this process has begun otherwise; give it to a new one")
    os.environ["CUPY_TF32"] = str(int(tf32))  # CuPy reads it once, before the first product
    return "gpu"


def _gpu_problem():
    """Why there is no GPU, None if there is one."""
    if backend.cupy is None:
        why = " ".join(str(backend.import_error).split())
        return (f"CuPy cannot be imported ({why}); pip install -e '.[cuda12]' or '.[cuda13]', as"
                " your driver's CUDA version asks (wheels cupy-cuda12x, cupy-cuda13x)")  # fmt: skip
    try:
        return None if backend.cupy.cuda.runtime.getDeviceCount() else "CuPy finds no device"
    except backend.cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no usable device ({error})"


def synchronize(device):
    """Wait until the device has done what it was told; for timings only."""
    if device == "gpu":
        backend.cupy.cuda.get_current_stream().synchronize()


def free_staging(device):
    """Give back the host memory that uploads went through: CuPy keeps it, as large as they were."""
    if device == "gpu":
        synchronize(device)
        backend.cupy.get_default_pinned_memory_pool().free_all_blocks()


def describe(device):
    """Return the device in words, for the run file and the banner."""
    if device == "cpu":
        return "cpu"
    cupy, runtime = backend.cupy, backend.cupy.cuda.runtime
    name = runtime.getDeviceProperties(runtime.getDevice())["name"].decode()
    versions = {"CUDA": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion()}
    versions = [f"{of} {v // 1000}.{v % 1000 // 10}" for of, v in versions.items()]
    products = "TF32" if _products.get("tf32") else "float32"
    return f"gpu: {name}, {products} products, CuPy {cupy.__version__}, {', '.join(versions)}"


def blas_threads():
    """The number of threads that NumPy's matrix products use."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)
