"""The result of a detector: the objects that it found in an image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray, FloatArray, IntArray
from detection.structures.boxes import as_boxes, check_one_a_box


@dataclass(frozen=True, eq=False)
class Detections:
    """The objects that a detector found in an image, best first.

    Indexing with a mask, a slice, indices or one index returns `Detections`; so does each step of an iteration.

    Args:
        boxes: float32 [N, 4], xyxy in pixels.
        scores: float32 [N] in 0-1.
        labels: int64 [N], indices into `class_names`.
        class_names: the names of all classes that the detector knows.

    Raises:
        ValueError: if the lengths differ, a box is malformed, or a score or label is out of range.
    """

    boxes: FloatArray
    scores: FloatArray
    labels: IntArray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", as_boxes(self.boxes))
        object.__setattr__(self, "scores", np.asarray(self.scores, np.float32))
        if np.asarray(self.labels).dtype.kind not in "iu" and len(self.labels):
            raise ValueError(f"labels must be integers, got {np.asarray(self.labels).dtype}")
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
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
        if isinstance(index, int | np.integer):
            index = [int(index)]
        return Detections(self.boxes[index], self.scores[index], self.labels[index], self.class_names)

    @property
    def names(self) -> list[str]:
        """The class name of each detection."""
        return [self.class_names[label] for label in self.labels]

    def to_dict(self) -> list[dict[str, Any]]:
        """Return a record for JSON of each detection: `class`, `label`, `score`, and `box` as xyxy in pixels."""
        return [
            {"class": self.class_names[label], "label": int(label), "score": float(score), "box": box.tolist()}
            for box, score, label in zip(self.boxes, self.scores, self.labels, strict=True)
        ]

    def to_coco(self, image_id: int = 0) -> list[dict[str, Any]]:
        """Return records in COCO's results format: `bbox` is x, y, width, height; `category_id` is the label plus 1."""
        return [
            {
                "image_id": image_id,
                "category_id": int(label) + 1,
                "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
                "score": float(score),
            }
            for (x1, y1, x2, y2), score, label in zip(self.boxes, self.scores, self.labels, strict=True)
        ]
