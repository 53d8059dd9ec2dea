"""Detection in many images with all cores or the GPU of the machine; the results keep the order of the images.

`find_parallelism` chooses how the work is divided, and `detect_in_images` does it. A single photo takes the same way,
without threads.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from detection.detector import Detector
from detection.errors import DeviceError, InputError
from detection.image import read_image
from detection.runtime.ordered_map import available_cores, map_ahead
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals
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


class ImageResult(NamedTuple):
    """An image with its detections, and the seconds that it took."""

    image: Image
    detections: Detections
    seconds: float


class _Proposed(NamedTuple):
    image: Image
    proposals: Proposals
    seconds: float


def find_parallelism(count: int) -> Parallelism:
    """Return how to divide the work on `count` images between the cores of this machine.

    A GPU is fast enough that its batches are full anyway: one thread a core reads and proposes ahead of it. On a CPU
    many steps are too short to be divided between cores, so each of a few threads does everything for its own images,
    with its share of the cores.
    """
    import torch  # noqa: PLC0415  slow to import, and not needed for --help

    if count < 2:
        return ONE_BY_ONE
    cores = available_cores()
    if torch.cuda.is_available():
        return Parallelism(min(MAX_THREADS, cores), batch=1, threads_score=False)
    threads = min(MAX_CPU_THREADS, cores, count)
    return Parallelism(threads if threads > 1 else 0, batch=min(MAX_BATCH, -(-count // threads)))


def detect_in_images(
    paths: Sequence[Path], detector: Detector, parallelism: Parallelism
) -> Generator[ImageResult | InputError, None, None]:
    """Yield the result of each image in order, or the error that it caused.

    Raises:
        DeviceError: if the GPU is lost; no later image could be scored then.
    """
    threads, size, threads_score = parallelism
    batches = [paths[start : start + size] for start in range(0, len(paths), size)]
    propose, detect = partial(_propose, detector), partial(_detect, detector)
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
                yield from _score(detector, proposed)


@contextmanager
def _shared_cores(threads: int) -> Generator[Callable[[], None], None, None]:
    """Yield a function that each thread calls first, so that PyTorch uses only this thread's share of the cores."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, max(1, before // threads))
    finally:
        torch.set_num_threads(before)


def _detect(detector: Detector, paths: Sequence[Path]) -> list[ImageResult | InputError]:
    return _score(detector, _propose(detector, paths))


def _propose(detector: Detector, paths: Sequence[Path]) -> list[_Proposed | InputError]:
    """Read each image and propose boxes in it, or return the error that it caused."""
    results: list[_Proposed | InputError] = []
    for path in paths:
        start = time.perf_counter()
        try:
            image = read_image(path)
            results.append(_Proposed(image, detector.propose(image), time.perf_counter() - start))
        except InputError as error:
            results.append(error)
    return results


def _score(detector: Detector, batch: Sequence[_Proposed | InputError]) -> list[ImageResult | InputError]:
    """Score the images of a batch together; if that fails, score each alone, to find out which of them fails."""
    start = time.perf_counter()
    proposed = [item for item in batch if isinstance(item, _Proposed)]
    if not proposed:
        return [item for item in batch if isinstance(item, InputError)]
    try:
        detections = detector.score([item.image for item in proposed], [item.proposals for item in proposed])
    except DeviceError:
        raise
    except InputError as error:
        if len(batch) == 1:
            return [error]
        return [result for item in batch for result in _score(detector, [item])]
    seconds = (time.perf_counter() - start) / len(proposed)
    results = iter(
        ImageResult(item.image, objects, item.seconds + seconds)
        for item, objects in zip(proposed, detections, strict=True)
    )
    return [item if isinstance(item, InputError) else next(results) for item in batch]
