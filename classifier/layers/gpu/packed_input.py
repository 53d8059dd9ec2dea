"""Images packed for tensor cores: blocks of 2x2 pixels become 16 channels, for a first convolution of 7x7 and stride 2.

Tensor cores process channels in multiples of eight, and an image has three. A block of 2x2 pixels, each with an empty
fourth colour, has 16 channels in the order (row, column, colour). A kernel of 7x7 that steps by 2 pixels then becomes a
kernel of 4x4 that steps by one block. The zero padding is part of the packed image: two blocks before and one after, on
both axes.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

CHANNELS = 16
BLOCKS_BEFORE, BLOCKS_AFTER = 2, 1


def packed_side(side: int) -> int:
    """Return the number of blocks, with padding, along an axis of `side` pixels."""
    return BLOCKS_BEFORE + -(-side // 2) + BLOCKS_AFTER


def pack(images: Tensor) -> Tensor:
    """Pack images [N, 3, H, W] into [N, 16, packed_side(H), packed_side(W)], channels_last."""
    height, width = images.shape[2:]
    after = [2 * (packed_side(side) - BLOCKS_BEFORE) - side for side in (width, height)]
    before = 2 * BLOCKS_BEFORE
    return _to_blocks(functional.pad(images, (before, after[0], before, after[1], 0, 1)))


def unpack(packed: Tensor, *, height: int, width: int) -> Tensor:
    """Return the images [N, 3, H, W] that `pack` turned into `packed`."""
    pixels = packed.unflatten(1, (2, 2, 4)).permute(0, 3, 4, 1, 5, 2).flatten(4, 5).flatten(2, 3)  # [N, 4, 2 H', 2 W']
    start = 2 * BLOCKS_BEFORE
    images: Tensor = pixels[:, :3, start : start + height, start : start + width]
    return images


class PackedConvolution(nn.Conv2d):
    """A convolution of 7x7, stride 2 and padding 3, which reads packed images."""

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__(CHANNELS, convolution.out_channels, 4, bias=convolution.bias is not None)
        with torch.no_grad():
            self.weight.copy_(_to_blocks(functional.pad(convolution.weight, (1, 0, 1, 0, 0, 1))))
        self.bias = convolution.bias


def _to_blocks(pixels: Tensor) -> Tensor:
    """Return blocks of 2x2 pixels as channels: [N, 4, 2 H, 2 W] -> [N, 16, H, W], channels_last."""
    blocks: Tensor = pixels.unflatten(3, (-1, 2)).unflatten(2, (-1, 2))  # [N, 4, H, 2, W, 2]
    packed: Tensor = blocks.permute(0, 2, 4, 3, 5, 1).flatten(3).permute(0, 3, 1, 2)
    return packed
