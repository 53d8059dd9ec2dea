"""R-CNN's classifiers: a linear SVM for each class, trained with hard negatives (arXiv 1311.2524, section 2.3).

The numbers are those of R-CNN's code (`rcnn_train.m`, `rcnn_scale_features.m`). This module needs scikit-learn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from sklearn.svm import LinearSVC

from classifier.training.rcnn_heads.linear_head import LinearHead
from detection.structures.arrays import FloatArray, IntArray
from detection.structures.boxes import box_iou

FEATURE_NORM = 20.0
"""Mean norm to which features are scaled; the values below are meant for it."""

COST = 1e-3
"""Of a unit of hinge loss, against half the squared weights."""

POSITIVE_WEIGHT = 2.0
"""Factor on the loss of positives, which are few."""

BIAS_FEATURE = 10.0
"""The constant input whose weight is the bias: so large that the penalty hardly holds the bias back."""

NEGATIVE_IOU = 0.3
"""A region below this overlap with every ground truth of a class is a negative of it; those above are not used."""

HARD_MARGIN = -1.0001
"""A negative above it is hard: it lies within the margin of the SVM, or rounding could put it there."""

EASY_MARGIN = -1.2
"""A negative below it is dropped after training; the gap to `HARD_MARGIN` keeps it from coming and going."""

RETRAIN_AFTER = 2000
"""New negatives of a class before it is trained again."""

TOLERANCE = 1e-3
"""Of the solver; the default of R-CNN's liblinear is 0.1, and 0.001 costs little on features of this norm."""


def feature_scale(features: FloatArray) -> float:
    """The factor that brings features [N, F] to a mean norm of `FEATURE_NORM`.

    Raises:
        ValueError: if there are no features, or all are zero.
    """
    norm = float(np.linalg.norm(features, axis=1).mean()) if len(features) else 0.0
    if norm == 0:
        raise ValueError(f"features must hold a vector that is not zero, got {len(features)} vectors")
    return FEATURE_NORM / norm


def class_overlaps(regions: FloatArray, boxes: FloatArray, labels: IntArray, *, num_classes: int) -> FloatArray:
    """Largest IoU of each region [N, 4] with the ground truth `boxes` [M, 4], `labels` [M] of each class: [N, C]."""
    overlaps = np.zeros((len(regions), num_classes), np.float32)
    iou = box_iou(regions, boxes)  # [N, M]
    for index, label in enumerate(labels):
        overlaps[:, label] = np.maximum(overlaps[:, label], iou[:, index])
    return overlaps


def fit_svm(positives: FloatArray, negatives: FloatArray, *, seed: int) -> tuple[FloatArray, float]:
    """The weights [F] and bias of a linear SVM with hinge loss on features [P, F] and [Q, F] of mean norm 20."""
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
    """Hard negatives of one class in one image: `rows` [n] of `features` [K, F], which the classes share."""

    features: FloatArray
    rows: IntArray


class HardNegativeMining:
    """Training of the SVMs of all classes in one pass over the images, holding only what is hard in memory.

    A region is often hard for many classes, so its features are held once for all of them.

    Args:
        positives: for each class the features [P, F] of its ground truth, scaled to `FEATURE_NORM`.
        seed: of the solver, which takes the examples in random order.

    Raises:
        ValueError: naming the class by its index, if one has no positives.
    """

    def __init__(self, positives: Sequence[FloatArray], *, seed: int) -> None:
        for label, of_class in enumerate(positives):
            if len(of_class) == 0:
                raise ValueError(f"class {label} must have positives, got none")
        self.positives = list(positives)
        self.seed = seed
        num_classes, width = len(positives), positives[0].shape[1]
        # As long as a class has no SVM its margins are 0, so every negative counts as hard.
        self.weight = np.zeros((num_classes, width), np.float32)
        self.bias = np.zeros(num_classes, np.float32)
        self.trained = np.zeros(num_classes, np.bool_)
        self.added = np.zeros(num_classes, np.int64)
        self.negatives: list[list[HardRegions]] = [[] for _ in positives]

    def add_image(self, features: FloatArray, overlaps: FloatArray) -> None:
        """Take the hard negatives of one image, and train the classes that have enough new ones.

        Args:
            features: [N, F] of the image's regions, scaled to `FEATURE_NORM`.
            overlaps: [N, C], see `class_overlaps`.
        """
        margins = features @ self.weight.T + self.bias  # [N, C]
        hard = (overlaps < NEGATIVE_IOU) & (margins > HARD_MARGIN)
        taken = hard.any(axis=1)
        features, hard = features[taken], hard[taken]
        for label in np.flatnonzero(hard.any(axis=0)).tolist():
            self.negatives[label].append(HardRegions(features, np.flatnonzero(hard[:, label])))
            self.added[label] += hard[:, label].sum()
            if not self.trained[label] or self.added[label] > RETRAIN_AFTER:
                self._train(label)

    def finish(self) -> LinearHead:
        """Train every class on all that it holds, and return the SVMs: margins of the classes, in their order.

        Raises:
            ValueError: naming the class by its index, if one has no negatives.
        """
        for label in range(len(self.positives)):
            if not self.trained[label]:
                raise ValueError(f"class {label} must have negatives, got none")
            if self.added[label]:
                self._train(label)
        return LinearHead(self.weight, self.bias)

    def held(self, label: int) -> FloatArray:
        """The negatives [Q, F] of a class that are held now."""
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
