"""Regions to train on, drawn around the ground truth.

R-CNN (arXiv 1311.2524, section 2.3) takes its regions from the proposals: foreground with an IoU of at least 0.5 with
a ground truth, background below. Where there are no cached proposals, boxes drawn at random around the ground
truth stand in for them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from detection.arrays import BoolArray, FloatArray, IntArray
from detection.boxes import as_boxes, box_iou

FOREGROUND_IOU = 0.5
BACKGROUND = 0
CANDIDATES = 48
"""Boxes drawn to pick one from; a tighter foreground rule needs more."""

FIRST_CANDIDATES = 4
"""So many of them are drawn first, since one of these nearly always fits."""

NO_BOXES = as_boxes([])


class SampledBoxes(NamedTuple):
    """R regions of an image, to train on.

    `boxes` [R, 4] xyxy; `labels` [R], 0 for background and c + 1 for class c; `targets` [R, 4], the ground truth that a
    foreground region stands for, or a background region itself.
    """

    boxes: FloatArray
    labels: IntArray
    targets: FloatArray


def foreground_quota(first: int, count: int, fraction: float) -> BoolArray:
    """Which of the regions `first` to `first + count - 1` of an endless row are to be foreground [count].

    They are spread so evenly that any n in a row hold `fraction` * n of them, rounded up or down: so does each batch.
    """
    steps = np.floor(np.arange(first, first + count + 1) * fraction)
    quota: BoolArray = steps[1:] > steps[:-1]
    return quota


def sample_jittered(
    boxes: FloatArray,
    labels: IntArray,
    size: tuple[int, int],
    *,
    ignored: FloatArray = NO_BOXES,
    foreground: BoolArray,
    generator: np.random.Generator,
) -> SampledBoxes:
    """Draw regions of one image around its ground truth and label them by the rule of R-CNN.

    Foreground is a jittered ground truth whose IoU is at least 0.5. Background is half of the time a near miss around a
    ground truth, else anywhere in the image, always below 0.5 with every ground truth and every ignored object. Where
    no such box comes up, the region is a ground truth itself, cut at the image's borders and at least a pixel wide (or,
    in an image without objects, always background, apart from ignored ones as far as it goes).

    Args:
        boxes: [M, 4] ground truth, xyxy in pixels.
        labels: [M], 0-based foreground classes.
        size: (height, width) of the image.
        ignored: [I, 4] boxes of objects that are neither foreground nor background, xyxy in pixels.
        foreground: [R], which of the regions are to be foreground.
        generator: source of all randomness.
    """
    regions = np.empty((len(foreground), 4), np.float32)
    matched = np.full(len(foreground), -1)
    for index, wanted in enumerate(foreground):
        if len(boxes) and wanted:
            matched[index] = generator.integers(len(boxes))
            regions[index] = _foreground(boxes, int(matched[index]), size, generator)
        else:
            regions[index], matched[index] = _background(boxes, ignored, size, generator)
    return _labelled(regions, matched, boxes, labels)


def sample_proposals(
    boxes: FloatArray,
    labels: IntArray,
    proposals: FloatArray,
    *,
    foreground: BoolArray,
    generator: np.random.Generator,
) -> SampledBoxes:
    """Draw regions of one image from its proposals and its ground truth, by the rule of R-CNN (section 2.3).

    A proposal with an IoU of at least 0.5 with a ground truth stands for the one that it overlaps most; all others are
    background. The ground truth joins the proposals. Where there is none of the kind that is wanted, the other is
    taken.

    Args:
        boxes: [M, 4] ground truth, xyxy in pixels.
        labels: [M], 0-based foreground classes.
        proposals: [N, 4].
        foreground: [R], which of the regions are to be foreground.
        generator: source of all randomness.

    Raises:
        ValueError: if there are neither proposals nor ground truths.
    """
    candidates = np.concatenate([boxes, proposals])
    if not len(candidates):
        raise ValueError("expected proposals or ground truth to draw regions from, got none")
    iou = box_iou(candidates, boxes) if len(boxes) else np.zeros((len(candidates), 1), np.float32)
    matched = np.where(iou.max(axis=1) >= FOREGROUND_IOU, iou.argmax(axis=1), -1)
    kinds = {True: np.flatnonzero(matched >= 0), False: np.flatnonzero(matched < 0)}
    pools = [kinds[bool(wanted)] if kinds[bool(wanted)].size else kinds[not wanted] for wanted in foreground]
    chosen = np.array([generator.choice(pool) for pool in pools], np.int64)
    return _labelled(candidates[chosen], matched[chosen], boxes, labels)


def apart_from(ignored: FloatArray, boxes: FloatArray) -> FloatArray:
    """Those of the boxes [N, 4] that overlap every ignored object [I, 4] by an IoU of less than 0.5, in their order."""
    return boxes[_largest_iou(boxes, ignored) < FOREGROUND_IOU]


def _largest_iou(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """The largest IoU of each box [N, 4] with any of the others [M, 4], 0 where there are none: [N]."""
    largest: FloatArray = box_iou(boxes, others).max(axis=1, initial=0)
    return largest


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


def _labelled(regions: FloatArray, matched: IntArray, boxes: FloatArray, labels: IntArray) -> SampledBoxes:
    """Regions with the ground truths that they stand for, by index or -1 for background."""
    targets, numbers = regions.copy(), np.full(len(regions), BACKGROUND, np.int64)
    found = matched >= 0
    targets[found], numbers[found] = boxes[matched[found]], labels[matched[found]] + 1
    return SampledBoxes(regions, numbers, targets)


def _foreground(boxes: FloatArray, chosen: int, size: tuple[int, int], generator: np.random.Generator) -> FloatArray:
    """A jittered box whose best ground truth is `boxes[chosen]`, at IoU >= 0.5."""
    spread = generator.uniform(0, 0.3)  # from tight boxes to the edge of what counts as foreground

    def fits(candidates: FloatArray) -> BoolArray:
        iou = box_iou(candidates, boxes)  # [candidates, M]
        near: BoolArray = iou[:, chosen] >= FOREGROUND_IOU
        return near & (iou.argmax(axis=1) == chosen) if len(boxes) > 1 else near

    found = _first_fitting(
        lambda count: jitter_boxes(boxes[chosen], size, spread=spread, count=count, generator=generator), fits
    )
    return _as_region(boxes[chosen], size) if found is None else found


def _background(
    boxes: FloatArray, ignored: FloatArray, size: tuple[int, int], generator: np.random.Generator
) -> tuple[FloatArray, int]:
    """A box below the foreground overlap with all objects and -1, or a ground truth and its index."""
    around = None
    if len(boxes) and generator.random() < 0.5:
        around = boxes[int(generator.integers(len(boxes)))]

    def draw(count: int) -> FloatArray:
        if around is None:
            return random_boxes(size, count=count, generator=generator)
        return jitter_boxes(around, size, spread=0.7, count=count, generator=generator)

    objects = np.concatenate([boxes, ignored]) if len(ignored) else boxes
    found = _first_fitting(draw, lambda candidates: _largest_iou(candidates, objects) < FOREGROUND_IOU)
    if found is not None:
        return found, -1
    if not len(boxes):
        candidates = draw(CANDIDATES)
        return candidates[_largest_iou(candidates, objects).argmin()], -1
    chosen = int(generator.integers(len(boxes)))
    return _as_region(boxes[chosen], size), chosen


def _first_fitting(draw: Callable[[int], FloatArray], fits: Callable[[FloatArray], BoolArray]) -> FloatArray | None:
    """The first of `CANDIDATES` boxes that fits, None if none does.

    Args:
        draw: gives so many boxes [N, 4].
        fits: tells which of them do [N].
    """
    for count in (FIRST_CANDIDATES, CANDIDATES - FIRST_CANDIDATES):
        candidates = draw(count)
        fitting = fits(candidates)
        first = int(fitting.argmax())
        if fitting[first]:
            found: FloatArray = candidates[first]
            return found
    return None


def jitter_boxes(
    box: FloatArray, size: tuple[int, int], *, spread: float, count: int, generator: np.random.Generator
) -> FloatArray:
    """Boxes [count, 4] like `box` [4], each border moved by N(0, spread) of the box's side, cut at the image's borders.

    Degenerate results are widened to one pixel.
    """
    corners = box.reshape(2, 2)
    sides = np.maximum(corners[1] - corners[0], 1)
    moved = corners + sides * generator.normal(0, spread, (count, 2, 2))  # [count, (low, high), (x, y)]
    return _within(moved.min(axis=1), moved.max(axis=1), size)


def random_boxes(size: tuple[int, int], *, count: int, generator: np.random.Generator) -> FloatArray:
    """Boxes [count, 4] anywhere in an image: each side log-uniform between an eighth and all of the image's."""
    extent = np.array(size[::-1])
    sides = extent * np.exp2(generator.uniform(-3, 0, (count, 2)))
    low = generator.random((count, 2)) * (extent - sides)
    return _within(low, low + sides, size)


def _as_region(box: FloatArray, size: tuple[int, int]) -> FloatArray:
    """A box [4] cut at the image's borders and at least a pixel wide and high."""
    region: FloatArray = _within(box[None, :2], box[None, 2:], size)[0]
    return region


def _within(low: NDArray[np.floating], high: NDArray[np.floating], size: tuple[int, int]) -> FloatArray:
    """Boxes [N, 4] from their corners [N, (x, y)], cut at the image's borders and at least a pixel wide and high."""
    extent = np.array(size[::-1])
    low = np.minimum(np.maximum(low, 0), extent - 1)
    high = np.minimum(np.maximum(high, low + 1), extent)
    return np.concatenate([low, high], axis=1, dtype=np.float32)
