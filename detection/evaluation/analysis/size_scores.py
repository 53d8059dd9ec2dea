"""Average precision of small, medium and large objects."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, image_classes, match
from detection.evaluation.metrics import DetectionMetrics, metrics_of
from detection.structures.object_sizes import size_classes


class SizeScore(NamedTuple):
    """The mean average precision of objects of one size, nan if there are none, and how many count."""

    mean_average_precision: float
    object_count: int


def score_by_size(metrics: DetectionMetrics) -> dict[str, SizeScore]:
    """The score of each size by the rule in force, as COCO does it: `COCOeval.evaluateImg` of pycocotools.

    Objects of other sizes are ignored, but one detection is ignored for each of them and no more; and so are
    detections of other sizes that take nothing. Objects go by `SplitObjects.areas`, detections by their box. By COCO's
    rule the figures are pycocotools' own, in which an object of exactly 32x32 or 96x96 px counts twice.
    """
    objects, detections, rule = metrics.objects, metrics.detections, metrics.matches.rule
    detection_sizes = size_classes(detections.boxes_xywh[:, 2] * detections.boxes_xywh[:, 3])
    possible = np.flatnonzero(np.isin(image_classes(detections), image_classes(objects)))
    scores = {}
    for name, of_size in size_classes(objects.areas).items():
        count = int(np.count_nonzero(of_size & ~objects.ignored))
        if metrics.rule == "coco":
            scores[name] = SizeScore(metrics.details[f"AP_{name}"], count)
            continue
        only = replace(objects, ignored=objects.ignored | ~of_size)
        outcomes = np.full(len(detections), FALSE_POSITIVE, np.int8)
        outcomes[possible] = match(only, detections[possible], rule, unlimited=objects.ignored).outcomes
        outcomes[(outcomes == FALSE_POSITIVE) & ~detection_sizes[name]] = IGNORED
        matches = metrics.matches._replace(outcomes=outcomes)
        scores[name] = SizeScore(metrics_of(only, detections, matches).mean_average_precision, count)
    return scores
