"""Many images, one after the other in their order, with all that the machine has."""

from __future__ import annotations

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
"""Bounds the images that are held in memory at once, one a thread."""

MAX_CPU_THREADS = 4
"""On a CPU, where more of them would wait for the interpreter's lock."""

MAX_GROUP = 4
"""Images on a CPU whose regions share batches: with the few that a cascade leaves of one, batches would be small."""


class Sharing(NamedTuple):
    """How threads share images; with 0 `threads` all is done in turn.

    `group` images at a time are read, proposed and scored by a thread. With 0, threads only read and propose.
    """

    threads: int
    group: int


IN_TURN = Sharing(threads=0, group=1)


class Found(NamedTuple):
    """An image with its detections, and the seconds that it took."""

    image: Image
    detections: Detections
    seconds: float


class _Proposed(NamedTuple):
    image: Image
    proposals: Proposals
    seconds: float


def find_sharing(count: int) -> Sharing:
    """What suits `count` images.

    Where a GPU scores, whose batches are full, threads read and propose ahead, one a core. On a CPU many steps are too
    short for several cores, so each of a few threads does images of its own with its share of the cores.
    """
    import torch  # noqa: PLC0415  slow to import, and not needed for --help

    cores = available_cores()
    if count < 2:
        return IN_TURN
    if torch.cuda.is_available():
        return Sharing(min(MAX_THREADS, cores), group=0)
    threads = min(MAX_CPU_THREADS, cores, count)
    return Sharing(threads if threads > 1 else 0, group=min(MAX_GROUP, -(-count // threads)))


def detect_in_all(
    paths: Sequence[Path], detector: Detector, sharing: Sharing
) -> Generator[Found | InputError, None, None]:
    """What is found in each image, or what is wrong with it, in their order.

    Raises:
        DeviceError: if a device is lost, in the place of the image that it was lost at.
    """
    threads, size = sharing
    if not size:
        with closing(map_ahead(partial(_propose, detector), paths, threads=threads, ahead=threads)) as ahead:
            for proposed in ahead:
                yield _score(detector, proposed)
        return
    groups = [paths[start : start + size] for start in range(0, len(paths), size)]
    with _sharing_cores(threads) as prepare:
        coming = map_ahead(partial(_detect, detector), groups, threads=threads, ahead=threads, prepare=prepare)
        with closing(coming):
            for group in coming:
                yield from group


@contextmanager
def _sharing_cores(threads: int) -> Generator[Callable[[], None], None, None]:
    """Gives what each of the threads has to call first, to compute with its share of the cores."""
    import torch  # noqa: PLC0415

    before = torch.get_num_threads()
    try:
        yield partial(torch.set_num_threads, max(1, before // max(1, threads)))
    finally:
        torch.set_num_threads(before)


def _propose(detector: Detector, path: Path) -> _Proposed | InputError:
    start = time.perf_counter()
    try:
        image = read_image(path)
        proposals = detector.propose(image)
    except InputError as error:
        return error
    return _Proposed(image, proposals, time.perf_counter() - start)


def _score(detector: Detector, proposed: _Proposed | InputError) -> Found | InputError:
    if isinstance(proposed, InputError):
        return proposed
    start = time.perf_counter()
    try:
        detections = detector.score([proposed.image], [proposed.proposals])[0]
    except DeviceError:
        raise
    except InputError as error:
        return error
    return Found(proposed.image, detections, proposed.seconds + time.perf_counter() - start)


def _detect(detector: Detector, paths: Sequence[Path]) -> list[Found | InputError]:
    start = time.perf_counter()
    proposed = [_propose(detector, path) for path in paths]
    if len(proposed) == 1:
        return [_score(detector, proposed[0])]
    read = [one for one in proposed if isinstance(one, _Proposed)]
    try:
        detections = iter(detector.score([one.image for one in read], [one.proposals for one in read]))
    except DeviceError:
        raise
    except InputError:
        return [_score(detector, one) for one in proposed]  # which tells at which of them
    seconds = (time.perf_counter() - start) / len(paths)
    return [one if isinstance(one, InputError) else Found(one.image, next(detections), seconds) for one in proposed]
