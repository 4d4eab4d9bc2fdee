"""The images: CIFAR-10, another archive of its layout, or synthetic ones.

`load` gives the first images of the training archive to training and the next ones to validation
(D14, never test images). Shapes: n training, v validation, t test images.
"""

import hashlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from . import archive, download, synthetic
from .archive import DataError


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


def load(source="auto", train_size=None, validation_size=0, say=None):
    """Return a Dataset of train_size training images and the validation_size after them.

    source: "cifar10" (an archive in the cache folder, or a download), "auto" (the same, else
    synthetic), "synthetic", or the path of an archive or its folder. train_size: None for all that
    validation leaves. say(text): takes messages, else they go to standard error. Raises DataError.
    """
    say = say or (lambda text: print(text, file=sys.stderr))
    name, (images, labels, *test) = _arrays(source, (train_size or 0) + validation_size, say)
    n = len(images) - validation_size if train_size is None else train_size
    end = n + validation_size
    if not 1 <= n <= end <= len(images):
        sizes = f"{n} training and {validation_size} validation"
        raise DataError(f"{name} has {len(images)} training images; give other sizes than {sizes}")
    used = (images[:n], labels[:n], images[n:end], labels[n:end], *test)
    digest = hashlib.sha256()
    for array in used:
        digest.update(f"{array.shape} ".encode())
        digest.update(np.ascontiguousarray(array))
    mean, std = moments(images[:n])
    parts = [standardise(a, mean, std) if a.ndim == 2 else a.astype(np.int64) for a in used]
    return Dataset(name, *parts, digest.hexdigest())


def _arrays(source, wanted, say):
    """Return a name and the uint8 arrays; synthetic ones are made for `wanted` images."""
    if source in ("auto", "cifar10"):
        try:
            return "cifar10", download.obtain(cache_folder(), say)
        except DataError as error:
            if source == "cifar10":
                raise
            say(f"WARNING: {error}")
        say("WARNING: going on with SYNTHETIC images instead of CIFAR-10")
    elif source != "synthetic":
        name = os.path.basename(os.path.abspath(source))  # of whatever bytes it is
        return name.encode(errors="replace").decode(), archive.read(source)
    return "synthetic", synthetic.make(train=min(max(wanted, 10000), 50000))


def cache_folder():
    """Return QGD_DATA, else the data folder of a checkout, else a folder of the user's."""
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "qgd_np"
    if (checkout / "setup.py").is_file() and os.access(checkout, os.W_OK):
        folder = checkout / "data"
    return Path(os.environ.get("QGD_DATA") or folder)


def moments(images):
    """Return mean and std (3072,) float64 of uint8 images; the sums are exact (D4)."""
    n, total = len(images), images.sum(axis=0, dtype=np.int64)
    squares = np.einsum("ij,ij->j", images, images, dtype=np.int64)
    std = np.sqrt(n * squares - total * total) / n
    std[std == 0] = 1  # a pixel that never changes becomes 0 everywhere
    return total / n, std


def standardise(images, mean, std):
    """Return (images - mean) / std as float32 (n, 3072); no other large array is made."""
    images = images - mean.astype(np.float32)
    images /= std.astype(np.float32)
    return images
