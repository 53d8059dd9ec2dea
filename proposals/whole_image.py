"""The whole image as its only proposal, as a plain classifier sees it: the baseline for every proposer."""

import numpy as np

from detection.structures.arrays import Image
from detection.structures.contracts import Proposals


class WholeImage:
    """Returns one box with score 1: the whole image."""

    def __call__(self, image: Image) -> Proposals:
        """Return the box of the image."""
        height, width = image.shape[:2]
        return Proposals(np.array([[0, 0, width, height]], np.float32), np.ones(1, np.float32))
