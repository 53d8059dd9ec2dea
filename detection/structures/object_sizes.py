"""The sizes of objects in COCO's metrics: small, medium and large."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray

SMALL_AREA, MEDIUM_AREA = 32**2, 96**2
"""The largest areas of small and of medium objects in COCO, in square pixels."""


def size_classes(areas: NDArray[np.floating[Any]]) -> dict[str, BoolArray]:
    """Return a mask [M] for each size, by its name, that is True where the areas [M] in square pixels have this size.

    An area of exactly 32x32 or 96x96 px counts as the smaller size; pycocotools counts it in both sizes.
    """
    return {
        "small": areas <= SMALL_AREA,
        "medium": (areas > SMALL_AREA) & (areas <= MEDIUM_AREA),
        "large": areas > MEDIUM_AREA,
    }
