"""Which device a run is on, and how many BLAS threads it has."""

import os

from threadpoolctl import threadpool_info

from .. import backend
from ..config import UserError


class DeviceError(UserError):
    """The device that was asked for is not there."""


def choose(device, tf32=False):
    """Turn auto / cpu / gpu into "cpu" or "gpu"; tf32: TensorFloat-32 products on a GPU.

    Raises DeviceError for a GPU that cannot be used: there is no silent fallback.
    """
    problem = "asked for the CPU" if device == "cpu" else _gpu_problem()
    if device == "gpu" and problem:
        raise DeviceError(f"--device gpu: {problem}; --device cpu needs none")
    if tf32 and not problem:  # CuPy asks cuBLAS for it if this is set before the first product
        os.environ["CUPY_TF32"] = "1"
    return "cpu" if problem else "gpu"


def _gpu_problem():
    """Why there is no GPU, None if there is one."""
    if backend.cupy is None:
        return ("CuPy is not installed; pip install -e '.[cuda12]' or '.[cuda13]', as your driver's"
                " CUDA version asks (wheels cupy-cuda12x, cupy-cuda13x)")  # fmt: skip
    try:
        return None if backend.cupy.cuda.runtime.getDeviceCount() else "CuPy finds no device"
    except backend.cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy finds no usable device ({error})"


def synchronize(device):
    """Wait until the device has done what it was told; for timings only."""
    if device == "gpu":
        backend.cupy.cuda.get_current_stream().synchronize()


def describe(device):
    """Return the device in words, for the run file and the banner."""
    if device == "cpu":
        return "cpu"
    return "gpu: " + backend.cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


def blas_threads():
    """The number of threads that NumPy's matrix products use."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)
