"""From boxes to the network's square input: the one crop that training, inference and drawing share.

The geometry is R-CNN's (arXiv 1311.2524, appendix A; `rcnn_im_crop.m`): the box grows about its centre so that
`context` pixels of surroundings show on each side of the S x S input, the aspect ratio is given up, and what lies
outside the image holds the mean, which is zero after subtraction. Two things differ. The enlarged box is not rounded
to whole pixels. And where R-CNN sampled single pixels when it shrank a region, which aliases, every output pixel here
is the mean over its footprint, taken from an integral image (Crow 1984): one pass over the image, and then every region
costs the same, whatever its size.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from classifier.layers.device_constant import device_constant
from classifier.warp.matrices import Interpolation, resampling_weights
from classifier.warp.sampling import REGIONS_AT_ONCE, of_regions, sample
from detection.runtime.pixels import MEAN_RGB
from detection.runtime.second_process import call_compiled

LOOPS = "classifier.warp.numba_loops"


def context_boxes(boxes: Tensor, *, size: int, context: int) -> Tensor:
    """Boxes [..., 4] grown about their centres by S / (S - 2p): p = `context` pixels of the input surround them.

    Raises:
        ValueError: unless 0 <= 2 * context < size.
    """
    if not 0 <= 2 * context < size:
        raise ValueError(f"context must be at least 0 and less than half of size {size}, got {context}")
    centre = (boxes[..., :2] + boxes[..., 2:]) / 2
    half = (boxes[..., 2:] - boxes[..., :2]) / 2 * (size / (size - 2 * context))
    return torch.cat([centre - half, centre + half], dim=-1)


def warp_regions(
    images: Tensor,
    boxes: Tensor,
    *,
    size: int,
    context: int = 0,
    mean: tuple[float, float, float] = MEAN_RGB,
    interpolation: NDArray[np.uint8] | None = None,
) -> Tensor:
    """Crop and resize regions, on the device of `images`.

    An output pixel is the image convolved with a box of the pixel's footprint, at least one pixel wide: bilinear
    interpolation where a region is enlarged, the exact area mean where it is shrunk. Training may ask for others.

    Args:
        images: [B, H, W, 3] uint8 RGB.
        boxes: [B, N, 4] xyxy in pixels, N regions of each image; parts outside the image become zero.
        size: side S of the output, in pixels.
        context: pixels of the output on each side that show the surroundings of the box.
        mean: RGB, 0-255, subtracted from the image.
        interpolation: [B, N] of `classifier.warp.matrices.Interpolation`, for training; AREA for all if None. It is
            an array since the host has to know it; with it, nothing waits for a GPU.

    Returns:
        [B, N, 3, S, S] float32, RGB minus mean.

    Raises:
        ValueError: for shapes that do not fit, or a context of half the size or more.
    """
    if images.ndim != 4 or images.shape[-1] != 3:
        raise ValueError(f"images must have shape [B, H, W, 3], got {list(images.shape)}")
    if boxes.ndim != 3 or boxes.shape[0] != len(images) or boxes.shape[-1] != 4:
        raise ValueError(f"boxes must have shape [{len(images)}, N, 4], got {list(boxes.shape)}")
    windows = context_boxes(boxes.to(images.device, torch.float64), size=size, context=context)
    by_area = interpolation is None or bool((interpolation == Interpolation.AREA).all())
    if by_area and images.device.type == "cpu":
        pixels, threads = images.contiguous().numpy(), torch.get_num_threads()
        warped = call_compiled(LOOPS, "warp", pixels, windows.numpy(), size, mean, threads=threads)
        return torch.from_numpy(warped).permute(0, 1, 4, 2, 3)
    windows = windows.flatten(0, 1)
    image_index = torch.arange(len(images), device=images.device).repeat_interleave(boxes.shape[1])
    centred = images.permute(0, 3, 1, 2).float() - device_constant(mean, images.device).view(3, 1, 1)
    if interpolation is None:
        regions = sample(centred, windows, size, image_index)
    else:
        regions = _multiply(centred, windows, size, image_index, interpolation.ravel())
    return regions.view(*boxes.shape[:2], 3, size, size)


def warp_to_bytes(image: Tensor, boxes: Tensor, *, size: int, context: int, scale: float, zero: int) -> Tensor:
    """What `warp_regions` makes of one image on a CPU, as bytes: the value divided by `scale`, `zero` being zero.

    Args:
        image: [H, W, 3] uint8 RGB.
        boxes: [N, 4] xyxy in pixels; parts outside the image become `zero`.
        size: side S of the output, in pixels.
        context: pixels of the output on each side that show the surroundings of the box.
        scale: of values 0-255, minus the mean.
        zero: 0-255.

    Returns:
        [N, 3, S, S] uint8.
    """
    windows = context_boxes(boxes.double(), size=size, context=context).numpy()
    pixels, levels = image.contiguous().numpy(), {"scale": scale, "zero": zero}
    threads = torch.get_num_threads()
    warped = call_compiled(LOOPS, "warp_to_bytes", pixels, windows, size, MEAN_RGB, **levels, threads=threads)
    return torch.from_numpy(warped).permute(0, 3, 1, 2)


def _multiply(centred: Tensor, windows: Tensor, size: int, image_index: Tensor, kinds: NDArray[np.uint8]) -> Tensor:
    """Regions [n, 3, S, S] by two matrix products each."""
    output = torch.empty((len(windows), size, size, 3), device=centred.device)
    turned = centred.permute(0, 3, 2, 1).flatten(2)  # [B, W, H * 3]
    height, width = centred.shape[2:]
    # The host launches dozens of kernels a chunk, and the network that is trained keeps far more of a region than this.
    at_once = REGIONS_AT_ONCE if centred.device.type == "cpu" else max(1, len(windows))
    for start in range(0, len(windows), at_once):
        chunk = slice(start, start + at_once)
        low, high = windows[chunk].float().view(-1, 2, 2).permute(1, 2, 0).flatten(1)  # [2 n], first of x, then of y
        both = resampling_weights(low, high, size, length=max(width, height), kinds=np.tile(kinds[chunk], 2))
        columns, rows = both.view(2, -1, *both.shape[1:])
        columns, rows = columns[..., :width], rows[..., :height]
        images = turned[chunk] if len(turned) == len(windows) else of_regions(turned, image_index[chunk])
        narrow = columns @ images  # [n, S, H * 3]
        lying = narrow.view(-1, size, height, 3).transpose(1, 2).reshape(-1, height, size * 3)
        output[chunk] = (rows @ lying).view(-1, size, size, 3)
    return output.permute(0, 3, 1, 2)
