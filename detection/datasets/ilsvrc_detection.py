"""The detection task of ILSVRC 2013 to 2017: 200 classes."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.annotated_objects import object_arrays
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import is_file, read_image_list, read_lines, whole_number
from detection.datasets.files.voc_xml import read_voc_xml
from detection.errors import InputError, short_repr
from detection.structures.ground_truth import GroundTruth

CLASS_LIST = Path(__file__).parent.parent.parent / "configs" / "classes" / "ilsvrc_det_classes.tsv"
"""The list of the classes, with identifiers in submissions (1-200), WNIDs and names."""


class ILSVRCDetection(DataSet):
    """Reader of `ImageSets/DET/<split>.txt`, `Annotations/DET/` and `Data/DET/`.

    A split is any list of images, with lines `name` or `name number`. Its images and annotations are in folders with
    the name of the split, or this name without the number at its end: the halves "val1" and "val2" are in `val`, and
    the official lists of single classes, "train_1" to "train_200", in `train`. There is no official list "train":
    unless there is such a file, it is the union of the lists of all classes.

    The label of a class is its identifier minus 1. Images without objects may have no XML file, so missing annotations
    cannot be distinguished from images without objects; `detect-check-dataset` counts these images. `read_voc_xml`
    describes the boxes.

    Args:
        root: the folder that contains `ImageSets`, `Annotations` and `Data`.

    Raises:
        InputError: if the list of classes in this package is unusable.
    """

    scoring_rule = "ilsvrc"

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)
        self.wnids, self.class_names = _read_classes(CLASS_LIST)
        self._labels = {wnid: label for label, wnid in enumerate(self.wnids)}

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        annotations, images = (self._folder(kind, split) for kind in ("Annotations", "Data"))
        for place, name, number in self._listed(split, faults):
            image, xml = images / f"{name}.JPEG", annotations / f"{name}.xml"
            with faults.at():
                size, objects = read_voc_xml(xml, self._labels, faults) if is_file(xml) else (None, object_arrays([]))
                yield Entry(place, GroundTruth(name, image, *objects), size, number)

    def read_blacklist(self, file: str | Path, split: str = "val") -> dict[str, set[int]]:
        """Return for image ids the labels that are not scored in this image, as `evaluate` expects them.

        Args:
            file: `ILSVRC2014_det_validation_blacklist.txt` of the development kit, with lines `number WNID`.
            split: the list of images to which the numbers refer.

        Raises:
            InputError: naming the file and line, for a number that the split does not have or an unknown WNID.
        """
        listed = read_image_list(self._list_path(split), Faults())
        names = {number: name for _, name, number in listed if number is not None}
        expected = f"the number of an image of split '{split}' and the WNID of a class"
        return read_blacklist(Path(file), names, self._labels, expected=expected)

    def _listed(self, split: str, faults: Faults) -> Iterator[tuple[str, str, int | None]]:
        """Yield the place and name of each image, and its number if this identifies the image."""
        path = self._list_path(split)
        class_lists = [self._list_path(f"train_{label + 1}") for label in range(len(self.wnids))]
        if split != "train" or is_file(path) or not is_file(class_lists[0]):
            yield from read_image_list(path, faults)
            return
        known: set[str] = set()  # an image can be an example of one class and a counterexample of another
        for class_list in class_lists:
            for place, name, _ in read_image_list(class_list, faults):
                if name not in known:
                    known.add(name)
                    yield place, name, None

    def _list_path(self, split: str) -> Path:
        return self.root / "ImageSets" / "DET" / f"{split}.txt"

    def _folder(self, kind: str, split: str) -> Path:
        folder = self.root / kind / "DET"
        names = (split, re.sub(r"_?\d+$", "", split))
        for name in names:
            if (folder / name).is_dir():
                return folder / name
        raise InputError(f"{folder}: expected a folder {' or '.join(dict.fromkeys(names))}, got none")


def _read_classes(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the WNIDs and names of the classes, in the order of their identifiers."""
    header, *lines = read_lines(path, expected="the classes of the detection task") or [""]
    rows = [line.split("\t") for line in lines]
    numbered = [row[0] for row in rows] == [str(index + 1) for index in range(len(rows))]
    if header != "det_id\twnid\tname" or not numbered or {len(row) for row in rows} != {3}:
        raise InputError(f"{path}: expected a header and columns det_id (1, 2, 3, ...), wnid and name, tab-separated")
    wnids, names = (tuple(row[column] for row in rows) for column in (1, 2))
    if len(set(wnids)) < len(wnids) or len(set(names)) < len(names):
        raise InputError(f"{path}: expected each class once")
    return wnids, names


def read_blacklist(
    path: Path, images: Mapping[int, str], labels: Mapping[str, int], *, expected: str
) -> dict[str, set[int]]:
    """Return for image ids the labels that are not scored in this image.

    Args:
        path: the file of the development kit, with lines `number class`.
        images: the ids of the images by their number.
        labels: the labels of the classes by the names that the file uses.
        expected: what a line should contain, for error messages.

    Raises:
        InputError: naming the file and line, for an unknown number or class.
    """
    blacklist: dict[str, set[int]] = {}
    for line_number, line in enumerate(read_lines(path, expected="a blacklist"), start=1):
        text, _, name = line.strip().partition(" ")
        number = whole_number(text)
        if number is None or number not in images or name.strip() not in labels:
            raise InputError(f"{path}:{line_number}: expected {expected}, got {short_repr(line)}")
        blacklist.setdefault(images[number], set()).add(labels[name.strip()])
    return blacklist
