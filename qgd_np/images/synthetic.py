"""Synthetic images that stand in for CIFAR-10 where it cannot be had.

An image is a sum of cosines (a 2-D DCT) with about the spectrum and colours of CIFAR-10's: one of
its class's prototypes, mirrored half of the time, under noise, at a contrast of its own. All is
rounded to integers small enough for exact float64 sums, so BLAS and processor make no difference.
"""

import numpy as np

CLASSES, PROTOTYPES, SIDE = 10, 3, 32  # three prototypes per class
BLOCK = 500  # images made at a time, each block from its own stream: a prefix never changes
# A prototype's share of the amplitudes, STRENGTH / (1 + f / 1.5)^FADE: gradient descent, Armijo and
# Figure 9's pattern end at test accuracies of 0.34, 0.38, 0.42 (on CIFAR-10 at 0.32, 0.38, 0.40).
STRENGTH, FADE = 0.6, 0.65
# Three colour axes: brightness, blue against yellow, green against purple; along each, amplitudes
# have CIFAR-10's standard deviations, LEVEL / (1 + f / 1.5)^POWER, the first up from 1040.
AXES = np.array([[1, 1, 1], [1, 0, -1], [1, -2, 1]], np.float64)
LEVEL, POWER = (1200, 490, 130), (1.3, 1.6, 1.6)
MEAN = (126, 123, 114)  # of R, G, B
COSINE_BITS, AMPLITUDE_BITS = 8, 2  # binary digits behind the point


def make(train=10000, test=2000, seed=0):
    """Return train_images, train_labels, test_images, test_labels, all of them uint8.

    Images are (n, 3072), channel by channel and row by row as in CIFAR-10; labels are 0 to 9.
    The first images are the same however many are made. 12,000 images take about two seconds.
    """
    u, v = np.mgrid[:SIDE, :SIDE]
    f = 1 + (u + v) / 1.5
    total = np.array([level / f**power for level, power in zip(LEVEL, POWER, strict=True)])
    share, total = STRENGTH / f**FADE, total * 2**AMPLITUDE_BITS
    spread, noise = np.rint(total * share), np.rint(total * np.sqrt(1 - share**2))
    draws = np.random.default_rng([seed, 0]).standard_normal((CLASSES, PROTOTYPES, *spread.shape))
    prototypes = np.rint(draws * spread)  # (10, 3, 3 axes, 32, 32)
    arrays = []
    for part, n in ((1, train), (2, test)):
        streams = [np.random.default_rng([seed, part, start]) for start in range(0, n, BLOCK)]
        blocks = [_block(rng, prototypes, noise) for rng in streams]
        arrays += [np.concatenate(block)[:n] for block in zip(*blocks, strict=True)]
    return arrays


def _block(rng, prototypes, noise):
    """Make BLOCK images (BLOCK, 3072) and their labels from one stream, both uint8."""
    labels = rng.integers(CLASSES, size=BLOCK)
    kinds = rng.integers(PROTOTYPES, size=BLOCK)
    amplitudes = prototypes[labels, kinds]  # (BLOCK, 3, 32, 32)
    amplitudes[rng.integers(2, size=BLOCK) == 1, :, :, 1::2] *= -1  # a cosine mirrored
    amplitudes += rng.standard_normal(amplitudes.shape, np.float32) * noise
    amplitudes *= rng.integers(2, 7, size=(BLOCK, 1, 1, 1)) / 4  # contrast, 0.5 to 1.5
    u, i = np.mgrid[:SIDE, :SIDE]
    norm = np.where(u == 0, np.sqrt(1 / SIDE), np.sqrt(2 / SIDE))
    cosines = np.rint(2**COSINE_BITS * norm * np.cos(np.pi * u * (i + 0.5) / SIDE))
    planes = cosines.T @ np.rint(amplitudes) @ cosines  # (BLOCK, 3 axes, 32, 32)
    pixels = np.einsum("mahw,ac->mchw", planes, AXES) / 2 ** (2 * COSINE_BITS + AMPLITUDE_BITS)
    pixels += np.array(MEAN)[:, None, None]
    images = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return images.reshape(BLOCK, -1), labels.astype(np.uint8)
