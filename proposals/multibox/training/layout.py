"""The layout of a mosaic: where its pictures lie, and which part of each is visible. `mosaics.py` paints them."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from detection.structures.ranges import require_range

Rectangle = tuple[float, float, float, float]
"""x1, y1, x2, y2 as shares of the width and the height, 0-1."""

CUT = (0.3, 0.7)
"""The range of the place where a cell is cut in two, as shares of its longer side."""

SHORTEST_CROP = 0.2
"""The least share of a picture's width, and of its height, that a crop takes."""


class Placement(NamedTuple):
    """The part `crop` of a picture, in shares of the picture, painted at `target`, in shares of the canvas."""

    record: int
    crop: Rectangle
    target: Rectangle
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Draws layouts: pictures in cells that fill the canvas, and smaller pictures on top, called insets.

    So objects come in all sizes and places and in different numbers, even if each picture shows only one. The defaults
    are one whole picture, as the proposer sees it; use them to measure a network.

    Args:
        cells: the maximum number of cells, at least 1; the number is log-uniform.
        insets: the maximum number of insets, at least 0.
        inset_sides: the shortest and the longest side of an inset, as shares of the canvas; log-uniform.
        crop_area: the least share of a picture's area that is visible.
        stretch: the largest factor by which a crop changes the aspect of a picture.
        cover: the least share of a cell's width, and of its height, that its picture takes.
        mirror: the probability that a picture is mirrored.

    Raises:
        ValueError: for arguments out of range.
    """

    cells: int = 1
    insets: int = 0
    inset_sides: tuple[float, float] = (0.05, 0.4)
    crop_area: float = 1.0
    stretch: float = 1.0
    cover: float = 1.0
    mirror: float = 0.0

    def __post_init__(self) -> None:
        require_range(1, 1000, cells=self.cells, stretch=self.stretch)
        require_range(0, 1000, insets=self.insets)
        require_range(0, 1, mirror=self.mirror)
        for name, share in (("crop_area", self.crop_area), ("cover", self.cover), ("inset_sides", self.inset_sides[0])):
            if not 0 < share <= 1:
                raise ValueError(f"{name} must be above 0 and at most 1, got {share}")
        if not self.inset_sides[0] <= self.inset_sides[1] <= 1:
            raise ValueError(f"inset_sides must rise up to 1, got {self.inset_sides}")

    def draw(self, first: int, count: int, generator: np.random.Generator) -> list[Placement]:
        """Return the layout of the picture `first` and of random ones out of `count`; later ones cover earlier ones."""
        cells = int(math.exp(generator.uniform(0, math.log(self.cells + 1))))
        targets = [self._target_in(cell, generator) for cell in split_canvas(cells, generator)]
        targets += [self._inset_target(generator) for _ in range(int(generator.integers(self.insets + 1)))]
        records = [first, *generator.integers(count, size=len(targets) - 1).tolist()]
        mirrored = (generator.random(len(targets)) < self.mirror).tolist()
        return [
            Placement(record, self._crop(generator), target, mirror)
            for record, target, mirror in zip(records, targets, mirrored, strict=True)
        ]

    def _target_in(self, cell: Rectangle, generator: np.random.Generator) -> Rectangle:
        x1, y1, x2, y2 = cell
        width, height = generator.uniform(self.cover, 1, 2) * (x2 - x1, y2 - y1)
        left, top = generator.uniform((x1, y1), (x2 - width, y2 - height))
        return left, top, left + width, top + height

    def _inset_target(self, generator: np.random.Generator) -> Rectangle:
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
    """Return `cells` rectangles that fill the canvas, made by cutting rectangles in two, larger ones more often."""
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
