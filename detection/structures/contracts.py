"""What the stages of a detector hand to each other. Implementations live in `proposals` and `classifier`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import as_boxes
from detection.structures.ground_truth import GroundTruth

NO_SOURCE = 255
"""Stands for a missing source where sources are stored in a byte each, so it is none itself."""


@dataclass(frozen=True, eq=False)
class Proposals:
    """Candidate boxes of an image, best first: `boxes` [N, 4] float32 xyxy in pixels, `scores` [N], any range.

    `sources` uint8 [N] tells the proposers of a merged list apart, counted from 0; None where there is only one.

    Raises:
        ValueError: at construction, if the arrays do not fit each other, a box is malformed, or a source is no whole
            number in 0-254.
    """

    boxes: FloatArray
    scores: FloatArray
    sources: NDArray[np.integer[Any]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        if self.scores.shape != (len(self.boxes),):
            raise ValueError(f"scores must have shape [{len(self.boxes)}], got {list(self.scores.shape)}")
        if self.sources is not None:
            object.__setattr__(self, "sources", _as_sources(self.sources, len(self.boxes)))

    def __len__(self) -> int:
        return len(self.boxes)


def _as_sources(sources: ArrayLike, count: int) -> NDArray[np.uint8]:
    array = np.asarray(sources)
    if array.shape != (count,):
        raise ValueError(f"sources must have shape [{count}], got {list(array.shape)}")
    if count and not (array.dtype.kind in "iu" and array.min() >= 0 and array.max() < NO_SOURCE):
        found = f"{array.dtype} from {array.min()} to {array.max()}"
        raise ValueError(f"sources must be whole numbers in 0-{NO_SOURCE - 1}, got {found}")
    return array.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class RegionScores:
    """A classifier's view of N regions.

    `probabilities` [N, C + 1] float32 in 0-1, column 0 is background; `boxes` [N, C, 4] float32 xyxy in pixels, the
    regions refined for each class, or None where the classifier does no box regression.

    Raises:
        ValueError: at construction, if the arrays do not fit each other.
    """

    probabilities: FloatArray
    boxes: FloatArray | None = None

    def __post_init__(self) -> None:
        shape = self.probabilities.shape
        if len(shape) != 2 or shape[1] < 1:
            raise ValueError(f"probabilities must have shape [N, C + 1], got {list(shape)}")
        if self.boxes is not None and self.boxes.shape != (shape[0], shape[1] - 1, 4):
            raise ValueError(f"boxes must have shape {[shape[0], shape[1] - 1, 4]}, got {list(self.boxes.shape)}")


class Proposer(Protocol):
    """Finds where objects may be. Deterministic; an image without candidates gives none.

    Several threads may call it at once.
    """

    def __call__(self, image: Image) -> Proposals: ...


class CachedProposals(Protocol):
    """Proposals of the images of a data set, made beforehand."""

    def require(self, records: Iterable[GroundTruth]) -> None:
        """Raise an `InputError` that names the first of the images whose proposals are not there."""
        ...

    def __getitem__(self, image_id: str) -> Proposals: ...

    def boxes_of(self, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """The boxes [P, 4] of several images, one after the other, and the number of each [n]."""
        ...


class Classifier(Protocol):
    """Scores regions of images. Several images share batches; one image is a list of one."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the C foreground classes, in the order of their columns."""
        ...

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]: ...


class Calibration(Protocol):
    """Turns scores 0-1 of any shape into shares of right detections, of the same shape.

    `areas`, of a shape that the scores' can be broadcast with, are the shares of the image that their boxes take, 0-1.
    Of boxes of the same area those of higher scores have no lower share.
    """

    def __call__(self, scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray: ...
