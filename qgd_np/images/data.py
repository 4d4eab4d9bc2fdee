"""The images: CIFAR-10 from the cache, an archive or a download, or synthetic ones.

`load` is all that the rest of the package needs. It gives the first images of the training archive
to training, the next ones to validation (D14, never test images), and standardises each of the
3072 inputs with the training images' mean and standard deviation (D4).

Shapes: n training, v validation, t test images; images are (n, 3072), labels (n,).
"""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import archive, synthetic
from .archive import PIXELS, DataError
from .cache import obtain
from .download import to_stderr

SIZES = {"auto": 10000, "most": 50000}  # synthetic training images: if not asked for more, at most


@dataclass(frozen=True)
class Dataset:
    """Standardised float32 images and int64 labels, and what they are."""

    name: str  # "cifar10", "synthetic", or the name of the archive or folder
    train_images: np.ndarray  # (n, 3072)
    train_labels: np.ndarray  # (n,)
    validation_images: np.ndarray  # (v, 3072)
    validation_labels: np.ndarray  # (v,)
    test_images: np.ndarray  # (t, 3072), t = 10,000 in CIFAR-10
    test_labels: np.ndarray  # (t,)
    sha256: str  # of all of them, as they are in the archive


def load(source="auto", train_size=None, validation_size=0, cache=None, say=to_stderr):
    """Return a Dataset of train_size training images and the validation_size after them.

    source: "cifar10" (the cache or an archive in the cache folder, else a download), "auto" (the
    same, else synthetic), "synthetic", or the path of an archive or its folder.
    train_size: None for all that validation leaves. cache: a folder, see `cache_folder`.
    say(text): takes messages, by default to standard error. Raises DataError.
    """
    wanted = _wanted(train_size, validation_size)
    if source in ("auto", "cifar10"):
        folder = Path(cache) if cache else cache_folder()
        name, arrays = _official(source, folder, wanted, say)
    elif source == "synthetic":
        name, arrays = source, _synthetic(wanted)
    else:
        name, arrays = name_of(source), archive.read(source)
    return _split(name, arrays, train_size, validation_size)


def name_of(path):
    """The name of a file or folder as text that can be saved, whatever bytes it is of."""
    return os.fsencode(Path(os.path.abspath(path)).name).decode("utf-8", "replace")


def _official(source, folder, wanted, say):
    """Return a name and CIFAR-10's arrays, or for "auto" synthetic ones where they are not had."""
    try:
        return "cifar10", obtain(folder, wanted, say)
    except DataError as error:
        if source == "cifar10":
            raise
        say(f"WARNING: {error}")
    say("WARNING: going on with SYNTHETIC images instead of CIFAR-10")
    return "synthetic", _synthetic(wanted)


def _synthetic(wanted):
    return synthetic.make(train=min(max(wanted or 0, SIZES["auto"]), SIZES["most"]))


def cache_folder():
    """Return QGD_DATA, else the project's data folder, else, if installed, one of the user's."""
    if os.environ.get("QGD_DATA"):
        return Path(os.environ["QGD_DATA"])
    project = Path(__file__).resolve().parents[2]
    data = project / "data"
    writable = os.access(data if data.exists() else project, os.W_OK)
    if writable and (project / "setup.py").is_file():  # not installed: a checkout
        return data
    user = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(user) if user else Path(os.path.expanduser("~"), ".cache")) / "qgd_np"


def _wanted(train_size, validation_size):
    """Return how many images of the training archive are asked for, None for all of them."""
    if train_size is not None and train_size < 1:
        raise DataError(f"the training size must be at least 1, not {train_size}")
    if validation_size < 0:
        raise DataError(f"the validation size must be at least 0, not {validation_size}")
    return None if train_size is None else train_size + validation_size


def _split(name, arrays, train_size, validation_size):
    """Cut uint8 arrays into a Dataset of standardised images."""
    images, labels, test_images, test_labels = arrays
    n = len(images) - validation_size if train_size is None else train_size
    end = n + validation_size
    if n < 1 or end > len(images):
        raise DataError(
            f"{max(n, 1)} training and {validation_size} validation images are asked for, but "
            f"{name} has {len(images)} training images in all; ask for fewer"
        )
    mean, std = moments(images[:n])
    used = (
        (images[:n], labels[:n]),
        (images[n:end], labels[n:end]),
        (test_images, test_labels),
    )
    parts = []
    for part, kind in used:
        parts += [standardise(part, mean, std), kind.astype(np.int64)]
    return Dataset(name, *parts, content_hash(used))


def content_hash(used):
    """Return the SHA-256 of pairs of uint8 images and labels: where one ends counts too."""
    digest = hashlib.sha256()
    for array in (array for pair in used for array in pair):
        digest.update(f"{array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()


BLOCK = 256  # rows: 256 * 255^2 < 2^24, so float32 sums of a block's squares are exact


def moments(images):
    """Return mean and std (3072,) float64 of uint8 images, exact but for the last step (D4)."""
    n, total, squares = len(images), np.zeros(PIXELS), np.zeros(PIXELS)
    for start in range(0, n, BLOCK):
        block = images[start : start + BLOCK].astype(np.float32)
        total += block.sum(axis=0)
        squares += np.square(block, out=block).sum(axis=0)
    std = np.sqrt(n * squares - total * total) / n
    std[std == 0] = 1  # a pixel that never changes becomes 0 everywhere
    return total / n, std


def standardise(images, mean, std):
    """Return (images - mean) / std as float32 (n, 3072); no other large array is made."""
    mean, std = mean.astype(np.float32), std.astype(np.float32)
    result = np.empty(images.shape, np.float32)
    for start in range(0, len(images), BLOCK):
        rows = slice(start, start + BLOCK)
        np.subtract(images[rows], mean, out=result[rows])
        result[rows] /= std
    return result
