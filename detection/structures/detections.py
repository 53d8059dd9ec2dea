"""The result of a detector: the objects that it found in an image.

The package `results` has the code of the methods that need more than NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, FloatArray, Image, IntArray
from detection.structures.boxes import as_boxes, as_labels, check_one_a_box
from detection.structures.class_choice import find_labels
from detection.structures.ranges import require_range

if TYPE_CHECKING:
    import PIL.Image

SUMMARISED = 5
"""The largest number of detections that `repr` names."""


@dataclass(frozen=True, eq=False, repr=False)
class Detections:
    """The objects that a detector found in an image, best first.

    Indexing with a mask, a slice, indices or one index returns `Detections` without guesses, and an iteration yields
    such `Detections` of one box each. Two `Detections` are equal only if they are the same object, so they can be keys
    of a dictionary.

    The methods that return pictures read `picture`. It is a reference: the pixels of a file are read again, and an
    array that is changed later changes the pictures. A pickle and a deep copy keep the path of a file, but no pixels.

    Args:
        boxes: float32 [N, 4], xyxy in pixels.
        scores: float32 [N] in 0-1.
        labels: int64 [N], indices into `class_names`.
        class_names: the names of all classes that the detector knows.
        picture: the image in which the objects are: a path, an array or a Pillow image, as `as_image` takes them; None
            if it is not known.
        guesses: up to three objects with scores below the threshold, where the detector found none above it.

    Raises:
        ValueError: if the lengths differ, a box is malformed, or a score or label is out of range.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]
    _: KW_ONLY
    picture: Any = None
    guesses: Detections | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        object.__setattr__(self, "labels", as_labels(self.labels))
        object.__setattr__(self, "class_names", tuple(self.class_names))
        check_one_a_box(len(self), scores=self.scores, labels=self.labels)
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise ValueError("scores must lie in 0-1")
        if len(self) and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise ValueError(f"labels must be indices of the {len(self.class_names)} class names")

    def __len__(self) -> int:
        return len(self.boxes)

    def __iter__(self) -> Iterator[Detections]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: BoolArray | slice | NDArray[np.integer[Any]] | list[int] | int) -> Detections:
        if not isinstance(index, slice | list):
            rows = np.asarray(index)
            if rows.ndim > 1 or (rows.ndim == 0 and rows.dtype.kind not in "iu"):
                raise TypeError(f"expected an index, a slice, or an array of indices or booleans, got {index!r:.50}")
            index = np.atleast_1d(rows)
        boxes, scores, labels = self.boxes[index], self.scores[index], self.labels[index]
        return Detections(boxes, scores, labels, self.class_names, picture=self.picture)

    def in_picture(self, picture: Any) -> Detections:
        """Return the same detections and guesses as those of this `picture`."""
        guesses = None if self.guesses is None else self.guesses.in_picture(picture)
        return replace(self, picture=picture, guesses=guesses)

    def __getstate__(self) -> dict[str, Any]:
        is_path = isinstance(self.picture, str | os.PathLike)
        return self.__dict__ | {"picture": self.picture if is_path else None}

    def __copy__(self) -> Detections:
        return replace(self)

    def __repr__(self) -> str:
        return f"Detections({self.summary})"

    def _repr_html_(self) -> str:
        """Return the image with boxes, which notebooks show, and the summary."""
        from detection.structures.results.pictures import notebook_html  # noqa: PLC0415

        return notebook_html(self, self.summary)

    @property
    def summary(self) -> str:
        """The number of objects and the best of them in words, such as "2 objects: person 0.98, dog 0.87"."""
        count = f"{len(self)} object{'' if len(self) == 1 else 's'}"
        if self.guesses:
            return f"{count}; best guesses: {_list_scores(self.guesses)}"
        return f"{count}: {_list_scores(self)}" if len(self) else count

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.class_names[label] for label in self.labels]

    def filter(
        self,
        *,
        classes: str | Sequence[str] | None = None,
        min_score: float | None = None,
        region: Sequence[float] | None = None,
    ) -> Detections:
        """Return the detections that fulfil all conditions.

        Args:
            classes: the name of a class or several; keeps objects of these.
            min_score: 0-1; keeps objects with at least this score.
            region: xyxy in pixels; keeps objects whose centre lies in this box, on its left and top border too.

        Raises:
            ValueError: if the detector has no such class, in which case the message has similar names; if `min_score`
                is out of range; or if the region is no box.
        """
        kept = np.ones(len(self), np.bool_)
        if classes is not None:
            kept &= np.isin(self.labels, find_labels(classes, self.class_names))
        if min_score is not None:
            require_range(0, 1, min_score=min_score)
            kept &= self.scores >= np.float32(min_score)
        if region is not None:
            if len(region) != 4:
                raise ValueError(f"region must be x1, y1, x2, y2, got {len(region)} numbers")
            (x1, y1, x2, y2) = as_boxes([region])[0]
            centres = (self.boxes[:, :2] + self.boxes[:, 2:]) / 2  # [N, 2]
            kept &= ((centres >= (x1, y1)) & (centres < (x2, y2))).all(axis=1)
        return self[kept]

    def plot(self) -> PIL.Image.Image:
        """Return the image with boxes and labels.

        Raises:
            ValueError: if the image is not known; so do all methods that return pictures.
            InputError: if its file cannot be read any more.
        """
        from detection.structures.results.pictures import plot  # noqa: PLC0415

        return plot(self)

    def show(self) -> None:
        """Open the image with boxes and labels in the picture viewer of the computer."""
        self.plot().show()

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the image with boxes and labels to a file, such as "found.png" or "found.jpg".

        A file that exists is replaced if this method wrote it, which PNG and JPEG files tell, or with `overwrite`.

        Raises:
            InputError: naming the file, if it cannot be written or must not be replaced.
        """
        from detection.structures.results.pictures import save_picture  # noqa: PLC0415

        save_picture(self, path, overwrite=overwrite)

    def crops(self) -> list[Image]:
        """Return the pixels of each box: N arrays RGB uint8 [h, w, 3], each of at least one pixel."""
        from detection.structures.results.pictures import cut_out  # noqa: PLC0415

        return cut_out(self)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with the columns `class`, `label`, `score`, `x1`, `y1`, `x2` and `y2`.

        Raises:
            InputError: if pandas is not installed.
        """
        from detection.structures.results.conversions import to_pandas  # noqa: PLC0415

        return to_pandas(self)

    def to_supervision(self) -> Any:
        """Return `supervision.Detections`, with the names of the classes as `data["class_name"]`.

        Raises:
            InputError: if supervision is not installed.
        """
        from detection.structures.results.conversions import to_supervision  # noqa: PLC0415

        return to_supervision(self)

    def to_torchmetrics(self) -> dict[str, Any]:
        """Return the tensors `boxes`, `scores` and `labels`, as torchmetrics' `MeanAveragePrecision` takes them."""
        from detection.structures.results.conversions import to_torchmetrics  # noqa: PLC0415

        return to_torchmetrics(self)

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a record for JSON of each detection: `class`, `label`, `score`, and `box` as xyxy in pixels."""
        return [
            {"class": self.class_names[label], "label": int(label), "score": float(score), "box": box.tolist()}
            for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True)
        ]

    def to_coco(self, image_id: int = 0, category_ids: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
        """Return records in COCO's results format; `bbox` is x, y, width, height.

        Args:
            image_id: the identifier of the image.
            category_ids: the `category_id` of each class name; None takes the label plus 1. COCO's own files number
                their 80 classes from 1 to 90: `{category["name"]: category["id"] for category in file["categories"]}`.

        Raises:
            ValueError: if a class that was found has no identifier.
        """
        numbers = (self.labels + 1).tolist()
        if category_ids is not None:
            if missing := [name for name in self.names if name not in category_ids]:
                raise ValueError(f"category_ids must have every class that was found, but '{missing[0]}' is missing")
            numbers = [int(category_ids[name]) for name in self.names]
        return [
            {
                "image_id": int(image_id),
                "category_id": number,
                "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                "score": float(score),
            }
            for (x1, y1, x2, y2), score, number in zip(self.boxes, self.scores, numbers, strict=True)
        ]


def _list_scores(detections: Detections) -> str:
    named = [f"{name} {score:.2f}" for name, score in zip(detections.names, detections.scores, strict=True)]
    more = [f"{len(named) - SUMMARISED} more"] if len(named) > SUMMARISED else []
    return ", ".join([*named[:SUMMARISED], *more])
