"""Precision, recall and average precision of one class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray


def precision_recall(
    scores: NDArray[np.floating[Any]], true_positive: BoolArray, ground_truth_count: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return precision [N] and recall [N] of the best 1, 2, ..., N detections of a class.

    Args:
        scores: the scores of the detections in any order, [N]; equal scores rank in this order.
        true_positive: True for detections that found an object, [N].
        ground_truth_count: the number of objects; if it is 0, the recall is nan.

    Raises:
        ValueError: if the arrays have different lengths, or there are more true positives than objects.
    """
    true_positives = _best_first(scores, true_positive, ground_truth_count).cumsum()
    precision = true_positives / np.arange(1, len(true_positives) + 1)
    recall = true_positives / ground_truth_count if ground_truth_count else np.full(len(true_positives), np.nan)
    return precision, recall


def average_precision(
    scores: NDArray[np.floating[Any]],
    true_positive: BoolArray,
    ground_truth_count: int,
    recall_levels: Sequence[float] | None = None,
) -> float:
    """Return the area under the monotone envelope of precision over recall, 0-1, as `VOCap.m` of VOC 2012 and ILSVRC.

    The envelope at a recall is the best precision at this recall or a higher one. If rising `recall_levels` are given,
    the result is the mean of the envelope at these levels, where a level that no detection reaches counts as 0. The
    other arguments and the errors are those of `precision_recall`. Without ground truth the result is nan.
    """
    # The recall rises only at the ranks of the T true positives.
    ranks = np.flatnonzero(_best_first(scores, true_positive, ground_truth_count)) + 1
    if ground_truth_count == 0:
        return float("nan")
    true_positives = np.arange(1, len(ranks) + 1)
    envelope = np.maximum.accumulate((true_positives / ranks)[::-1])[::-1]
    if recall_levels is not None:
        # The number of levels that are reached at each true positive, [T].
        reached = np.searchsorted(recall_levels, true_positives / ground_truth_count, side="right")
        return float((envelope * np.diff(reached, prepend=0)).sum() / len(recall_levels))
    return float(envelope.sum() / ground_truth_count)


def _best_first(scores: NDArray[np.floating[Any]], true_positive: BoolArray, ground_truth_count: int) -> BoolArray:
    """Return `true_positive` in the order of falling scores; raises the errors of `precision_recall`."""
    if scores.ndim != 1 or scores.shape != true_positive.shape:
        raise ValueError(
            f"scores and true_positive must both be [N], got {list(scores.shape)} and {list(true_positive.shape)}"
        )
    if true_positive.sum() > ground_truth_count:
        raise ValueError(f"got {true_positive.sum()} true positives, more than the {ground_truth_count} ground truths")
    return true_positive[np.argsort(-scores, kind="stable")]
