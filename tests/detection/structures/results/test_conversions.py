"""Detections in the data types of pandas, supervision and torchmetrics."""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
import supervision as sv
import torch
from torchmetrics.detection import MeanAveragePrecision

from detection.errors import InputError
from tests.detection.structures.results.drawing_examples import detected

# Every number is exact in float32.
TWO = detected([(0, 0, 10, 20), (1.5, 2, 4, 8.25)], [0.75, 0.5], [2, 0])
NONE = detected([], [], [])


def test_pandas() -> None:
    expected = pd.DataFrame(
        {
            "class": ["person", "cat"],
            "label": [2, 0],
            "score": np.array([0.75, 0.5], np.float32),
            "x1": np.array([0, 1.5], np.float32),
            "y1": np.array([0, 2], np.float32),
            "x2": np.array([10, 4], np.float32),
            "y2": np.array([20, 8.25], np.float32),
        }
    )
    pd.testing.assert_frame_equal(TWO.to_pandas(), expected)
    pd.testing.assert_frame_equal(NONE.to_pandas(), expected[:0])


def test_supervision() -> None:
    converted = TWO.to_supervision()
    assert converted == sv.Detections(
        xyxy=np.array([(0, 0, 10, 20), (1.5, 2, 4, 8.25)], np.float32),
        confidence=np.array([0.75, 0.5], np.float32),
        class_id=np.array([2, 0]),
        data={"class_name": np.array(["person", "cat"])},
    )
    assert converted[converted.confidence > 0.6]["class_name"].tolist() == ["person"]
    assert NONE.to_supervision().is_empty()
    image = np.zeros((40, 40, 3), np.uint8)
    assert sv.BoxAnnotator().annotate(image.copy(), converted).any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchmetrics() -> None:
    truth = [{"boxes": torch.tensor([(0.0, 0, 10, 20)]), "labels": torch.tensor([2])}, {**NONE.to_torchmetrics()}]
    metric = MeanAveragePrecision()
    metric.update([TWO.to_torchmetrics(), NONE.to_torchmetrics()], truth)
    assert metric.compute()["map_50"] == 1


def test_the_data_is_copied() -> None:
    before = TWO.boxes.copy()
    TWO.to_torchmetrics()["boxes"].zero_()
    TWO.to_supervision().xyxy[:] = 0
    np.testing.assert_array_equal(TWO.boxes, before)


@pytest.mark.parametrize("name", ["pandas", "supervision"])
def test_a_missing_package_is_named_with_its_command(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(InputError, match=f"^{name}: expected .*`pip install {name}`"):
        getattr(TWO, f"to_{name}")()
