"""NumPy on a CPU, CuPy on a GPU: the only file that imports cupy.

The nets and the objective take their namespace from the arrays they are given.
"""

import functools

import numpy as np

import_error = None  # why there is no cupy
try:
    import cupy.cublas
except Exception as error:  # not there, or broken, as without the library of cuBLAS
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
    name = function.__name__
    kernel = functools.cache(lambda xp: xp.fuse(kernel_name=name)(functools.partial(function, xp)))

    @functools.wraps(function)
    def call(*arrays):
        if isinstance(arrays[0], np.ndarray):
            function(np, *arrays)
        else:  # on a GPU, or when CuPy reads a function that calls this one: then one kernel
            kernel(cupy)(*arrays)
        return arrays[0]

    return call


ones = functools.cache(lambda xp, n, dtype: xp.ones(n, dtype))  # (n,), made once


def column_sums(array, out):
    """Put the sums of the columns of (m, q) into out (q,)."""
    if (xp := namespace(array)) is np:
        array.sum(axis=0, out=out)
    else:  # by a product with ones: CuPy's sum starts one block for 32 columns, of all m rows
        xp.matmul(ones(xp, len(array), array.dtype), array, out=out)
