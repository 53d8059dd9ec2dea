"""MultiBox as a proposer, for a whole image in one pass (arXiv 1312.2249, 1412.1441). `network.py` is the network."""

import math
from pathlib import Path

import cv2
import numpy as np
import torch

from detection.errors import InputError
from detection.runtime.device import (
    Precision,
    find_device,
    find_onnx_device,
    find_precision,
    naming_failed_device,
    number_type,
    to_device,
)
from detection.runtime.portable import Portable
from detection.runtime.weights_files.onnx_file import SUFFIX as ONNX_SUFFIX
from detection.runtime.weights_files.tensor_file import find_file
from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import nms
from detection.structures.contracts import Proposals
from proposals.multibox.network import MultiBox, as_input
from proposals.multibox.onnx_network import OnnxMultiBox, load_onnx_multibox
from proposals.multibox.weights_file import SHIPPED, load_multibox

MAX_BOXES = 200
"""The number of boxes that GoogLeNet's detector takes from MultiBox (arXiv 1409.4842, section 8)."""

CANDIDATES = 3
"""The number of boxes that take part in the suppression for each box that is wanted. It bounds the matrix of IoUs."""

NMS_IOU_THRESHOLD = 0.7
"""Our choice: boxes that are to be classified may overlap more than detections, of which 0.5 is often the same."""


class MultiBoxProposer(Portable):
    """Returns the best boxes of MultiBox in an image, which the network sees as a whole: `image -> Proposals`.

    The score of a box is its confidence, or its product with a power of the box's area, see `size_exponent`. The
    network predicts without suppression, and its loss allows two priors to fit the same object; so suppression follows.

    Args:
        weights: a safetensors file written by `detect-train-multibox export`, where a bare name is one of the shipped
            files; or an ONNX file written by `detect-export`, which is computed on the CPU by ONNX Runtime.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default the fastest one, see `find_precision`.
        max_boxes: the maximum number of proposals; 200 in GoogLeNet's detector.
        nms_iou_threshold: of the suppression.
        input_size: the side in pixels to which images are resized; by default that of the weights. A larger one shows
            smaller objects and takes more time. An ONNX file has the side with which it was written.
        size_exponent: boxes are ranked by their confidence times their share of the image's area to this power. More
            than 0 makes up for objects that were smaller in training than in photographs.

    Raises:
        InputError: if the weights cannot be used, or the device is not there.
        ValueError: if `max_boxes` or `input_size` is not positive, `size_exponent` is negative, or the threshold is
            not within 0-1.
    """

    def __init__(
        self,
        weights: str,
        *,
        device: str | None = None,
        precision: Precision | None = None,
        max_boxes: int = MAX_BOXES,
        nms_iou_threshold: float = NMS_IOU_THRESHOLD,
        input_size: int | None = None,
        size_exponent: float = 0.0,
    ) -> None:
        if max_boxes < 1 or not 0 <= nms_iou_threshold <= 1:
            raise ValueError(
                f"expected positive max_boxes and a threshold in 0-1, got {max_boxes=}, {nms_iou_threshold=}"
            )
        if input_size is not None and input_size < 1:
            raise ValueError(f"input_size must be positive, got {input_size}")
        if not 0 <= size_exponent < math.inf:
            raise ValueError(f"size_exponent must be at least 0, got {size_exponent}")
        self.size_exponent = size_exponent
        self.max_boxes = max_boxes
        self.nms_iou_threshold = nms_iou_threshold
        self.network: MultiBox | OnnxMultiBox
        path = find_file(weights, SHIPPED)
        if path.suffix == ONNX_SUFFIX:
            self._load_onnx(path, device, precision, input_size)
        else:
            self._load_tensors(path, device, precision)
            self.input_size = input_size or self.description.input_size

    def _load_tensors(self, path: Path, device: str | None, precision: Precision | None) -> None:
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

    def _load_onnx(self, path: Path, device: str | None, precision: Precision | None, input_size: int | None) -> None:
        self.network, self.description = load_onnx_multibox(path)
        self.precision = self.network.read.precision
        self.device = find_onnx_device(device, precision, stored=self.precision, source=path)
        self.dtype = torch.float32
        side = self.network.input_size
        self.input_size = input_size or side or self.description.input_size
        if side not in (None, self.input_size):
            raise InputError(f"{path}: expected input_size {side}, with which detect-export wrote it, got {input_size}")

    def __call__(self, image: Image) -> Proposals:
        """Return the proposals of an image, best first."""
        height, width = image.shape[:2]
        boxes, confidences = self.predict(image)
        shares = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
        scores = confidences * shares ** np.float32(self.size_exponent)
        kept = select_boxes(boxes, scores, max_boxes=self.max_boxes, nms_iou_threshold=self.nms_iou_threshold)
        return Proposals(boxes[kept] * np.array([width, height, width, height], np.float32), scores[kept])

    @torch.inference_mode()
    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Return all boxes [K, 4] of an image, normalised, and their confidences [K]."""
        with naming_failed_device(self.device):
            pixels = torch.from_numpy(resize(image, (self.input_size, self.input_size))).to(self.device)
            boxes, confidences = self.network.propose(as_input(pixels.unsqueeze(0)).to(self.dtype))
            return boxes[0].cpu().numpy(), confidences[0].cpu().numpy()


def select_boxes(boxes: FloatArray, confidences: FloatArray, *, max_boxes: int, nms_iou_threshold: float) -> IntArray:
    """Return the indices of the best boxes [K, 4] that have an area, after non-maximum suppression, best first.

    Overlaps are the same in normalised coordinates and in pixels.
    """
    ranked = np.argsort(-confidences, kind="stable")
    proper = ranked[(boxes[ranked, 2:] > boxes[ranked, :2]).all(axis=1)][: CANDIDATES * max_boxes]
    kept: IntArray = proper[nms(boxes[proper], confidences[proper], nms_iou_threshold)][:max_boxes]
    return kept


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resize an image to `size` (height, width), whatever its aspect: by area where a side shrinks, else bilinearly.

    The width is changed first, then the height. If both change at once, OpenCV does not average over areas as soon as
    one of them grows, and of a long strip only single pixels of its length would be left.
    """
    for height, width in ((image.shape[0], size[1]), size):
        if image.shape[:2] != (height, width):
            shrinks = height < image.shape[0] or width < image.shape[1]
            interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
            image = np.asarray(cv2.resize(image, (width, height), interpolation=interpolation), np.uint8)
    return image
