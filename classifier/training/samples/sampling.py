"""Regions to train on, drawn around the ground truth, for all images of a batch at once.

R-CNN (arXiv 1311.2524, section 2.3) takes its regions from the proposals: foreground with an IoU of at least 0.5 with
a ground truth, background below. Where there are no cached proposals, boxes drawn at random around the ground
truth stand in for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from classifier.training.samples.drawn_boxes import jitter_boxes, random_boxes, within
from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import paired_iou
from detection.training.sample_order import RowNumbers

FOREGROUND_IOU = 0.5
BACKGROUND = 0
CANDIDATES = 48
"""Boxes drawn to pick one from; a tighter foreground rule needs more."""

FIRST_CANDIDATES = 8
"""So many of them are drawn first, since one of these nearly always fits."""

FOREGROUND_SPREAD = 0.3
"""Largest spread of a jittered ground truth: from tight boxes to the edge of what counts as foreground."""

BACKGROUND_SPREAD = 0.7

FIRST_BOXES, MORE_BOXES, CHOICES = range(3)
"""Streams of random numbers."""


class SampledBoxes(NamedTuple):
    """R regions, to train on.

    `boxes` [R, 4] xyxy; `labels` [R], 0 for background and c + 1 for class c; `targets` [R, 4], the ground truth that a
    foreground region stands for, or a background region itself.
    """

    boxes: FloatArray
    labels: IntArray
    targets: FloatArray

    def part(self, rows: slice) -> SampledBoxes:
        """Some of the regions."""
        return SampledBoxes(self.boxes[rows], self.labels[rows], self.targets[rows])


class Objects(NamedTuple):
    """Objects of n images, M of the one that has most, at least one place each.

    `boxes` [n, M, 4] xyxy in pixels, without area where an image has fewer; `labels` [n, M], 0-based; `counts` [n].
    """

    boxes: FloatArray
    labels: IntArray
    counts: IntArray

    def of_rows(self, images: IntArray) -> Objects:
        """Those of the images of some rows [N], by index."""
        return Objects(self.boxes[images], self.labels[images], self.counts[images])


class ObjectLists:
    """Objects of many images, from which those of a batch are taken at once.

    Args:
        boxes: of each image, [M, 4].
        labels: of each image, [M].
    """

    def __init__(self, boxes: Sequence[FloatArray], labels: Sequence[IntArray]) -> None:
        self._counts = np.array([len(of_image) for of_image in boxes], np.int64)
        self._starts = np.cumsum(self._counts) - self._counts
        self._boxes = np.concatenate([*boxes, np.zeros((1, 4), np.float32)])  # the last one for empty places
        self._labels = np.concatenate([*labels, np.zeros(1, np.int64)])

    def __getitem__(self, images: IntArray) -> Objects:
        """The objects of some images [n], by index."""
        counts = self._counts[images]
        each = np.arange(counts.max(initial=1))
        places = np.where(each < counts[:, None], self._starts[images][:, None] + each, len(self._boxes) - 1)
        return Objects(self._boxes[places], self._labels[places], counts)


def even_quota(places: IntArray, fraction: float) -> BoolArray:
    """Which of the places [N] of an endless row belong to a `fraction` of all [N], such as that of foreground.

    They are spread so evenly that any n in a row hold `fraction` * n of them, rounded up or down: so does each batch.
    """
    quota: BoolArray = np.floor((places + 1) * fraction) > np.floor(places * fraction)
    return quota


def sample_jittered(
    objects: Objects, sizes: IntArray, *, ignored: Objects, foreground: BoolArray, numbers: RowNumbers
) -> SampledBoxes:
    """Draw N regions around ground truth and label them by the rule of R-CNN, one a row.

    Foreground is a jittered ground truth whose IoU is at least 0.5. Background is half of the time a near miss around a
    ground truth, else anywhere in the image, always below 0.5 with every ground truth and every ignored object. Where
    no such box comes up, the region is a ground truth itself, cut at the image's borders and at least a pixel wide (or,
    in an image without objects, always background, apart from ignored ones as far as it goes).

    Args:
        objects: of the image of each row.
        sizes: [N, 2], height and width of the image.
        ignored: objects that are neither foreground nor background.
        foreground: [N], whether the region is to be foreground.
        numbers: for these rows.
    """
    drawn = numbers(FIRST_BOXES, 2 + 4 * FIRST_CANDIDATES)
    chosen = (drawn[:, 0] * objects.counts).astype(np.int64)
    wanted = foreground & (objects.counts > 0)
    around = wanted | ((objects.counts > 0) & (drawn[:, 1] < 0.5))
    spread = np.where(wanted, FOREGROUND_SPREAD * drawn[:, 1], BACKGROUND_SPREAD)
    plan = _Plan(objects, ignored, sizes, chosen, wanted, around, spread)
    boxes, found, _ = plan.draw(drawn[:, 2:])
    missing = np.flatnonzero(~found)
    if len(missing):
        plan = plan.of_rows(missing)
        more, found_later, furthest = plan.draw(
            numbers.of_rows(missing)(MORE_BOXES, 4 * (CANDIDATES - FIRST_CANDIDATES))
        )
        own = plan.objects.boxes[np.arange(len(missing)), plan.chosen]
        own = within(own[:, None, :2], own[:, None, 2:], plan.sizes)[:, 0]
        instead = np.where(plan.objects.counts[:, None] > 0, own, furthest)
        boxes[missing] = np.where(found_later[:, None], more, instead)
        wanted[missing] |= ~found_later & (plan.objects.counts > 0)
    return _labelled(boxes, np.where(wanted, chosen, -1), objects)


class _Plan(NamedTuple):
    """What is to be drawn in each row: around which object or anywhere, with which spread, foreground or not."""

    objects: Objects
    ignored: Objects
    sizes: IntArray
    chosen: IntArray
    wanted: BoolArray
    around: BoolArray
    spread: NDArray[np.float64]

    def of_rows(self, rows: IntArray) -> _Plan:
        return _Plan(
            self.objects.of_rows(rows),
            self.ignored.of_rows(rows),
            self.sizes[rows],
            self.chosen[rows],
            self.wanted[rows],
            self.around[rows],
            self.spread[rows],
        )

    def draw(self, numbers: NDArray[np.float64]) -> tuple[FloatArray, BoolArray, FloatArray]:
        """The first candidate that fits [N, 4], whether one does [N], and the one that overlaps the least [N, 4]."""
        numbers = numbers.reshape(len(numbers), numbers.shape[1] // 4, 4)  # [N, K, 4]
        rows = np.arange(len(numbers))
        candidates = np.where(
            self.around[:, None, None],
            jitter_boxes(self.objects.boxes[rows, self.chosen], self.sizes, spread=self.spread, numbers=numbers),
            random_boxes(self.sizes, numbers=numbers),
        )
        overlaps = paired_iou(candidates[:, :, None], self.objects.boxes[:, None])  # [N, K, M]
        best = overlaps.max(axis=2)
        own = np.take_along_axis(overlaps, self.chosen[:, None, None], axis=2)[..., 0]
        stands_for_own = (own >= FOREGROUND_IOU) & (overlaps.argmax(axis=2) == self.chosen[:, None])
        any_object = np.maximum(best, paired_iou(candidates[:, :, None], self.ignored.boxes[:, None]).max(axis=2))
        fits = np.where(self.wanted[:, None], stands_for_own, any_object < FOREGROUND_IOU)
        first = fits.argmax(axis=1)
        return candidates[rows, first], fits[rows, first], candidates[rows, any_object.argmin(axis=1)]


def sample_proposals(
    objects: Objects, proposals: FloatArray, counts: IntArray, *, foreground: BoolArray, numbers: RowNumbers
) -> SampledBoxes:
    """Draw regions of n images from their proposals and their ground truth, by the rule of R-CNN (section 2.3).

    A proposal with an IoU of at least 0.5 with a ground truth stands for the one that it overlaps most; all others are
    background. The ground truth joins the proposals. Where there is none of the kind that is wanted, the other is
    taken.

    Args:
        objects: of the n images.
        proposals: [P, 4] of all images, one after the other.
        counts: [n] of them.
        foreground: [n, R], which of the regions of each image are to be foreground.
        numbers: for all n x R regions.

    Raises:
        ValueError: if there are neither proposals nor ground truths in an image.
    """
    totals = objects.counts + counts
    if not totals.all():
        raise ValueError("expected proposals or ground truth to draw regions from, got none")
    candidates = np.empty((totals.sum(), 4), np.float32)
    there = np.arange(objects.boxes.shape[1]) < objects.counts[:, None]
    own = objects.boxes[there]  # of all images, one after the other
    candidates[np.arange(len(own)) + np.repeat(np.cumsum(counts) - counts, objects.counts)] = own
    candidates[np.arange(len(proposals)) + np.repeat(np.cumsum(objects.counts), counts)] = proposals
    matched = _match(candidates, np.repeat(np.arange(len(totals)), totals), objects)

    images = np.repeat(np.arange(len(totals)), foreground.shape[1])
    before = np.cumsum(totals) - totals
    picked = np.empty(len(images), np.int64)
    share = numbers(CHOICES, 1)[:, 0]
    is_object = matched >= 0
    objects_before = np.concatenate([[0], np.cumsum(is_object)])  # among the candidates before each
    of_objects = objects_before[before + totals] - objects_before[before]  # [n]
    wanted = foreground.ravel()
    wanted = np.where(wanted, of_objects[images] > 0, of_objects[images] == totals[images])
    for kind in (True, False):
        rows = np.flatnonzero(wanted == kind)
        of_kind = np.flatnonzero(is_object == kind)  # candidates, ascending
        kind_before = objects_before if kind else np.arange(len(objects_before)) - objects_before
        first = kind_before[before[images[rows]]]
        count = kind_before[(before + totals)[images[rows]]] - first
        picked[rows] = of_kind[first + (share[rows] * count).astype(np.int64)]
    return _labelled(candidates[picked], matched[picked], objects.of_rows(images))


def _match(boxes: FloatArray, images: IntArray, objects: Objects) -> IntArray:
    """The object of its image that each box [P, 4] stands for [P], -1 for background."""
    best = np.zeros(len(boxes), np.float32)
    matched = np.full(len(boxes), -1)
    for index in range(objects.boxes.shape[1]):  # one after the other, or crowded images would take much memory
        overlaps = paired_iou(boxes, objects.boxes[images, index])
        better = overlaps > best
        matched[better] = index
        best[better] = overlaps[better]
    return np.where(best >= FOREGROUND_IOU, matched, -1)


def keep_apart(ignored: Objects, boxes: FloatArray, counts: IntArray) -> tuple[FloatArray, IntArray]:
    """Those of the boxes [P, 4] of n images that overlap every ignored object of theirs by an IoU of less than 0.5.

    Both boxes and their number in each image, before and after, `counts` [n].
    """
    if not ignored.counts.any():
        return boxes, counts
    images = np.repeat(np.arange(len(counts)), counts)
    kept = np.ones(len(boxes), np.bool_)
    for index in range(ignored.boxes.shape[1]):
        kept &= paired_iou(boxes, ignored.boxes[images, index]) < FOREGROUND_IOU
    return boxes[kept], np.bincount(images[kept], minlength=len(counts))


def apart_from(ignored: FloatArray, boxes: FloatArray) -> FloatArray:
    """`keep_apart` for one image: its boxes [N, 4] that are apart from its ignored objects [I, 4]."""
    objects = ObjectLists([ignored], [np.zeros(len(ignored), np.int64)])[np.array([0])]
    return keep_apart(objects, boxes, np.array([len(boxes)]))[0]


def sample_crop(
    size: tuple[int, int], *, area: tuple[float, float], aspect: tuple[float, float], generator: np.random.Generator
) -> FloatArray:
    """One of GoogLeNet's training crops (arXiv 1409.4842, section 6): a box [4] somewhere in an image of `size`.

    Its share of the image's area is uniform in `area` and its width over height log-uniform in `aspect` (the paper: 8%
    to 100%, 3/4 to 4/3). Where ten draws do not fit in, it is the largest central crop of an allowed aspect.
    """
    height, width = size
    for _ in range(10):
        pixels = generator.uniform(*area) * height * width
        ratio = np.exp(generator.uniform(*np.log(aspect)))
        sides = np.sqrt([pixels * ratio, pixels / ratio])
        if sides[0] <= width and sides[1] <= height:
            corner = generator.uniform(0, 1, 2) * ([width, height] - sides)
            return np.concatenate([corner, corner + sides]).astype(np.float32)
    ratio = min(max(width / height, aspect[0]), aspect[1])
    sides = np.array([min(width, height * ratio), min(height, width / ratio)])
    corner = ([width, height] - sides) / 2
    return np.concatenate([corner, corner + sides]).astype(np.float32)


def _labelled(regions: FloatArray, matched: IntArray, objects: Objects) -> SampledBoxes:
    """Regions with the ground truths of their rows that they stand for, by index or -1 for background."""
    rows, found = np.arange(len(regions)), matched >= 0
    index = np.maximum(matched, 0)
    targets = np.where(found[:, None], objects.boxes[rows, index], regions)
    return SampledBoxes(regions, np.where(found, objects.labels[rows, index] + 1, BACKGROUND), targets)
