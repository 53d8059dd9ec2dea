"""How long a detector takes for an image: image by image, nothing else at work in the process.

Counted are proposing and scoring (classification and suppression) of an image that has been read. Figures are kept
in the folder of the detector's results, so that each variant is timed once on a machine; delete them to time it again.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import torch

from detection.datasets.dataset import Entry
from detection.detector import Detector
from detection.image import read_image
from detection.runtime.whole_file import write_whole
from tools.command.split_options import evenly_spaced

NAME = "timing.json"
"""The file in the folder of the results."""


class Timing(NamedTuple):
    """Seconds for each of the images: to propose, and to score what was proposed; on which machine."""

    proposing: list[float]
    scoring: list[float]
    machine: str

    @property
    def seconds(self) -> float:
        """The median over the images of both together."""
        return statistics.median(map(sum, zip(self.proposing, self.scoring, strict=True)))


def timed(detector: Detector, entries: Sequence[Entry], count: int, folder: Path) -> Timing:
    """The timing on `count` of the images, evenly spaced: a new one, unless the folder has one like it.

    Raises:
        InputError: naming the file, if an image cannot be read or the timing not be written.
    """
    chosen = evenly_spaced(entries, count)
    path = folder / NAME
    kept = _read(path)
    if kept is not None and (len(kept.proposing), kept.machine) == (len(chosen), describe_machine()):
        return kept
    timing = measure_time(detector, chosen)
    write_whole(path, json.dumps(timing._asdict()).encode("ascii"))
    return timing


def measure_time(detector: Detector, entries: Sequence[Entry]) -> Timing:
    """A new timing on all of the images; the first goes through twice, so that what is compiled late does not count."""
    proposing, scoring = [], []
    for entry in (entries[0], *entries):
        image = read_image(entry.record.path)
        start = perf_counter()
        proposals = detector.propose(image)
        proposed = perf_counter()
        detector.score([image], [proposals])  # arrays on the CPU, so a GPU is done with them
        proposing.append(proposed - start)
        scoring.append(perf_counter() - proposed)
    return Timing(proposing[1:], scoring[1:], describe_machine())


def describe_machine() -> str:
    """What times depend on: processor, cores, threads of PyTorch, GPU."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}"


def _read(path: Path) -> Timing | None:
    """The timing in a file, None where there is none that can be used."""
    try:
        return Timing(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
