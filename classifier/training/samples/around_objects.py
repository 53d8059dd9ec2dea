"""Regions to train on that are drawn at random around the ground truth; they stand in where there are no proposals."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.training.samples.random_boxes import clip_corners, jitter_boxes, random_boxes
from classifier.training.samples.sampled_boxes import FOREGROUND_IOU, Objects, SampledBoxes, label_regions
from classifier.training.samples.streams import RandomStream
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import paired_iou
from detection.training.sample_order import RowNumbers

CANDIDATES = 48
"""Number of boxes that are drawn to choose one from; a tighter rule for foreground would need more."""

FIRST_CANDIDATES = 8
"""Number of candidates that are drawn first; one of these nearly always fits."""

FOREGROUND_SPREAD = 0.3
"""Largest spread of a jittered ground truth: it gives boxes from tight ones to the edge of what is foreground."""

BACKGROUND_SPREAD = 0.7
"""Spread of a jittered ground truth that is to give background."""


def sample_jittered(
    objects: Objects, sizes: IntArray, *, ignored: Objects, foreground: BoolArray, numbers: RowNumbers
) -> SampledBoxes:
    """Draw N regions around ground truth, and label them by the rule of R-CNN.

    A foreground region is a jittered ground truth whose IoU with it is at least 0.5. A background region lies around a
    ground truth in half of the cases and anywhere in the image otherwise; its IoU with every ground truth and every
    ignored object is below 0.5. If no candidate fits, the region is a ground truth itself, clipped to the image and at
    least a pixel wide. An image without objects always gives background, in that case the candidate that overlaps the
    ignored objects least.

    Args:
        objects: the objects of the image of each region.
        sizes: [N, 2], height and width of the image.
        ignored: objects that are neither foreground nor background.
        foreground: [N], True for regions that are to be foreground.
        numbers: the random numbers of the N regions.
    """
    drawn = numbers(RandomStream.FIRST_BOXES, 2 + 4 * FIRST_CANDIDATES)
    chosen = (drawn[:, 0] * objects.counts).astype(np.int64)
    wanted = foreground & (objects.counts > 0)
    around = wanted | ((objects.counts > 0) & (drawn[:, 1] < 0.5))
    spread = np.where(wanted, FOREGROUND_SPREAD * drawn[:, 1], BACKGROUND_SPREAD)
    plan = _Plan(objects, ignored, sizes, chosen, wanted, around, spread)
    boxes, fits, _ = plan.draw(np.arange(len(foreground)), drawn[:, 2:])
    missing = np.flatnonzero(~fits)
    if len(missing):
        numbers_left = numbers.take(missing)(RandomStream.MORE_BOXES, 4 * (CANDIDATES - FIRST_CANDIDATES))
        later, fits_later, furthest = plan.draw(missing, numbers_left)
        own = objects.boxes[missing, chosen[missing]]
        own = clip_corners(own[:, None, :2], own[:, None, 2:], sizes[missing])[:, 0]
        has_objects = objects.counts[missing] > 0
        instead = np.where(has_objects[:, None], own, furthest)
        boxes[missing] = np.where(fits_later[:, None], later, instead)
        wanted[missing] |= ~fits_later & has_objects
    return label_regions(boxes, np.where(wanted, chosen, -1), objects)


class _Plan(NamedTuple):
    """The plan of the N regions to draw.

    `chosen` [N] is the index of an object of the image, `wanted` [N] is True for foreground, `around` [N] is True for
    boxes around the chosen object instead of anywhere in the image, and `spread` [N] is that of `jitter_boxes`.
    """

    objects: Objects
    ignored: Objects
    sizes: IntArray
    chosen: IntArray
    wanted: BoolArray
    around: BoolArray
    spread: NDArray[np.float64]

    def draw(self, rows: IntArray, numbers: NDArray[np.float64]) -> tuple[FloatArray, BoolArray, FloatArray]:
        """Draw K candidates for each of n rows from `numbers` [n, 4 K].

        Returns:
            For each row the first candidate that fits [n, 4], True if there is one [n], and the candidate that overlaps
            all objects least [n, 4].
        """
        objects, ignored, sizes = self.objects.take(rows), self.ignored.take(rows), self.sizes[rows]
        chosen, each = self.chosen[rows], np.arange(len(rows))
        numbers = numbers.reshape(len(rows), numbers.shape[1] // 4, 4)
        candidates = np.where(
            self.around[rows, None, None],
            jitter_boxes(objects.boxes[each, chosen], sizes, spread=self.spread[rows], numbers=numbers),
            random_boxes(sizes, numbers=numbers),
        )
        overlaps = paired_iou(candidates[:, :, None], objects.boxes[:, None])  # [n, K, M]
        own = np.take_along_axis(overlaps, chosen[:, None, None], axis=2)[..., 0]
        stands_for_own = (own >= FOREGROUND_IOU) & (overlaps.argmax(axis=2) == chosen[:, None])
        with_ignored = paired_iou(candidates[:, :, None], ignored.boxes[:, None]).max(axis=2)
        largest = np.maximum(overlaps.max(axis=2), with_ignored)
        fits = np.where(self.wanted[rows, None], stands_for_own, largest < FOREGROUND_IOU)
        first = fits.argmax(axis=1)
        return candidates[each, first], fits[each, first], candidates[each, largest.argmin(axis=1)]
