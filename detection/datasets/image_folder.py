"""Images in one folder for each class, for the classification of whole images."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from detection.datasets.dataset import DataSet, Entry, LabelledImage
from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.image import read_image_size
from detection.sources.files import ANNOTATED_SUFFIX, IMAGE_SUFFIXES, describe_passed_over
from detection.structures.ground_truth import GroundTruth

logger = logging.getLogger(__name__)


class ImageFolder(DataSet):
    """Reader of folders `<split>/<class>/<image>`. Each image has one object, whose box is the whole image.

    The classes are the sorted names of the folders in all splits, so that a class has the same label in each split.
    Hidden files and folders are skipped, and in the folder of a class also files without the suffix of an image; a
    warning is logged for pictures in other formats.

    Args:
        root: the folder that contains the splits.
        splits: the folders of the splits in it, where "." is `root` itself; by default all.

    Raises:
        InputError: if there is no folder of a class.
    """

    def __init__(self, root: str | Path, splits: Sequence[str] | None = None) -> None:
        self.root = Path(root)
        folders = _visible(self.root) if splits is None else [self.root / split for split in splits]
        classes = {folder.name for split in folders if split.is_dir() for folder in _visible(split) if folder.is_dir()}
        if not classes:
            raise InputError(f"{self.root}: expected folders <split>/<class> with images, got none")
        self.class_names = tuple(sorted(classes))

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        for image in self._images(split, faults):
            with faults.at():
                height, width = size = read_image_size(image.path)
                box = np.array([[0, 0, width, height]], np.float32)
                image_id = f"{image.path.parent.name}/{image.path.name}"
                record = GroundTruth(image_id, image.path, box, np.array([image.label], np.int64))
                yield Entry(str(image.path), record, size)

    def read_labels(self, split: str) -> Sequence[LabelledImage]:
        """Return the images of `split` with their class, without opening them. See `DataSet.read_labels`."""
        return list(self._images(split, Faults()))

    def _images(self, split: str, faults: Faults) -> Iterator[LabelledImage]:
        labels = {name: label for label, name in enumerate(self.class_names)}
        skipped: list[Path] = []
        for folder in _visible(self.root / split):
            if not folder.is_dir():
                faults.report(InputError(f"{folder}: expected a folder of a class, got a file"))
                continue
            if folder.name not in labels:
                faults.report(InputError(f"{folder}: expected a class of the listed splits, got another"))
                continue
            for path in _visible(folder):
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.endswith(ANNOTATED_SUFFIX):
                    yield LabelledImage(path, labels[folder.name])
                elif path.is_dir():
                    faults.report(InputError(f"{path}: expected an image, got a folder within that of a class"))
                else:
                    skipped.append(path)
        if passed_over := describe_passed_over(skipped):
            logger.warning(f"{self.root / split}: passed over {passed_over}")


def _visible(folder: Path) -> list[Path]:
    """Return the files and folders in a folder, sorted, without hidden ones."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(f"{folder}: expected a folder: {error.strerror}") from None
