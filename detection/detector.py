"""The whole pipeline: propose, classify, suppress."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from detection.image import as_image
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_area
from detection.structures.contracts import Calibration, Classifier, Proposals, Proposer, RegionScores
from detection.structures.detections import Detections
from detection.structures.nms import NMS_IOU_THRESHOLD, suppress

SCORE_THRESHOLD = 0.5
"""Our choice for showing results; evaluation takes all scores into account."""

MAX_DETECTIONS = 100
"""R-CNN keeps at most so many boxes a class and image; here it is all classes together, as in COCO's rules."""


class Detector:
    """Finds objects in an image: `detector("photo.jpg")`.

    Args:
        propose: finds candidate boxes.
        classify: scores them.
        score_threshold: detections of a lower score are dropped, 0-1.
        nms_iou_threshold: of two detections of a class that overlap by more, the worse is dropped.
        max_detections: the best so many of an image are kept.
        calibrate: makes scores of the classifier's probabilities, which `score_threshold` then refers to; by default
            they are the scores.

    Raises:
        ValueError: if a threshold lies outside 0-1 or `max_detections` is negative.
    """

    def __init__(
        self,
        propose: Proposer,
        classify: Classifier,
        *,
        score_threshold: float = SCORE_THRESHOLD,
        nms_iou_threshold: float = NMS_IOU_THRESHOLD,
        max_detections: int = MAX_DETECTIONS,
        calibrate: Calibration | None = None,
    ) -> None:
        for name, value in (("score_threshold", score_threshold), ("nms_iou_threshold", nms_iou_threshold)):
            if not 0 <= value <= 1:
                raise ValueError(f"{name} must lie in 0-1, got {value}")
        if max_detections < 0:
            raise ValueError(f"max_detections must be at least 0, got {max_detections}")
        self.propose = propose
        self.classify = classify
        self.score_threshold = score_threshold
        self.nms_iou_threshold = nms_iou_threshold
        self.max_detections = max_detections
        self.calibrate = calibrate

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes that can be found; labels are indices into them."""
        return self.classify.class_names

    def __call__(self, image: str | os.PathLike[str] | NDArray[Any] | PIL.Image.Image) -> Detections:
        """Detections in one image: a path, an RGB array uint8 [H, W, 3] (or grey [H, W]), or a PIL image.

        Raises:
            InputError: naming the file, if it is missing or not a readable image.
            ValueError: for an array of another shape or type.
        """
        pixels = as_image(image)
        proposals = self.propose(pixels)
        return self.score([pixels], [proposals])[0]

    def score(self, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        """Detections among known proposals of several images, which share the classifier's batches."""
        boxes = [of_image.boxes for of_image in proposals]
        sizes = [image.shape[:2] for image in images]
        return [self.suppress(*one) for one in zip(boxes, self.classify(images, boxes), sizes, strict=True)]

    def suppress(self, boxes: FloatArray, scores: RegionScores, size: tuple[int, int]) -> Detections:
        """Detections among scored regions [N, 4] of one image of `size` (height, width)."""
        if self.calibrate is not None:
            background, of_classes = np.split(scores.probabilities, [1], axis=1)
            areas = box_area(boxes[:, None] if scores.boxes is None else scores.boxes) / (size[0] * size[1])
            shares = self.calibrate(of_classes, areas.astype(np.float32))
            scores = replace(scores, probabilities=np.concatenate([background, shares], axis=1))
        return suppress(
            boxes,
            scores,
            self.class_names,
            score_threshold=self.score_threshold,
            nms_iou_threshold=self.nms_iou_threshold,
            max_detections=self.max_detections,
        )
