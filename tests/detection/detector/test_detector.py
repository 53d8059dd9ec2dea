from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray

from detection.detector import MAX_DETECTIONS, SCORE_THRESHOLD, Detector
from detection.errors import InputError
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals, RegionScores
from detection.structures.detections import Detections

# Left half red, right half green, 8 high and 16 wide.
IMAGE = np.zeros((8, 16, 3), np.uint8)
IMAGE[:, :8, 0] = 255
IMAGE[:, 8:, 1] = 255


class Proposer:
    """Proposes the same boxes for every image, and remembers the images."""

    def __init__(self, boxes: Sequence[Sequence[float]]) -> None:
        self.boxes = as_boxes(boxes)
        self.images: list[Image] = []

    def __call__(self, image: Image) -> Proposals:
        self.images.append(image)
        return Proposals(self.boxes, np.ones(len(self.boxes), np.float32))


class ColourClassifier:
    """Returns the mean of red and of green in a region as probabilities; the rest is background."""

    class_names = ("red", "green")

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        self.calls.append(len(images))
        return [RegionScores(self._score(*pair)) for pair in zip(images, boxes, strict=True)]

    @staticmethod
    def _score(image: Image, boxes: FloatArray) -> FloatArray:
        probabilities = np.zeros((len(boxes), 3), np.float32)
        for row, (x1, y1, x2, y2) in zip(probabilities, boxes.astype(int), strict=True):
            row[1:] = image[y1:y2, x1:x2, :2].mean(axis=(0, 1)) / 255
            row[0] = max(0, 1 - row[1:].sum())
        return probabilities


# Red 1; red 0.5 and green 0.5; green 1. Neighbours share 4 of 12 columns: an IoU of 1/3.
THREE = [(0, 0, 8, 8), (4, 0, 12, 8), (8, 0, 16, 8)]


def summary(detections: Detections) -> list[tuple[str, float, float]]:
    """Return the class, the score and the left edge of each detection."""
    lefts = detections.boxes[:, 0].tolist()
    return list(zip(detections.names, detections.scores.tolist(), lefts, strict=True))


def detect(boxes: Sequence[Sequence[float]] = THREE, **thresholds: Any) -> list[tuple[str, float, float]]:
    return summary(Detector(Proposer(boxes), ColourClassifier(), **thresholds)(IMAGE))


def test_image_to_detections() -> None:
    # The region in the middle overlaps a better one of each colour by 1/3, more than 0.3.
    detections = Detector(Proposer(THREE), ColourClassifier())(IMAGE)
    assert summary(detections) == [("red", 1, 0), ("green", 1, 8)]
    assert detections.boxes.tolist() == [[0, 0, 8, 8], [8, 0, 16, 8]]
    assert detections.class_names == ("red", "green")


def test_best_come_first() -> None:
    # Columns 6-8 and 9-16 are of one colour; 7-11 is red in 1 of 4 columns, green in 3; and they hardly overlap.
    boxes = [(7, 0, 11, 8), (6, 0, 8, 8), (9, 0, 16, 8)]
    # 7-11 and 9-16 share 2 of 9 columns, 7-11 and 6-8 share 1 of 5.
    assert detect(boxes, score_threshold=0.25) == [("red", 1, 6), ("green", 1, 9), ("green", 0.75, 7), ("red", 0.25, 7)]


def test_nms_threshold_is_passed_on() -> None:
    both = [("red", 1, 0), ("green", 1, 8)]
    middle = [("red", 0.5, 4), ("green", 0.5, 4)]
    assert detect(nms_iou_threshold=0.33) == both
    assert detect(nms_iou_threshold=0.34) == both + middle
    assert detect(nms_iou_threshold=1 / 3) == both + middle  # exactly there: kept


def test_score_threshold_is_passed_on() -> None:
    just_above = float(np.nextafter(np.float32(0.5), np.float32(1)))
    assert detect([(4, 0, 12, 8)], score_threshold=0.5) == [("red", 0.5, 4), ("green", 0.5, 4)]
    assert detect([(4, 0, 12, 8)], score_threshold=just_above) == []


def test_probabilities_may_be_rounded_to_a_little_above_1(monkeypatch: pytest.MonkeyPatch) -> None:
    rounded = RegionScores(np.array([[-1e-7, np.nextafter(np.float32(1), np.float32(2)), 0]], np.float32))
    monkeypatch.setattr(ColourClassifier, "__call__", lambda *_: [rounded])
    assert detect([(0, 0, 8, 8)]) == [("red", 1, 0)]


def test_limit_is_passed_on() -> None:
    assert detect(max_detections=1) == [("red", 1, 0)]


def test_defaults() -> None:
    # 16 columns of 8 pixels: each pixel of an image is a red region, 128 in all. 128 / 255 = 0.502, 127 / 255 = 0.498.
    assert (SCORE_THRESHOLD, MAX_DETECTIONS) == (0.5, 100)
    pixels = [(x, y, x + 1, y + 1) for y in range(8) for x in range(16)]
    detector = Detector(Proposer(pixels), ColourClassifier())
    image = np.zeros((8, 16, 3), np.uint8)
    image[..., 0] = 128
    assert len(detector(image)) == 100
    image[1:, :, 0] = 127
    assert len(detector(image)) == 16


def image_file(folder: Path) -> Path:
    path = folder / "image.png"
    PIL.Image.fromarray(IMAGE).save(path)
    return path


KINDS: list[Callable[[Path], Any]] = [
    image_file,
    lambda folder: str(image_file(folder)),
    lambda _: PIL.Image.fromarray(IMAGE),
    lambda _: IMAGE,
    lambda _: np.concatenate([IMAGE, np.full((8, 16, 1), 255, np.uint8)], axis=2),  # opaque RGBA
]


@pytest.mark.parametrize("kind", KINDS, ids=["path", "string", "pillow", "array", "rgba array"])
def test_kinds_of_images(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    propose = Proposer(THREE)
    detections = Detector(propose, ColourClassifier())(kind(tmp_path))
    assert summary(detections) == [("red", 1, 0), ("green", 1, 8)]
    (seen,) = propose.images
    assert seen.dtype == np.uint8
    assert np.array_equal(seen, IMAGE)


def test_grey_array() -> None:
    propose = Proposer([(0, 0, 2, 1)])
    detections = Detector(propose, ColourClassifier())(np.array([[0, 255], [9, 9]], np.uint8))
    assert summary(detections) == [("red", 0.5, 0), ("green", 0.5, 0)]
    assert propose.images[0].shape == (2, 2, 3)


def test_missing_file_is_named(tmp_path: Path) -> None:
    detector = Detector(Proposer(THREE), ColourClassifier())
    with pytest.raises(InputError, match=r"nothing\.png: expected a readable image"):
        detector(tmp_path / "nothing.png")


@pytest.mark.parametrize("image", [np.zeros((4, 4, 3)), np.zeros((4, 4, 2), np.uint8), np.zeros((0, 4, 3), np.uint8)])
def test_other_arrays_are_refused(image: Any) -> None:
    with pytest.raises(ValueError, match="an image array must be uint8"):
        Detector(Proposer(THREE), ColourClassifier())(image)


def test_image_stays() -> None:
    image = IMAGE.copy()
    Detector(Proposer(THREE), ColourClassifier())(image)
    assert np.array_equal(image, IMAGE)


def test_no_proposals() -> None:
    detections = Detector(Proposer([]), ColourClassifier(), score_threshold=0)(IMAGE)
    assert detections.boxes.shape == (0, 4)
    assert detections.class_names == ("red", "green")


def test_several_images_equal_one_by_one() -> None:
    images = [IMAGE, IMAGE[:, ::-1].copy(), np.full((20, 5, 3), 200, np.uint8), IMAGE]
    boxes = [THREE, THREE[1:], [(0, 0, 5, 20), (0, 10, 5, 20)], []]
    proposals = [Proposals(as_boxes(image_boxes), np.ones(len(image_boxes), np.float32)) for image_boxes in boxes]
    classify = ColourClassifier()
    detector = Detector(Proposer([]), classify, score_threshold=0.25, nms_iou_threshold=0.5, max_detections=3)
    together = detector.score(images, proposals)
    assert classify.calls == [4]  # the classifier sees all of them at once
    alone = [detector.score([image], [known])[0] for image, known in zip(images, proposals, strict=True)]
    by_call = [
        Detector(Proposer(image_boxes), classify, score_threshold=0.25, nms_iou_threshold=0.5, max_detections=3)(image)
        for image, image_boxes in zip(images, boxes, strict=True)
    ]
    assert [detections.to_dict() for detections in together] == [detections.to_dict() for detections in alone]
    assert [detections.to_dict() for detections in together] == [detections.to_dict() for detections in by_call]
    # All four of the first image but for the limit. The mirror image is green at the left: 4-12 half of each, 8-16 red.
    # Of the even third image 200 / 255, twice; the lower half overlaps the whole by exactly 0.5.
    assert summary(together[0]) == [("red", 1, 0), ("green", 1, 8), ("red", 0.5, 4)]
    assert summary(together[1]) == [("red", 1, 8), ("red", 0.5, 4), ("green", 0.5, 4)]
    assert together[2].names == ["red", "red", "green"]
    assert len(together[3]) == 0


def test_no_images() -> None:
    assert Detector(Proposer(THREE), ColourClassifier()).score([], []) == []


def test_class_names_are_those_of_the_classifier() -> None:
    assert Detector(Proposer(THREE), ColourClassifier()).class_names == ("red", "green")


@pytest.mark.parametrize("name", ["score_threshold", "nms_iou_threshold", "coarse_share", "fine_threshold"])
@pytest.mark.parametrize("value", [-0.001, 1.001, np.nan, None, "0"])
def test_thresholds_outside_0_to_1_are_refused(name: str, value: Any) -> None:
    thresholds: dict[str, Any] = {name: value}
    with pytest.raises(ValueError, match=f"{name} must lie in 0-1, got {value}"):
        Detector(Proposer(THREE), ColourClassifier(), **thresholds)


@pytest.mark.parametrize("limit", [0, -1, 2.5, None])
def test_limit_that_is_no_count_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=f"max_detections must be a whole number of at least 1, got {limit}"):
        Detector(Proposer(THREE), ColourClassifier(), max_detections=limit)


def test_thresholds_of_0_and_1_are_allowed() -> None:
    # Every score counts and no overlap: 3 regions of the 2 classes, less those upon a better one by any part.
    assert detect(score_threshold=0, nms_iou_threshold=0) == [
        ("red", 1, 0),
        ("green", 1, 8),
        ("red", 0, 8),
        ("green", 0, 0),
    ]
    # Only certain detections, and every overlap.
    assert detect([*THREE, *THREE], score_threshold=1, nms_iou_threshold=1) == [
        ("red", 1, 0),
        ("red", 1, 0),
        ("green", 1, 8),
        ("green", 1, 8),
    ]


def test_calibration_knows_the_areas_of_boxes() -> None:
    def shares(scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray:
        assert np.broadcast_shapes(scores.shape, areas.shape) == scores.shape
        return np.broadcast_to(areas, scores.shape).copy()

    found = detect([(0, 0, 8, 8), (0, 4, 16, 8)], calibrate=shares, score_threshold=0, nms_iou_threshold=1)
    assert {(share, left) for _, share, left in found} == {(0.5, 0)}
    assert {share for _, share, _ in detect([(8, 0, 12, 4)], calibrate=shares, score_threshold=0)} == {0.125}


def test_calibrated_scores() -> None:
    def halve(scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray:  # noqa: ARG001
        return (scores / 2).astype(np.float32)

    assert detect(calibrate=halve) == [("red", 0.5, 0), ("green", 0.5, 8)]
    assert detect(calibrate=halve, score_threshold=0.51) == []
    plain = detect(score_threshold=0.2, nms_iou_threshold=1)
    assert detect(calibrate=halve, score_threshold=0.1, nms_iou_threshold=1) == [
        (name, score / 2, left) for name, score, left in plain
    ]


def test_detections_refer_to_the_picture_that_the_user_gave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector(Proposer(THREE), ColourClassifier())
    pillow = PIL.Image.fromarray(IMAGE)
    pillow.save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    detections = detector("image.png")
    monkeypatch.chdir(tmp_path.parent)  # the path still holds
    np.testing.assert_array_equal(detections.crops()[0], IMAGE[:, :8])
    assert detector(IMAGE).picture is IMAGE
    assert detector(pillow).picture is pillow
    grey = IMAGE[..., 0]
    assert detector(grey).picture is grey
    np.testing.assert_array_equal(detector(grey).crops()[0], np.full((8, 8, 3), 255))


def test_results_of_many_images_hold_no_pixels() -> None:
    detector = Detector(Proposer(THREE), ColourClassifier())
    (detections,) = detector.score([IMAGE], [detector.propose(IMAGE)])
    assert detections.picture is None


def test_guesses_refer_to_the_picture_too() -> None:
    detector = Detector(Proposer(THREE[1:2]), ColourClassifier(), score_threshold=0.75)
    for detections in (detector(IMAGE), *detector([IMAGE])):
        assert detections.guesses is not None
        assert len(detections.guesses.crops()) == 2
