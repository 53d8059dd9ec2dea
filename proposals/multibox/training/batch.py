"""A batch of mosaics, in which each object is matched with the prior that is to predict it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detection.structures.arrays import BoolArray, FloatArray
from detection.structures.boxes import box_iou
from proposals.multibox.training.mosaics import Mosaic
from proposals.multibox.training.priors import match_priors

IGNORED_IOU = 0.5
"""A prior whose IoU with an ignored object is this or more is not background."""


class MosaicBatch(NamedTuple):
    """B mosaics with P objects in total.

    `images` uint8 [B, S, S, 3]; `matched` [P, 2], the image and the prior of each object; `boxes` [P, 4], normalised;
    `counted` [B, K] bool, True for the priors that are background unless they are matched; `files`, the names of the
    image files, for messages.
    """

    images: Tensor
    matched: Tensor
    boxes: Tensor
    counted: Tensor
    files: str


class MosaicCollation:
    """Turns mosaics into a batch.

    Args:
        priors: [K, 4] normalised.
    """

    def __init__(self, priors: FloatArray) -> None:
        self.priors = priors

    def __call__(self, mosaics: Sequence[Mosaic]) -> MosaicBatch:
        matched, boxes = [], []
        for image, mosaic in enumerate(mosaics):
            objects = mosaic.boxes[:0] if mosaic.filler else mosaic.boxes / np.float32(len(mosaic.image))
            matches = match_priors(self.priors, objects)
            matched.append(np.stack([np.full_like(matches.priors, image), matches.priors], axis=1))
            boxes.append(objects[matches.boxes])
        return MosaicBatch(
            torch.from_numpy(np.stack([mosaic.image for mosaic in mosaics])),
            torch.from_numpy(np.concatenate(matched)),
            torch.from_numpy(np.concatenate(boxes)),
            torch.from_numpy(np.stack([self._counted(mosaic) for mosaic in mosaics])),
            ", ".join(str(path) for mosaic in mosaics for path in mosaic.paths),
        )

    def _counted(self, mosaic: Mosaic) -> BoolArray:
        """Return a mask [K] of the priors that are background unless they are matched; in a filler, none are."""
        if mosaic.filler:
            return np.zeros(len(self.priors), np.bool_)
        overlaps = box_iou(self.priors, mosaic.ignored / np.float32(len(mosaic.image)))  # [K, I]
        return np.asarray((overlaps < IGNORED_IOU).all(axis=1))
