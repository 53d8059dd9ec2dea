"""COCO's rule, computed by pycocotools.

It averages over 10 IoU thresholds from 0.5 to 0.95 and 101 recall levels, takes crowds into account, and scores at most
100 detections in an image.
"""

import contextlib
import io
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.evaluation.matching import FALSE_POSITIVE, IGNORED, TRUE_POSITIVE, Matches, rank
from detection.evaluation.metrics import DetectionMetrics, Ranking
from detection.evaluation.rules import COCO_AT_HALF
from detection.structures.split_columns import SplitBoxes, SplitDetections, SplitIndex, SplitObjects, to_records

STATISTICS = (
    *("AP", "AP50", "AP75", "AP_small", "AP_medium", "AP_large"),
    *("AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"),
)
"""The names of the figures that `COCOeval.summarize` returns, in their order."""

ALL_SIZES, MOST_DETECTIONS = 0, -1
"""Positions in the results of pycocotools of the figures for objects of any size, and for 100 detections."""


def score_by_pycocotools(objects: SplitObjects, detections: SplitDetections) -> DetectionMetrics:
    """Score detections by pycocotools.

    `details` has the figures of its summary, with nan in place of -1. Ignored objects of other data sets than COCO are
    treated as crowds.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # it prints messages
        evaluation = _evaluate(objects, detections)
    classes = range(len(objects.index.class_names))
    rankings = [_rankings(evaluation, label, objects.index) for label in classes]
    precision = evaluation.eval["precision"][:, :, :, ALL_SIZES, MOST_DETECTIONS]  # [T, R, C]
    recall = evaluation.eval["recall"][:, :, ALL_SIZES, MOST_DETECTIONS]  # [T, C]
    return DetectionMetrics(
        rule="coco",
        average_precision=_nan_where_absent(precision).mean(axis=(0, 1)),
        recall=_nan_where_absent(recall).mean(axis=0),
        ground_truth_counts=np.array([len(overlaps[0].object_images) for overlaps in rankings], np.int64),
        rankings=rankings,
        recall_levels=evaluation.params.recThrs,
        objects=replace(objects, ignored=objects.crowd),
        detections=detections,
        matches=_matches_at_half(evaluation, objects.index, detections),
        details=dict(zip(STATISTICS, _nan_where_absent(evaluation.stats).tolist(), strict=True)),
    )


def to_pycocotools(objects: SplitObjects, detections: SplitDetections) -> tuple[Any, Any]:
    """Return the two `pycocotools.coco.COCO` that `COCOeval` takes: the ground truth and the detections."""
    # The columns of detections are those that `COCO.loadRes` adds; it fails if there are no detections.
    areas = detections.boxes_xywh[:, 2] * detections.boxes_xywh[:, 3]
    no_crowd = np.zeros(len(detections), np.int64)
    return (
        _to_coco(objects, area=objects.areas, iscrowd=objects.crowd.astype(np.int64)),
        _to_coco(detections, area=areas, iscrowd=no_crowd, score=detections.scores),
    )


def _to_coco(boxes: SplitBoxes, **more_columns: NDArray[Any]) -> Any:
    """Return a `pycocotools.coco.COCO` of boxes. Its annotations are numbered from 1: it takes number 0 for missing."""
    from pycocotools.coco import COCO  # noqa: PLC0415  only this rule needs it

    index = boxes.index
    columns = {
        "id": np.arange(1, len(boxes) + 1),
        "image_id": index.coco_image_ids[boxes.images],
        "category_id": boxes.labels,
        "bbox": boxes.boxes_xywh,
    } | more_columns
    coco = COCO()
    coco.dataset = {
        "images": [{"id": number} for number in index.coco_image_ids.tolist()],
        "categories": [{"id": label} for label in range(len(index.class_names))],
        "annotations": to_records(columns),
    }
    coco.createIndex()
    return coco


def _evaluate(objects: SplitObjects, detections: SplitDetections) -> Any:
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    evaluation = COCOeval(*to_pycocotools(objects, detections), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


def _rankings(evaluation: Any, label: int, index: SplitIndex) -> list[Ranking]:
    """Return the ranking of a class at each IoU threshold, joined from the images as `COCOeval.accumulate` does."""
    parameters = evaluation.params
    first = (label * len(parameters.areaRng) + ALL_SIZES) * len(parameters.imgIds)
    images = [image for image in evaluation.evalImgs[first : first + len(parameters.imgIds)] if image is not None]
    overlaps = len(parameters.iouThrs)
    scores = np.concatenate([np.zeros(0), *(image["dtScores"] for image in images)])
    matched = np.concatenate([np.zeros((overlaps, 0)), *(image["dtMatches"] for image in images)], axis=1) > 0
    ignored = np.concatenate([np.zeros((overlaps, 0), np.bool_), *(image["dtIgnore"] for image in images)], axis=1)
    counted_objects = [np.count_nonzero(image["gtIgnore"] == 0) for image in images]
    order = np.argsort(-scores, kind="mergesort")
    rows = {number: row for row, number in enumerate(index.coco_image_ids.tolist())}
    image_rows = np.array([rows[image["image_id"]] for image in images], np.int64)
    detection_images = np.repeat(image_rows, [len(image["dtScores"]) for image in images])
    object_images = np.repeat(image_rows, counted_objects)
    return [
        Ranking(scores[kept], matched[overlap, kept], detection_images[kept], object_images)
        for overlap in range(overlaps)
        for kept in [order[~ignored[overlap, order].astype(np.bool_)]]
    ]


def _matches_at_half(evaluation: Any, index: SplitIndex, detections: SplitDetections) -> Matches:
    """Return the matches at an IoU of 0.5; detections that pycocotools leaves out are ignored.

    pycocotools ranks equal scores by the number of the image. Row r here has the number r + 1 there.
    """
    by_number = replace(detections, images=np.argsort(np.argsort(index.coco_image_ids))[detections.images])
    outcomes = np.full(len(detections), IGNORED, np.int8)
    taken = np.full(len(detections), -1)
    sizes, images = len(evaluation.params.areaRng), len(evaluation.params.imgIds)
    for first in range(ALL_SIZES * images, len(evaluation.evalImgs), sizes * images):
        for image in filter(None, evaluation.evalImgs[first : first + images]):
            rows, matched = np.array(image["dtIds"], np.int64) - 1, image["dtMatches"][0].astype(np.int64)
            hit = np.where(matched > 0, TRUE_POSITIVE, FALSE_POSITIVE)
            outcomes[rows] = np.where(image["dtIgnore"][0], IGNORED, hit)
            taken[rows] = matched - 1
    return Matches(COCO_AT_HALF, rank(by_number, by_image=True), outcomes, taken)


def _nan_where_absent(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return figures with nan in place of -1, which pycocotools uses for figures that cannot be measured."""
    return np.where(values == -1, np.nan, values)
