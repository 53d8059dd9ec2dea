"""The settings that are chosen on a scored split whose best settings are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detection.detector import Detector
from detection.structures.arrays import FloatArray
from detection.structures.contracts import Proposals, RegionScores
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import split_index, split_objects
from tools.train.own_classes.choice import (
    FEWEST_RIGHT,
    USUAL_THRESHOLD,
    calibration_warnings,
    choose_settings,
    with_threshold,
)
from tools.train.own_classes.scored_split import ScoredImage, ScoredSplit

SIZE = (100, 100)
WHOLE, PART = [10, 10, 90, 90], [20, 20, 60, 60]  # their IoU is 0.25


class _Unused:
    class_names = ("cat",)

    def __call__(self, *_: object) -> Proposals:
        raise AssertionError("the scores are there already")


def scored(part_scores: list[float], *, objects: bool = True) -> ScoredSplit:
    """Return pictures with a whole object that scores 0.5, and its part, which scores as given."""
    boxes: FloatArray = np.array([WHOLE, PART], np.float32)
    images, records = [], []
    for number, part_score in enumerate(part_scores):
        probabilities = np.array([[0.5, 0.5], [1 - part_score, part_score]], np.float32)
        images.append(ScoredImage(str(number), SIZE, boxes, RegionScores(probabilities)))
        truth = boxes[:1] if objects else boxes[:0]
        records.append(GroundTruth(str(number), Path("a.png"), truth, np.zeros(len(truth), np.int64)))
    index = split_index([image.image_id for image in images], ("cat",), sizes=[SIZE] * len(images))
    return ScoredSplit([], split_objects(index, records), images)


def detector() -> Detector:
    return Detector(_Unused(), _Unused())  # type: ignore[arg-type]


def test_prefers_the_whole_where_parts_score_higher() -> None:
    # Without a preference, 16 parts with 0.55 come before all 32 objects with 0.5: the average precision is 32/48.
    # The whole is four times as large, so a preference for larger boxes brings the objects to the front.
    split = scored([0.55] * 16 + [0.1] * 16)
    plain = replace(detector(), score_threshold=0.0)
    assert split.measure(plain, "voc").mean_average_precision == pytest.approx(32 / 48)
    chosen = choose_settings(detector(), split, "voc")
    assert split.measure(replace(chosen, score_threshold=0.0), "voc").mean_average_precision == pytest.approx(1)


def test_no_preference_where_scores_are_right() -> None:
    chosen = choose_settings(detector(), scored([0.1] * 8), "voc")
    shown = [chosen.suppress(image.boxes, image.scores, image.size) for image in scored([0.1] * 8).images]
    assert [detections.boxes.tolist() for detections in shown] == [[[10.0, 10.0, 90.0, 90.0]]] * 8


def test_threshold_shows_the_detection_that_it_was_taken_from() -> None:
    split = scored([0.1] * 4)
    for image in split.images:
        image.scores.probabilities[0] = [1 - 0.88926, 0.88926]
    threshold = with_threshold(detector(), split, "voc").score_threshold
    assert 0.889 < threshold <= 0.88926


@pytest.mark.parametrize(("objects", "calibrated"), [(FEWEST_RIGHT - 1, False), (FEWEST_RIGHT, True)])
def test_scores_are_calibrated_by_enough_objects(objects: int, calibrated: bool) -> None:
    chosen = choose_settings(detector(), scored([0.1] * objects), "voc")
    assert (chosen.calibrate is not None) == calibrated
    assert len(calibration_warnings(chosen)) == (0 if calibrated else 1)


def test_nothing_to_choose_by() -> None:
    chosen = choose_settings(detector(), scored([0.1], objects=False), "voc")
    assert chosen.score_threshold == USUAL_THRESHOLD
    assert chosen.calibrate is None
