"""In which images a detector does best and worst."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics
from detection.structures.arrays import IntArray


class ImageScores(NamedTuple):
    """Of I images, each int64 [I]: objects that were `found` or `missed`, and detections that are `wrong`."""

    found: IntArray
    missed: IntArray
    wrong: IntArray

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 of each image [I], nan where there is neither an object nor a detection."""
        total = 2 * self.found + self.missed + self.wrong
        f1: NDArray[np.float64] = np.divide(2 * self.found, total, out=np.full(len(total), np.nan), where=total > 0)
        return f1

    @property
    def object_counts(self) -> IntArray:
        """Objects of each image [I] that count."""
        return self.found + self.missed


def score_images(metrics: DetectionMetrics, *, score_threshold: float) -> ImageScores:
    """What detections of a score or above find in each image, all classes together.

    F1 at one threshold says what somebody sees who looks at the image: one wrong box too many counts. Average precision
    would not mind it, as long as it ranks last in its image, and has no value for an image without objects.
    """
    matches, detections, objects = metrics.matches, metrics.detections, metrics.objects
    shown = detections.scores >= score_threshold
    image_count = len(objects.index.image_ids)
    found, wrong = (
        np.bincount(detections.images[shown & (matches.outcomes == outcome)], minlength=image_count)
        for outcome in (TRUE_POSITIVE, FALSE_POSITIVE)
    )
    return ImageScores(found, np.bincount(objects.images[~objects.ignored], minlength=image_count) - found, wrong)


def best_images(scores: ImageScores, limit: int) -> IntArray:
    """The rows of the images of the highest F1; of equal ones those with more found objects, then in their order.

    Images in which there is nothing to find and nothing was found are left out.
    """
    return _first(scores, np.lexsort((-scores.found, -scores.f1)), limit)


def worst_images(scores: ImageScores, limit: int) -> IntArray:
    """The rows of the images of the lowest F1; of equal ones those with more mistakes, then in their order.

    An image without objects is among them if something was detected there.
    """
    return _first(scores, np.lexsort((-(scores.missed + scores.wrong), scores.f1)), limit)


def _first(scores: ImageScores, order: IntArray, limit: int) -> IntArray:
    return order[~np.isnan(scores.f1[order])][:limit]
