"""`detector([a, b])` and `Detector.stream`: the images of any sources, in order, with bounded memory."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch

from detection.detector import Detector
from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals
from tests.detection.image.image_files import encode
from tests.detection.runtime.parallel.test_many_images import Number, whole
from tests.detection.sources.test_archives import write_zip


@pytest.fixture(name="detector")
def detector_of_numbers() -> Detector:
    return Detector(whole, Number(), score_threshold=0)


def image_of(number: int) -> Image:
    return np.full((8, 8, 3), number, np.uint8)


def numbers(detections: list[Any]) -> list[int]:
    return [round(10 * float(found.scores[0])) for found in detections]


def test_a_list_gives_a_list(detector: Detector, tmp_path: Path) -> None:
    PIL.Image.fromarray(image_of(3)).save(tmp_path / "3.png")
    content = encode(PIL.Image.fromarray(image_of(4)), "PNG")
    tensor = torch.full((3, 8, 8), 5, dtype=torch.uint8)
    images: list[Any] = [tmp_path / "3.png", content, tensor, PIL.Image.fromarray(image_of(6)), image_of(7)]
    assert numbers(detector(images)) == [3, 4, 5, 6, 7]
    assert numbers(detector(tuple(images[:1]))) == [3]
    assert detector([]) == []
    assert numbers([detector(images[1])]) == [4]


def test_a_list_is_what_the_images_are_one_by_one(detector_config: Path, photo: Path, photo_pixels: Image) -> None:
    from detection import load_detector  # noqa: PLC0415

    detector = load_detector(detector_config)
    images: list[Any] = [photo, photo_pixels[:60], photo_pixels[:, ::-1]]
    for together, alone in zip(detector(images), map(detector, images), strict=True):
        np.testing.assert_array_equal(together.boxes, alone.boxes)
        np.testing.assert_array_equal(together.labels, alone.labels)
        np.testing.assert_allclose(together.scores, alone.scores, atol=1e-6)


def test_a_bad_image_of_a_list_is_named_by_its_place(detector: Detector) -> None:
    with pytest.raises(InputError, match=r"^image 1: an image array must be uint8"):
        detector([image_of(1), np.zeros((8, 8, 3))])
    with pytest.raises(InputError, match=r"^missing\.png: "):
        detector([image_of(1), "missing.png"])


def test_results_have_names_images_and_times(detector: Detector, tmp_path: Path) -> None:
    for number in (1, 2):
        PIL.Image.fromarray(image_of(number)).save(tmp_path / f"{number}.png")
    first, second = detector.stream(tmp_path)
    assert (first.name, second.name) == (str(tmp_path / "1.png"), str(tmp_path / "2.png"))
    np.testing.assert_array_equal(second.image, image_of(2))
    assert numbers([first.detections, second.detections]) == [1, 2]
    assert first.seconds > 0
    assert first.error is None


def test_detections_remember_the_file_or_the_pixels_of_their_image(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "1.png"
    PIL.Image.fromarray(image_of(1)).save(path)
    archive = write_zip(tmp_path / "a.zip", [("2.png", encode(PIL.Image.fromarray(image_of(2)), "PNG"))])
    first, second = (result.detections for result in detector.stream([path, archive]))
    assert first.picture == path
    np.testing.assert_array_equal(second.picture, image_of(2))
    assert [len(found.crops()) for found in (first, second)] == [1, 1]
    assert detector([path])[0].picture == path


@pytest.mark.parametrize("numbers", [{"batch": 0}, {"batch": 1.5}, {"every": 0}, {"every": 2.5}])
def test_numbers_that_are_not_whole(detector: Detector, numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="batch and every must be whole numbers of at least 1"):
        detector.stream([], **numbers)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_order_is_that_of_the_sources(detector: Detector, batch: int, tmp_path: Path) -> None:
    content = {number: encode(PIL.Image.fromarray(image_of(number)), "PNG") for number in range(6)}
    archive = write_zip(tmp_path / "a.zip", [(f"{number}.png", content[number]) for number in (5, 4)])
    results = list(detector.stream([image_of(2), archive, content[1], image_of(3)], batch=batch))
    assert numbers([result.detections for result in results]) == [2, 5, 4, 1, 3]


@pytest.mark.parametrize("batch", [1, 4, 16])
def test_memory_is_bounded(detector: Detector, batch: int) -> None:
    taken = []

    def camera() -> Iterator[Image]:
        for number in count():
            taken.append(number)
            yield image_of(number % 10)

    stream = detector.stream(camera(), batch=batch)
    for done, result in enumerate(islice(stream, 40)):
        assert numbers([result.detections]) == [done % 10]
        assert len(taken) <= done + 2 * batch
    stream.close()
    assert len(taken) <= 40 + 2 * batch


def test_errors_are_returned_in_their_place(detector: Detector) -> None:
    results = list(detector.stream([image_of(1), "missing.png", image_of(2)], errors="return"))
    assert [result.error is None for result in results] == [True, False, True]
    assert results[1].name == "missing.png"
    with pytest.raises(InputError, match=r"^missing\.png: expected"):
        _ = results[1].detections
    with pytest.raises(InputError, match=r"^missing\.png: expected"):
        _ = results[1].image


def test_errors_are_raised_in_their_place(detector: Detector) -> None:
    stream = detector.stream([image_of(1), "missing.png", image_of(2)])
    assert numbers([next(stream).detections]) == [1]
    with pytest.raises(InputError, match=r"^missing\.png: expected"):
        next(stream)
    assert list(stream) == []


def test_images_are_done_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.runtime.parallel.many_images.available_cores", lambda: 2)
    both = threading.Barrier(2, timeout=30)

    def waiting(image: Image) -> Proposals:
        both.wait()
        return whole(image)

    assert len(list(Detector(waiting, Number()).stream([image_of(1), image_of(2)]))) == 2


def test_a_stream_that_is_left_early_stops_its_work(detector: Detector) -> None:
    before = threading.active_count()
    with_two = list(islice(detector.stream(image_of(number % 10) for number in count()), 2))
    assert len(with_two) == 2
    for _ in range(100):
        if threading.active_count() <= before:
            break
        threading.Event().wait(0.05)
    assert threading.active_count() <= before


@pytest.mark.parametrize("options", [{"batch": 0}, {"every": 0}, {"batch": -1}, {"errors": "ignore"}])
def test_wrong_arguments_are_told_at_once(detector: Detector, options: Any) -> None:
    with pytest.raises(ValueError, match="must be"):
        detector.stream([], **options)


def test_nothing_gives_nothing(detector: Detector) -> None:
    assert list(detector.stream([])) == []


def test_an_error_can_be_sent_to_another_process(detector: Detector) -> None:
    (result,) = detector.stream("missing.png", errors="return")
    assert str(pickle.loads(pickle.dumps(result.error))) == str(result.error)


def test_a_wrong_result_of_a_proposer_is_the_error_of_its_image() -> None:
    def propose(image: Image) -> Any:
        return whole(image) if image.any() else (np.zeros((0, 4)), np.zeros(0))

    detector = Detector(propose, Number(), score_threshold=0)
    good, bad = detector.stream([image_of(3), image_of(0)], errors="return")
    assert numbers([good.detections]) == [3]
    assert bad.error is not None
    assert bad.error.line.endswith(".propose: expected Proposals, got tuple")
    with pytest.raises(InputError, match="expected Proposals, got tuple"):
        detector(image_of(0))
