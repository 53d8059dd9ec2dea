"""Regions to train on, drawn around the ground truth.

R-CNN (arXiv 1311.2524, section 2.3) takes its regions from the proposals: foreground with an IoU of at least 0.5 with
a ground truth, background below. Where there are no cached proposals, boxes drawn at random around the ground
truth stand in for them.
"""

from __future__ import annotations

import numpy as np

from detection.arrays import FloatArray, IntArray
from detection.boxes import box_iou, clip_boxes

FOREGROUND_IOU = 0.5
BACKGROUND = 0
CANDIDATES = 48
"""Boxes drawn to pick one from; a tighter foreground rule needs more."""


def sample_regions(
    boxes: FloatArray,
    labels: IntArray,
    size: tuple[int, int],
    *,
    count: int,
    foreground_fraction: float,
    generator: np.random.Generator,
) -> tuple[FloatArray, IntArray]:
    """Draw `count` regions of one image and label them by the rule of R-CNN.

    Each is foreground with probability `foreground_fraction`: a jittered ground truth whose IoU is at least 0.5. The
    rest is background: half of them near misses around a ground truth, half anywhere in the image, all
    below 0.5 with every ground truth. Where no such box comes up, the region is a ground truth itself, cut at
    the image's borders and at least a pixel wide (or, in an image without objects, always background).

    Args:
        boxes: [M, 4] ground truth, xyxy in pixels.
        labels: [M], 0-based foreground classes.
        size: (height, width) of the image.
        count: number of regions R.
        foreground_fraction: 0-1.
        generator: source of all randomness.

    Returns:
        regions [R, 4] xyxy within the image, and their labels [R]: 0 is background, class c is c + 1.
    """
    regions = np.empty((count, 4), np.float32)
    targets = np.empty(count, np.int64)
    for index in range(count):
        if len(boxes) and generator.random() < foreground_fraction:
            chosen = int(generator.integers(len(boxes)))
            regions[index] = _foreground(boxes, chosen, size, generator)
            targets[index] = labels[chosen] + 1
        else:
            regions[index], label = _background(boxes, labels, size, generator)
            targets[index] = label
    return regions, targets


def _foreground(boxes: FloatArray, chosen: int, size: tuple[int, int], generator: np.random.Generator) -> FloatArray:
    """A jittered box whose best ground truth is `boxes[chosen]`, at IoU >= 0.5."""
    spread = generator.uniform(0, 0.3)  # from tight boxes to the edge of what counts as foreground
    candidates = jitter_boxes(boxes[chosen], size, spread=spread, count=CANDIDATES, generator=generator)
    iou = box_iou(candidates, boxes)  # [candidates, M]
    fitting = np.flatnonzero((iou[:, chosen] >= FOREGROUND_IOU) & (iou.argmax(axis=1) == chosen))
    result: FloatArray = candidates[fitting[0]] if fitting.size else _valid(boxes[chosen : chosen + 1], size)[0]
    return result


def _background(
    boxes: FloatArray, labels: IntArray, size: tuple[int, int], generator: np.random.Generator
) -> tuple[FloatArray, int]:
    """A box below the foreground overlap with all ground truths, and its label."""
    if len(boxes) and generator.random() < 0.5:
        around = boxes[int(generator.integers(len(boxes)))]
        candidates = jitter_boxes(around, size, spread=0.7, count=CANDIDATES, generator=generator)
    else:
        candidates = random_boxes(size, count=CANDIDATES, generator=generator)
    if not len(boxes):
        return candidates[0], BACKGROUND
    fitting = np.flatnonzero(box_iou(candidates, boxes).max(axis=1) < FOREGROUND_IOU)
    if fitting.size:
        return candidates[fitting[0]], BACKGROUND
    chosen = int(generator.integers(len(boxes)))
    return _valid(boxes[chosen : chosen + 1], size)[0], int(labels[chosen]) + 1


def jitter_boxes(
    box: FloatArray, size: tuple[int, int], *, spread: float, count: int, generator: np.random.Generator
) -> FloatArray:
    """Boxes [count, 4] like `box` [4], each border moved by N(0, spread) of the box's side, cut at the image's borders.

    Degenerate results are widened to one pixel.
    """
    sides = np.maximum(box[2:] - box[:2], 1)
    moved = box + generator.normal(0, spread, (count, 4)).astype(np.float32) * np.tile(sides, 2)
    return _valid(
        np.concatenate([np.minimum(moved[:, :2], moved[:, 2:]), np.maximum(moved[:, :2], moved[:, 2:])], 1), size
    )


def random_boxes(size: tuple[int, int], *, count: int, generator: np.random.Generator) -> FloatArray:
    """Boxes [count, 4] anywhere in an image: each side log-uniform between an eighth and all of the image's."""
    height, width = size
    extent = np.array([width, height], np.float32)
    sides = extent * np.exp2(generator.uniform(-3, 0, (count, 2)))
    corner = generator.uniform(0, 1, (count, 2)) * (extent - sides)
    return _valid(np.concatenate([corner, corner + sides], axis=1).astype(np.float32), size)


def _valid(boxes: FloatArray, size: tuple[int, int]) -> FloatArray:
    """Boxes within the image and at least a pixel wide and high."""
    extent = np.array([size[1], size[0]], np.float32)
    low = np.clip(boxes[:, :2], 0, extent - 1)
    high = np.maximum(boxes[:, 2:], low + 1)
    return clip_boxes(np.concatenate([low, high], axis=1), size)
