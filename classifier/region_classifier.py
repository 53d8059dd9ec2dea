"""`RegionClassifier`: a single network that classifies regions of images and may refine their boxes."""

from collections.abc import Sequence
from functools import cached_property

from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.score import Cascade, Views, score_regions
from classifier.warp.crop import upload
from detection.runtime.weights_files.engine import ONNX_SUFFIX, Cpu, Precision
from detection.structures.arrays import AnyArray, FloatArray, Image
from detection.structures.contracts import RegionScores


class RegionClassifier(LoadedNetwork):
    """A network of a weights file as a classifier of regions: `(images, boxes) -> RegionScores`.

    Args:
        weights: a safetensors file written by `detect-train export`, or the bare name of a shipped one.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number format of the network; None is the fastest one, see `find_precision`.
        batch_size: regions that pass through the network at once, which is halved if they do not fit into memory; None
            is a size that suits the device.
        mirror: average the scores of each region with those of its mirror image.
        scales: average the scores of windows about each region with these multiples of its sides; see
            `classifier.scoring.score.Views`.
        refine: refine boxes for each class, if the network can.

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
        views = Views(mirror, scales)
        super().__init__(weights, device=device, precision=precision, batch_size=batch_size, refine=refine)
        self.views = views

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.description.class_names

    def __call__(self, images: Sequence[Image], boxes: Sequence[FloatArray]) -> list[RegionScores]:
        """Return the scores and refined boxes of the regions `boxes[i]` [N, 4] of each image `images[i]` [H, W, 3]."""
        return score_regions(Cascade([self], views=self.views), images, boxes)

    def region_features(self, image: Image, boxes: FloatArray) -> AnyArray:
        """Return the features [N, F] in float32 from which the network scores the regions [N, 4] of an image."""
        # ONNX Runtime's files hold no features, so PyTorch computes them.
        with_features = self.path.suffix == ONNX_SUFFIX or not isinstance(self.device, Cpu)
        network = self if with_features else self._in_pytorch
        with network.session():
            return network.features(network.input_format.warp([upload(image, boxes, network.device)]))

    @cached_property
    def _in_pytorch(self) -> LoadedNetwork:
        """The same network in PyTorch."""
        return LoadedNetwork(str(self.path), device="cpu", precision=None, batch_size=self.batch_size, tensors=True)
