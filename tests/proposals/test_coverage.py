"""The coverage of proposals, compared with results by hand, naive loops, and COCO's code where its rule is the same."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes
from proposals.coverage import AVERAGED_THRESHOLDS, Coverage, best_overlaps, covered_count, size_groups

COUNTS = (1, 3, 10)


def boxes_within(generator: np.random.Generator, count: int, side: int = 60) -> FloatArray:
    corners = generator.integers(0, side, (count, 2))
    return as_boxes(np.concatenate([corners, corners + generator.integers(1, side, (count, 2))], axis=1))


def naive_iou(box: FloatArray, other: FloatArray) -> float:
    (x1, y1, x2, y2), (u1, v1, u2, v2) = box.tolist(), other.tolist()
    shared = max(0, min(x2, u2) - max(x1, u1)) * max(0, min(y2, v2) - max(y1, v1))
    return float(shared / ((x2 - x1) * (y2 - y1) + (u2 - u1) * (v2 - v1) - shared))


@pytest.mark.parametrize("seed", range(5))
def test_overlaps_are_those_of_the_loops(seed: int) -> None:
    generator = np.random.default_rng(seed)
    boxes, objects = boxes_within(generator, seed * 5), boxes_within(generator, 6)
    expected = [
        [max((naive_iou(box, truth) for box in boxes[:count]), default=0.0) for count in (*COUNTS, None)]
        for truth in objects
    ]
    overlaps = best_overlaps(boxes, objects, COUNTS)
    assert overlaps.dtype == np.float64
    assert overlaps.tolist() == expected


def test_overlaps_by_hand() -> None:
    objects = as_boxes([(0, 0, 40, 40), (100, 100, 110, 110)])
    boxes = as_boxes([(0, 0, 10, 10), (0, 0, 40, 20), (0, 0, 20, 20)])
    # 100 / 1600, then 800 / 1600; the last box is worse. Nothing is near the second object.
    assert best_overlaps(boxes, objects, [1, 2, 7]).tolist() == [[1 / 16, 1 / 2, 1 / 2, 1 / 2], [0, 0, 0, 0]]


def test_nothing_to_measure() -> None:
    single, none = as_boxes([(0, 0, 1, 1)]), as_boxes([])
    assert best_overlaps(none, single, COUNTS).tolist() == [[0, 0, 0, 0]]
    assert best_overlaps(single, none, COUNTS).shape == (0, 4)
    assert best_overlaps(none, none, []).shape == (0, 1)
    with pytest.raises(ValueError, match=r"counts must be 1 or more, got \[1, 0\]"):
        best_overlaps(single, single, [1, 0])


def test_recall_counts_the_threshold_itself() -> None:
    coverage = Coverage((1,), np.array([[0.5, 0.5], [0.4999, 0.75], [0.0, 1.0], [0.9, 0.9]]), np.array([2]))
    everything = np.ones(4, np.bool_)
    assert coverage.recall(everything).tolist() == [0.5, 1.0]
    assert coverage.recall(everything, 0.75).tolist() == [0.25, 0.75]
    assert coverage.recall(np.array([True, False, False, False])).tolist() == [1, 1]
    # Of ten thresholds from 0.50 to 0.95: 1, 0, 0, 9 of them, and then 1, 6, 10, 9.
    np.testing.assert_allclose(coverage.average_recall(everything), [10 / 40, 26 / 40], rtol=1e-12)
    assert AVERAGED_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_covered_at_the_threshold_itself() -> None:
    objects = as_boxes([(0, 0, 10, 10), (0, 0, 10, 21), (0, 0, 10, 20)])
    assert covered_count(as_boxes([(0, 0, 10, 10)]), objects) == 2  # IoU 1, 10/21 and 10/20
    assert covered_count(as_boxes([]), objects) == covered_count(objects, as_boxes([])) == 0


def test_no_objects_have_no_recall() -> None:
    coverage = Coverage((1, 2), np.zeros((1, 3)), np.array([0]))
    assert np.isnan(coverage.recall(np.zeros(1, np.bool_))).all()
    assert np.isnan(coverage.average_recall(np.zeros(1, np.bool_))).all()


def test_proposals_per_image() -> None:
    coverage = Coverage((1, 10), np.zeros((0, 3)), np.array([0, 4, 20]))
    assert coverage.proposals_per_image().tolist() == [2 / 3, 14 / 3, 8]
    assert np.isnan(Coverage((1, 10), np.zeros((0, 3)), np.zeros(0, np.int64)).proposals_per_image()).all()


@pytest.mark.parametrize("shape", [(4, 2), (4, 4), (4,)])
def test_overlaps_that_do_not_fit(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"overlaps must have shape \[M, 3\]"):
        Coverage((1, 10), np.zeros(shape), np.array([1]))


def test_sizes() -> None:
    objects = as_boxes([(0, 0, 32, 32), (0, 0, 32, 33), (0, 0, 96, 96), (0, 0, 96, 97), (0, 0, 1, 1)])
    found = {name: np.flatnonzero(chosen).tolist() for name, chosen in size_groups(objects).items()}
    assert found == {"all": [0, 1, 2, 3, 4], "above 32x32": [1, 2, 3], "small": [0, 4], "medium": [1, 2], "large": [3]}


def xywh(box: FloatArray) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]


def coco_average_recall(
    images: list[tuple[FloatArray, FloatArray]], counts: tuple[int, ...], areas: list[tuple[float, float]]
) -> NDArray[np.float64]:
    """Return COCO's average recall [areas, counts], given the objects and the proposals of each image, best first."""
    from pycocotools.coco import COCO  # noqa: PLC0415
    from pycocotools.cocoeval import COCOeval  # noqa: PLC0415

    annotations: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image_id, (objects, boxes) in enumerate(images, start=1):
        for box in objects:
            x, y, width, height = xywh(box)
            item = {"id": len(annotations) + 1, "image_id": image_id, "category_id": 1, "iscrowd": 0}
            annotations.append(item | {"bbox": [x, y, width, height], "area": width * height})
        scored = zip(boxes, range(len(boxes), 0, -1), strict=True)
        results += [{"image_id": image_id, "category_id": 1, "bbox": xywh(box), "score": n} for box, n in scored]
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        listed = [{"id": number} for number in range(1, len(images) + 1)]
        truth.dataset = {"images": listed, "annotations": annotations, "categories": [{"id": 1}], "info": {}}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluation.params.useCats = 0
        evaluation.params.maxDets = list(counts)
        evaluation.params.areaRng = areas
        evaluation.params.areaRngLbl = [str(area) for area in areas]
        evaluation.evaluate()
        evaluation.accumulate()
    recall: NDArray[np.float64] = evaluation.eval["recall"][:, 0].mean(axis=0)  # of [thresholds, 1, areas, counts]
    return recall


def test_agrees_with_coco_where_each_object_has_its_own_boxes() -> None:
    """Objects lie far apart, so that no box overlaps two of them; then COCO's one-to-one matching changes nothing."""
    generator = np.random.default_rng(0)
    images = []
    for _ in range(12):
        corners = np.stack(np.meshgrid([0, 200, 400], [0, 200]), axis=-1).reshape(-1, 2)
        objects = np.concatenate([corners, corners + generator.integers(10, 130, (6, 2))], axis=1)
        boxes = objects[generator.integers(0, 6, 40)] + generator.integers(-4, 30, (40, 4))
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
        images.append((as_boxes(objects), as_boxes(boxes)))
    counts = (1, 10, 100)
    overlaps = np.concatenate([best_overlaps(boxes, objects, counts) for objects, boxes in images])
    coverage = Coverage(counts, overlaps, np.full(12, 40))
    groups = size_groups(np.concatenate([objects for objects, _ in images]))
    found = [coverage.average_recall(groups[name])[:-1] for name in ("all", "small", "medium", "large")]
    areas = [(0, 1e10), (0, 32**2), (32**2 + 0.1, 96**2), (96**2 + 0.1, 1e10)]  # COCO counts both ends
    np.testing.assert_allclose(found, coco_average_recall(images, counts, areas), rtol=1e-12)
    assert 0.01 < found[0][0] < found[0][1] < found[0][2] < 0.9


def test_differs_from_coco_where_a_box_fits_two_objects() -> None:
    objects = as_boxes([(0, 0, 100, 100), (0, 0, 100, 95)])
    boxes = as_boxes([(0, 0, 100, 97)])
    everything = np.ones(2, np.bool_)
    found = Coverage((1,), best_overlaps(boxes, objects, [1]), np.array([1])).average_recall(everything)
    assert found[0] == 1
    assert coco_average_recall([(objects, boxes)], (1,), [(0, 1e10)]).tolist() == [[0.5]]
