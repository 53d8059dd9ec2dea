"""Where the pictures of a mosaic lie, and what of them is seen."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

Rectangle = tuple[float, float, float, float]
"""x1, y1, x2, y2 as shares of the canvas, 0-1."""

CUT = (0.3, 0.7)
"""Where a cell is cut in two, as shares of its longer side."""

SHORTEST_CROP = 0.2
"""A crop is at least this share of a picture's width and height."""


class Placement(NamedTuple):
    """A part of a picture on the canvas: `crop` in shares of the picture, `target` in shares of the canvas."""

    record: int
    crop: Rectangle
    target: Rectangle
    mirrored: bool


class Layout:
    """Draws mosaics: cells side by side that fill the canvas, and smaller pictures laid over them.

    Objects come so in all sizes and places and in different numbers, though each picture may show but one. The
    defaults are one whole picture: what is proposed for, and what to measure with.

    Args:
        cells: pictures side by side, 1 to so many; half as many are as likely as twice as many.
        insets: pictures laid over them, 0 to so many.
        inset_sides: shortest and longest side of these, as shares of the canvas; log-uniform.
        crop_area: least share of a picture's area that is seen.
        stretch: largest factor by which a crop changes the aspect of a picture.
        cover: least share of a cell's width, and of its height, that its picture takes.
        mirror: probability of a mirror image.

    Raises:
        ValueError: for arguments out of range.
    """

    def __init__(
        self,
        *,
        cells: int = 1,
        insets: int = 0,
        inset_sides: tuple[float, float] = (0.05, 0.4),
        crop_area: float = 1.0,
        stretch: float = 1.0,
        cover: float = 1.0,
        mirror: float = 0.0,
    ) -> None:
        if cells < 1 or insets < 0 or stretch < 1:
            raise ValueError(f"cells and stretch must be at least 1, insets 0, got {cells=}, {stretch=}, {insets=}")
        shares = {"crop_area": crop_area, "cover": cover, "inset_sides": inset_sides[0]}
        for name, share in shares.items():
            if not 0 < share <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {share}")
        if not inset_sides[0] <= inset_sides[1] <= 1:
            raise ValueError(f"inset_sides must rise up to 1, got {inset_sides}")
        self.cells = cells
        self.insets = insets
        self.inset_sides = inset_sides
        self.crop_area = crop_area
        self.stretch = stretch
        self.cover = cover
        self.mirror = mirror

    def draw(self, first: int, count: int, generator: np.random.Generator) -> list[Placement]:
        """A mosaic of the picture `first` and of others out of `count`; later ones lie over earlier ones."""
        cells = int(math.exp(generator.uniform(0, math.log(self.cells + 1))))
        targets = [self._within(cell, generator) for cell in split_canvas(cells, generator)]
        targets += [self._inset(generator) for _ in range(int(generator.integers(self.insets + 1)))]
        records = [first, *generator.integers(count, size=len(targets) - 1).tolist()]
        mirrored = (generator.random(len(targets)) < self.mirror).tolist()
        return [
            Placement(record, self._crop(generator), target, mirror)
            for record, target, mirror in zip(records, targets, mirrored, strict=True)
        ]

    def _within(self, cell: Rectangle, generator: np.random.Generator) -> Rectangle:
        x1, y1, x2, y2 = cell
        width, height = generator.uniform(self.cover, 1, 2) * (x2 - x1, y2 - y1)
        left, top = generator.uniform((x1, y1), (x2 - width, y2 - height))
        return left, top, left + width, top + height

    def _inset(self, generator: np.random.Generator) -> Rectangle:
        width, height = np.exp(generator.uniform(*np.log(self.inset_sides)) + generator.uniform(-0.25, 0.25, 2))
        width, height = min(width, 1.0), min(height, 1.0)
        left, top = generator.uniform((0, 0), (1 - width, 1 - height))
        return left, top, left + width, top + height

    def _crop(self, generator: np.random.Generator) -> Rectangle:
        area, aspect = generator.uniform(self.crop_area, 1), self.stretch ** generator.uniform(-1, 1)
        width, height = np.clip((math.sqrt(area * aspect), math.sqrt(area / aspect)), SHORTEST_CROP, 1)
        left, top = generator.uniform((0, 0), (1 - width, 1 - height))
        return left, top, left + width, top + height


def split_canvas(cells: int, generator: np.random.Generator) -> list[Rectangle]:
    """So many rectangles that fill the canvas: again and again one of them, likely a large one, is cut in two."""
    rectangles: list[Rectangle] = [(0.0, 0.0, 1.0, 1.0)]
    while len(rectangles) < cells:
        areas = np.array([(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in rectangles])
        x1, y1, x2, y2 = rectangles.pop(generator.choice(len(areas), p=areas / areas.sum()))
        share = generator.uniform(*CUT)
        if x2 - x1 > y2 - y1:
            middle = x1 + share * (x2 - x1)
            rectangles += [(x1, y1, middle, y2), (middle, y1, x2, y2)]
        else:
            middle = y1 + share * (y2 - y1)
            rectangles += [(x1, y1, x2, middle), (x1, middle, x2, y2)]
    return rectangles
