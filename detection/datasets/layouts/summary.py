"""`summarise`: the numbers of a data set by split and class, the sizes of pictures and boxes, and faults, as text."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detection.datasets.dataset import Entry, count_objects
from detection.datasets.layouts.labelled_folder import LabelledFolder
from detection.structures.arrays import IntArray
from detection.structures.boxes import box_area

MAX_LINES = 20
"""The number of classes, of remarks and of faults in the text of a summary; the others are counted (our choice)."""


@dataclass(frozen=True, eq=False)
class DataSummary:
    """The numbers of pictures and boxes, their sizes and the faults of a folder of labelled pictures.

    Args:
        description: which files were found and which splits are given or made, in two lines.
        class_names: the C classes.
        pictures: the number of pictures of each split.
        background: the number of pictures without boxes of each split.
        boxes: the number of boxes of each class and split, int64 [C], by the name of the split.
        picture_sizes: width and height of the smallest, median and largest picture by area, int64 [3, 2].
        box_sizes: the square root of the area of boxes in pixels, at 5%, 50% and 95% of all boxes: float64 [3].
        box_shares: the same relative to the square root of the area of the picture (0-1).
        remarks: faults that leave nothing out, a line each.
        left_out: boxes, pictures and files that are not used, a line each.
    """

    description: str
    class_names: tuple[str, ...]
    pictures: dict[str, int]
    background: dict[str, int]
    boxes: dict[str, IntArray]
    picture_sizes: IntArray
    box_sizes: NDArray[np.float64]
    box_shares: NDArray[np.float64]
    remarks: tuple[str, ...]
    left_out: tuple[str, ...]

    def lines(self, max_lines: int = MAX_LINES) -> list[str]:
        """Return the summary as text, with at most `max_lines` classes, the most frequent first, remarks and faults."""
        total = sum(self.boxes.values(), np.zeros(len(self.class_names), np.int64))
        rows = [["", *self.pictures], ["pictures", *map(str, self.pictures.values())]]
        rows.append(["without boxes", *map(str, self.background.values())])
        rows.append(["boxes", *(str(counts.sum()) for counts in self.boxes.values())])
        rows += [
            [f"  {self.class_names[label]}", *(str(counts[label]) for counts in self.boxes.values())]
            for label in np.argsort(-total, kind="stable")[:max_lines].tolist()
        ]
        small, median, large = (f"{width}x{height}" for width, height in self.picture_sizes.tolist())
        low, middle, high = (
            f"{size:.0f} px ({share:.0%})" for size, share in zip(self.box_sizes, self.box_shares, strict=True)
        )
        return [
            *self.description.splitlines(),
            *_aligned(rows),
            *([f"  and {len(total) - max_lines} more classes"] if len(total) > max_lines else []),
            f"size of pictures: {small} (smallest), {median} (median), {large} (largest) px",
            "size of boxes (square root of the area; in brackets, relative to the picture): "
            f"5% below {low}, half below {middle}, 95% below {high}",
            *_first(self.remarks, max_lines, "note: "),
            *_first(self.left_out, max_lines, "left out: "),
        ]


def summarise(data: LabelledFolder) -> DataSummary:
    """Return the summary of a folder."""
    entries = {split: data.read_entries(split) for split in data.splits}
    records = {split: [entry.record for entry in entries[split]] for split in entries}
    all_entries = [entry for split_entries in entries.values() for entry in split_entries]
    box_sizes, box_shares = _box_sizes(all_entries)
    return DataSummary(
        data.description,
        data.class_names,
        pictures={split: len(images) for split, images in records.items()},
        background={split: sum(len(image) == 0 for image in images) for split, images in records.items()},
        boxes={split: count_objects(images, len(data.class_names)) for split, images in records.items()},
        picture_sizes=_picture_sizes(all_entries),
        box_sizes=box_sizes,
        box_shares=box_shares,
        remarks=data.remarks,
        left_out=data.left_out,
    )


def _picture_sizes(entries: Sequence[Entry]) -> IntArray:
    sizes = np.array([entry.size for entry in entries if entry.size is not None], np.int64)  # [N, 2]
    order = np.argsort(sizes.prod(axis=1), kind="stable")
    return sizes[order[[0, len(order) // 2, -1]], ::-1]


def _box_sizes(entries: Sequence[Entry]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    sides = []
    picture_sides = []
    for entry in entries:
        sides.append(np.sqrt(box_area(entry.record.boxes).astype(np.float64)))
        picture_sides.append(np.full(len(entry.record), np.sqrt(np.prod(entry.size or (1, 1)))))
    side = np.concatenate(sides)
    shares = side / np.concatenate(picture_sides)
    quantiles = [0.05, 0.5, 0.95]
    return np.quantile(side, quantiles), np.quantile(shares, quantiles)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join([f"{name:{widths[0]}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))])
        for name, *cells in rows
    ]


def _first(lines: Sequence[str], limit: int, start: str) -> list[str]:
    more = len(lines) - limit
    return [f"{start}{' '.join(line.splitlines())}" for line in lines[:limit]] + (
        [f"{start}{more} more"] if more > 0 else []
    )
