"""Scores regions of images with a network: warp, normalise, then softmax or SVMs, and box regression."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.score import find_views, score_regions
from classifier.warp.crop import upload
from detection.runtime.device import Precision
from detection.structures.arrays import FloatArray, Image
from detection.structures.contracts import RegionScores


class RegionClassifier(LoadedNetwork):
    """A network of a weights file on a device: `(images, boxes) -> RegionScores`.

    Args:
        weights: a safetensors file written by `detect-train export`; a bare name is one of the shipped files.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default what is fastest, see `find_precision`.
        batch_size: regions that pass through the network at once, halved where they do not fit into memory; by default
            what suits the device.
        mirror: whether the scores of each region are averaged with those of its mirror image.
        scales: sides of the windows about each region whose scores are averaged, as multiples of the region's; see
            `classifier.scoring.score.Views`.
        refine: whether to refine boxes for each class, if the network can.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `batch_size` or a scale is not positive.
    """

    def __init__(
        self,
        weights: str,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        batch_size: int | None = None,
        mirror: bool = False,
        scales: Sequence[float] = (1.0,),
        refine: bool = True,
    ) -> None:
        views = find_views(mirror=mirror, scales=scales)
        super().__init__(weights, device=device, precision=precision, batch_size=batch_size, refine=refine)
        self.views = views

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Scores of regions `boxes[i]` [N, 4] of each `images[i]` [H, W, 3], maybe with refined boxes."""
        return score_regions([self], images, boxes, views=self.views)

    def region_features(self, image: Image, boxes: FloatArray) -> Tensor:
        """The features [N, F] in float32 from which the network computes the scores of regions [N, 4] of an image."""
        return self.features(self.input_format.warp([upload(image, boxes, self.device)]))
