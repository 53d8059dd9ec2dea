"""Tiny ImageNet in its public layout: images of 64x64 pixels from 200 classes, with one box each."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.datasets.dataset import DataSet, Entry, LabelledImage, check_image_file
from detection.datasets.files.annotated_objects import Corners, check_box
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_lines, whole_number
from detection.errors import InputError, short_repr, shorten
from detection.structures.ground_truth import GroundTruth

FOLDER = "tiny-imagenet-200"
SIZE = (64, 64)
"""The height and width of every image."""


class _Line(NamedTuple):
    """A line of an annotation file, with the `corners` as they stand in it."""

    place: str
    path: Path
    label: int
    corners: list[str]


class TinyImageNet(DataSet):
    """Reader of `wnids.txt`, `words.txt`, `train/<wnid>/<wnid>_boxes.txt` and `val/val_annotations.txt`.

    The splits are "train" and "val". Boxes in the files are pixels counted from 0 and include the last pixel. The name
    of a class is the first of its names in `words.txt`.

    Args:
        root: the folder `tiny-imagenet-200`, or the folder that contains it.

    Raises:
        InputError: if the class lists are missing or disagree.
    """

    def __init__(self, root: str | Path) -> None:
        inner = Path(root) / FOLDER
        self.root = inner if inner.is_dir() else Path(root)
        self.wnids = tuple(_lines(self.root / "wnids.txt"))
        if not self.wnids or len(set(self.wnids)) < len(self.wnids):
            raise InputError(f"{self.root / 'wnids.txt'}: expected WNIDs, each once, got {len(self.wnids)} lines")
        words = dict(line.split("\t", 1) for line in _lines(self.root / "words.txt") if "\t" in line)
        unnamed = [wnid for wnid in self.wnids if wnid not in words]
        if unnamed:
            raise InputError(f"{self.root / 'words.txt'}: expected a line for every WNID, found none for {unnamed[0]}")
        self.class_names = tuple(words[wnid].split(",")[0].strip() for wnid in self.wnids)
        self._labels = {wnid: label for label, wnid in enumerate(self.wnids)}

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        for line in self._annotations(split, faults):
            with faults.at(line.place):
                box = np.array([_half_open(line.corners)], np.float32)
                labels = np.array([line.label], np.int64)
                yield Entry(line.place, GroundTruth(line.path.stem, line.path, box, labels), SIZE)

    def read_labels(self, split: str) -> Sequence[LabelledImage]:
        """Return the images of `split` with their class, without reading boxes. See `DataSet.read_labels`."""
        faults, images = Faults(), []
        files: set[str] = set()
        for line in self._annotations(split, faults):
            with faults.at(line.place):
                check_image_file(line.path, files)
                images.append(LabelledImage(line.path, line.label))
        return images

    def _annotations(self, split: str, faults: Faults) -> Iterator[_Line]:
        if split == "train":
            for wnid in self.wnids:
                folder = self.root / "train" / wnid
                for place, (name, *corners) in _rows(folder / f"{wnid}_boxes.txt", 5, faults):
                    yield _Line(place, folder / "images" / name, self._labels[wnid], corners)
        elif split == "val":
            folder = self.root / "val"
            for place, (name, wnid, *corners) in _rows(folder / "val_annotations.txt", 6, faults):
                if wnid in self._labels:
                    yield _Line(place, folder / "images" / name, self._labels[wnid], corners)
                else:
                    faults.report(InputError(f"{place}: expected a WNID of wnids.txt, got {short_repr(wnid)}"))
        else:
            raise InputError(f"{self.root}: expected split 'train' or 'val', got '{split}'")


def _half_open(corners: list[str]) -> Corners:
    stated = shorten(" ".join(corners))
    x1, y1, x2, y2 = (whole_number(corner.strip()) for corner in corners)
    if x1 is None or y1 is None or x2 is None or y2 is None:
        raise InputError(f"expected whole numbers x1 y1 x2 y2, got {stated}")
    if not (0 <= x1 <= x2 and 0 <= y1 <= y2):
        raise InputError(f"expected 0 <= x1 <= x2 and 0 <= y1 <= y2, got {x1} {y1} {x2} {y2}")
    return check_box((x1, y1, x2 + 1, y2 + 1), SIZE, stated=stated)


def _rows(source: Path, count: int, faults: Faults) -> Iterator[tuple[str, list[str]]]:
    """Yield the place and the tab-separated fields of each line; report lines without `count` fields to `faults`."""
    lines: list[str] = []
    with faults.at():
        lines = _lines(source)
    for number, line in enumerate(lines, start=1):
        place, fields = f"{source}:{number}", line.split("\t")
        if len(fields) == count:
            yield place, fields
        else:
            faults.report(InputError(f"{place}: expected {count} tab-separated fields, got {len(fields)}"))


def _lines(path: Path) -> list[str]:
    return read_lines(path, expected="a text file in the layout of the public Tiny ImageNet archive")
