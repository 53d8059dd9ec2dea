"""F1 of each image, to find those in which a detector does best and worst."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.matching import FALSE_POSITIVE, TRUE_POSITIVE
from detection.evaluation.metrics import DetectionMetrics
from detection.structures.arrays import IntArray


class ImageScores(NamedTuple):
    """For each of I images the number of objects `detected` and `missed`, and of `wrong` detections, int64 [I] each."""

    detected: IntArray
    missed: IntArray
    wrong: IntArray

    @property
    def f1(self) -> NDArray[np.float64]:
        """F1 of each image [I], nan where there is neither an object nor a detection."""
        total = 2 * self.detected + self.missed + self.wrong
        f1: NDArray[np.float64] = np.divide(2 * self.detected, total, out=np.full(len(total), np.nan), where=total > 0)
        return f1

    @property
    def object_counts(self) -> IntArray:
        """The number of objects of each image [I], without ignored objects."""
        return self.detected + self.missed


def score_images(metrics: DetectionMetrics, *, score_threshold: float) -> ImageScores:
    """Count in each image what detections with a score of at least `score_threshold` find, all classes together.

    F1 at one threshold measures what is visible in the image: every wrong box makes it lower. Average precision would
    ignore a wrong box that ranks last, and is not defined for an image without objects.
    """
    matches, detections, objects = metrics.matches, metrics.detections, metrics.objects
    shown = detections.scores >= score_threshold
    image_count = len(objects.index.image_ids)
    detected, wrong = (
        np.bincount(detections.images[shown & (matches.outcomes == outcome)], minlength=image_count)
        for outcome in (TRUE_POSITIVE, FALSE_POSITIVE)
    )
    object_counts = np.bincount(objects.images[~objects.ignored], minlength=image_count)
    return ImageScores(detected, object_counts - detected, wrong)


def best_images(scores: ImageScores, limit: int) -> IntArray:
    """Return the positions of the images with the highest F1; of equal F1, those with more detected objects come first.

    Images without objects and without detections are left out.
    """
    return _first(scores, np.lexsort((-scores.detected, -scores.f1)), limit)


def worst_images(scores: ImageScores, limit: int) -> IntArray:
    """Return the positions of the images with the lowest F1; of equal F1, those with more errors come first.

    An image without objects is among them if something was detected in it.
    """
    return _first(scores, np.lexsort((-(scores.missed + scores.wrong), scores.f1)), limit)


def _first(scores: ImageScores, order: IntArray, limit: int) -> IntArray:
    return order[~np.isnan(scores.f1[order])][:limit]
