"""R-CNN's classifiers: a linear SVM for each class, trained with hard negatives (arXiv 1311.2524, section 2.3).

The constants are taken from R-CNN's code (`rcnn_train.m`, `rcnn_scale_features.m`). This module needs scikit-learn.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.svm import LinearSVC

from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import box_iou

FEATURE_NORM = 20.0
"""Mean norm to which features are scaled; the constants below are meant for it."""

COST = 1e-3
"""Factor on the hinge loss, relative to half the squared weights."""

POSITIVE_WEIGHT = 2.0
"""Factor on the loss of positives, because they are few."""

BIAS_FEATURE = 10.0
"""The constant input whose weight is the bias; it is so large that the bias is hardly penalised."""

NEGATIVE_IOU = 0.3
"""A region is a negative of a class if its IoU with every ground truth of the class is below this, else unused."""

HARD_MARGIN = -1.0001
"""A negative with a score above this is hard: it lies within the margin of the SVM, but for rounding."""

EASY_MARGIN = -1.2
"""A negative with a score below this is dropped after training.

The gap to `HARD_MARGIN` keeps a negative from being dropped and added again and again.
"""

RETRAIN_AFTER = 2000
"""Number of new negatives of a class after which it is trained again."""

TOLERANCE = 1e-3
"""Tolerance of the solver; R-CNN's liblinear uses 0.1 by default, and 0.001 takes little longer on these features."""


def feature_scale(features: FloatArray) -> float:
    """Return the factor that scales features [N, F] to a mean norm of `FEATURE_NORM`.

    Raises:
        ValueError: if there are no features, or if all of them are zero.
    """
    norm = float(np.linalg.norm(features, axis=1).mean()) if len(features) else 0.0
    if norm == 0:
        raise ValueError(f"features must hold a vector that is not zero, got {len(features)} vectors")
    return FEATURE_NORM / norm


def class_overlaps(regions: FloatArray, boxes: FloatArray, labels: IntArray, *, num_classes: int) -> FloatArray:
    """Return the largest IoU of each region [N, 4] with the ground truth of each class: [N, C].

    The ground truth has the boxes [M, 4] and labels [M].
    """
    overlaps = np.zeros((len(regions), num_classes), np.float32)
    iou = box_iou(regions, boxes)  # [N, M]
    for index, label in enumerate(labels):
        overlaps[:, label] = np.maximum(overlaps[:, label], iou[:, index])
    return overlaps


def fit_svm(positives: FloatArray, negatives: FloatArray, *, seed: int) -> tuple[FloatArray, float]:
    """Fit a linear SVM with hinge loss to features [P, F] and [Q, F]; return its weights [F] and its bias.

    The features must be scaled to `FEATURE_NORM`.
    """
    solver = LinearSVC(
        C=COST,
        loss="hinge",
        class_weight={1: POSITIVE_WEIGHT},
        intercept_scaling=BIAS_FEATURE,
        tol=TOLERANCE,
        max_iter=10_000,
        random_state=seed,
    )
    labels = np.repeat([1, -1], [len(positives), len(negatives)])
    solver.fit(np.concatenate([positives, negatives]), labels)
    return solver.coef_[0].astype(np.float32), float(solver.intercept_[0])


class HardRegions(NamedTuple):
    """The hard negatives of one class in one image: `rows` [n] of `features` [K, F], which all classes share."""

    features: FloatArray
    rows: IntArray


class HardNegativeMining:
    """Training of the SVMs of all classes in one pass over the images; only hard negatives are kept in memory.

    A region is often hard for many classes, so its features are stored once for all of them.

    Args:
        positives: for each class the features [P, F] of its ground truth, scaled to `FEATURE_NORM`.
        seed: seed of the solver, which takes the examples in random order.

    Raises:
        ValueError: naming the class by its index, if a class has no positives.
    """

    def __init__(self, positives: Sequence[FloatArray], *, seed: int) -> None:
        for label, features in enumerate(positives):
            if len(features) == 0:
                raise ValueError(f"class {label} must have positives, got none")
        self.positives = list(positives)
        self.seed = seed
        num_classes, width = len(positives), positives[0].shape[1]
        # Until a class has an SVM, its scores are 0, so every negative is hard.
        self.weight = np.zeros((num_classes, width), np.float32)
        self.bias = np.zeros(num_classes, np.float32)
        self.trained = np.zeros(num_classes, np.bool_)
        self.added = np.zeros(num_classes, np.int64)
        self.negatives: list[list[HardRegions]] = [[] for _ in positives]

    def add_image(self, features: FloatArray, overlaps: FloatArray) -> None:
        """Add the hard negatives of one image, and train the classes that have enough new negatives.

        Args:
            features: [N, F], features of the image's regions, scaled to `FEATURE_NORM`.
            overlaps: [N, C], see `class_overlaps`.
        """
        scores = features @ self.weight.T + self.bias  # [N, C]
        hard = (overlaps < NEGATIVE_IOU) & (scores > HARD_MARGIN)
        taken = hard.any(axis=1)
        features, hard = features[taken], hard[taken]
        for label in np.flatnonzero(hard.any(axis=0)).tolist():
            self.negatives[label].append(HardRegions(features, np.flatnonzero(hard[:, label])))
            self.added[label] += hard[:, label].sum()
            if not self.trained[label] or self.added[label] > RETRAIN_AFTER:
                self._train(label)

    def finish(self) -> LinearHead:
        """Train every class on all of its examples, and return the SVMs, one output for each class.

        Raises:
            ValueError: naming the class by its index, if a class has no negatives.
        """
        for label in range(len(self.positives)):
            if not self.trained[label]:
                raise ValueError(f"class {label} must have negatives, got none")
            if self.added[label]:
                self._train(label)
        return LinearHead(self.weight, self.bias)

    def held(self, label: int) -> FloatArray:
        """Return the negatives [Q, F] of a class that are in memory."""
        parts = [features[rows] for features, rows in self.negatives[label]]
        return np.concatenate([self.positives[label][:0], *parts])

    def _train(self, label: int) -> None:
        weight, bias = fit_svm(self.positives[label], self.held(label), seed=self.seed)
        self.weight[label], self.bias[label] = weight, bias
        self.trained[label] = True
        self.added[label] = 0
        parts = [
            HardRegions(features, rows[features[rows] @ weight + bias >= EASY_MARGIN])
            for features, rows in self.negatives[label]
        ]
        self.negatives[label] = [part for part in parts if len(part.rows)]
