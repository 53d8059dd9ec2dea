"""What every data set offers to training and evaluation."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.structures.arrays import IntArray
from detection.structures.ground_truth import GroundTruth


class LabelledImage(NamedTuple):
    """An image file and its one class, an index into the class names of the data set."""

    path: Path
    label: int


class Entry(NamedTuple):
    """An image as a data set lists it: `place` is the file and line, or the like, that does.

    `size` (height, width) is what the annotation states of the image, None where it states nothing. `number` is that
    of the image in its list, by which results call it, None where the list gives none.
    """

    place: str
    record: GroundTruth
    size: tuple[int, int] | None
    number: int | None = None


class SplitCheck(NamedTuple):
    """All that is usable in a split, and all that is wrong with it."""

    entries: list[Entry]
    faults: list[InputError]


class DataSet(ABC):
    """Images with labelled boxes in named splits, below the folder `root`.

    `class_names` are the names of the C classes; labels are indices into them. `scoring_rule` is the name of the rule
    of `detection.evaluation` by which results on this data set are usually given.
    """

    root: Path
    class_names: tuple[str, ...]
    scoring_rule: str = "voc"

    @property
    def category_ids(self) -> tuple[int, ...]:
        """Identifiers of the classes in COCO's files of results; unless there are others, 1 to C."""
        return tuple(range(1, len(self.class_names) + 1))

    @abstractmethod
    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        """The images of `split` in a fixed order, as the files list them.

        What is wrong with an object, image or file goes to `faults`; if that returns, the object, image or file is
        left out. An error that leaves nothing to go on with is raised.
        """

    def read(self, split: str) -> Sequence[GroundTruth]:
        """All images of `split` ("train", "val", ...) in a fixed order; no image is decoded.

        A class need not have objects.

        Raises:
            InputError: naming the file and line, for anything that is missing or malformed, or an image listed twice.
        """
        return [entry.record for entry in self.read_entries(split)]

    def read_entries(self, split: str) -> list[Entry]:
        """The images of `read` with what else the data set says of them; raises as it does."""
        return list(self._usable_entries(split, Faults()))

    def check(self, split: str) -> SplitCheck:
        """All that `read` might raise at once, and a fault for each class without objects."""
        faults = Faults(keep=True)
        entries: list[Entry] = []
        with faults.at():
            entries.extend(self._usable_entries(split, faults))
            records = [entry.record for entry in entries]
            for name in classes_without_objects(records, self.class_names):
                faults.report(
                    InputError(f"{self.root}: expected objects of every class in split '{split}', got none of '{name}'")
                )
        return SplitCheck(entries, faults.found)

    def read_labels(self, split: str) -> Sequence[LabelledImage]:
        """The images of `split` with the one class of their objects, for classifying whole images.

        Raises:
            InputError: as `read`, and naming the image, if its objects are of several classes or there are none.
        """
        images = []
        for record in self.read(split):
            labels = np.unique(record.labels)
            if len(labels) != 1:
                names = ", ".join(self.class_names[label] for label in labels) or "no objects"
                raise InputError(f"{record.path}: expected objects of one class, got {names}")
            images.append(LabelledImage(record.path, int(labels[0])))
        return images

    def _usable_entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        files: set[str] = set()
        image_ids: set[str] = set()
        for entry in self.entries(split, faults):
            with faults.at(entry.place):
                check_image_file(entry.record.path, files)
                if entry.record.image_id in image_ids:
                    raise InputError(f"expected each image once, got a second '{entry.record.image_id}'")
                image_ids.add(entry.record.image_id)
                yield entry


def check_image_file(path: Path, known: set[str]) -> None:
    """Add an image file to the known files of a split.

    Raises:
        InputError: if there is no such file, or it is known already. The message does not name the place at which the
            data set lists it: see `Faults.at`.
    """
    name = os.fspath(path)
    if name in known:
        raise InputError(f"expected each image once, got {path} again")
    if not os.path.isfile(name):  # noqa: PTH113  three times as fast as Path.is_file, over all of ImageNet
        raise InputError(f"expected the image {path}, got no such file")
    known.add(name)


def count_objects(records: Sequence[GroundTruth], class_count: int) -> IntArray:
    """Objects of each class over all images, ignored ones included: int64 [C]."""
    labels = np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)])
    return np.bincount(labels, minlength=class_count).astype(np.int64)


def classes_without_objects(records: Sequence[GroundTruth], class_names: Sequence[str]) -> list[str]:
    """The names of the classes that none of the images shows."""
    counts = count_objects(records, len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if count == 0]
