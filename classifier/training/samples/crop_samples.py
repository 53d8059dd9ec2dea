"""Training samples that are random crops of whole images, as GoogLeNet and AlexNet are pre-trained."""

import zlib
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field

import numpy as np

from classifier.training.samples.region_samples import RegionSamples
from classifier.training.samples.sampled_boxes import SampledBoxes
from detection.datasets import LabelledImage
from detection.structures.arrays import FloatArray, IntArray
from detection.training.sample_order import RowNumbers, SampleKey


@dataclass(eq=False)
class CropSamples(RegionSamples):
    """One random crop of each image; the labels are the C classes, without background.

    Args:
        images: file and class of each image.
        area: smallest and largest share of the image that a crop takes.
        aspect: smallest and largest ratio of a crop's width to its height.
        central_square: take the crops from the central square of the image, which `area` then refers to.
        augmentation: draws the distortions of the pixels.
        seed: seed of all random draws.
    """

    images: Sequence[LabelledImage]
    _: KW_ONLY
    area: tuple[float, float]
    aspect: tuple[float, float]
    central_square: bool
    per_image: int = field(default=1, init=False)

    def __post_init__(self) -> None:
        self.paths = [image.path for image in self.images]

    def checksum(self) -> int:
        listed = "".join(f"{image.path.name} {image.label}\n" for image in self.images)
        return zlib.crc32(listed.encode("utf-8", "surrogatepass"))

    def draw(self, keys: Sequence[SampleKey], sizes: IntArray, numbers: RowNumbers) -> SampledBoxes:  # noqa: ARG002
        crops = np.stack([self._crop(*pair) for pair in zip(keys, sizes.tolist(), strict=True)])
        return SampledBoxes(crops, np.array([self.images[key.record].label for key in keys], np.int64), crops)

    def _crop(self, key: SampleKey, size: tuple[int, int]) -> FloatArray:
        height, width = size
        side = min(size)
        available = (side, side) if self.central_square else (height, width)
        crop = sample_crop(available, area=self.area, aspect=self.aspect, generator=key.generator(self.seed))
        if self.central_square:
            crop += np.array([width - side, height - side] * 2, np.float32) / 2
        return crop


def sample_crop(
    size: tuple[int, int], *, area: tuple[float, float], aspect: tuple[float, float], generator: np.random.Generator
) -> FloatArray:
    """Return a random crop [4] of an image of `size`, as GoogLeNet is trained with (arXiv 1409.4842, section 6).

    Its share of the image's area is uniform in `area`, and the ratio of its width to its height is log-uniform in
    `aspect` (in the paper: 8% to 100%, and 3/4 to 4/3). If ten draws do not fit into the image, the result is the
    largest central crop of an allowed aspect.
    """
    height, width = size
    for _ in range(10):
        pixels = generator.uniform(*area) * height * width
        ratio = np.exp(generator.uniform(*np.log(aspect)))
        sides = np.sqrt([pixels * ratio, pixels / ratio])
        if sides[0] <= width and sides[1] <= height:
            corner = generator.uniform(0, 1, 2) * ([width, height] - sides)
            break
    else:
        ratio = min(max(width / height, aspect[0]), aspect[1])
        sides = np.array([min(width, height * ratio), min(height, width / ratio)])
        corner = ([width, height] - sides) / 2
    return np.concatenate([corner, corner + sides]).astype(np.float32)
