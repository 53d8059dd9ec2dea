"""`InputFormat`: the format of a network's input. Networks of the same format share the warped regions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classifier.warp.crop import ImageRegions, warp_by_area, warp_to_bytes
from detection.runtime.pixels import SCALE
from detection.structures.arrays import AnyArray, namespace


@dataclass(frozen=True)
class InputFormat:
    """The format in which a network reads its input. Networks of equal formats read the same arrays.

    This format is a NumPy array; `classifier.scoring.tensor_network.TensorFormat` is the same for tensors.

    Attributes:
        size: side S of the input, in pixels.
        context: pixels of the input on each side that show the surroundings of a region.
        quantisation: the scale, in pixel values of 0-255, and the zero point with which the network makes bytes of its
            input; None if it does not compute in int8. A network in int8 also reads bytes that are quantised already.
    """

    size: int
    context: int
    quantisation: tuple[float, int] | None

    @property
    def region_bytes(self) -> int:
        """The memory of a region while it is warped: three channels of bytes, or else of float32."""
        return 3 * self.size**2 * (4 if self.quantisation is None else 1)

    def warp(self, group: Sequence[ImageRegions]) -> AnyArray:
        """Warp the regions of several images into this format: N regions in the order of the group."""
        warped = [self._warp_image(regions) for regions in group]
        joined = warped[0] if len(warped) == 1 else namespace(warped[0]).concatenate(warped)
        return joined if self.quantisation is not None else self.convert(joined)

    def _warp_image(self, regions: ImageRegions) -> AnyArray:
        """Return the warped regions of one image, as bytes or as RGB minus mean."""
        options = {"size": self.size, "context": self.context}
        if self.quantisation is None:
            return warp_by_area(regions.pixels, regions.windows, **options)
        scale, zero = self.quantisation
        return warp_to_bytes(regions.pixels, regions.windows, **options, scale=scale, zero=zero)

    def convert(self, regions: AnyArray) -> AnyArray:
        """Convert warped regions [N, 3, S, S], float32 RGB minus mean, to scaled numbers in this format."""
        return regions * np.float32(SCALE)

    def mirror(self, inputs: AnyArray) -> AnyArray:
        """Exchange left and right in input of this format."""
        return namespace(inputs).flip(inputs, (3,))
