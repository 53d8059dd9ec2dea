"""Detection with all cores or the GPU of this machine, without Ray."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from itertools import chain, islice

from detection.detector import BATCH, Detector
from detection.formats.dataset_results.partition import ImageRow
from detection.runtime.parallel.many_images import detect_in_batches, find_parallelism
from detection.sources.picture import Picture
from tools.bulk.inputs.pictures import item_pictures
from tools.bulk.plan import Plan
from tools.bulk.stages import TolerantStages, result_row


def detect_locally(
    plan: Plan, partitions: Sequence[int], detector: Detector
) -> Generator[tuple[int, int, ImageRow], None, None]:
    """Yield the number of the partition, the place in it, and the row of each image of some partitions, in order.

    The images go the same way as those of the command `detect`: some are read and proposed ahead, so that the memory
    does not grow with their number.

    Raises:
        DeviceError: if the GPU stopped responding.
        OSError: if a store does not answer.
    """
    count = sum(len(plan.partition(number)) for number in partitions)
    places = ((number, place) for number in partitions for place in range(len(plan.partition(number))))
    stages, parallelism = TolerantStages(detector), find_parallelism(min(BATCH, count))
    with closing(detect_in_batches(_batches(plan, partitions), stages, parallelism)) as results:
        for (number, place), result in zip(places, results, strict=True):
            yield number, place, result_row(plan.partition(number)[place].key, result)


def _batches(plan: Plan, partitions: Sequence[int]) -> Iterator[list[Picture]]:
    """Yield the pictures of each group; an archive is opened once, also for several partitions."""
    pictures = item_pictures(chain.from_iterable(map(plan.partition, partitions)), plan.columns)
    for number in partitions:
        for _, items in plan.groups(number):
            yield list(islice(pictures, len(items)))
