"""Scoring of detections by any of the rules: `score` for a whole split as columns, `evaluate` for single images."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial

from detection.evaluation.coco_rule import score_by_coco
from detection.evaluation.metrics import DetectionMetrics, score_by_matching
from detection.evaluation.rules import ILSVRC, VOC, VOC2007, MatchingRule
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import (
    SplitDetections,
    SplitObjects,
    drop_blacklisted,
    split_detections,
    split_index,
    split_objects,
)

RULES: Mapping[str, Callable[[SplitObjects, SplitDetections], DetectionMetrics]] = {
    **{rule.name: partial(score_by_matching, rule=rule) for rule in (ILSVRC, VOC2007, VOC)},
    "coco": score_by_coco,
}


def score(
    objects: SplitObjects,
    detections: SplitDetections,
    rule: str | MatchingRule,
    *,
    blacklist: Mapping[str, Collection[int]] | None = None,
) -> DetectionMetrics:
    """Score the detections of a split.

    Args:
        objects: the ground truth.
        detections: the detections.
        rule: the name of one of `RULES`, or a rule of your own.
        blacklist: for an image id, the labels that are not scored in this image, neither as objects nor as detections.

    Raises:
        ValueError: if there is no such rule, or objects and detections are for different images or classes.
    """
    if not objects.index.same_as(detections.index):
        raise ValueError("expected detections of the images and classes of the ground truth, got those of others")
    if isinstance(rule, str) and rule not in RULES:
        raise ValueError(f"expected a rule of {', '.join(RULES)}, got '{rule}'")
    scored = drop_blacklisted(objects, detections, blacklist or {})
    return RULES[rule](*scored) if isinstance(rule, str) else score_by_matching(*scored, rule)


def evaluate(
    ground_truths: Sequence[GroundTruth],
    detections: Mapping[str, Detections],
    class_names: Sequence[str],
    *,
    rule: str | MatchingRule = "ilsvrc",
    blacklist: Mapping[str, Collection[int]] | None = None,
) -> DetectionMetrics:
    """Score the detections of a data set.

    Args:
        ground_truths: the objects of each image.
        detections: the detections of each image by its id; an image without an entry has no detections.
        class_names: the names of the classes.
        rule: see `score`.
        blacklist: see `score`.

    Raises:
        ValueError: naming the image, if it is listed twice, has a label outside `class_names`, or if its detections
            have other class names or it is not in the ground truth.
    """
    names = tuple(class_names)
    index = split_index([truth.image_id for truth in ground_truths], names)
    for truth in ground_truths:
        if len(truth) and truth.labels.max() >= len(names):
            raise ValueError(
                f"ground truth of image {truth.image_id}: labels must be below {len(names)}, the number of classes, "
                f"got {truth.labels.max()}"
            )
    known = set(index.image_ids)
    for image_id, image_detections in detections.items():
        if image_id not in known:
            raise ValueError(f"detections of image {image_id}, which is not in the ground truth")
        if image_detections.class_names != names:
            raise ValueError(
                f"detections of image {image_id}: expected the {len(names)} class names of the evaluation, in their "
                f"order, got {len(image_detections.class_names)} others"
            )
    return score(split_objects(index, ground_truths), split_detections(index, detections), rule, blacklist=blacklist)
