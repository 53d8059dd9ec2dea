"""The photos that wait for a detector. Threads read them and propose boxes, and one thread scores several together.

Each photo passes through `_propose` in one of the threads, and then through `_score` in the only thread that uses the
detector's thresholds and its classifier. While a batch is scored, the photos of further requests are proposed; all that
are ready by then, up to the size of a batch, are scored together next.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from queue import Empty, Queue
from threading import Thread

from detection.detector import Detector
from detection.errors import DeviceError
from detection.image import MAX_PIXELS, decode_image
from detection.runtime.parallel.many_images import MAX_BATCH
from detection.runtime.parallel.ordered_map import available_cores
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals, find_proposals
from detection.structures.detections import Detections

MAX_THREADS = 4
"""The largest number of threads that read photos and propose boxes."""


@dataclass(frozen=True)
class Answer:
    """The detections in a photo with a score from the threshold of its request on, best first.

    Attributes:
        size: height and width of the photo.
        detections: the detections of all classes, without a limit on their number.
        seconds: time from the reading of the photo to its detections.
    """

    size: tuple[int, int]
    detections: Detections
    seconds: float


@dataclass
class _Photo:
    content: bytes
    name: str
    score_threshold: float
    answer: Future[Answer]

    def forget(self, _: Future[Answer]) -> None:
        """Free the memory of a photo that is answered or cancelled, and may still wait for a thread."""
        self.content = b""


@dataclass(frozen=True)
class _Proposed:
    photo: _Photo
    image: Image
    proposals: Proposals
    start: float


class DetectionQueue:
    """Answers photos with a detector, several together; see the docstring of the module.

    Args:
        detector: its `max_detections` is not used.
        batch: the largest number of photos that are scored together.
        max_pixels: larger photos are refused.
        on_batch: called with the number of photos of each batch, after it was scored.
        on_failure: called when the GPU is lost; afterwards all photos fail with the same `DeviceError`.
    """

    def __init__(
        self,
        detector: Detector,
        *,
        batch: int = MAX_BATCH,
        max_pixels: int = MAX_PIXELS,
        on_batch: Callable[[int], object] = lambda _: None,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        # The limit on detections follows the choice of classes, which each request makes.
        self._detector = replace(detector, max_detections=sys.maxsize)
        self._batch = batch
        self._max_pixels = max_pixels
        self._on_batch, self._on_failure = on_batch, on_failure
        self.failure: DeviceError | None = None
        # The threads wait where the queue is full, so that the number of photos in memory is bounded.
        self._proposed: Queue[_Proposed | None] = Queue(maxsize=batch)
        threads = max(1, min(MAX_THREADS, available_cores() // 2))
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="propose")
        self._scoring = Thread(target=self._score_until_closed, name="score", daemon=True)
        self._scoring.start()

    def submit(self, content: bytes, name: str, score_threshold: float) -> Future[Answer]:
        """Return the future answer for a photo. If the future is cancelled, the photo is left out where possible.

        The answer may be an `InputError` that begins with `name`, if the photo cannot be read; or a `DeviceError`.

        Raises:
            RuntimeError: after `close`.
        """
        photo = _Photo(content, name, score_threshold, Future())
        photo.answer.add_done_callback(photo.forget)
        self._threads.submit(self._propose, photo)
        return photo.answer

    def close(self, *, wait: bool = True) -> None:
        """Answer all photos that were submitted, and end the threads; without `wait`, drop those not yet started."""
        self._threads.shutdown(wait=wait, cancel_futures=not wait)
        if wait:
            self._proposed.put(None)
            self._scoring.join()

    def _propose(self, photo: _Photo) -> None:
        if photo.answer.cancelled():
            return
        start = time.perf_counter()
        try:
            if self.failure is not None:
                raise self.failure
            image = decode_image(photo.content, name=photo.name, max_pixels=self._max_pixels)
            proposed = _Proposed(photo, image, find_proposals(self._detector.propose, image), start)
        except Exception as error:  # the request gets it, and the others go on
            _fail(photo, error)
        else:
            self._proposed.put(proposed)

    def _score_until_closed(self) -> None:
        more = True
        while more:
            batch, more = self._next_batch()
            wanted = [item for item in batch if item.photo.answer.set_running_or_notify_cancel()]
            if wanted:
                self._answer(wanted)

    def _next_batch(self) -> tuple[list[_Proposed], bool]:
        """Wait for a photo; return it with those that are ready too, and False if no more will come."""
        batch: list[_Proposed] = []
        item = self._proposed.get()
        while item is not None:
            batch.append(item)
            if len(batch) == self._batch:
                return batch, True
            try:
                item = self._proposed.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _answer(self, batch: Sequence[_Proposed]) -> None:
        """Score the photos together; if that fails, score each alone, to find out which of them fails."""
        try:
            if self.failure is not None:
                raise self.failure
            all_detections = self._score(batch)
        except Exception as error:
            if isinstance(error, DeviceError) and self.failure is None:
                self.failure = error
                self._on_failure()
            if len(batch) == 1:
                batch[0].photo.answer.set_exception(error)
                return
            for item in batch:
                self._answer([item])
            return
        self._on_batch(len(batch))
        end = time.perf_counter()
        for item, detections in zip(batch, all_detections, strict=True):
            kept = detections[detections.scores >= item.photo.score_threshold]
            height, width = item.image.shape[:2]
            item.photo.answer.set_result(Answer((height, width), kept, end - item.start))

    def _score(self, batch: Sequence[_Proposed]) -> list[Detections]:
        """Score with the lowest threshold of the batch.

        The detections of a photo from a higher threshold on are the same as if it had been scored with that threshold,
        because no box is suppressed by one with a lower score.
        """
        self._detector.score_threshold = min(item.photo.score_threshold for item in batch)
        return self._detector.score([item.image for item in batch], [item.proposals for item in batch])


def _fail(photo: _Photo, error: Exception) -> None:
    """Let an answer that nobody has cancelled be an error."""
    if photo.answer.set_running_or_notify_cancel():
        photo.answer.set_exception(error)
