"""Tests of the images of rare classes, which come more often."""

from pathlib import Path

import numpy as np
import pytest

from classifier.training.samples.rare_classes import repeat_rare
from detection.structures.ground_truth import GroundTruth


def records_of(labels: list[list[int]], ignored: bool = False) -> list[GroundTruth]:
    return [
        GroundTruth(
            str(index),
            Path(f"{index}.jpg"),
            np.tile(np.array([0, 0, 9, 9], np.float32), (len(image_labels), 1)),
            np.array(image_labels, np.int64),
            np.full(len(image_labels), ignored),
        )
        for index, image_labels in enumerate(labels)
    ]


def counts(records: list[GroundTruth], share: float) -> list[int]:
    repeated = [int(record.image_id) for record in repeat_rare(records, share=share)]
    assert repeated == sorted(repeated)
    return [repeated.count(index) for index in range(len(records))]


def test_factor_is_the_root_of_the_missing_share() -> None:
    """One image of 16 has class 1. The wanted share of 1/4 is four times as much, so the image comes twice."""
    records = records_of([[0, 1], *[[0]] * 15])
    assert counts(records, share=0.25) == [2, *[1] * 15]


def test_rarest_class_of_an_image_decides() -> None:
    records = records_of([[0, 1, 2], [0, 1], [0, 1], [0, 1], *[[0]] * 12])
    assert counts(records, share=1.0) == [4, 2, 2, 2, *[1] * 12]


def test_fractions_add_up() -> None:
    """Class 1 is on 8 of 16 images, which have the factor 1.5, so they come 12 times altogether."""
    records = records_of([*[[0, 1]] * 8, *[[0]] * 8])
    assert sum(counts(records, share=0.5 * 1.5**2)[:8]) == 12


@pytest.mark.parametrize("share", [0.0, 0.01])
def test_nothing_changes_where_no_class_is_rare(share: float) -> None:
    assert counts(records_of([[0], [], [1], [0, 1]]), share=share) == [1, 1, 1, 1]


def test_ignored_objects_do_not_count() -> None:
    assert counts(records_of([[0], [1]], ignored=True), share=1.0) == [1, 1]
