"""Scores of handmade and random detections, for tests of `detection.evaluation.analysis.error_types`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from detection.evaluation import score
from detection.evaluation.analysis.error_types import Errors, find_errors
from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.rules import MatchingRule
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

NAMES = ("cat", "dog", "owl")
CAT, DOG, OWL = range(3)
Box = tuple[float, float, float, float]


class Annotated(NamedTuple):
    label: int
    box: Box
    ignored: bool = False
    image: int = 0


class Found(NamedTuple):
    label: int
    score: float
    box: Box
    image: int = 0


def square(x: float, side: float = 40, height: float | None = None) -> Box:
    """Return a box x, y, width, height."""
    return (x, 0, side, side if height is None else height)


def scored(objects: Sequence[Annotated], found: Sequence[Found], rule: str | MatchingRule = "voc") -> DetectionMetrics:
    index = split_index(["a", "b", "c"], NAMES)
    boxes = np.array([item.box for item in objects], np.float64).reshape(-1, 4)
    ignored = np.array([item.ignored for item in objects], np.bool_)
    images, labels = (np.array([item[at] for item in objects], np.int64) for at in (3, 0))
    truth = SplitObjects(index, images, labels, boxes, ignored, ignored, boxes[:, 2] * boxes[:, 3])
    table = SplitDetections(
        index,
        np.array([item.image for item in found], np.int64),
        np.array([item.label for item in found], np.int64),
        np.array([item.box for item in found], np.float64).reshape(-1, 4),
        np.array([item.score for item in found], np.float64),
    )
    return score(truth, table, rule)


def errors_of(metrics: DetectionMetrics) -> Errors:
    return find_errors(metrics.objects, metrics.detections, metrics.matches)


def random_metrics(seed: int, rule: str | MatchingRule, *, ignored: float = 0.1) -> DetectionMetrics:
    """Objects of all sizes close to each other in three images, boxes near them and elsewhere, and equal scores."""
    generator = np.random.default_rng(seed)
    objects, found = [], []
    for image in range(3):
        for _ in range(14):
            x, y, width, height = generator.integers(5, 60, 4).tolist()
            label = int(generator.integers(2))
            objects.append(Annotated(label, (x, y, width, height), bool(generator.random() < ignored), image))
            for _ in range(4):
                off = generator.normal(0, 0.25, 4) * (width, height, width, height)
                box = (x + off[0], y + off[1], max(width + off[2], 0), max(height + off[3], 0))
                guess = label if generator.random() < 0.6 else int(generator.integers(3))
                found.append(Found(guess, round(float(generator.random()), 2), box, image))
        found += [Found(int(generator.integers(3)), 0.5, (300 + 9 * far, 0, 9, 9), image) for far in range(3)]
    shuffled = [found[row] for row in generator.permutation(len(found))]
    return scored(objects, shuffled, rule)
