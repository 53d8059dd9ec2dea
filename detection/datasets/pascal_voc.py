"""PASCAL VOC: 20 classes with a few objects in each image, or one's own classes in the same layout."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import is_file, read_lines, whole_number
from detection.datasets.files.voc_xml import read_voc_names, read_voc_xml
from detection.errors import InputError, short_repr
from detection.sources.files import IMAGE_SUFFIXES
from detection.structures.ground_truth import GroundTruth

# fmt: off
CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on


class PascalVOC(DataSet):
    """Reader of `ImageSets/Main/<split>.txt`, `Annotations/<name>.xml` and `JPEGImages/<name>.<suffix>`.

    The splits are "train", "val", "trainval", "test" and any other list with one name in each line. Lists of a single
    class, such as `dog_train.txt`, are rejected. `difficult` objects are `ignored`. `read_voc_xml` describes the boxes.

    Args:
        root: the folder that contains `VOCdevkit`, the folder `VOCdevkit`, or the folder of a year in it.
        year: the year of the challenge, which selects the folder.
        class_names: the classes in the order of their labels. By default, these are the sorted names in all files of
            `Annotations`; or the 20 classes of the challenge, if there are no names, or a folder `VOC<year>` has no
            others.
        image_suffix: the suffix of the image files, such as ".png". By default, any suffix of an image is taken.

    Raises:
        InputError: if `class_names` are empty, or have a class twice.
    """

    def __init__(
        self,
        root: str | Path,
        year: int = 2007,
        class_names: Sequence[str] | None = None,
        image_suffix: str | None = None,
    ) -> None:
        folders = (Path(root) / "VOCdevkit" / f"VOC{year}", Path(root) / f"VOC{year}", Path(root))
        self.root = next((folder for folder in folders if folder.is_dir()), Path(root))
        self.scoring_rule = "voc2007" if year < 2010 else "voc"
        self.class_names = tuple(class_names) if class_names is not None else self._find_classes(year)
        self.image_suffix = image_suffix
        self._labels = {name: label for label, name in enumerate(self.class_names)}
        if not self._labels or len(self._labels) < len(self.class_names):
            raise InputError(f"class_names: expected one or more classes, each once, got {list(self.class_names)}")

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        path = self.root / "ImageSets" / "Main" / f"{split}.txt"
        for number, line in enumerate(read_lines(path, expected="a list of images"), start=1):
            place, name = f"{path}:{number}", self._image_name(line)
            xml = self.root / "Annotations" / f"{name}.xml"
            if len(name.split()) != 1 and not is_file(xml):  # a name may have spaces
                faults.report(_wrong_line(place, name))
                continue
            with faults.at():
                size, objects = read_voc_xml(xml, self._labels, faults)
                yield Entry(place, GroundTruth(name, self._image_path(name), *objects), size)

    def _image_name(self, line: str) -> str:
        """Return the name in a line, which some programs quote, or write with the suffix of the image."""
        name = line.strip().strip('"')
        stem, _, suffix = name.rpartition(".")
        has_suffix = f".{suffix.lower()}" in IMAGE_SUFFIXES and is_file(self.root / "Annotations" / f"{stem}.xml")
        return stem if has_suffix else name

    def _find_classes(self, year: int) -> tuple[str, ...]:
        files = sorted((self.root / "Annotations").rglob("*.xml"))
        names = {name for file in files for name in read_voc_names(file)}
        is_folder_of_challenge = self.root.name == f"VOC{year}" and names.issubset(CLASS_NAMES)
        return CLASS_NAMES if is_folder_of_challenge or not names else tuple(sorted(names))

    def _image_path(self, name: str) -> Path:
        """Return the path of an image; if there is none with a known suffix, the path with the suffix of VOC."""
        stem = os.fspath(self.root / "JPEGImages" / name)
        if self.image_suffix is not None:
            return Path(f"{stem}.{self.image_suffix.removeprefix('.')}")
        suffixes = [form for suffix in IMAGE_SUFFIXES for form in (suffix, suffix.upper())]
        return Path(next((stem + suffix for suffix in (".jpg", *suffixes) if is_file(stem + suffix)), f"{stem}.jpg"))


def _wrong_line(place: str, line: str) -> InputError:
    """Return the error of a line that is not the name of an image; raise it if the file is the list of a class."""
    words = line.split()
    if len(words) == 2 and whole_number(words[1]) is not None:
        expected = "expected only the name of an image, not the list of a class"
        raise InputError(f"{place}: {expected}, got '{' '.join(words)}'")
    return InputError(f"{place}: expected the name of an image, got {short_repr(line)}")
