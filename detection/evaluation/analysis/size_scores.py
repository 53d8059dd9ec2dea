"""Average precision of small, medium and large objects."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, image_classes, match
from detection.evaluation.metrics import DetectionMetrics, metrics_of
from detection.structures.object_sizes import size_classes


class SizeScore(NamedTuple):
    """The mean average precision of objects of one size, nan if there are none, and their number."""

    mean_average_precision: float
    object_count: int


def score_by_size(metrics: DetectionMetrics) -> dict[str, SizeScore]:
    """Return the score for objects of each size, as COCO computes it (`COCOeval.evaluateImg` of pycocotools).

    Objects of other sizes are ignored, but each can only be taken by one detection, which is then ignored too.
    Detections of other sizes that take no object are also ignored. The size of an object is that of
    `SplitObjects.areas`, the size of a detection that of its box. With COCO's rule, the figures are those of
    pycocotools, in which an object of exactly 32x32 or 96x96 pixels counts for two sizes.
    """
    objects, detections, rule = metrics.objects, metrics.detections, metrics.matches.rule
    detection_sizes = size_classes(detections.boxes_xywh[:, 2] * detections.boxes_xywh[:, 3])
    possible = np.flatnonzero(np.isin(image_classes(detections), image_classes(objects)))
    scores = {}
    for name, has_size in size_classes(objects.areas).items():
        count = int(np.count_nonzero(has_size & ~objects.ignored))
        if metrics.rule == "coco":
            scores[name] = SizeScore(metrics.details[f"AP_{name}"], count)
            continue
        objects_of_size = replace(objects, ignored=objects.ignored | ~has_size)
        outcomes = np.full(len(detections), FALSE_POSITIVE, np.int8)
        outcomes[possible] = match(objects_of_size, detections[possible], rule, unlimited=objects.ignored).outcomes
        outcomes[(outcomes == FALSE_POSITIVE) & ~detection_sizes[name]] = IGNORED
        matches = metrics.matches._replace(outcomes=outcomes)
        scores[name] = SizeScore(metrics_of(objects_of_size, detections, matches).mean_average_precision, count)
    return scores
