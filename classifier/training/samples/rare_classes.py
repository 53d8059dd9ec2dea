"""Repeat factors: images of rare classes come more often in training (Gupta et al., arXiv 1908.03195, section 5)."""

from collections.abc import Sequence

import numpy as np

from detection.structures.ground_truth import GroundTruth

ROUNDING = 1e-6
"""Added before rounding down, so that sums of whole numbers stay whole."""


def repeat_rare(records: Sequence[GroundTruth], *, share: float) -> list[GroundTruth]:
    """Return the images in their order, those of rare classes several times in a row.

    A class that appears in a share f of the images has the factor max(1, sqrt(share / f)), and an image has the largest
    factor of its classes. Fractions are added up from image to image, so nothing is drawn at random.

    Args:
        records: the images with their ground truth.
        share: a class in fewer than this share of the images is rare, 0-1; with 0, no class is rare.
    """
    shown = [np.unique(record.labels[~record.ignored]) for record in records]
    frequency = np.bincount(np.concatenate([*shown, np.zeros(0, np.int64)])) / max(1, len(records))
    factors = np.array([np.sqrt(share / frequency[labels]).max(initial=1.0) for labels in shown])
    ends = np.floor(np.concatenate([[0.0], np.cumsum(factors)]) + ROUNDING)
    counts = np.diff(ends).astype(np.int64).tolist()
    return [record for record, count in zip(records, counts, strict=True) for _ in range(count)]
