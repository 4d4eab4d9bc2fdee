"""NumPy on a CPU, CuPy on a GPU: the only file that imports cupy.

The nets and the objective take their namespace from the arrays they are given.
"""

import functools

import numpy as np

import_error = None  # why there is no cupy
try:
    import cupy
except Exception as error:  # not there, or broken
    cupy, import_error = None, error


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

    The result is called without xp and returns the first array; on a CPU its lines run as they are.
    """
    module, kernel = cupy, None
    if module is not None:
        fuse = module.fuse(kernel_name=function.__name__)
        kernel = fuse(lambda *arrays: function(module, *arrays))

    @functools.wraps(function)
    def call(*arrays):
        on_device = kernel is not None and namespace(arrays[0]) is module
        kernel(*arrays) if on_device else function(namespace(arrays[0]), *arrays)
        return arrays[0]

    return call
