"""Measure how long a detector takes for an image, one image at a time, while the process does nothing else.

The time of proposing and that of scoring (classification and suppression) count; reading the image does not. Figures
are kept in the folder of the detector's results, so that each variant is timed once on a machine. Delete the file
`timing-*.json` there to time it again.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import zlib
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import torch

from detection.datasets.annotated_images import read_annotated_image
from detection.detector import Detector
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.file_fingerprint import fingerprint_file
from detection.structures.ground_truth import GroundTruth
from tools.command.options import evenly_spaced


class Timing(NamedTuple):
    """The seconds for proposing and for scoring each of the timed images, the machine, and the CRC-32 of the images."""

    proposing: list[float]
    scoring: list[float]
    machine: str
    images: list[int] | None = None

    @property
    def seconds(self) -> float:
        """The median over the images of the sum of both."""
        return statistics.median(map(sum, zip(self.proposing, self.scoring, strict=True)))


def timing_file(folder: Path, settings: Any) -> Path:
    """Return the file of the timing of a detector with these settings, in the folder of its results.

    Variants that differ only in their device or batch size share the folder, but not the time.
    """
    text = json.dumps(settings, sort_keys=True, default=str)
    return folder / f"timing-{zlib.crc32(text.encode(errors='surrogatepass')):08x}.json"


def timed(detector: Detector, records: Sequence[GroundTruth], count: int, path: Path) -> Timing:
    """Return the timing on `count` of the images, evenly spaced, which the file `path` keeps for the next time.

    Raises:
        InputError: naming the file, if an image cannot be read or the timing cannot be written.
    """
    chosen, machine = evenly_spaced(records, count), describe_machine()
    images = [fingerprint_file(record.path).crc32 for record in chosen]
    kept = _read(path)
    if kept is not None and (kept.images, kept.machine) == (images, machine):
        return kept
    proposing, scoring = [], []
    for record in (chosen[0], *chosen):  # the first image comes twice, because code is compiled the first time
        image = read_annotated_image(record)
        start = perf_counter()
        proposals = detector.propose(image)
        proposed = perf_counter()
        detector.score([image], [proposals])  # its results lie on the CPU, so that a GPU has finished by then
        proposing.append(proposed - start)
        scoring.append(perf_counter() - proposed)
    timing = Timing(proposing[1:], scoring[1:], machine, images)
    write_atomically(path, json.dumps(timing._asdict()).encode("ascii"))
    return timing


def _read(path: Path) -> Timing | None:
    """Return the timing in a file, or None if there is no such file.

    Raises:
        InputError: naming the file, if it holds something else, which must not be replaced.
    """
    if not path.exists():
        return None
    try:
        return Timing(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"{path}: expected a timing of this command, or no file, got another one: {error}") from None


def describe_machine() -> str:
    """Return what the times depend on: processor, number of cores, threads of PyTorch, and GPU."""
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}"
