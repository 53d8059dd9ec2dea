"""MultiBox of a safetensors file, which PyTorch computes on a CPU or a GPU."""

from pathlib import Path

import torch

from detection.runtime.device import find_device, find_precision, naming_failed_device, number_type, to_device
from detection.runtime.weights_files.engine import Precision
from detection.structures.arrays import FloatArray, Image
from proposals.multibox.network import as_input
from proposals.multibox.weights_file import load_multibox


class TensorMultiBox:
    """MultiBox on its device, prepared to compute fast.

    Args:
        path: a safetensors file written by `detect-train-multibox export`.
        device: "cpu", "cuda", "cuda:1", ...; None is a GPU if there is one.
        precision: number type of the network; None is the fastest one, see `find_precision`.

    Attributes:
        description: the description in the file.
        device: the device that is used.
        precision: the number type that is used.
        network: the network itself.
        input_size: None, because images may have any side.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
    """

    input_size: int | None = None

    def __init__(self, path: Path, device: str | None, precision: Precision | None) -> None:
        network, self.description = load_multibox(path)
        self.device = find_device(device)
        self.precision = find_precision(precision, self.device, can_quantise=network.can_quantise, source=path)
        self.dtype = number_type(self.precision)
        priors = network.priors.to(self.device)
        to_device(network, self.device, self.precision)
        network.priors = priors  # in float32, because half precision would move the boxes
        if self.device.type == "cpu" and self.dtype == torch.float32:
            network.fix_priors()
        self.network = network

    @torch.inference_mode()
    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Return the boxes [K, 4] and confidences [K] of `MultiBox.predictions` for an image [S, S, 3]."""
        with naming_failed_device(self.device):
            pixels = torch.from_numpy(image).to(self.device)
            boxes, confidences = self.network.propose(as_input(pixels.unsqueeze(0)).to(self.dtype))
            return boxes[0].cpu().numpy(), confidences[0].cpu().numpy()
