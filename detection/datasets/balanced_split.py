"""Two halves of a set of images in which every class has about as many objects, as R-CNN made of ILSVRC's val."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, IntArray

CANDIDATES = 5
"""Splits that are made, of which the best is taken. Our choice: each takes seconds for 20,000 images of 200 classes."""


def class_imbalance(counts: IntArray, first: BoolArray) -> NDArray[np.float64]:
    """Relative imbalance `|a - b| / (a + b)` of each class between the halves: float64 [C] in 0-1.

    `a` and `b` are the objects in the halves (R-CNN, section on the ILSVRC2013 data); without objects it is 0.

    Args:
        counts: objects of each class in each image, [N, C].
        first: which images are in the first half, [N].
    """
    difference = np.abs(counts[first].sum(axis=0) - counts[~first].sum(axis=0))
    total = counts.sum(axis=0)
    imbalance: NDArray[np.float64] = np.divide(difference, total, out=np.zeros(len(total)), where=total > 0)
    return imbalance


def balanced_split(counts: IntArray, *, seed: int) -> BoolArray:
    """Which images go to the first half: bool [N]. The halves have about the same number of images.

    As R-CNN did (arXiv 1311.2524): images with like class counts are paired and go to different halves, local search
    improves on it, and of several such splits the one whose worst class has the least relative imbalance is taken. How
    images are paired and what a step of the search is, an image that changes sides, are our choice.

    Args:
        counts: objects of each class in each image, [N, C].
        seed: decides the pairs and the start of the search.

    Raises:
        ValueError: if the counts are not of shape [N, C] or one is negative.
    """
    if counts.ndim != 2 or (counts < 0).any():
        raise ValueError(f"counts must have shape [N, C] and be 0 or more, got {list(counts.shape)}")
    generator = np.random.default_rng(seed)
    # The number of images is kept even like that of objects of one more class.
    features = np.column_stack([counts, np.ones(len(counts), np.int64)])  # [N, C + 1]
    features = features / np.maximum(features.sum(axis=0), 1)
    best, least = np.zeros(len(counts), np.bool_), np.inf
    for _ in range(CANDIDATES):
        sides = generator.choice(np.array([-1.0, 1.0]), len(counts))
        pairs = _pair_alike(counts, generator)
        sides[pairs[:, 1]] = -sides[pairs[:, 0]]
        sides = _balance(features, sides)
        worst = class_imbalance(counts, sides > 0).max(initial=0)
        if worst < least:
            best, least = sides > 0, worst
    return best


def _pair_alike(counts: IntArray, generator: np.random.Generator) -> IntArray:
    """Pairs of images [N // 2, 2]: neighbours when sorted by the count of the rarest class, then of the next, ...

    Equal images are in random order, and so is who is the odd one out.
    """
    shuffled = generator.permutation(len(counts))
    rarest_last = np.argsort(-counts.sum(axis=0), kind="stable")  # lexsort's last key is its first
    order = shuffled[np.lexsort(counts[shuffled][:, rarest_last].T)] if counts.shape[1] else shuffled
    leftover = generator.integers(len(order)) if len(order) % 2 else None
    paired: IntArray = order if leftover is None else np.delete(order, leftover)
    return paired.reshape(-1, 2)


def _balance(rows: NDArray[np.float64], signs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Signs [R] of the rows [R, C] with which these add up to little in every column.

    Starts with `signs`, and turns one at a time, the one that lowers the sum of squares of the columns' sums most.
    """
    signs = signs.copy()
    squares = (rows**2).sum(axis=1)
    while len(rows):
        imbalance = signs @ rows  # [C]
        # Turning row r takes 2 s_r r from the imbalance b: |b - 2 s r|^2 - |b|^2 = 4 (|r|^2 - s r b).
        change = squares - signs * (rows @ imbalance)  # [R]
        best = int(change.argmin())
        if change[best] > -1e-12:  # at 0, rounding could go on for ever
            break
        signs[best] = -signs[best]
    return signs
