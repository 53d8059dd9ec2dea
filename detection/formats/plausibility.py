"""What is allowed in ground truth and detections, but more likely a mistake."""

from __future__ import annotations

import numpy as np

from detection.datasets.files.annotated_objects import MAX_OVERHANG
from detection.structures.split_columns import SplitBoxes, SplitDetections, SplitObjects

NAMED = 5
"""So many classes are named in a warning."""


def implausibilities(objects: SplitObjects, detections: SplitDetections) -> list[str]:
    """A line for each thing that makes a score doubtful.

    Most boxes leave their image, or all lie within its first pixel, as when corners are taken for sides, x for y or
    shares for pixels; classes have no objects; nothing was detected.
    """
    found = []
    for what, table in (("annotated boxes", objects), ("detections", detections)):
        found += _misplaced(what, table)
    counted = np.bincount(objects.labels[~objects.ignored], minlength=len(objects.index.class_names))
    without = [name for name, count in zip(objects.index.class_names, counted, strict=True) if not count]
    if without:
        names = ", ".join(without[:NAMED]) + (", ..." if len(without) > NAMED else "")
        found.append(f"classes without objects are left out of the mean, {len(without)} of them: {names}")
    if not len(detections):
        found.append("there are no detections at all")
    return found


def _misplaced(what: str, table: SplitBoxes) -> list[str]:
    if not len(table):
        return []
    boxes = table.boxes
    if boxes.max() <= 1:
        return [f"all {what} lie within the first pixel: expected pixels, as it seems they are shares of the image"]
    sizes = table.index.sizes[table.images]
    known = sizes[:, 0] > 0
    ends = sizes[:, [1, 0]] + MAX_OVERHANG
    leaving = known & ((boxes[:, :2] < -MAX_OVERHANG) | (boxes[:, 2:] > ends)).any(axis=1)
    if 2 * leaving.sum() <= known.sum():
        return []
    return [
        f"{leaving.sum()} of {known.sum()} {what} leave their image: are the four numbers in the order, and counted "
        "from where, the format has them?"
    ]
