from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detection.formats.plausibility import implausibilities
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index

NAMES = ("cat", "dog")
WITHIN: list[list[float]] = [
    [10.0, 20, 30, 40],
    [0, 0, 200, 100],
    [150, 60, 50, 41],
    [5, 5, 6, 6],
]  # the third by a pixel, as allowed


def split(
    found: list[list[float]], sizes: list[tuple[int, int] | None] | None = None, labels: tuple[int, ...] = (0, 1)
) -> tuple[SplitObjects, SplitDetections]:
    """Return one object for each label, and detections in images of 200x100 pixels or of `sizes`."""
    index = split_index(("a", "b"), NAMES, sizes=sizes or [(100, 200)] * 2)
    boxes = np.tile([[10.0, 10, 20, 20]], (len(labels), 1))
    nothing = np.zeros(len(labels), np.bool_)
    rows: NDArray[np.int64] = np.arange(len(labels))
    objects = SplitObjects(index, rows, np.array(labels, np.int64), boxes, nothing, nothing, boxes[:, 2])
    zeros = np.zeros(len(found), np.int64)
    xywh = np.array(found, np.float64).reshape(-1, 4)
    return objects, SplitDetections(index, zeros, zeros, xywh, np.ones(len(found)))


def test_plausible_boxes_give_no_warning() -> None:
    assert implausibilities(*split(WITHIN)) == []


def test_most_boxes_extend_beyond_their_image() -> None:
    outside: list[list[float]] = [[190.0, 10, 30, 30]]
    assert implausibilities(*split(WITHIN[:2] + outside * 2)) == []  # half of them
    (warning,) = implausibilities(*split(WITHIN[:2] + outside * 3))
    assert warning.startswith("3 of 5 detections extend beyond their image")
    assert implausibilities(*split(outside, sizes=[None, None])) == []  # nobody knows


def test_corners_taken_for_sides() -> None:
    corners: list[list[float]] = [[100.0, 40, 190, 90], [60, 30, 150, 95], [20, 20, 90, 60]]
    assert (
        "3 of 3 detections extend beyond their image" in implausibilities(*split([*corners[:2], [120, 20, 190, 60]]))[0]
    )
    assert len(implausibilities(*split(corners))) == 1  # two of three


def test_shares_of_the_image() -> None:
    (warning,) = implausibilities(*split([[0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5]]))
    assert warning.startswith("all detections lie within the first pixel")


def test_classes_without_objects_and_no_detections() -> None:
    without, nothing = implausibilities(*split([], labels=(1,)))
    assert without == "classes without objects are left out of the mean, 1 of them: cat"
    assert nothing == "there are no detections at all"
