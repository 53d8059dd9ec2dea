"""Detection in many images with all cores or the GPU of the machine; the results keep the order of the images.

`find_parallelism` chooses how the work is divided, and `detect_in_images` does it. `Detector.stream` and the command
`detect` go this way. A single image takes the same way, without threads.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import NamedTuple, Protocol

from detection.errors import DeviceError, InputError
from detection.runtime.parallel.ordered_map import available_cores, map_ahead
from detection.runtime.parallel.threads import loaded_torch, set_thread_count, thread_count
from detection.sources.conversion import lasting_picture
from detection.sources.picture import Picture
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals, find_proposals
from detection.structures.detections import Detections

MAX_THREADS = 8
"""The largest number of threads where a GPU scores; each holds an image in memory."""

MAX_CPU_THREADS = 4
"""The largest number of threads on a CPU, where more of them would wait for the lock of the interpreter."""

MAX_BATCH = 4
"""The largest number of images whose regions share batches on a CPU. A single image would make small batches, as only a
few of its regions pass a cascade."""


class Parallelism(NamedTuple):
    """The division of the work on many images.

    Attributes:
        threads: the number of threads besides the main thread. With 0, the main thread does everything.
        batch: the number of images that are read, proposed and scored together.
        threads_score: True if the threads also score the images; otherwise they read and propose, and the main
            thread scores.
    """

    threads: int
    batch: int
    threads_score: bool = True


ONE_BY_ONE = Parallelism(threads=0, batch=1)


@dataclass(frozen=True, eq=False)
class ImageResult:
    """The detections in an image, or the error that the image caused.

    Attributes:
        picture: where the image comes from.
        outcome: the image [H, W, 3] and its detections, or the error.
        seconds: the time that the image took.
    """

    picture: Picture
    outcome: tuple[Image, Detections] | InputError
    seconds: float = 0.0

    @property
    def name(self) -> str:
        """The name of the image, such as its path."""
        return self.picture.name

    @property
    def error(self) -> InputError | None:
        """The error, or None if there was none."""
        return self.outcome if isinstance(self.outcome, InputError) else None

    @property
    def image(self) -> Image:
        """The image; the error is raised if there was one."""
        return self._value()[0]

    @property
    def detections(self) -> Detections:
        """The detections; the error is raised if there was one."""
        return self._value()[1]

    def _value(self) -> tuple[Image, Detections]:
        if isinstance(self.outcome, InputError):
            raise self.outcome
        return self.outcome


class Stages(Protocol):
    """The two halves of a `Detector`: proposals for an image, and the detections among those of several images."""

    def propose(self, image: Image, /) -> Proposals: ...

    def score(self, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]: ...


class ProposedPicture(NamedTuple):
    """A picture with its image [H, W, 3], its proposals, and the seconds that both took."""

    picture: Picture
    image: Image
    proposals: Proposals
    seconds: float


def find_parallelism(count: int) -> Parallelism:
    """Return how to divide the work on `count` images between the cores of this machine.

    With a GPU, the main thread scores one image after the other, and a thread for each core reads and proposes ahead
    of it. On a CPU many steps are too short to be divided between cores, so each of a few threads does everything for
    its own images, with its share of the cores.
    """
    if count < 2:
        return ONE_BY_ONE
    cores = available_cores()
    torch = loaded_torch()  # without PyTorch, no network is on a GPU
    if torch is not None and torch.cuda.is_available():
        return Parallelism(min(MAX_THREADS, cores, count), batch=1, threads_score=False)
    threads = min(MAX_CPU_THREADS, cores, count)
    return Parallelism(threads if threads > 1 else 0, batch=min(MAX_BATCH, -(-count // threads)))


def detect_in_images(
    pictures: Iterable[Picture], detector: Stages, parallelism: Parallelism
) -> Generator[ImageResult, None, None]:
    """Yield the result of each picture in order. An error that a picture causes is the outcome of its result.

    Pictures are taken from the iterable as they are needed: at most `(threads + 1) * batch` of them are in work.

    Raises:
        DeviceError: if the GPU stopped responding, so that no later image can be scored.
    """
    yield from detect_in_batches(_batches(pictures, parallelism.batch), detector, parallelism)


def detect_in_batches(
    batches: Iterable[Sequence[Picture]], detector: Stages, parallelism: Parallelism
) -> Generator[ImageResult, None, None]:
    """Yield the result of each picture in order, where each batch of pictures is scored together.

    The size of the batches takes the place of `parallelism.batch`.

    Raises:
        DeviceError: as `detect_in_images` does.
    """
    threads, _, threads_score = parallelism
    propose, detect = partial(propose_boxes, detector), partial(_detect, detector)
    if not threads:
        for batch in batches:
            yield from detect(batch)
    elif threads_score:
        with (
            _shared_cores(threads) as prepare,
            closing(map_ahead(detect, batches, threads=threads, ahead=threads, prepare=prepare)) as scored,
        ):
            for results in scored:
                yield from results
    else:
        with closing(map_ahead(propose, batches, threads=threads, ahead=threads)) as proposed_batches:
            for proposed in proposed_batches:
                yield from score_batch(detector, proposed)


def _batches(pictures: Iterable[Picture], size: int) -> Iterator[list[Picture]]:
    iterator = iter(pictures)
    while batch := list(islice(iterator, size)):
        yield batch


@contextmanager
def _shared_cores(threads: int) -> Generator[Callable[[], None], None, None]:
    """Yield a function that each thread calls first, so that its networks use only this thread's share of the cores."""
    before = thread_count()
    try:
        yield partial(set_thread_count, max(1, before // threads))
    finally:
        set_thread_count(before)


def _detect(detector: Stages, pictures: Sequence[Picture]) -> list[ImageResult]:
    return score_batch(detector, propose_boxes(detector, pictures))


def propose_boxes(detector: Stages, pictures: Sequence[Picture]) -> list[ProposedPicture | ImageResult]:
    """Read each image and propose boxes in it, or return the error that it caused."""
    results: list[ProposedPicture | ImageResult] = []
    for picture in pictures:
        start = time.perf_counter()
        try:
            image = picture.read()
            proposals = find_proposals(detector.propose, image)
            results.append(ProposedPicture(picture, image, proposals, time.perf_counter() - start))
        except InputError as error:
            results.append(ImageResult(picture, error))
    return results


def score_batch(detector: Stages, batch: Sequence[ProposedPicture | ImageResult]) -> list[ImageResult]:
    """Score the images of a batch together; if that fails, score each alone, to find out which of them fails."""
    start = time.perf_counter()
    proposed = [item for item in batch if isinstance(item, ProposedPicture)]
    if not proposed:
        return [item for item in batch if isinstance(item, ImageResult)]
    try:
        detections = detector.score([item.image for item in proposed], [item.proposals for item in proposed])
    except DeviceError:
        raise
    except InputError as error:
        if len(batch) == 1:
            return [ImageResult(proposed[0].picture, error)]
        return [result for item in batch for result in score_batch(detector, [item])]
    seconds = (time.perf_counter() - start) / len(proposed)
    results = iter(
        ImageResult(item.picture, (item.image, _with_picture(objects, item)), item.seconds + seconds)
        for item, objects in zip(proposed, detections, strict=True)
    )
    return [item if isinstance(item, ImageResult) else next(results) for item in batch]


def _with_picture(detections: Detections, item: ProposedPicture) -> Detections:
    """Return detections that remember the file of their image, or the image itself if it is not a file."""
    return detections.in_picture(lasting_picture(item.picture.path or item.image, item.image))
