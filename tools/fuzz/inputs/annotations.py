"""Damaged annotations of data sets: PASCAL VOC's XML, COCO's JSON, YOLO's text files and tables."""

import json
from pathlib import Path
from typing import Any

import PIL.Image
from numpy.random import Generator

from detection.datasets import COCO, YOLO, CSVTable, DataSet, PascalVOC
from detection.datasets.layouts.labelled_folder import LabelledFolder
from detection.formats.ground_truth import read_data_set
from tools.fuzz.inputs.mutations.byte_changes import pick
from tools.fuzz.inputs.mutations.text_changes import change_text
from tools.fuzz.inputs.mutations.tree_changes import change_json

SIZE = (100, 80)
"""Width and height of the two pictures of each data set."""

NAMES = ("a", "b")


class AnnotatedFolder:
    """A small data set with two pictures in one of the usual layouts, of which one file of annotations is damaged.

    Args:
        folder: an empty folder.
        layout: "voc", "coco", "yolo" or "csv".
    """

    def __init__(self, folder: Path, layout: str) -> None:
        self.folder, self.layout = folder, layout
        self.texts: dict[Path, str] = {
            "voc": _write_voc, "coco": _write_coco, "yolo": _write_yolo, "csv": _write_csv
        }[layout](folder)  # fmt: skip
        images = {"voc": "JPEGImages", "coco": "train", "yolo": "images/train", "csv": "images"}[layout]
        for path, text in self.texts.items():
            _write(path, text.encode())
        for name in NAMES:
            _picture(folder / images / f"{name}.jpg")
        self.damaged = next(iter(self.texts))

    def write(self, random: Generator) -> None:
        """Write one of the files after changes, and the others as they were."""
        self.damaged.write_text(self.texts[self.damaged])
        self.damaged = pick(tuple(self.texts), random)
        text = self.texts[self.damaged]
        is_json = self.damaged.suffix == ".json" and random.random() < 0.8
        self.damaged.write_bytes(change_json(json.loads(text), random) if is_json else change_text(text, random))
        self.as_folder = random.random() < 0.3

    def read(self) -> None:
        """Read the data set by its reader, in the way of training and in that of the evaluation, or as a folder."""
        dataset: DataSet
        if self.as_folder:
            dataset = LabelledFolder(self.folder)
            dataset.check("train")
            return
        readers: dict[str, Any] = {"voc": PascalVOC, "coco": COCO, "yolo": YOLO, "csv": CSVTable}
        dataset = readers[self.layout](self.folder)
        dataset.check("train")
        read_data_set(dataset, "train")
        dataset.read("train")


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.new("RGB", SIZE, (len(path.stem), ord(path.stem[0]), 99)).save(path)


def _write_voc(folder: Path) -> dict[Path, str]:
    box = "<bndbox><xmin>10</xmin><ymin>5.5</ymin><xmax>60</xmax><ymax>70</ymax></bndbox>"
    parts = [f"<object>\n<name>{name}</name>\n<difficult>{flag}</difficult>\n{box}\n</object>"
             for name, flag in (("cat", 0), ("cup", 1))]  # fmt: skip
    size = f"<size><width>{SIZE[0]}</width><height>{SIZE[1]}</height><depth>3</depth></size>"
    head = '<?xml version="1.0" encoding="utf-8"?>\n<annotation>'
    files = {
        folder / "Annotations" / f"{name}.xml": "\n".join(
            [head, f"<filename>{name}.jpg</filename>", size, *parts, "</annotation>\n"]
        )
        for name in NAMES
    }
    return files | {folder / "ImageSets" / "Main" / "train.txt": "a\nb\n"}


def _write_coco(folder: Path) -> dict[Path, str]:
    images = [{"id": number, "file_name": f"{name}.jpg", "width": SIZE[0], "height": SIZE[1]}
              for number, name in enumerate(NAMES)]  # fmt: skip
    annotations = [
        {"id": number, "image_id": number % 2, "category_id": 3 + 4 * (number % 2), "bbox": [10, 5, 50.5, 60],
         "area": 3030.0, "iscrowd": number // 3, "segmentation": [[10, 5, 60, 5, 60, 65]]} for number in range(4)
    ]  # fmt: skip
    categories = [{"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 7, "name": "cup"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return {folder / "annotations" / "instances_train.json": json.dumps(content, indent=1)}


def _write_yolo(folder: Path) -> dict[Path, str]:
    return {
        folder / "data.yaml": "path: .\ntrain: images/train\nval:\n  - images/train\nnames:\n  0: cat\n  1: cup\n",
        folder / "labels" / "train" / "a.txt": "0 0.5 0.5 0.25 0.4\n1 0.1 0.1 0.9 0.1 0.9 0.8\n",
        folder / "labels" / "train" / "b.txt": "1 0.3 0.25 0.125 0.4\n",
    }


def _write_csv(folder: Path) -> dict[Path, str]:
    rows = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    rows += [f"{name}.jpg,{SIZE[0]},{SIZE[1]},{kind},10,5,60.5,70" for name in NAMES for kind in ("cat", "cup")]
    return {folder / "train.csv": "\n".join([*rows, ""])}
