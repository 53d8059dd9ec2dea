"""Proposers that take their time: a run can be killed while it works, or images overtake others."""

from __future__ import annotations

import time

import numpy as np

from detection.structures.arrays import Image
from detection.structures.contracts import Proposals


class SlowProposer:
    """Proposes a few boxes that depend on the size of the image, after some seconds."""

    def __init__(self, seconds: float = 0.2) -> None:
        self.seconds = seconds

    def __call__(self, image: Image) -> Proposals:
        time.sleep(self.seconds)
        height, width = image.shape[:2]
        share = np.linspace(0, 0.5, 6, dtype=np.float32)[:, None]
        boxes = np.concatenate([share * (width, height), (1 - share / 2) * (width, height)], axis=1)
        return Proposals(boxes.astype(np.float32), np.linspace(1, 0, 6, dtype=np.float32))


class SlowForRed(SlowProposer):
    """Proposes the same boxes, but takes its time only for images that are more red than blue."""

    def __call__(self, image: Image) -> Proposals:
        if image[..., 0].mean() < image[..., 2].mean():
            return SlowProposer(0)(image)
        return super().__call__(image)
