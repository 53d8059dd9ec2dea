"""`DetectedObjects`: the attributes of `Detections` that this package reads.

`Detections` imports the modules of this package, so they cannot import it.
"""

from typing import Any, Protocol

from detection.structures.arrays import FloatArray, IntArray


class DetectedObjects(Protocol):
    """N objects in an image, as `detection.structures.detections.Detections` has them."""

    @property
    def boxes(self) -> FloatArray:
        """The boxes: float32 [N, 4], xyxy in pixels."""

    @property
    def scores(self) -> FloatArray:
        """The scores: float32 [N] in 0-1."""

    @property
    def labels(self) -> IntArray:
        """The classes: int64 [N]."""

    @property
    def names(self) -> list[str]:
        """The name of the class of each object."""

    @property
    def picture(self) -> Any:
        """The image in which the objects are, in any form that `as_image` takes, or None if it is not known."""

    def __len__(self) -> int:
        """Return N."""
