"""R-CNN's box regression: for each class, a ridge regression of the deltas on the features of a trained network."""

import numpy as np
from numpy.typing import NDArray

from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.arrays import FloatArray, IntArray

MIN_IOU = 0.6
"""IoU above which a region is paired with its ground truth (arXiv 1311.2524, appendix C)."""

RIDGE = 1000.0
"""Penalty on the squared weights, for features with a mean norm of `svm.FEATURE_NORM` (appendix C)."""

ROWS_AT_ONCE = 1024
"""Number of regions of a class that are collected before they are added to its sums; it only affects the speed."""


class BoxRidge:
    """A ridge regression of the four deltas for each class (appendix C, equation 5), which takes regions bit by bit.

    As in R-CNN's code, the deltas are centred first, and the constant is penalised like a weight. R-CNN's code also
    decorrelates the deltas and reverses this afterwards; the regression is linear in the deltas, so both cancel out,
    and are omitted here.

    The memory does not grow with the number of regions: a class needs (F + 1)^2 numbers in double precision, the sums
    of its normal equations, and `ROWS_AT_ONCE` rows of features.

    Args:
        num_features: number F of features.
        num_classes: number C of classes. A class without regions gets zeros, which leave its boxes unchanged.
    """

    def __init__(self, num_features: int, *, num_classes: int) -> None:
        self.num_features = num_features
        self._sums = [_Sums() for _ in range(num_classes)]

    def add(self, features: FloatArray, deltas: FloatArray, labels: IntArray) -> None:
        """Learn from N regions.

        Args:
            features: [N, F], scaled to the mean norm that `RIDGE` is meant for.
            deltas: [N, 4], see `classifier.box_deltas.encode_boxes`.
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
        """Return a linear layer with 4 C outputs, which begin with the deltas of the first class."""
        weight = np.zeros((len(self._sums), 4, self.num_features), np.float32)
        bias = np.zeros((len(self._sums), 4), np.float32)
        for label, sums in enumerate(self._sums):
            solution = sums.solve()
            if solution is not None:
                weight[label], bias[label] = solution
        return LinearHead(weight.reshape(-1, self.num_features), bias.ravel())


class _Sums:
    """The normal equations of one class, in double precision.

    They are X^T X and X^T Y, with the inputs X [n, F + 1], which are the features and a constant 1, and the deltas
    Y [n, 4]. Their last rows are sums over the regions, which give the mean of Y for centring.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[FloatArray, FloatArray]] = []
        self._rows = 0
        self._gram: NDArray[np.float64] | None = None
        self._products: NDArray[np.float64] | None = None

    def add(self, features: FloatArray, deltas: FloatArray) -> None:
        """Add features [n, F] and deltas [n, 4]."""
        self._waiting.append((features, deltas))
        self._rows += len(features)
        if self._rows >= ROWS_AT_ONCE:
            self._add_up()

    def solve(self) -> tuple[FloatArray, FloatArray] | None:
        """Return the weights [4, F] and biases [4], or None if there are no regions."""
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
