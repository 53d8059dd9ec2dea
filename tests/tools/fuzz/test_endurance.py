"""Memory and open files stay the same over many pictures, and growth is seen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from detection.detector import Detector
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import Proposals, RegionScores
from tools.fuzz import endurance
from tools.fuzz.command import main as fuzz

PICTURES = 300


class FastStages:
    """Stages of a detector that finds a cat and a dog in each picture."""

    class_names = ("cat", "dog")

    def propose(self, image: Image) -> Proposals:
        height, width = image.shape[:2]
        return Proposals(np.array([[1, 2, width, height]], np.float32), np.ones(1, np.float32))

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        return [RegionScores(np.full((len(regions), 3), 0.3, np.float32)) for regions in boxes[: len(images)]]


def fast_detector() -> Detector:
    stages = FastStages()
    return Detector(stages.propose, stages, score_threshold=0.0)


@pytest.mark.parametrize("way", endurance.WAYS)
def test_memory_and_open_files_stay_the_same(way: str) -> None:
    """The stages are fast ones, since a network keeps nothing of an image; a long run has real stages."""
    line, steady = endurance.measure(endurance.WAYS[way], fast_detector(), PICTURES)
    assert steady, line
    assert line.startswith(f"{PICTURES} pictures, {2 * PICTURES} detections; ")


def test_a_folder_is_given_to_the_command(tmp_path: Path) -> None:
    """Its memory is that of another process, and is compared in a long run only."""
    config = endurance.write_detector(tmp_path)
    line, _ = endurance.measure_folder(str(config), 20)
    assert line.startswith("20 pictures, 20 detections; ")
    assert int(line.split("; ")[1].partition(" ")[0]) > 100


def test_a_detector_is_chosen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = endurance.write_detector(tmp_path)
    config.write_text(config.read_text() + "max_detections: 3\n")
    endurance.main(["--images", "5", "--ways", "detector", "--detector", str(config)])
    assert capsys.readouterr().out.startswith("detector: 5 pictures, 15 detections; ")


def test_growth_and_open_files_are_seen() -> None:
    kept: list[object] = []

    def keep_pixels(_: Detector, images: Iterator[Image]) -> Iterator[int]:
        for image in images:
            kept.append(np.ones(1_500_000) * image[0, 0, 0])  # more than the tests before it may have left free
            yield 1

    def keep_files(_: Detector, images: Iterator[Image]) -> Iterator[int]:
        for _image in images:
            kept.append(open(__file__))  # noqa: PTH123, SIM115
            yield 1

    detector = fast_detector()
    line, steady = endurance.measure(keep_pixels, detector, 60)
    assert not steady, line
    kept.clear()
    line, steady = endurance.measure(keep_files, detector, 20)
    assert not steady
    assert "+16 open files" in line
    for file in kept:
        file.close()  # type: ignore[attr-defined]


def test_pictures_are_always_the_same() -> None:
    first, second = (list(endurance.pictures(6)) for _ in range(2))
    assert all((picture == same_picture).all() for picture, same_picture in zip(first, second, strict=True))
    assert {image.shape[:2] for image in first} == set(endurance.SIZES)


def test_a_detector_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz(["endurance", "--detector", "nowhere.yaml"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("python -m tools.fuzz: nowhere.yaml: expected a YAML file")
    assert error.count("\n") == 1
