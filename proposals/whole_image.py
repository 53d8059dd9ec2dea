"""The image itself as its only proposal: what a plain classifier would do, the baseline of every proposer."""

from __future__ import annotations

import numpy as np

from detection.structures.arrays import Image
from detection.structures.contracts import Proposals


class WholeImage:
    """One box, the size of the image, with score 1."""

    def __call__(self, image: Image) -> Proposals:
        """The image's own box."""
        height, width = image.shape[:2]
        return Proposals(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32))
