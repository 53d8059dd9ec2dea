"""Split of a set of images into two halves with about equally many objects of every class, as in R-CNN."""

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, IntArray

CANDIDATES = 5
"""The number of random splits of which the best is taken (our choice). With 200 classes and 20,000 images, each takes
seconds."""


def class_imbalance(counts: IntArray, first: BoolArray) -> NDArray[np.float64]:
    """Return the relative imbalance `|a - b| / (a + b)` of each class between the halves: float64 [C] in 0-1.

    `a` and `b` are the numbers of objects in the halves (R-CNN, section on the ILSVRC2013 data). The imbalance of a
    class without objects is 0.

    Args:
        counts: number of objects of each class in each image, [N, C].
        first: True for images in the first half, [N].
    """
    difference = np.abs(counts[first].sum(axis=0) - counts[~first].sum(axis=0))
    total = counts.sum(axis=0)
    imbalance: NDArray[np.float64] = np.divide(difference, total, out=np.zeros(len(total)), where=total > 0)
    return imbalance


def balanced_split(counts: IntArray, *, seed: int) -> BoolArray:
    """Return True for the images of the first half: bool [N]. The halves have about the same number of images.

    The method is that of R-CNN (arXiv 1311.2524): images with similar class counts are paired and go to different
    halves, a local search improves the split, and of several such splits the one with the smallest imbalance of its
    worst class is taken. The way to pair images, and the step of the search (one image changes sides), are our choice.

    Args:
        counts: number of objects of each class in each image, [N, C].
        seed: the seed of the random pairs and of the start of the search.

    Raises:
        ValueError: if the counts do not have the shape [N, C] or a count is negative.
    """
    if counts.ndim != 2 or (counts < 0).any():
        raise ValueError(f"counts must have shape [N, C] and be 0 or more, got {list(counts.shape)}")
    generator = np.random.default_rng(seed)
    # Images count as objects of one more class, so that the halves also have about as many images.
    features = np.column_stack([counts, np.ones(len(counts), np.int64)])  # [N, C + 1]
    features = features / np.maximum(features.sum(axis=0), 1)
    best, least = np.zeros(len(counts), np.bool_), np.inf
    for _ in range(CANDIDATES):
        sides = generator.choice(np.array([-1.0, 1.0]), len(counts))
        pairs = _pair_similar(counts, generator)
        sides[pairs[:, 1]] = -sides[pairs[:, 0]]
        sides = _balance(features, sides)
        worst = class_imbalance(counts, sides > 0).max(initial=0)
        if worst < least:
            best, least = sides > 0, worst
    return best


def _pair_similar(counts: IntArray, generator: np.random.Generator) -> IntArray:
    """Return pairs of similar images: [N // 2, 2].

    Images are sorted by the count of the rarest class, then of the second rarest, and so on; neighbours form pairs.
    Images with equal counts are in random order. If N is odd, a random image is left out.
    """
    shuffled = generator.permutation(len(counts))
    rarest_last = np.argsort(-counts.sum(axis=0), kind="stable")  # the last key of lexsort is the most important
    order = shuffled[np.lexsort(counts[shuffled][:, rarest_last].T)] if counts.shape[1] else shuffled
    leftover = generator.integers(len(order)) if len(order) % 2 else None
    paired: IntArray = order if leftover is None else np.delete(order, leftover)
    return paired.reshape(-1, 2)


def _balance(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return signs [R] with which the sums of the columns of `rows` [R, C] become small.

    Starting from `signs`, it flips one sign at a time: the one that reduces the sum of squares of these sums most.
    """
    signs = signs.copy()
    squares = (rows**2).sum(axis=1)
    while len(rows):
        imbalance = signs @ rows  # [C]
        # Flipping the sign s of row r subtracts 2 s r from the imbalance b: |b - 2 s r|^2 - |b|^2 = 4 (|r|^2 - s r b).
        change = squares - signs * (rows @ imbalance)  # [R]
        best = int(change.argmin())
        if change[best] > -1e-12:  # with 0 here, rounding errors could make the loop endless
            break
        signs[best] = -signs[best]
    return signs
