"""MultiBox as a proposer: boxes of a whole image in one pass of a network (arXiv 1312.2249, 1412.1441)."""

from __future__ import annotations

import math

import numpy as np
import torch

from detection.runtime.device import Precision, find_device, find_precision, number_type, to_device
from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.contracts import Proposals
from detection.structures.boxes import nms
from proposals.multibox.network import MultiBox, as_input
from proposals.multibox.resize import squash
from proposals.multibox.weights_file import find_multibox, load_multibox

__all__ = ["MAX_BOXES", "NMS_IOU_THRESHOLD", "MultiBox", "MultiBoxProposer", "select_boxes"]

MAX_BOXES = 200
"""Of GoogLeNet's detector (arXiv 1409.4842, section 8)."""

COMPETING = 3
"""Boxes that take part in the suppression for each that is wanted; bounds the matrix of overlaps."""

NMS_IOU_THRESHOLD = 0.7
"""Our choice: boxes that are to be classified may overlap more than detections, of which 0.5 is often the same."""


class MultiBoxProposer:
    """The best boxes of MultiBox in an image, seen whole at one size: `image -> Proposals`.

    Scores are confidences, or what `size_exponent` makes of them.

    The network predicts without suppression, and the loss has nothing against two priors that fit the same object, so
    suppression follows.

    Args:
        weights: a safetensors file written by `detect-train-multibox export`; a bare name is one of the shipped files.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: of the network; by default what is fastest, see `find_precision`.
        max_boxes: the best so many are proposed; 200 in GoogLeNet's detector.
        nms_iou_threshold: of the suppression.
        input_size: side in pixels at which pictures are seen; by default that of the weights. A larger one shows
            smaller objects, and takes more time.
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
        path = find_multibox(weights)
        network, self.description = load_multibox(path)
        self.input_size = input_size or self.description.input_size
        self.size_exponent = size_exponent
        self.max_boxes = max_boxes
        self.nms_iou_threshold = nms_iou_threshold
        self.device = find_device(device)
        self.precision = find_precision(precision, self.device, can_quantise=network.can_quantise, source=path)
        self.dtype = number_type(self.precision)
        priors = network.priors.to(self.device)
        to_device(network, self.device, self.precision)
        network.priors = priors  # half of the digits would move the boxes
        if self.device.type == "cpu" and self.dtype == torch.float32:
            network.fix_priors()
        self.network = network

    def __call__(self, image: Image) -> Proposals:
        """Proposals within an image, the best first."""
        height, width = image.shape[:2]
        boxes, confidences = self.predict(image)
        shares = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
        scores = confidences * shares ** np.float32(self.size_exponent)
        kept = select_boxes(boxes, scores, max_boxes=self.max_boxes, nms_iou_threshold=self.nms_iou_threshold)
        return Proposals(boxes[kept] * np.array([width, height, width, height], np.float32), scores[kept])

    @torch.inference_mode()
    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """All K boxes, normalised, and their confidences."""
        size = self.input_size
        pixels = torch.from_numpy(squash(image, (size, size))).to(self.device)
        outputs = self.network(as_input(pixels.unsqueeze(0)).to(self.dtype))
        boxes, confidences = self.network.predictions(outputs)
        return boxes[0].cpu().numpy(), confidences[0].cpu().numpy()


def select_boxes(boxes: FloatArray, confidences: FloatArray, *, max_boxes: int, nms_iou_threshold: float) -> IntArray:
    """Indices of the best boxes [K, 4] with an area, after non-maximum suppression, best first.

    Overlaps are the same in normalised coordinates and in pixels.
    """
    ranked = np.argsort(-confidences, kind="stable")
    proper = ranked[(boxes[ranked, 2:] > boxes[ranked, :2]).all(axis=1)][: COMPETING * max_boxes]
    kept: IntArray = proper[nms(boxes[proper], confidences[proper], nms_iou_threshold)][:max_boxes]
    return kept
