"""Objects by their size: small, medium and large, as COCO calls them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detection.structures.arrays import BoolArray

SMALL_AREA, MEDIUM_AREA = 32**2, 96**2
"""The largest areas in square pixels of COCO's small and medium objects."""


def size_classes(areas: NDArray[np.floating[Any]]) -> dict[str, BoolArray]:
    """Which of the areas [M] in square pixels are of each size: name -> [M].

    Those of exactly 32x32 or 96x96 px count as the smaller size; pycocotools counts them twice.
    """
    return {
        "small": areas <= SMALL_AREA,
        "medium": (areas > SMALL_AREA) & (areas <= MEDIUM_AREA),
        "large": areas > MEDIUM_AREA,
    }
