"""The baseline of own classes: what torchvision's detector learns from, when it stops, and the printed figures."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from torch import nn

from detection.structures.ground_truth import GroundTruth
from tests.tools.train.own_classes.conftest import draw_picture
from tools.measure.benchmark import command as benchmark
from tools.measure.benchmark.own_classes import BATCH, WARM_UP, draw_batches, rate_factor, read_sample, train


def record_of(path: Path, *, size: tuple[int, int] = (10, 6)) -> GroundTruth:
    """Write a picture of some width and height, black but for a white left column; it has an object and a crowd."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[:, 0] = 255
    PIL.Image.fromarray(pixels).save(path)
    boxes = np.array([[1, 2, 4, 5], [0, 0, 9, 6]], np.float32)
    return GroundTruth(path.stem, path, boxes, np.array([2, 0]), np.array([False, True]))


def test_ignored_objects_are_left_out_and_labels_count_from_1(tmp_path: Path) -> None:
    picture, target = read_sample(record_of(tmp_path / "a.png"), mirrored=False)
    assert picture.shape == (3, 6, 10)
    assert picture[:, :, 0].min() == 1
    assert target["boxes"].tolist() == [[1, 2, 4, 5]]
    assert target["labels"].tolist() == [3]


def test_boxes_are_mirrored_with_the_picture(tmp_path: Path) -> None:
    """In a picture 10 pixels wide, the columns 1 to 4 become the columns 6 to 9."""
    picture, target = read_sample(record_of(tmp_path / "a.png"), mirrored=True)
    assert picture[:, :, 9].min() == 1
    assert target["boxes"].tolist() == [[6, 2, 9, 5]]


def test_all_pictures_come_before_one_comes_again(tmp_path: Path) -> None:
    records = [record_of(tmp_path / f"{width}.png", size=(width, 6)) for width in range(10, 10 + BATCH)]
    first, second = islice(draw_batches(records, seed=1), 2)
    widths = [[picture.shape[2] for picture, _ in batch] for batch in (first, second)]
    assert sorted(widths[0]) == sorted(widths[1]) == list(range(10, 10 + BATCH))
    assert widths[0] != widths[1]


def test_rate_rises_and_then_falls_to_zero() -> None:
    assert rate_factor(0) == 0.01
    assert rate_factor(WARM_UP / 2) == 0.5
    assert rate_factor(WARM_UP) == 1
    assert rate_factor((1 + WARM_UP) / 2) == pytest.approx(0.5)
    assert rate_factor(1) == pytest.approx(0)


def test_training_stops_when_the_time_is_over(tmp_path: Path) -> None:
    class Network(nn.Module):
        """Loses less the larger its only weight is."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(()))
            self.calls = 0

        def forward(self, *_: object) -> dict[str, torch.Tensor]:
            self.calls += 1
            return {"loss": -self.weight}

    network = Network()
    batches = draw_batches([record_of(tmp_path / "a.png")], seed=1)
    assert train(network, batches, lambda: network.calls / 4) == 4
    assert network.weight > 0


@pytest.mark.filterwarnings("ignore")  # of torchvision
def test_prints_the_figures_of_each_split(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "shapes"
    data.mkdir()
    for number in range(6):
        draw_picture(data, number)
    assert benchmark.main(["own-classes", str(data), "--time", "0.1s"]) == 0
    steps, figures = capsys.readouterr().out.splitlines()
    assert steps == "Faster R-CNN (MobileNetV3, 320 px): 1 steps of 5 pictures in 0.1s"
    assert figures.startswith("mAP (voc, IoU 0.5) 0.")
    assert figures.endswith(" on the 1 pictures of val")
