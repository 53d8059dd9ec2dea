"""`DataSet`, the base of the readers of all data sets, which training and evaluation use."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import is_file
from detection.errors import InputError
from detection.structures.arrays import IntArray
from detection.structures.ground_truth import GroundTruth, StatedSize


class LabelledImage(NamedTuple):
    """An image file and its only class, given by the index into the class names of the data set."""

    path: Path
    label: int


class Entry(NamedTuple):
    """An image of a data set.

    `place` is the file and line that list the image, for error messages. `size` is the height and width from the
    annotation, or None. `number` is the number of the image in a list of ILSVRC, which files of results use, or None.
    """

    place: str
    record: GroundTruth
    size: tuple[int, int] | None
    number: int | None = None

    def stated_record(self) -> GroundTruth:
        """Return the record with the stated size of the image, if there is one, for those who read the pixels."""
        return self.record if self.size is None else self.record.stating(StatedSize(*self.size, self.place))


class SplitCheck(NamedTuple):
    """The usable entries of a split, and all its faults. `complete` is False if an error ended the split."""

    entries: list[Entry]
    faults: list[InputError]
    complete: bool = True


class DataSet(ABC):
    """A data set of images with labelled boxes in named splits, below the folder `root`.

    `class_names` are the names of the C classes; labels are indices into them. `scoring_rule` is the name of the rule
    of `detection.evaluation` by which results on this data set are usually given.
    """

    root: Path
    class_names: tuple[str, ...]
    scoring_rule: str = "voc"

    def __repr__(self) -> str:
        count = len(self.class_names)
        return f"{type(self).__name__}({os.fspath(self.root)!r}, {count} class{'' if count == 1 else 'es'})"

    @property
    def category_ids(self) -> tuple[int, ...]:
        """The identifiers of the classes in COCO's files of results, 1 to C by default."""
        return tuple(range(1, len(self.class_names) + 1))

    @abstractmethod
    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        """Yield the images of `split` in the fixed order in which the files list them.

        Report an error in an object, image or file to `faults`. If that returns, leave out the object, image or file
        and continue. Raise an error after which the split cannot be read on.
        """

    def read(self, split: str) -> Sequence[GroundTruth]:
        """Return all images of `split` ("train", "val", ...) in a fixed order, without decoding them.

        There may be classes without objects.

        Raises:
            InputError: naming the file and line, for anything that is missing or malformed, or an image listed twice.
        """
        return [entry.record for entry in self.read_entries(split)]

    def read_entries(self, split: str) -> list[Entry]:
        """Return the images of `read` as entries, with all that the data set says about them; raises as `read` does."""
        return list(self._usable_entries(split, Faults()))

    def check(self, split: str) -> SplitCheck:
        """Return all faults of a split, which `read` would raise one by one, and one for each class without objects."""
        check = self.read_usable(split)
        if check.complete:
            for name in classes_without_objects([entry.record for entry in check.entries], self.class_names):
                check.faults.append(
                    InputError(f"{self.root}: expected objects of every class in split '{split}', got none of '{name}'")
                )
        return check

    def read_usable(self, split: str) -> SplitCheck:
        """Return the usable entries of a split, and the faults of what is left out."""
        faults = Faults(keep=True)
        check = SplitCheck([], faults.errors, complete=False)
        with faults.at():
            check.entries.extend(self._usable_entries(split, faults))
            return check._replace(complete=True)
        return check

    def read_labels(self, split: str) -> Sequence[LabelledImage]:
        """Return the images of `split` with the only class of their objects, for the classification of whole images.

        Raises:
            InputError: as `read`; and naming the image, if it has no objects or objects of several classes.
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
                yield entry._replace(record=entry.stated_record())


def check_image_file(path: Path, known: set[str]) -> None:
    """Add an image file to the known files of a split.

    Raises:
        InputError: if there is no such file, or it is known already. The message does not name the place at which the
            data set lists it: see `Faults.at`.
    """
    name = os.fspath(path)
    if name in known:
        raise InputError(f"expected each image once, got {path} again")
    if not is_file(name):
        raise InputError(f"expected the image {path}, got no such file")
    known.add(name)


def count_objects(records: Sequence[GroundTruth], class_count: int) -> IntArray:
    """Return the number of objects of each class in all images, including ignored objects: int64 [C]."""
    labels = np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)])
    return np.bincount(labels, minlength=class_count).astype(np.int64)


def classes_without_objects(records: Sequence[GroundTruth], class_names: Sequence[str]) -> list[str]:
    """Return the names of the classes of which no image has an object."""
    counts = count_objects(records, len(class_names))
    return [name for name, count in zip(class_names, counts, strict=True) if count == 0]
