"""The results of many images and their order do not depend on how the work is divided."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

from detection.detector import Detector
from detection.errors import DeviceError, InputError
from detection.runtime.parallel import many_images as folder
from detection.runtime.parallel.many_images import (
    ONE_BY_ONE,
    ImageResult,
    Parallelism,
    detect_in_images,
    find_parallelism,
)
from detection.sources.picture import Picture, file_picture
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import Proposals, RegionScores
from detection.structures.detections import Detections

COUNT = 6
TIMEOUT = 30
WAYS = [
    ONE_BY_ONE,
    Parallelism(0, batch=1, threads_score=False),
    Parallelism(2, batch=1, threads_score=False),
    Parallelism(3, batch=1),
    Parallelism(1, batch=4),
    Parallelism(0, batch=4),
]


def whole(image: Image) -> Proposals:
    return Proposals(np.array([[0, 0, *image.shape[1::-1]]], np.float32), np.ones(1, np.float32))


class Number:
    """Scores an image by the value of its pixels, and records the number of threads that PyTorch uses."""

    def __init__(self) -> None:
        self.threads: set[int] = set()

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("thing",)

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        self.threads.add(torch.get_num_threads())
        return [
            RegionScores(np.array([[1 - image[0, 0, 0] / 10, image[0, 0, 0] / 10]] * len(image_boxes), np.float32))
            for image, image_boxes in zip(images, boxes, strict=True)
        ]


@pytest.fixture(name="pictures")
def numbered_pictures(paths: list[Path]) -> list[Picture]:
    return list(map(file_picture, paths))


@pytest.fixture(name="paths")
def numbered_files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(COUNT)]
    for number, path in enumerate(paths):
        PIL.Image.new("RGB", (8, 8), (number,) * 3).save(path)
    return paths


@pytest.mark.parametrize("parallelism", WAYS)
def test_results_come_in_order(parallelism: Parallelism, pictures: list[Picture]) -> None:
    found = list(detect_in_images(pictures, Detector(whole, Number(), score_threshold=0), parallelism))
    assert [result.detections.scores.tolist() for result in found] == [
        pytest.approx([number / 10]) for number in range(COUNT)
    ]
    assert [result.name for result in found] == [picture.name for picture in pictures]
    assert all(result.error is None and result.image.shape == (8, 8, 3) and result.seconds > 0 for result in found)


@pytest.mark.parametrize("parallelism", WAYS)
def test_what_is_wrong_with_an_image_stands_in_its_place(
    parallelism: Parallelism, paths: list[Path], pictures: list[Picture]
) -> None:
    paths[2].write_text("no picture")
    found = list(detect_in_images(pictures, Detector(whole, Number()), parallelism))
    assert [result.error is not None for result in found] == [False, False, True, False, False, False]
    assert str(paths[2]) in str(found[2].error)
    with pytest.raises(InputError, match="a file that is not"):
        _ = found[2].detections


@pytest.mark.parametrize("parallelism", WAYS)
def test_a_lost_device_ends_it(
    parallelism: Parallelism, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector(whole, Number())
    original = detector.score

    def lost(images: Sequence[Image], proposals: Sequence[Proposals]) -> object:
        if any(image[0, 0, 0] == 1 for image in images):
            raise DeviceError("lost")
        return original(images, proposals)

    monkeypatch.setattr(detector, "score", lost)
    coming = detect_in_images(pictures, detector, parallelism)
    if parallelism.batch <= 1:
        assert isinstance(next(coming), ImageResult)
    with pytest.raises(DeviceError, match="lost"):
        next(coming)


@pytest.mark.parametrize("parallelism", WAYS)
def test_an_image_that_cannot_be_scored_stops_no_other(
    parallelism: Parallelism, pictures: list[Picture], monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector(whole, Number(), score_threshold=0)
    original = detector.score

    def short_of_memory(images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        if any(image[0, 0, 0] == 4 for image in images):
            raise InputError("expected more memory")
        return original(images, proposals)

    monkeypatch.setattr(detector, "score", short_of_memory)
    found = list(detect_in_images(pictures, detector, parallelism))
    assert [result.error is not None for result in found] == [False] * 4 + [True, False]


def test_each_image_at_once_has_its_share_of_the_cores(pictures: list[Picture]) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        number = Number()
        list(detect_in_images(pictures, Detector(whole, number), Parallelism(2, batch=1)))
        assert number.threads == {2}
        assert torch.get_num_threads() == 4
        list(detect_in_images(pictures, Detector(whole, number), Parallelism(2, batch=1, threads_score=False)))
        assert number.threads == {2, 4}
    finally:
        torch.set_num_threads(before)


def test_images_are_done_at_once(pictures: list[Picture]) -> None:
    both = threading.Barrier(2, timeout=TIMEOUT)

    def waiting(image: Image) -> Proposals:
        both.wait()
        return whole(image)

    assert len(list(detect_in_images(pictures, Detector(waiting, Number()), Parallelism(2, batch=1)))) == COUNT


@pytest.mark.parametrize(
    ("count", "cores", "gpu", "expected"),
    [
        (1, 8, False, ONE_BY_ONE),
        (1, 8, True, ONE_BY_ONE),
        (5, 1, False, Parallelism(0, batch=4)),
        (5, 2, False, Parallelism(2, batch=3)),
        (3, 8, False, Parallelism(3, batch=1)),
        (100, 64, False, Parallelism(4, batch=4)),
        (100, 64, True, Parallelism(8, batch=1, threads_score=False)),
    ],
)
def test_what_suits_the_machine(
    count: int, cores: int, gpu: bool, expected: Parallelism, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "available_cores", lambda: cores)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    assert find_parallelism(count) == expected
