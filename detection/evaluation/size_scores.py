"""Average precision of small, medium and large objects."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, match
from detection.evaluation.metrics import DetectionMetrics, metrics_of
from detection.object_sizes import size_classes


class SizeScore(NamedTuple):
    """The mean average precision of objects of one size, nan if there are none, and how many count."""

    mean_average_precision: float
    object_count: int


def score_by_size(metrics: DetectionMetrics) -> dict[str, SizeScore]:
    """The score of each size by the rule in force, as COCO does it: `COCOeval.evaluateImg` of pycocotools.

    Objects of other sizes are ignored, and so are detections of other sizes that take nothing. Objects go by
    `ObjectTable.areas`, detections by their box. By COCO's rule the figures are pycocotools' own, in which an object of
    exactly 32x32 or 96x96 px counts twice.
    """
    objects, detections = metrics.objects, metrics.detections
    detection_sizes = size_classes(detections.boxes_xywh[:, 2] * detections.boxes_xywh[:, 3])
    scores = {}
    for name, of_size in size_classes(objects.areas).items():
        count = int(np.count_nonzero(of_size & ~objects.ignored))
        if metrics.rule == "coco":
            scores[name] = SizeScore(metrics.details[f"AP_{name}"], count)
            continue
        only = replace(objects, ignored=objects.ignored | ~of_size)
        matches = match(only, detections, metrics.matches.rule)
        stray = (matches.outcomes == FALSE_POSITIVE) & ~detection_sizes[name]
        matches = matches._replace(outcomes=np.where(stray, IGNORED, matches.outcomes).astype(np.int8))
        scores[name] = SizeScore(metrics_of(only, detections, matches).mean_average_precision, count)
    return scores
