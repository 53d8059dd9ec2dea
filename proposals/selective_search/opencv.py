"""OpenCV's implementation of selective search, the reference for `search.py`, which finds the same boxes."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from detection.errors import InputError
from detection.structures.arrays import Image, IntArray


def require_ximgproc() -> None:
    """Check that OpenCV has the module `ximgproc`, which holds selective search.

    Raises:
        InputError: if it has not.
    """
    if not hasattr(cv2, "ximgproc"):
        raise InputError(
            f"{cv2.__file__}: expected OpenCV with ximgproc; uninstall all of opencv-python, "
            "opencv-python-headless and opencv-contrib-python, then install opencv-contrib-python again"
        )


def search(images: Sequence[Image], scales: Sequence[int], sigma: float) -> IntArray:
    """Return the corners xyxy [N, 4] of all regions, in pixels, without duplicates, in a random order.

    Args:
        images: the image in several colour spaces, [H, W, 3] each.
        scales: the values of k of the superpixels, each of which is also their minimum size in pixels.
        sigma: the sigma of the Gaussian smoothing before the segmentation, in pixels.
    """
    segmentation: Any = cv2.ximgproc.segmentation
    selective_search = segmentation.createSelectiveSearchSegmentation()
    for image in images:
        selective_search.addImage(image)
    # `switchToSelectiveSearchFast` would set the minimum size of superpixels to 100 at every scale.
    for k in scales:
        selective_search.addGraphSegmentation(segmentation.createGraphSegmentation(sigma, float(k), k))
    for names in (("Color", "Fill", "Texture", "Size"), ("Fill", "Texture", "Size")):
        parts = [getattr(segmentation, f"createSelectiveSearchSegmentationStrategy{name}")() for name in names]
        selective_search.addStrategy(segmentation.createSelectiveSearchSegmentationStrategyMultiple(*parts))
    rectangles = np.asarray(selective_search.process(), np.int64).reshape(-1, 4)  # x, y, width, height
    return np.concatenate([rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]], axis=1)
