"""The two stages of a detector, for runs that must not end because of one image in a million."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from detection.detector import Detector
from detection.errors import InputError, is_out_of_memory
from detection.formats.dataset_results.partition import ImageRow, failed_row
from detection.runtime.parallel.many_images import ImageResult
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals, find_proposals
from detection.structures.detections import Detections

Result = TypeVar("Result")


class TolerantStages:
    """The stages of a detector. If a stage fails on an image, the image gets an `InputError` as its result.

    Errors that say nothing about the image are raised unchanged: a lost GPU, too little memory, a store or a disk.
    """

    def __init__(self, detector: Detector) -> None:
        self.detector = detector

    def propose(self, image: Image) -> Proposals:
        """Return the proposals of an image."""
        return _naming_faults("proposals", lambda: find_proposals(self.detector.propose, image))

    def score(self, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        """Return the detections in each image."""
        return _naming_faults("detections", lambda: self.detector.score(images, proposals))


def _naming_faults(expected: str, function: Callable[[], Result]) -> Result:
    try:
        return function()
    except (InputError, OSError):
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise InputError(f"expected {expected}, got {type(error).__name__}: {error}") from error


def result_row(key: str, result: ImageResult) -> ImageRow:
    """Return the row of the result of an image."""
    if result.error is not None:
        return failed_row(key, result.error.line)
    detections = result.detections
    height, width = result.image.shape[:2]
    return ImageRow(key, (height, width), detections.boxes, detections.scores, detections.labels)
