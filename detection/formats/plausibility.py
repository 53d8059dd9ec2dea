"""Warnings about ground truth and detections that are valid, but probably contain a mistake."""

import numpy as np

from detection.datasets.files.annotated_objects import MAX_OVERHANG
from detection.structures.split_columns import SplitBoxes, SplitDetections, SplitObjects

NAMED = 5
"""The largest number of classes that a warning names."""


def implausibilities(objects: SplitObjects, detections: SplitDetections) -> list[str]:
    """Return one line for each reason to doubt a score.

    Most boxes extend beyond their image, or all boxes lie within its first pixel: this happens if corners are taken for
    sides, x for y, or shares of the image for pixels. Or classes have no objects, or there are no detections.
    """
    warnings = _misplaced("annotated boxes", objects) + _misplaced("detections", detections)
    object_counts = np.bincount(objects.labels[~objects.ignored], minlength=len(objects.index.class_names))
    without = [name for name, count in zip(objects.index.class_names, object_counts, strict=True) if not count]
    if without:
        names = ", ".join(without[:NAMED]) + (", ..." if len(without) > NAMED else "")
        warnings.append(f"classes without objects are left out of the mean, {len(without)} of them: {names}")
    if not len(detections):
        warnings.append("there are no detections at all")
    return warnings


def _misplaced(kind: str, split: SplitBoxes) -> list[str]:
    if not len(split):
        return []
    boxes = split.boxes
    if boxes.max() <= 1:
        return [
            f"all {kind} lie within the first pixel: expected pixels, got numbers that look like shares of the image"
        ]
    sizes = split.index.sizes[split.images]
    known = sizes[:, 0] > 0
    ends = sizes[:, [1, 0]] + MAX_OVERHANG
    overhanging = known & ((boxes[:, :2] < -MAX_OVERHANG) | (boxes[:, 2:] > ends)).any(axis=1)
    if 2 * overhanging.sum() <= known.sum():
        return []
    return [
        f"{overhanging.sum()} of {known.sum()} {kind} extend beyond their image: check the order of the four "
        "numbers, and whether the format counts pixels from 0 or 1"
    ]
