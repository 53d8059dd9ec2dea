"""R-CNN's box regression: ridge regression of the deltas on a trained network's features, class by class."""

from __future__ import annotations

import numpy as np

from classifier.linear_head import LinearHead
from detection.arrays import FloatArray, IntArray

MIN_IOU = 0.6
"""Overlap above which a region is paired with its ground truth (arXiv 1311.2524, appendix C)."""

RIDGE = 1000.0
"""Penalty of the squared weights, for features of a mean norm of `classifier.svm.FEATURE_NORM` (appendix C)."""


def fit_box_ridge(features: FloatArray, deltas: FloatArray, labels: IntArray, *, num_classes: int) -> LinearHead:
    """One ridge regression of the four deltas for each class (appendix C, equation 5).

    As in R-CNN's code the deltas are centred first and the constant is penalised like a weight. The code also
    decorrelates the deltas and undoes it afterwards; ridge is linear in them, so that cancels, and is left out.

    Args:
        features: [N, F] of regions, scaled to the mean norm that `RIDGE` is meant for.
        deltas: [N, 4], see `classifier.box_coder.encode_boxes`.
        labels: [N], 0-based classes.
        num_classes: C. A class without regions gets zeros, which leave its boxes as they are.

    Returns:
        A layer with 4 C outputs, the deltas of the first class first.

    Raises:
        ValueError: for shapes that do not fit, or a label outside 0 to C - 1.
    """
    if features.ndim != 2 or deltas.shape != (len(features), 4) or labels.shape != (len(features),):
        shapes = [list(array.shape) for array in (features, deltas, labels)]
        raise ValueError(f"features, deltas and labels must have shapes [N, F], [N, 4] and [N], got {shapes}")
    if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(f"labels must lie in 0-{num_classes - 1}, got {labels.min()} to {labels.max()}")
    weight = np.zeros((num_classes, 4, features.shape[1]), np.float32)
    bias = np.zeros((num_classes, 4), np.float32)
    for label in np.unique(labels):
        chosen = labels == label
        weight[label], bias[label] = _fit_class(features[chosen], deltas[chosen])
    return LinearHead(weight.reshape(num_classes * 4, -1), bias.ravel())


def _fit_class(features: FloatArray, deltas: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weights [4, F] and biases [4] by the normal equations, in double precision."""
    inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1, dtype=np.float64)  # [N, F + 1]
    mean = deltas.mean(axis=0, dtype=np.float64)
    gram = inputs.T @ inputs + RIDGE * np.eye(inputs.shape[1])
    solution = np.linalg.solve(gram, inputs.T @ (deltas - mean))  # [F + 1, 4]
    return solution[:-1].T.astype(np.float32), (solution[-1] + mean).astype(np.float32)
