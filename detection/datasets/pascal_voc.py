"""PASCAL VOC: 20 classes, with a few objects in each image."""

from collections.abc import Iterator
from pathlib import Path

from detection.datasets.dataset import DataSet, Entry
from detection.datasets.files.faults import Faults
from detection.datasets.files.text_file import read_image_list
from detection.datasets.files.voc_xml import read_voc_xml
from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth

# fmt: off
CLASS_NAMES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)
# fmt: on


class PascalVOC(DataSet):
    """Reader of `ImageSets/Main/<split>.txt`, `Annotations/<name>.xml` and `JPEGImages/<name>.jpg`.

    The splits are "train", "val", "trainval", "test" and any other list with one name in each line. Lists of a single
    class, such as `dog_train.txt`, are rejected. `difficult` objects are `ignored`. `read_voc_xml` describes the boxes.

    Args:
        root: the folder that contains `VOCdevkit`, the folder `VOCdevkit`, or the folder of a year in it.
        year: the year of the challenge, which selects the folder.
    """

    class_names = CLASS_NAMES

    def __init__(self, root: str | Path, year: int = 2007) -> None:
        folders = (Path(root) / "VOCdevkit" / f"VOC{year}", Path(root) / f"VOC{year}", Path(root))
        self.root = next((folder for folder in folders if folder.is_dir()), Path(root))
        self.scoring_rule = "voc2007" if year < 2010 else "voc"
        self._labels = {name: label for label, name in enumerate(CLASS_NAMES)}

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        for place, name, number in read_image_list(self.root / "ImageSets" / "Main" / f"{split}.txt", faults):
            if number is not None:
                raise InputError(
                    f"{place}: expected only the name of an image, not the list of a class, got '{name} {number}'"
                )
            with faults.at():
                xml = self.root / "Annotations" / f"{name}.xml"
                size, objects = read_voc_xml(xml, self._labels, faults)
                yield Entry(place, GroundTruth(name, self.root / "JPEGImages" / f"{name}.jpg", *objects), size)
