"""Proposals in large pictures: those of the whole picture, and those of overlapping tiles at full resolution.

A proposer looks at pictures of a limited size: selective search shrinks them to a width of 500 pixels, and MultiBox to
320x320. In a large picture it does not see small objects. A tile shows them larger. Slicing is the usual help for
detectors (SAHI, arXiv 2202.06934); here only proposals come from tiles, and all boxes are then scored in the whole
picture, so that an object is suppressed or shown once, and a region never ends at the border of a tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from detection.structures.arrays import BoolArray, FloatArray, Image
from detection.structures.boxes import box_iou
from detection.structures.contracts import Proposals, Proposer, find_proposals

BORDER = 1.0
"""A box is dropped if it ends this near, in pixels, to a border of its tile within the picture, because the border
probably cuts its object; the neighbouring tile or the whole picture shows the object in full."""

DUPLICATE_IOU = 0.9
"""If boxes of the whole picture and a tile, or of two tiles, have a higher IoU, only the first of them is kept."""

MAX_OVERLAP = 0.9
"""The largest overlap. With more, a picture would have thousands of tiles."""


class TiledProposer:
    """Returns the boxes of a proposer in the whole picture and in overlapping tiles of it.

    Args:
        propose: finds boxes in the picture and in each tile.
        tile: the side of a tile in pixels. A picture that is no larger has no tiles.
        overlap: the share of a tile that its neighbour shows too, at least 0 and at most `MAX_OVERLAP`.

    Raises:
        ValueError: for arguments out of range.
    """

    def __init__(self, propose: Proposer, tile: int, overlap: float) -> None:
        if tile < 1 or not 0 <= overlap <= MAX_OVERLAP:
            raise ValueError(f"expected a tile above 0 and an overlap in 0-{MAX_OVERLAP}, got {tile=}, {overlap=}")
        self.propose = propose
        self.tile = tile
        self.overlap = overlap

    def __call__(self, image: Image) -> Proposals:
        """Return the proposals of an image: the best one of the whole image and of each tile, then the second ones."""
        whole = find_proposals(self.propose, image)
        boxes, scores = [whole.boxes], [whole.scores]
        for left, top, right, bottom in tile_windows(image.shape[1], image.shape[0], self.tile, self.overlap):
            proposals = find_proposals(self.propose, np.ascontiguousarray(image[top:bottom, left:right]))
            tile_boxes = proposals.boxes + np.array([left, top, left, top], np.float32)
            new = ~is_cut_off(tile_boxes, (left, top, right, bottom), (image.shape[0], image.shape[1]))
            earlier = _near(np.concatenate(boxes), tile_boxes)
            new &= box_iou(tile_boxes, earlier).max(axis=1, initial=0) <= DUPLICATE_IOU
            boxes.append(tile_boxes[new])
            scores.append(proposals.scores[new])
        ranks = np.concatenate([np.arange(len(part)) for part in boxes])
        order = np.argsort(ranks, kind="stable")  # scores of different tiles cannot be compared, but ranks can
        return Proposals(np.concatenate(boxes)[order], np.concatenate(scores)[order])


def tile_windows(width: int, height: int, tile: int, overlap: float) -> Iterator[tuple[int, int, int, int]]:
    """Yield the tiles of a picture, xyxy in pixels, row by row; there are none if the picture is no larger than one.

    The tiles have the side `tile`, or less where the picture is smaller, and are spread evenly. Neighbours share at
    least the share `overlap` of a tile.
    """
    if max(width, height) <= tile:
        return
    for top in _starts(height, tile, overlap):
        for left in _starts(width, tile, overlap):
            yield left, top, min(left + tile, width), min(top + tile, height)


def _starts(length: int, tile: int, overlap: float) -> list[int]:
    """Return the first pixels of tiles that cover an axis of `length` pixels."""
    if length <= tile:
        return [0]
    step = max(1.0, tile * (1 - overlap))  # a smaller step would repeat tiles
    count = 1 + int(np.ceil((length - tile) / step))
    return [round(start) for start in np.linspace(0, length - tile, count).tolist()]


def _near(boxes: FloatArray, others: FloatArray) -> FloatArray:
    """Return those of the boxes [N, 4] that overlap the smallest rectangle around the others [M, 4]."""
    first, last = others[:, :2].min(axis=0, initial=np.inf), others[:, 2:].max(axis=0, initial=-np.inf)
    near: FloatArray = boxes[(boxes[:, :2] < last).all(axis=1) & (boxes[:, 2:] > first).all(axis=1)]
    return near


def is_cut_off(boxes: FloatArray, tile: tuple[int, int, int, int], size: tuple[int, int]) -> BoolArray:
    """Return True for the boxes [N, 4] that end at a border of a tile inside of an image of `size` (height, width)."""
    borders = np.array([0, 0, size[1], size[0]], np.float32)
    inside = np.array(tile, np.float32) != borders
    near = np.abs(boxes - np.array(tile, np.float32)) <= BORDER
    return np.asarray((near & inside).any(axis=1), np.bool_)
