"""R-CNN's box regression: ridge regression of the deltas on a trained network's features, class by class."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.arrays import FloatArray, IntArray

MIN_IOU = 0.6
"""Overlap above which a region is paired with its ground truth (arXiv 1311.2524, appendix C)."""

RIDGE = 1000.0
"""Penalty of the squared weights, for features of a mean norm of `svm.FEATURE_NORM` (appendix C)."""

ROWS_AT_ONCE = 1024
"""Regions of a class that are kept as they are before they enter its sums; of no influence on the result."""


class BoxRidge:
    """One ridge regression of the four deltas for each class (appendix C, equation 5), from regions that pass by.

    As in R-CNN's code the deltas are centred first and the constant is penalised like a weight. The code also
    decorrelates the deltas and undoes it afterwards; ridge is linear in them, so that cancels, and is left out.

    Memory does not grow with the regions: a class takes at most (F + 1)^2 numbers in double precision, the sums of its
    normal equations, and `ROWS_AT_ONCE` rows of features.

    Args:
        num_features: F.
        num_classes: C. A class without regions gets zeros, which leave its boxes as they are.
    """

    def __init__(self, num_features: int, *, num_classes: int) -> None:
        self.num_features = num_features
        self._sums = [_Sums() for _ in range(num_classes)]

    def add(self, features: FloatArray, deltas: FloatArray, labels: IntArray) -> None:
        """Take in regions.

        Args:
            features: [N, F] of regions, scaled to the mean norm that `RIDGE` is meant for.
            deltas: [N, 4], see `classifier.layers.box_deltas.encode_boxes`.
            labels: [N], 0-based classes.

        Raises:
            ValueError: for shapes that do not fit, or a label outside 0 to C - 1.
        """
        count, last = len(labels), len(self._sums) - 1
        shapes = [list(array.shape) for array in (features, deltas, labels)]
        if shapes != [[count, self.num_features], [count, 4], [count]]:
            expected = f"[N, {self.num_features}], [N, 4] and [N]"
            raise ValueError(f"features, deltas and labels must have shapes {expected}, got {shapes}")
        if count and (labels.min() < 0 or labels.max() > last):
            raise ValueError(f"labels must lie in 0-{last}, got {labels.min()} to {labels.max()}")
        for label in np.unique(labels):
            chosen = labels == label
            self._sums[label].add(features[chosen], deltas[chosen])

    def finish(self) -> LinearHead:
        """A layer with 4 C outputs, the deltas of the first class first."""
        weight = np.zeros((len(self._sums), 4, self.num_features), np.float32)
        bias = np.zeros((len(self._sums), 4), np.float32)
        for label, sums in enumerate(self._sums):
            solution = sums.solve()
            if solution is not None:
                weight[label], bias[label] = solution
        return LinearHead(weight.reshape(-1, self.num_features), bias.ravel())


class _Sums:
    """The normal equations of one class, in double precision.

    With the inputs X [n, F + 1], the features and a constant 1, and the deltas Y [n, 4]: X^T X and X^T Y. The last row
    of each are sums over the regions, so the mean of Y, by which it is centred, follows from them.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[FloatArray, FloatArray]] = []
        self._rows = 0
        self._gram: NDArray[np.float64] | None = None
        self._products: NDArray[np.float64] | None = None

    def add(self, features: FloatArray, deltas: FloatArray) -> None:
        """Take in regions: [n, F], [n, 4]."""
        self._waiting.append((features, deltas))
        self._rows += len(features)
        if self._rows >= ROWS_AT_ONCE:
            self._add_up()

    def solve(self) -> tuple[FloatArray, FloatArray] | None:
        """Weights [4, F] and biases [4], None where there are no regions."""
        self._add_up()
        if self._gram is None or self._products is None:
            return None
        mean = self._products[-1] / self._gram[-1, -1]
        centred = self._products - self._gram[:, -1:] * mean
        solution = np.linalg.solve(self._gram + RIDGE * np.eye(len(self._gram)), centred)  # [F + 1, 4]
        return solution[:-1].T.astype(np.float32), (solution[-1] + mean).astype(np.float32)

    def _add_up(self) -> None:
        if not self._waiting:
            return
        features, deltas = (np.concatenate(parts) for parts in zip(*self._waiting, strict=True))
        self._waiting, self._rows = [], 0
        inputs = np.concatenate([features, np.ones((len(features), 1))], axis=1, dtype=np.float64)  # [n, F + 1]
        gram, products = inputs.T @ inputs, inputs.T @ deltas.astype(np.float64)
        self._gram = gram if self._gram is None else np.add(self._gram, gram, out=self._gram)
        self._products = products if self._products is None else self._products + products
