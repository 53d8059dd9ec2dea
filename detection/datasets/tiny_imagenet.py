"""Tiny ImageNet in its public layout: 64x64 pictures of 200 classes, one box each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detection.datasets.dataset import DataSet
from detection.errors import InputError
from detection.ground_truth import GroundTruth

FOLDER = "tiny-imagenet-200"


class TinyImageNet(DataSet):
    """Reader for `wnids.txt`, `words.txt`, `train/<wnid>/<wnid>_boxes.txt` and `val/val_annotations.txt`.

    Boxes are stored as inclusive 0-based pixels. A class is called by the first of its names in `words.txt`.

    Args:
        root: the folder `tiny-imagenet-200`, or the one that holds it.

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
        self._names = tuple(words[wnid].split(",")[0].strip() for wnid in self.wnids)
        self._labels = {wnid: label for label, wnid in enumerate(self.wnids)}

    @property
    def class_names(self) -> tuple[str, ...]:
        return self._names

    def read(self, split: str) -> list[GroundTruth]:
        """Ground truth of "train" or "val"; see `DataSet.read`."""
        if split == "train":
            return [record for wnid in self.wnids for record in self._read_class(wnid)]
        if split == "val":
            return list(self._read_val())
        raise InputError(f"{self.root}: expected split 'train' or 'val', got '{split}'")

    def _read_class(self, wnid: str) -> Iterator[GroundTruth]:
        folder = self.root / "train" / wnid
        source = folder / f"{wnid}_boxes.txt"
        for number, line in enumerate(_lines(source), start=1):
            name, *corners = _fields(line, 5, source, number)
            yield self._record(folder / "images" / name, wnid, corners, f"{source}:{number}")

    def _read_val(self) -> Iterator[GroundTruth]:
        source = self.root / "val" / "val_annotations.txt"
        for number, line in enumerate(_lines(source), start=1):
            name, wnid, *corners = _fields(line, 6, source, number)
            yield self._record(self.root / "val" / "images" / name, wnid, corners, f"{source}:{number}")

    def _record(self, path: Path, wnid: str, corners: list[str], place: str) -> GroundTruth:
        if wnid not in self._labels:
            raise InputError(f"{place}: expected a WNID of wnids.txt, got '{wnid}'")
        try:
            x1, y1, x2, y2 = (int(corner) for corner in corners)
        except ValueError:
            raise InputError(f"{place}: expected whole numbers x1 y1 x2 y2, got {' '.join(corners)}") from None
        if not (0 <= x1 <= x2 and 0 <= y1 <= y2):
            raise InputError(f"{place}: expected 0 <= x1 <= x2 and 0 <= y1 <= y2, got {x1} {y1} {x2} {y2}")
        box = np.array([[x1, y1, x2 + 1, y2 + 1]], np.float32)
        return GroundTruth(image_id=path.stem, path=path, boxes=box, labels=np.array([self._labels[wnid]], np.int64))


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without empty ones at its end."""
    expected = "expected a text file in the layout of the public Tiny ImageNet archive"
    try:
        return path.read_text(encoding="utf-8").rstrip().splitlines()
    except OSError as error:
        raise InputError(f"{path}: {expected}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: {expected} and UTF-8: {error.reason}") from None


def _fields(line: str, count: int, source: Path, number: int) -> list[str]:
    fields = line.split("\t")
    if len(fields) != count:
        raise InputError(f"{source}:{number}: expected {count} tab-separated fields, got {len(fields)}")
    return fields
