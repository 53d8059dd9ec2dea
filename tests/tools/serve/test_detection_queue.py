from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, Future

import numpy as np
import pytest

from detection.errors import DeviceError, InputError
from tests.tools.serve.fake_service import FAULTY, LOST, FakeStages, fake_detector, photo
from tools.serve.detection_queue import Answer, DetectionQueue


@pytest.fixture(name="stages")
def fake_stages() -> FakeStages:
    return FakeStages()


@pytest.fixture(name="queue")
def queue_of_fake_stages(stages: FakeStages) -> Iterator[DetectionQueue]:
    queue = DetectionQueue(fake_detector(stages), batch=4)
    yield queue
    stages.gate.set()
    queue.close()


def scores(answer: Future[Answer]) -> list[int]:
    return [round(score * 255) for score in answer.result(60).detections.scores.tolist()]


def fill_while_scoring(queue: DetectionQueue, stages: FakeStages, photos: list[bytes]) -> list[Future[Answer]]:
    """Submit photos while another one is scored, wait until they are proposed, and let all of them be scored."""
    stages.gate.clear()
    first = queue.submit(photo(200), "first", 0.5)
    assert stages.scoring.wait(60)
    answers = [queue.submit(content, str(number), 0.5) for number, content in enumerate(photos)]
    deadline = time.monotonic() + 60
    while queue._proposed.qsize() < min(4, len(photos)) and time.monotonic() < deadline:
        time.sleep(0.01)
    stages.gate.set()
    assert scores(first) == [200]
    return answers


def test_waiting_photos_are_scored_together(queue: DetectionQueue, stages: FakeStages) -> None:
    answers = fill_while_scoring(queue, stages, [photo(150 + number) for number in range(4)])
    assert [scores(answer) for answer in answers] == [[150], [151], [152], [153]]
    assert stages.batches == [1, 4]


def test_a_batch_is_no_larger_than_asked(queue: DetectionQueue, stages: FakeStages) -> None:
    answers = fill_while_scoring(queue, stages, [photo(150 + number) for number in range(10)])
    assert [scores(answer) for answer in answers] == [[150 + number] for number in range(10)]
    assert max(stages.batches) == 4
    assert sum(stages.batches) == 11


def test_each_photo_has_its_own_threshold(queue: DetectionQueue, stages: FakeStages) -> None:
    """The limit is compared in float32, the type of the scores; a score equal to it is kept."""
    stages.gate.clear()
    thresholds = [0.0, float(np.float32(100 / 255)), 0.4, 1.0]
    answers = [queue.submit(photo(100, 255), "photo", threshold) for threshold in thresholds]
    stages.gate.set()
    assert [scores(answer) for answer in answers] == [[255, 100], [255, 100], [255], [255]]


def test_answer_describes_the_photo(queue: DetectionQueue) -> None:
    answer = queue.submit(photo(255, size=(7, 9)), "photo", 0.5).result(60)
    assert answer.size == (7, 9)
    assert answer.detections.boxes.tolist() == [[1, 2, 9, 7]]
    assert answer.detections.names == ["cat"]
    assert answer.seconds > 0


def test_a_fault_in_one_photo_spares_the_others(queue: DetectionQueue, stages: FakeStages) -> None:
    good, bad, last = fill_while_scoring(queue, stages, [photo(150), photo(0, 0, FAULTY), photo(151)])
    assert (scores(good), scores(last)) == ([150], [151])
    with pytest.raises(ValueError, match="a fault of the program"):
        bad.result(60)
    assert queue.failure is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no photo", "p: expected a readable image, got: a file that is not JPEG"),
        (photo(1, kind="jpeg")[:-40], "p: expected a readable image, got: a file that is cut short or damaged"),
        (photo(1, size=(101, 100)), "p: expected a readable image, got: 100 x 101 = 10100 pixels, more than the limit"),
    ],
)
def test_photos_that_are_not_read(content: bytes, message: str, stages: FakeStages) -> None:
    queue = DetectionQueue(fake_detector(stages), max_pixels=10_000)
    with pytest.raises(InputError, match=message):
        queue.submit(content, "p", 0.5).result(60)
    assert scores(queue.submit(photo(200, size=(100, 100)), "p", 0.5)) == [200]
    queue.close()


def test_cancelled_photos_are_not_scored(queue: DetectionQueue, stages: FakeStages) -> None:
    stages.gate.clear()
    first = queue.submit(photo(200), "first", 0.5)
    assert stages.scoring.wait(60)
    cancelled, last = (queue.submit(photo(150), "later", 0.5) for _ in range(2))
    assert cancelled.cancel()
    stages.gate.set()
    assert (scores(first), scores(last)) == ([200], [150])
    with pytest.raises(CancelledError):
        cancelled.result()
    assert sum(stages.batches) == 2


def test_a_lost_gpu_fails_all_later_photos(stages: FakeStages) -> None:
    told: list[bool] = []
    queue = DetectionQueue(fake_detector(stages), on_failure=lambda: told.append(True))
    for content in (photo(0, 0, LOST), photo(200), b"no photo"):
        with pytest.raises(DeviceError, match="lost"):
            queue.submit(content, "p", 0.5).result(60)
    assert told == [True]
    assert stages.batches == []
    queue.close()


def test_closing_answers_what_was_submitted(stages: FakeStages) -> None:
    queue = DetectionQueue(fake_detector(stages), batch=2)
    answers = [queue.submit(photo(200), "p", 0.5) for _ in range(20)]
    queue.close()
    assert all(answer.done() for answer in answers)
    assert [scores(answer) for answer in answers] == [[200]] * 20
    with pytest.raises(RuntimeError):
        queue.submit(photo(), "p", 0.5)


def test_detector_of_the_caller_is_not_changed(stages: FakeStages) -> None:
    detector = fake_detector(stages)
    queue = DetectionQueue(detector)
    queue.submit(photo(200), "p", 0.1).result(60)
    queue.close()
    assert (detector.score_threshold, detector.max_detections) == (0.5, 100)
    assert stages.proposing
    assert all(name.startswith("propose") for name in stages.proposing)
