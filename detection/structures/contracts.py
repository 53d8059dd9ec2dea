"""The interfaces between the stages of a detector, and the data that they pass to each other.

A `Proposer` returns `Proposals` for an image, and a `Classifier` returns `RegionScores` for the boxes. The packages
`proposals` and `classifier` implement them; `detection.detector` puts them together.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from detection.errors import InputError, short_repr
from detection.structures.arrays import ArrayError, FloatArray, Image, IntArray
from detection.structures.boxes import as_boxes, check_one_a_box
from detection.structures.ground_truth import GroundTruth

NO_SOURCE = 255
"""The byte that is stored in place of a missing source; it is no valid source."""

ROUNDING = 1e-5
"""The largest distance from 0-1 that a probability may have through rounding."""


@dataclass(frozen=True, eq=False)
class Proposals:
    """Boxes of an image that may hold an object, best first.

    Args:
        boxes: float32 [N, 4], xyxy in pixels.
        scores: float32 [N], in any range.
        sources: uint8 [N], the position of the proposer that found each box in a `MergedProposer`; None if there is
            only one proposer.

    Raises:
        ArrayError: if the lengths differ, a box is malformed, or a source is no whole number in 0-254.
    """

    boxes: FloatArray
    scores: FloatArray
    sources: NDArray[np.integer[Any]] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        check_one_a_box(len(self), scores=self.scores)
        if self.sources is not None:
            object.__setattr__(self, "sources", _as_sources(self.sources, len(self.boxes)))

    def __len__(self) -> int:
        return len(self.boxes)


def _as_sources(sources: ArrayLike, count: int) -> NDArray[np.uint8]:
    array = np.asarray(sources)
    check_one_a_box(count, sources=array)
    if count and not (array.dtype.kind in "iu" and array.min() >= 0 and array.max() < NO_SOURCE):
        actual = f"{array.dtype} from {array.min()} to {array.max()}"
        raise ArrayError(f"sources must be whole numbers in 0-{NO_SOURCE - 1}, got {actual}")
    return array.astype(np.uint8)


@dataclass(frozen=True, eq=False)
class RegionScores:
    """The scores that a classifier gives to N regions of an image.

    Args:
        probabilities: float32 [N, C + 1] in 0-1. Column 0 is background, column c + 1 is the foreground class c.
        boxes: float32 [N, C, 4], xyxy in pixels: the regions refined for each class; None without box regression.

    Raises:
        ArrayError: if the shapes do not fit each other.
    """

    probabilities: FloatArray
    boxes: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "probabilities", np.asarray(self.probabilities, np.float32))
        if self.boxes is not None:
            object.__setattr__(self, "boxes", np.asarray(self.boxes, np.float32))
        shape = self.probabilities.shape
        if len(shape) != 2 or shape[1] < 1:
            raise ArrayError(f"probabilities must have shape [N, C + 1], got {list(shape)}")
        if self.boxes is not None and self.boxes.shape != (shape[0], shape[1] - 1, 4):
            raise ArrayError(f"boxes must have shape {[shape[0], shape[1] - 1, 4]}, got {list(self.boxes.shape)}")

    def followed_by(self, others: "RegionScores") -> "RegionScores":
        """Return these scores and then those of other regions, which the same classifier gave."""
        probabilities = np.concatenate([self.probabilities, others.probabilities])
        if self.boxes is None or others.boxes is None:
            return RegionScores(probabilities)
        return RegionScores(probabilities, np.concatenate([self.boxes, others.boxes]))


class Proposer(Protocol):
    """Finds boxes that may hold an object. The same image always gives the same boxes, which may be none.

    Several threads may call it at the same time.
    """

    def __call__(self, image: Image) -> Proposals: ...


def find_proposals(propose: Callable[[Image], Proposals], image: Image) -> Proposals:
    """Return the proposals of an image, and check what the proposer, which may be a user's own, returns.

    Raises:
        InputError: naming the class of the proposer, if it returns anything but `Proposals`, or makes them of arrays
            that do not fit.
    """
    with _naming_part(propose):
        proposals = propose(image)
        if not isinstance(proposals, Proposals):
            raise ArrayError(f"expected Proposals, got {type(proposals).__name__}")
    return proposals


@contextmanager
def _naming_part(part: object) -> Iterator[None]:
    """Turn an `ArrayError` into an `InputError` that names the class, or the function, of a part of a detector."""
    try:
        yield
    except ArrayError as error:
        named: Any = part if hasattr(part, "__qualname__") else type(part)
        raise InputError(f"{named.__module__}.{named.__qualname__}: {error}") from error


class CachedProposals(Protocol):
    """Proposals for the images of a data set that were computed earlier."""

    def require(self, records: Iterable[GroundTruth]) -> None:
        """Raise an `InputError` that names the first image without proposals, if there is one."""

    def __getitem__(self, image_id: str) -> Proposals: ...

    def boxes_of(self, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        """Return the boxes [P, 4] of n images, one image after the other, and the number of boxes of each image [n]."""


class Classifier(Protocol):
    """Scores regions of images. The regions of all images of a call share batches.

    Several threads may call it at the same time.
    """

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the C foreground classes, in the order of their columns."""

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]: ...


def find_scores(classify: Classifier, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
    """Return the scores of the boxes of each image, and check what the classifier, maybe a user's own, returns.

    Raises:
        InputError: naming the class of the classifier, if it returns anything but a list with the `RegionScores` of
            each image, or if these do not fit the boxes and classes, or have numbers out of range.
    """
    return _find_scores(classify, classify, images, boxes)


def find_last_scores(classify: Classifier, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
    """Return the scores by `classify.score_last`, or those of `find_scores` for a classifier without this method.

    Raises:
        InputError: as `find_scores` does.
    """
    return _find_scores(classify, getattr(classify, "score_last", classify), images, boxes)


def _find_scores(
    classify: Classifier,
    score: Callable[[Sequence[Image], Sequence[FloatArray]], list[RegionScores]],
    images: Sequence[Image],
    boxes: Sequence[FloatArray],
) -> list[RegionScores]:
    """Return the checked scores that `score`, the classifier or a method of it, gives to the boxes of each image."""
    with _naming_part(classify):
        scores = score(images, boxes)
        if not isinstance(scores, list | tuple) or len(scores) != len(images):
            raise ArrayError(
                f"expected a list with {len(images)} RegionScores, one for each image, got {short_repr(scores)}"
            )
        for image_scores, image_boxes in zip(scores, boxes, strict=True):
            require_scores(image_scores, (len(image_boxes), len(classify.class_names) + 1))
    return scores


def require_scores(scores: RegionScores, shape: tuple[int, int]) -> None:
    """Check that probabilities have the `shape` [N, C + 1] and lie in 0-1, and that refined boxes are boxes.

    A probability may be outside of 0-1 by rounding.

    Raises:
        ArrayError: saying what was expected and found.
    """
    if not isinstance(scores, RegionScores):
        raise ArrayError(f"expected RegionScores, got {type(scores).__name__}")
    if scores.probabilities.shape != shape:
        raise ArrayError(f"probabilities must have shape {list(shape)}, got {list(scores.probabilities.shape)}")
    arrays = [scores.probabilities] if scores.boxes is None else [scores.probabilities, scores.boxes]
    if not all(np.isfinite(array).all() for array in arrays):
        raise ArrayError("probabilities and boxes must be finite, got nan or infinity")
    _require_probabilities(scores.probabilities)
    if scores.boxes is not None:
        as_boxes(scores.boxes.reshape(-1, 4))


def _require_probabilities(values: FloatArray) -> None:
    if not ((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all():  # also if a value is nan
        raise ArrayError(f"probabilities must lie in 0-1, got {values.min()} to {values.max()}")


class Calibration(Protocol):
    """Turns scores in 0-1 into the probabilities that the detections are right, of the same shape.

    `areas` are the areas of the boxes as shares of the image, 0-1, in a shape that can be broadcast to that of the
    scores. Among boxes of the same area, a higher score must not get a lower probability. Several threads may call it
    at the same time.
    """

    def __call__(self, scores: NDArray[np.floating], areas: NDArray[np.floating]) -> FloatArray: ...


def find_probabilities(calibrate: Calibration, scores: FloatArray, areas: FloatArray) -> FloatArray:
    """Return the calibrated scores of boxes, and check what the calibration, maybe a user's own, returns.

    Raises:
        InputError: naming the class of the calibration, if it returns another shape or numbers out of range.
    """
    with _naming_part(calibrate):
        probabilities = np.asarray(calibrate(scores, areas), np.float32)
        if probabilities.shape != scores.shape:
            raise ArrayError(f"probabilities must have shape {list(scores.shape)}, got {list(probabilities.shape)}")
        _require_probabilities(probabilities)
    return probabilities.clip(0, 1)
