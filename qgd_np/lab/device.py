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
    problem = "" if device == "cpu" else _gpu_problem()
    if device == "cpu" or (device == "auto" and problem):
        return "cpu"
    if problem:
        raise DeviceError(f"--device gpu: {problem}")
    if tf32:  # CuPy asks cuBLAS for it if this is set before the first product
        os.environ["CUPY_TF32"] = "1"
    return "gpu"


def _gpu_problem():
    """Say in one sentence why there is no GPU, or return an empty string."""
    if backend.cupy is None:
        return (
            "CuPy is not installed; pip install -e '.[cuda12]' or '.[cuda13]', "
            "as your driver's CUDA version asks (wheels cupy-cuda12x, cupy-cuda13x)"
        )
    try:
        found = backend.cupy.cuda.runtime.getDeviceCount() > 0
        return "" if found else "CuPy is installed but finds no device; use --device cpu"
    except backend.cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy is installed but finds no usable device ({error}); use --device cpu"


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
