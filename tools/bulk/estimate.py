"""The estimate of a run: how many images there are, and how long this machine would take for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import NamedTuple

from detection.detector import Detector
from detection.runtime.parallel.many_images import detect_in_images, find_parallelism
from tools.bulk.inputs.pictures import item_pictures
from tools.bulk.plan import Plan
from tools.bulk.stages import TolerantStages
from tools.command.options import evenly_spaced


class Estimate(NamedTuple):
    """The work that is left, and the speed of this machine.

    Attributes:
        images: the number of images to do.
        partitions: the number of partitions to do.
        seconds: the time that this machine takes for an image.
        sampled: the number of images that were timed.
    """

    images: int
    partitions: int
    seconds: float
    sampled: int


def estimate(plan: Plan, partitions: Sequence[int], detector: Detector, *, sample: int) -> Estimate:
    """Return the estimate for some partitions, by detecting in at most `sample` of their images, evenly spaced.

    The first image is done once before, so that the compilation of loops is not counted.
    """
    items = [item for number in partitions for item in plan.partition(number)]
    chosen = evenly_spaced(items, sample)
    stages, parallelism = TolerantStages(detector), find_parallelism(len(chosen))

    def run(count: int) -> None:
        with closing(detect_in_images(item_pictures(chosen[:count], plan.columns), stages, parallelism)) as results:
            for _ in results:
                pass

    run(1)
    start = time.perf_counter()
    run(len(chosen))
    return Estimate(len(items), len(partitions), (time.perf_counter() - start) / max(1, len(chosen)), len(chosen))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun, such as "1 image" or "2 images"."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def format_estimate(estimate: Estimate, *, machines: int, price: float | None) -> str:
    """Return the lines that `--dry-run` prints; `price` is that of an hour of a machine."""
    if not estimate.images:
        return "to do: nothing, because all partitions are finished"
    hours = estimate.images * estimate.seconds / 3600
    lines = [
        f"to do: {counted(estimate.images, 'image')} in {counted(estimate.partitions, 'partition')}",
        f"{estimate.seconds:.3f} s per image on this machine, measured with {counted(estimate.sampled, 'image')}",
        f"{hours / machines:.2f} h on {counted(machines, 'such machine')}, if none waits",
    ]
    if price is not None:
        lines.append(f"{hours * price:.2f} for {hours:.2f} machine hours at {price:g} each")
    return "\n".join(lines)
