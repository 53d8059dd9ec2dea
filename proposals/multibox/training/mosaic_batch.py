"""Mosaics as a batch, with the prior that answers for each object."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from detection.structures.arrays import BoolArray, FloatArray
from detection.structures.boxes import box_iou
from detection.training.sample_files import file_names
from proposals.multibox.training.matching import match_priors
from proposals.multibox.training.mosaics import Mosaic

IGNORED_IOU = 0.5
"""A prior that overlaps an ignored object so much is no background: the overlap of a match."""


class MosaicBatch(NamedTuple):
    """B mosaics with P objects in all.

    `images` uint8 [B, S, S, 3]; `matched` [P, 2], the image and the prior of each object; `boxes` [P, 4], normalised;
    `counted` [B, K] bool, the priors that are background unless they are matched, none in a filler; `files` names
    those that the mosaics are made of, for messages.
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
            found = mosaic.boxes[:0] if mosaic.filler else mosaic.boxes / np.float32(len(mosaic.image))
            matches = match_priors(self.priors, found)
            matched.append(np.stack([np.full_like(matches.priors, image), matches.priors], axis=1))
            boxes.append(found[matches.boxes])
        return MosaicBatch(
            torch.from_numpy(np.stack([mosaic.image for mosaic in mosaics])),
            torch.from_numpy(np.concatenate(matched)),
            torch.from_numpy(np.concatenate(boxes)),
            torch.from_numpy(np.stack([self._counted(mosaic) for mosaic in mosaics])),
            file_names(path for mosaic in mosaics for path in mosaic.paths),
        )

    def _counted(self, mosaic: Mosaic) -> BoolArray:
        if mosaic.filler:
            return np.zeros(len(self.priors), np.bool_)
        overlaps = box_iou(self.priors, mosaic.ignored / np.float32(len(mosaic.image)))  # [K, I]
        return np.asarray((overlaps < IGNORED_IOU).all(axis=1))
