from __future__ import annotations

import numpy as np
import pytest

from detection.evaluation import score
from detection.evaluation.analysis.image_scores import ImageScores, best_images, score_images, worst_images
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index


def scores(detected: list[int], missed: list[int], wrong: list[int]) -> ImageScores:
    return ImageScores(*(np.array(column, np.int64) for column in (detected, missed, wrong)))


def test_f1_of_an_image() -> None:
    # 2 TP / (2 TP + FN + FP): 2 of 3 found and one wrong, 4/6; only missed; only wrong; nothing at all.
    f1 = scores([2, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0]).f1
    assert f1[:3].tolist() == [pytest.approx(4 / 6), 0, 0]
    assert np.isnan(f1[3])


def test_order_of_the_best_and_the_worst() -> None:
    # F1: 1, nan, 1, 0, 2/3, 0, 1. Of the ones image 2 has more objects; of the zeros image 5 has more mistakes.
    item = scores([1, 0, 3, 0, 1, 0, 1], [0, 0, 0, 1, 0, 1, 0], [0, 0, 0, 0, 1, 2, 0])
    assert best_images(item, 10).tolist() == [2, 0, 6, 4, 3, 5]
    assert worst_images(item, 10).tolist() == [5, 3, 4, 0, 2, 6]
    assert best_images(item, 2).tolist() == [2, 0]
    assert worst_images(scores([0], [0], [0]), 3).tolist() == []


def test_many_equal_images_stay_in_their_order() -> None:
    same = scores([1] * 300, [0] * 300, [0] * 300)
    assert best_images(same, 300).tolist() == worst_images(same, 300).tolist() == list(range(300))


def test_only_detections_from_the_threshold_on_count() -> None:
    # Image 0: the cat is found at 0.5 exactly and a duplicate at 0.4. Image 1 has a difficult cat, detected, and one
    # that is found at 0.4 only. Image 2 has no object, and a wrong box at 0.6.
    index = split_index(["a", "b", "c"], ("cat",))
    box, elsewhere = [0.0, 0, 40, 40], [100.0, 0, 40, 40]
    boxes = np.array([box, box, elsewhere])
    difficult = np.array([False, True, False])
    labels = np.zeros(5, np.int64)
    objects = SplitObjects(index, np.array([0, 1, 1]), labels[:3], boxes, difficult, difficult, np.full(3, 1600.0))
    found = np.array([box, box, box, elsewhere, box])
    detections = SplitDetections(index, np.array([0, 0, 1, 1, 2]), labels, found, np.array([0.5, 0.4, 0.9, 0.4, 0.6]))
    item = score_images(score(objects, detections, "voc"), score_threshold=0.5)
    assert (item.detected.tolist(), item.missed.tolist(), item.wrong.tolist()) == ([1, 0, 0], [0, 1, 0], [0, 0, 1])
    assert item.object_counts.tolist() == [1, 1, 0]
    assert item.f1.tolist() == [1, 0, 0]
    unknown = score_images(score(objects, detections, "voc"), score_threshold=float("nan"))
    assert unknown.missed.tolist() == [1, 1, 0]
    assert not unknown.wrong.any()
