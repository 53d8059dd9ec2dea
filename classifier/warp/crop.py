"""From boxes to the square input of a network: the crop that training and detection share.

The geometry is R-CNN's (arXiv 1311.2524, appendix A; `rcnn_im_crop.m`). The box grows about its centre, so that
`context` pixels on each side of the S x S input show its surroundings; the aspect ratio is not kept; outside of the
image the input holds the mean colour, which is zero after the subtraction of the mean. Two things differ from R-CNN:
the enlarged box is not rounded to whole pixels, and an output pixel is the mean over its footprint in the image. R-CNN
sampled single pixels, which causes aliasing where a region is shrunk.

Three files compute this crop, and agree:

- `numba_loops`: on a CPU, unless training asks for another interpolation. Compiled loops sum over footprints by an
  integral image (Crow 1984), so a region costs the same whatever its size.
- `triton_kernels`: on a GPU that runs our Triton kernels, in detection. One kernel crops, scales and packs.
- `matrices`: everywhere else, which is training with several interpolations, and GPUs without Triton.

The first needs no PyTorch, so only functions that return tensors import it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detection.runtime.parallel.threads import thread_count
from detection.runtime.pixels import MEAN_RGB
from detection.runtime.second_process import call_compiled
from detection.structures.arrays import AnyArray, BoolArray, Float64Array, FloatArray, Image, require_image
from detection.structures.boxes import scale_boxes

if TYPE_CHECKING:
    from torch import Tensor

LOOPS = "classifier.warp.numba_loops"

MAX_PIXELS = 32_000_000
"""Larger images are shrunk before regions are cut out, since the integral image takes 24 bytes a pixel on a CPU."""


def context_boxes(boxes: AnyArray, *, size: int, context: int) -> AnyArray:
    """Return boxes [..., 4] enlarged about their centres, so that `context` pixels of the input surround each box.

    Sides are multiplied by S / (S - 2 * context), where S is the `size` of the input.

    Raises:
        ValueError: unless 0 <= 2 * context < size.
    """
    if not 0 <= 2 * context < size:
        raise ValueError(f"context must be at least 0 and less than half of size {size}, got {context}")
    return scale_boxes(boxes, size / (size - 2 * context))


def warp_regions(
    images: Tensor,
    boxes: Tensor,
    *,
    size: int,
    context: int = 0,
    interpolation: NDArray[np.uint8] | None = None,
) -> Tensor:
    """Crop regions and resize them, on the device of `images`.

    By default an output pixel is the mean of the image over its footprint, which is at least one pixel wide. That is
    bilinear interpolation where a region is enlarged, and the exact area mean where it is shrunk.

    Args:
        images: [B, H, W, 3] uint8 RGB.
        boxes: [B, N, 4] xyxy in pixels, N regions of each image; parts outside of the image become zero.
        size: side S of the output, in pixels.
        context: pixels of the output on each side that show the surroundings of the box.
        interpolation: [B, N] values of `classifier.warp.matrices.Interpolation`, for training; None is AREA for all.

    Returns:
        [B, N, 3, S, S] float32, RGB minus mean.

    Raises:
        ValueError: if the shapes do not fit, or the context is half of the size or more.
    """
    import torch  # noqa: PLC0415

    from classifier.warp.matrices import Interpolation, resample_regions  # noqa: PLC0415

    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must have shape [B, H, W, 3], got {list(images.shape)}")
    if boxes.ndim != 3 or boxes.shape[0] != len(images) or boxes.shape[-1] != 4:
        raise ValueError(f"boxes must have shape [{len(images)}, N, 4], got {list(boxes.shape)}")
    windows = context_boxes(boxes.to(images.device, torch.float64), size=size, context=context)
    if interpolation is None:
        interpolation = np.full(boxes.shape[:2], Interpolation.AREA, np.uint8)
    if images.device.type != "cpu" or (interpolation != Interpolation.AREA).any():
        return resample_regions(images, windows, size=size, mean=MEAN_RGB, kinds=interpolation)
    return torch.from_numpy(_area_means(images.contiguous().numpy(), windows.numpy(), size))


def warp_by_area(image: Image, boxes: FloatArray, *, size: int, context: int) -> FloatArray:
    """Crop the regions [N, 4] of an image [H, W, 3] as `warp_regions` does by default: float32 [N, 3, S, S]."""
    windows = context_boxes(boxes.astype(np.float64), size=size, context=context)
    warped: FloatArray = _area_means(np.ascontiguousarray(image)[None], windows[None], size)[0]
    return warped


def _area_means(images: NDArray[np.uint8], windows: Float64Array, size: int) -> FloatArray:
    """Return the means over footprints, minus the mean colour: [B, H, W, 3], [B, N, 4] -> [B, N, 3, S, S]."""
    warped: FloatArray = call_compiled(LOOPS, "warp", images, windows, size, MEAN_RGB, threads=thread_count())
    return warped.transpose(0, 1, 4, 2, 3)


def warp_to_bytes(
    image: Image, boxes: FloatArray, *, size: int, context: int, scale: float, zero: int
) -> NDArray[np.uint8]:
    """Return the result of `warp_by_area`, quantised: pixel values divided by `scale`, plus `zero`, rounded.

    Args:
        image: [H, W, 3] uint8 RGB.
        boxes: [N, 4] xyxy in pixels; parts outside of the image become `zero`.
        size: side S of the output, in pixels.
        context: pixels of the output on each side that show the surroundings of the box.
        scale: the difference between two neighbouring bytes, in pixel values of 0-255.
        zero: the byte that stands for the mean colour.

    Returns:
        [N, 3, S, S] uint8.
    """
    windows = context_boxes(boxes.astype(np.float64), size=size, context=context)
    options = {"scale": scale, "zero": zero, "threads": thread_count()}
    warped: NDArray[np.uint8] = call_compiled(
        LOOPS, "warp_to_bytes", np.ascontiguousarray(image), windows, size, MEAN_RGB, **options
    )
    return warped.transpose(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class ImageRegions:
    """N regions of one image whose pixels are on the device.

    Attributes:
        pixels: uint8 [H, W, 3], a tensor on a GPU or an array; a very large image is stored shrunk.
        windows: [N, 4] xyxy, the regions in `pixels`.
        boxes: [N, 4] xyxy, the regions in the original image.
        size: (height, width) of the original image.
    """

    pixels: AnyArray
    windows: FloatArray
    boxes: FloatArray
    size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, rows: slice | BoolArray) -> ImageRegions:
        return replace(self, windows=self.windows[rows], boxes=self.boxes[rows])

    def moved_to(self, boxes: FloatArray) -> ImageRegions:
        """Return the regions `boxes` [N, 4] of the original image."""
        height, width = self.size
        factors = np.array([self.pixels.shape[1] / width, self.pixels.shape[0] / height] * 2)
        return replace(self, windows=(boxes * factors).astype(np.float32), boxes=boxes)

    def scaled(self, factor: float) -> ImageRegions:
        """Return regions about the same centres with sides `factor` times as long; they may reach beyond the image."""
        return replace(self, windows=scale_boxes(self.windows, factor), boxes=scale_boxes(self.boxes, factor))


def upload(image: Image, boxes: FloatArray, device: Any) -> ImageRegions:
    """Copy an image [H, W, 3] to the device of a network, for its regions [N, 4]; on a CPU there is nothing to copy.

    Raises:
        ArrayError: if the image is no array uint8 [H, W, 3].
    """
    require_image(image)
    smaller, windows = shrink_to(MAX_PIXELS, image, boxes)
    pixels: AnyArray = smaller
    if device.type != "cpu":
        import torch  # noqa: PLC0415

        pixels = torch.from_numpy(smaller).to(device)
    return ImageRegions(pixels, windows, boxes, (image.shape[0], image.shape[1]))


def shrink_to(max_pixels: int, image: Image, boxes: FloatArray) -> tuple[Image, FloatArray]:
    """Shrink an image of more than `max_pixels` to about that many by area means, and its boxes [N, 4] with it."""
    height, width = image.shape[:2]
    if height * width <= max_pixels:
        return image, boxes
    factor = math.sqrt(max_pixels / (height * width))
    size = max(1, round(width * factor)), max(1, round(height * factor))
    smaller = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([size[0] / width, size[1] / height] * 2)
    return smaller, (boxes * scale).astype(np.float32)
