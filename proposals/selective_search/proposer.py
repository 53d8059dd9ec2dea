"""Selective search (Uijlings et al., IJCV 2013) with the superpixels of GoogLeNet's detector, as a proposer.

`search.py` holds the algorithm, `opencv.py` calls OpenCV's implementation of it.
"""

import cv2
import numpy as np

from detection.runtime.second_process import call_compiled
from detection.structures.arrays import Image, IntArray, require_image
from detection.structures.boxes import box_area, clip_boxes
from detection.structures.contracts import Proposals
from proposals.selective_search import opencv as opencv_search

LONGEST_SIDE = 2
"""The longer side of the searched image is at most this many times its width, which bounds the cost of a tall strip."""

MAX_SIGMA = 100
"""Above it, nothing of an image is left, and the filter grows without bound."""

ENGINES = ("compiled", "opencv")


class SelectiveSearch:
    """Merges the superpixels of an image, always the two most similar neighbours, and returns the box of every region.

    The image is resized to a fixed width, as in R-CNN's fast mode. For each scale k, its HSV and Lab versions are cut
    into superpixels of at least k pixels (Felzenszwalb and Huttenlocher 2004). These are merged twice: once by the
    similarity of colour, fill, texture and size, and once without colour. GoogLeNet's detector doubles the superpixel
    size (arXiv 1409.4842, section 8): k of 100 and 200 in place of 50 and 100, which halves the number of boxes.

    The whole image is always among the boxes.

    Args:
        scales: the values of k, in pixels of the resized image.
        width: the width of the resized image, in pixels.
        min_side: boxes with a shorter side, in pixels of the resized image, are dropped.
        engine: "compiled", or "opencv" for the reference, `cv2.ximgproc.segmentation`. Both find the same boxes, except
            where equal similarities leave open which regions are merged.
        sigma: the sigma of the Gaussian smoothing before the segmentation, in pixels of the resized image, above 0 and
            at most 100; R-CNN has 0.8. A smaller value leaves more superpixels, and more boxes.

    Raises:
        InputError: if the engine is "opencv" and OpenCV comes without `ximgproc`.
        ValueError: for arguments out of range.
    """

    def __init__(
        self,
        scales: tuple[int, ...] = (100, 200),
        width: int = 500,
        min_side: int = 20,
        engine: str = "compiled",
        sigma: float = 0.8,
    ) -> None:
        if engine not in ENGINES:
            raise ValueError(f"engine must be 'compiled' or 'opencv', got '{engine}'")
        if not scales or min(scales) < 1 or width < 1 or min_side < 0:
            raise ValueError(f"expected positive scales and width, got {scales=}, {width=}, {min_side=}")
        if not 0 < sigma <= MAX_SIGMA:
            raise ValueError(f"sigma must be above 0 and at most {MAX_SIGMA}, got {sigma}")
        if engine == "opencv":
            opencv_search.require_ximgproc()
        self.scales = tuple(scales)
        self.width = width
        self.min_side = min_side
        self.engine = engine
        self.sigma = sigma

    def __call__(self, image: Image) -> Proposals:
        """Return the proposals of an image, without duplicates, the largest box first.

        The scores are the boxes' shares of the area of the image. OpenCV ranks its boxes at random; an order by size is
        stable, and has whole objects before their parts.
        """
        require_image(image)
        height, width = image.shape[:2]
        searched = self._resize(image)
        sides = searched.shape[1], searched.shape[0]
        scale = np.array([width, height]) / sides  # float64, so that borders stay on borders
        corners = np.unique(np.concatenate([self._search(searched), [[0, 0, *sides]]]), axis=0)
        large = ((corners[:, 2:] - corners[:, :2]) >= self.min_side).all(axis=1)
        whole = (corners == [0, 0, *sides]).all(axis=1)
        boxes = clip_boxes(corners[large | whole] * np.tile(scale, 2), (height, width))
        scores = box_area(boxes) / (height * width)
        order = np.argsort(-scores, kind="stable")
        return Proposals(boxes[order], scores[order])

    def _resize(self, image: Image) -> Image:
        """Resize the image to the width that is searched."""
        height, width = image.shape[:2]
        factor = min(self.width / width, LONGEST_SIDE * self.width / max(height, width))
        size = max(1, round(width * factor)), max(1, round(height * factor))
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)

    def _search(self, image: Image) -> IntArray:
        """Return the corners xyxy [N, 4] of all regions, in pixels of `image`."""
        spaces = [np.asarray(cv2.cvtColor(image, space), np.uint8) for space in (cv2.COLOR_RGB2HSV, cv2.COLOR_RGB2Lab)]
        if self.engine == "opencv":
            return opencv_search.search(spaces, self.scales, self.sigma)
        # The module is named by a string because its import takes a second, and may happen in another process.
        corners: IntArray = call_compiled(
            "proposals.selective_search.search", "search", spaces, self.scales, self.sigma
        )
        return corners
