"""NumPy on a CPU, CuPy on a GPU: the only file that imports cupy.

The nets and the objective take their namespace from the arrays they are given, so the same lines
run on both. Random numbers are always drawn on the host: a CPU and a GPU run see the same draws.
"""

import functools
import os

import numpy as np
from threadpoolctl import threadpool_info

from .config import UserError

try:
    import cupy
except ImportError:
    cupy = None


class DeviceError(UserError):
    """The device that was asked for is not there."""


def namespace(array):
    """Return the module, numpy or cupy, whose functions take this array."""
    if cupy is not None and isinstance(array, cupy.ndarray):
        return cupy
    return np


def to_host(array):
    """Return the array as a NumPy array; from a GPU this waits for the device."""
    return cupy.asnumpy(array) if namespace(array) is cupy else np.asarray(array)


def to_device(array, device):
    """Return a host array on `device`, "cpu" or "gpu"."""
    return cupy.asarray(array) if device == "gpu" else np.asarray(array)


def fused(function):
    """Make function(xp, *arrays), elementwise and in place, one kernel on a GPU.

    On a CPU its lines run as they stand. The result is called without xp and returns the first
    array.
    """
    module, kernel = cupy, None
    if module is not None:
        fuse = module.fuse(kernel_name=function.__name__)
        kernel = fuse(lambda *arrays: function(module, *arrays))

    @functools.wraps(function)
    def call(*arrays):
        xp = namespace(arrays[0])
        if kernel is not None and xp is module:
            kernel(*arrays)
        else:
            function(xp, *arrays)
        return arrays[0]

    return call


def choose(device, tf32=False):
    """Turn auto / cpu / gpu into "cpu" or "gpu".

    Raises DeviceError for a GPU that cannot be used: there is no silent fallback.
    """
    problem = "" if device == "cpu" else _gpu_problem()
    if device == "gpu" and problem:
        raise DeviceError(f"--device gpu: {problem}")
    chosen = "cpu" if device == "cpu" or problem else "gpu"
    if tf32 and chosen == "gpu":
        # cuBLAS is asked by CuPy for TensorFloat-32 products if this is set before the first one.
        os.environ["CUPY_TF32"] = "1"
    return chosen


def _gpu_problem():
    """Say in one sentence why there is no GPU, or return an empty string."""
    if cupy is None:
        return (
            "CuPy is not installed; pip install -e '.[cuda12]' or '.[cuda13]', "
            "as your driver's CUDA version asks (wheels cupy-cuda12x, cupy-cuda13x)"
        )
    try:
        if cupy.cuda.runtime.getDeviceCount() > 0:
            return ""
    except cupy.cuda.runtime.CUDARuntimeError as error:
        return f"CuPy is installed but finds no usable device ({error}); use --device cpu"
    return "CuPy is installed but finds no device; use --device cpu"


def synchronize(device):
    """Wait until the device has done what it was told; for timings only."""
    if device == "gpu":
        cupy.cuda.get_current_stream().synchronize()


def describe(device):
    """Return the device in words, for the run file and the banner."""
    if device == "cpu":
        return "cpu"
    return "gpu: " + cupy.cuda.runtime.getDeviceProperties(0)["name"].decode()


def blas_threads():
    """The number of threads that NumPy's matrix products use."""
    pools = [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]
    return max(pools, default=1)
