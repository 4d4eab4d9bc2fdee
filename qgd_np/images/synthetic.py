"""Synthetic images that stand in for CIFAR-10 where it cannot be had: same shapes, same story.

Each image is a sum of cosines (a 2-D DCT) whose amplitudes fall about as 1 / frequency, as do
those of natural images, in three colour axes about as strong as CIFAR-10's. Each of the ten
classes has a few prototypes, patterns that fade towards high frequencies; an image is one of its
class's, mirrored half of the time, under noise, at a contrast of its own. STRENGTH and FADE are
set so that gradient descent at alpha = 1, Armijo backtracking and Figure 9's pattern end in the
order of CIFAR-10's first 5,000 images, at test accuracies of 0.34, 0.38 and 0.42 (mean of six
iterates; CIFAR-10: 0.32, 0.38, 0.40). The baseline's objective is lower: 1.55, not 1.77.

Amplitudes, cosines and draws are rounded to integers small enough for exact float64 sums, so the
images do not depend on the BLAS, its threads or the processor.
"""

import numpy as np

CLASSES = 10
SIDE = 32
BLOCK = 500  # images made at a time, each block from its own stream: a prefix never changes
PROTOTYPES = 3  # per class
STRENGTH = 0.6  # standard deviation of a prototype's amplitude at frequency 0, as a share of all
FADE = 0.65  # how fast that share falls with the frequency
# R, G, B of the colour axes: brightness, blue against yellow, green against purple
AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64)  # (3 axes, 3 channels)
# Standard deviations of CIFAR-10's amplitudes, per axis: LEVEL / (1 + f / 1.5)^POWER
# The first is raised from 1040, so that gradient descent at alpha = 1 oscillates as on CIFAR-10.
LEVEL = (1200, 490, 130)
POWER = (1.3, 1.6, 1.6)
MEAN = (126, 123, 114)  # of R, G, B
COSINE_BITS, AMPLITUDE_BITS = 8, 2  # binary digits behind the point


def make(train=10000, test=2000, seed=0):
    """Return train_images, train_labels, test_images, test_labels, all of them uint8.

    Images are (n, 3072), channel by channel and row by row as in CIFAR-10; labels are 0 to 9.
    The first images are the same however many are made. 12,000 images take about two seconds.
    """
    prototypes = _prototypes(np.random.default_rng([seed, 0]))
    return (*_part(train, [seed, 1], prototypes), *_part(test, [seed, 2], prototypes))


def _spectrum():
    """Return the amplitudes' standard deviations (3 axes, 32, 32), in prototypes and in noise."""
    u, v = np.mgrid[:SIDE, :SIDE]
    f = 1 + (u + v) / 1.5
    total = np.array([level / f**power for level, power in zip(LEVEL, POWER, strict=True)])
    share = STRENGTH / f**FADE
    scale = 2**AMPLITUDE_BITS
    return np.rint(scale * total * share), np.rint(scale * total * np.sqrt(1 - share**2))


def _prototypes(rng):
    """Draw the patterns (10 classes, 3, 3 axes, 32, 32) as amplitudes."""
    spread, _ = _spectrum()
    return np.rint(rng.standard_normal((CLASSES, PROTOTYPES, *spread.shape)) * spread)


def _part(n, seed, prototypes):
    """Make n images (n, 3072) and labels (n,), block by block."""
    images = np.empty((n, 3 * SIDE * SIDE), np.uint8)
    labels = np.empty(n, np.uint8)
    for start in range(0, n, BLOCK):
        rows = slice(start, min(start + BLOCK, n))
        block, block_labels = _block(np.random.default_rng([*seed, start]), prototypes)
        images[rows], labels[rows] = (a[: rows.stop - start] for a in (block, block_labels))
    return images, labels


def _block(rng, prototypes):
    """Make BLOCK images and their labels from one stream."""
    labels = rng.integers(CLASSES, size=BLOCK)
    kinds = rng.integers(PROTOTYPES, size=BLOCK)
    amplitudes = prototypes[labels, kinds]  # (BLOCK, 3, 32, 32)
    amplitudes[rng.integers(2, size=BLOCK) == 1, :, :, 1::2] *= -1  # a cosine mirrored
    amplitudes += rng.standard_normal(amplitudes.shape, np.float32) * _spectrum()[1]
    amplitudes *= rng.integers(2, 7, size=(BLOCK, 1, 1, 1)) / 4  # contrast, 0.5 to 1.5
    return _pixels(np.rint(amplitudes)), labels.astype(np.uint8)


def _pixels(amplitudes):
    """Sum the cosines of amplitudes (m, 3, 32, 32) by axis; return uint8 images (m, 3072)."""
    u, i = np.mgrid[:SIDE, :SIDE]
    norm = np.where(u == 0, np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    cosines = np.rint(2**COSINE_BITS * norm * np.cos(np.pi * u * (i + 0.5) / SIDE))
    planes = cosines.T @ amplitudes @ cosines  # (m, 3 axes, 32, 32)
    pixels = np.einsum("mahw,ac->mchw", planes, AXES) / 2 ** (2 * COSINE_BITS + AMPLITUDE_BITS)
    pixels += np.array(MEAN)[:, None, None]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8).reshape(len(pixels), -1)
