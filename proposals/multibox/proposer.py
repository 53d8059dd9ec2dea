"""MultiBox as a proposer, for a whole image in one pass (arXiv 1312.2249, 1412.1441). `network.py` is the network."""

import math
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from detection.errors import InputError
from detection.runtime.portable import Portable
from detection.runtime.weights_files.engine import Precision, find_file, load_by_engine
from detection.structures.arrays import FloatArray, Image, IntArray, require_image
from detection.structures.boxes import nms, snap_boxes
from detection.structures.contracts import Proposals
from proposals.multibox.description import SHIPPED, MultiBoxDescription
from proposals.multibox.onnx_network import OnnxMultiBox

MAX_BOXES = 200
"""The number of boxes that GoogLeNet's detector takes from MultiBox (arXiv 1409.4842, section 8)."""

CANDIDATES = 3
"""The number of best boxes that enter the suppression, for each box that may be kept. It bounds the matrix of IoUs."""

NMS_IOU_THRESHOLD = 0.7
"""Our choice. It is higher than the usual threshold of detections, because these boxes are still to be classified."""

STEPS = 2048
"""Boxes are rounded to this many steps along each side of the image; see `snap_boxes`.

At an input of 320 pixels, a step is 0.16 pixels of the input."""


class LoadedMultiBox(Protocol):
    """The attributes and the method that `OnnxMultiBox` and `TensorMultiBox` share; `OnnxMultiBox` describes them."""

    description: MultiBoxDescription
    device: Any
    precision: Precision
    input_size: int | None

    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Return the boxes [K, 4] and confidences [K] of `MultiBox.predictions` for an image [S, S, 3]."""


class MultiBoxProposer(Portable):
    """Returns the best boxes of MultiBox in an image, which the network sees as a whole: `image -> Proposals`.

    The score of a box is its confidence, or its product with a power of the box's area, see `size_exponent`. The
    network predicts without suppression, and its loss allows two priors to fit the same object; so suppression follows.

    Args:
        weights: a safetensors file written by `detect-train-multibox export`, where a bare name is one of the shipped
            files; or an ONNX file written by `detect-export`, which is computed on the CPU by ONNX Runtime. On a CPU,
            the ONNX file beside a safetensors file takes its place, see `load_by_engine`.
        device: "cpu", "cuda", "cuda:1", ...; by default a GPU where there is one.
        precision: the number format of the network; by default the fastest one, see `find_precision`.
        max_boxes: the maximum number of proposals; 200 in GoogLeNet's detector.
        nms_iou_threshold: the IoU above which the box with the lower score is dropped.
        input_size: the side in pixels to which images are resized; by default that of the weights. A larger one shows
            smaller objects and takes more time. An ONNX file has the side with which it was written.
        size_exponent: boxes are ranked by their confidence times a power of their share of the image's area; this is
            the exponent. A number above 0 prefers large boxes, for photographs whose objects are larger than those of
            the training.

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
        path = find_file(weights, SHIPPED)
        load_onnx = partial(_load_onnx, input_size)
        self.network: LoadedMultiBox = load_by_engine(path, device, precision, onnx=load_onnx, tensors=_load_tensors)
        self.device, self.precision = self.network.device, self.network.precision
        self.input_size = input_size or self.network.input_size or self.network.description.input_size

    def __call__(self, image: Image) -> Proposals:
        """Return the proposals of an image, best first.

        Raises:
            ArrayError: if the image is no array uint8 [H, W, 3].
        """
        require_image(image)
        height, width = image.shape[:2]
        boxes, confidences = self.predict(image)
        boxes = snap_boxes(boxes, STEPS)
        shares = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
        scores = confidences * shares ** np.float32(self.size_exponent)
        kept = select_boxes(boxes, scores, max_boxes=self.max_boxes, nms_iou_threshold=self.nms_iou_threshold)
        return Proposals(boxes[kept] * np.array([width, height, width, height], np.float32), scores[kept])

    def predict(self, image: Image) -> tuple[FloatArray, FloatArray]:
        """Return all boxes [K, 4] of an image, normalised, and their confidences [K]."""
        return self.network.predict(resize(image, (self.input_size, self.input_size)))


def _load_onnx(
    input_size: int | None, path: Path, device: str | None, precision: Precision | None, in_place_of: Path | None
) -> LoadedMultiBox:
    """Load MultiBox with ONNX Runtime; it must have been written for the `input_size`, if there is one."""
    network = OnnxMultiBox(path, device, precision, in_place_of)
    if input_size not in (None, network.input_size):
        raise InputError(
            f"{path}: expected input_size {network.input_size}, with which detect-export wrote it, got {input_size}; "
            "another one needs PyTorch and the safetensors file"
        )
    return network


def _load_tensors(path: Path, device: str | None, precision: Precision | None) -> LoadedMultiBox:
    """Load MultiBox with PyTorch."""
    from proposals.multibox.tensor_network import TensorMultiBox  # noqa: PLC0415  imports PyTorch

    return TensorMultiBox(path, device, precision)


def select_boxes(boxes: FloatArray, confidences: FloatArray, *, max_boxes: int, nms_iou_threshold: float) -> IntArray:
    """Return the indices of the best boxes [K, 4] that have an area, after non-maximum suppression, best first.

    Overlaps are the same in normalised coordinates and in pixels.
    """
    ranked = np.argsort(-confidences, kind="stable")
    with_area = ranked[(boxes[ranked, 2:] > boxes[ranked, :2]).all(axis=1)][: CANDIDATES * max_boxes]
    kept: IntArray = with_area[nms(boxes[with_area], confidences[with_area], nms_iou_threshold)][:max_boxes]
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
