"""Functions that draw the same small data set in every layout."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import PIL.Image

Box = tuple[str, tuple[int, int, int, int]]
Pictures = Mapping[str, Sequence[Box]]

WIDTH, HEIGHT = 80, 60

PICTURES: dict[str, Pictures] = {
    "train": {
        "a.jpg": [("cat", (0, 0, 40, 30)), ("dog", (20, 15, 80, 60))],
        "b.jpg": [("dog", (8, 12, 32, 36))],
        "c.png": [],
    },
    "val": {"d.jpg": [("cat", (4, 6, 44, 51))]},
}
"""The pictures of each split, with the class and half-open corners of their boxes."""

ALL = {name: boxes for pictures in PICTURES.values() for name, boxes in pictures.items()}

CLASSES = ["cat", "dog"]


def draw(path: Path, text: str | None = None, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write a picture that depends on `text`, by default on its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(zlib.crc32((text or path.name).encode()))
    pixels = generator.integers(0, 256, (size[1], size[0], 3), np.uint8)
    PIL.Image.fromarray(pixels).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco_content(pictures: Pictures, classes: Sequence[str] = CLASSES) -> dict[str, list[dict[str, object]]]:
    """Return the content of a JSON file in the format of COCO."""
    images = [
        {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT} for number, name in enumerate(pictures, 1)
    ]
    objects = [(number, *box) for number, boxes in enumerate(pictures.values(), 1) for box in boxes]
    annotations = [
        {
            "id": index,
            "image_id": number,
            "category_id": classes.index(name) + 1,
            "bbox": [x1, y1, x2 - x1, y2 - y1],
        }
        for index, (number, name, (x1, y1, x2, y2)) in enumerate(objects, 1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_coco(path: Path, pictures: Pictures, classes: Sequence[str] = CLASSES) -> Path:
    return write(path, json.dumps(coco_content(pictures, classes)))


def write_voc(path: Path, boxes: Sequence[Box], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    objects = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax>"
        f"<ymax>{y2}</ymax></bndbox></object>\n"
        for name, (x1, y1, x2, y2) in boxes
    )
    header = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    return write(path, f"<annotation>{header}\n{objects}</annotation>")


def write_yolo(path: Path, boxes: Sequence[Box], classes: Sequence[str] = CLASSES) -> Path:
    lines = [
        f"{classes.index(name)} {(x1 + x2) / 2 / WIDTH} {(y1 + y2) / 2 / HEIGHT} {(x2 - x1) / WIDTH} "
        f"{(y2 - y1) / HEIGHT}\n"
        for name, (x1, y1, x2, y2) in boxes
    ]
    return write(path, "".join(lines))


def csv_text(pictures: Pictures) -> str:
    lines = ["filename,width,height,class,xmin,ymin,xmax,ymax"]
    for picture, boxes in pictures.items():
        lines += [f"{picture},{WIDTH},{HEIGHT},{name},{x1 + 1},{y1 + 1},{x2},{y2}" for name, (x1, y1, x2, y2) in boxes]
        if not boxes:
            lines.append(f"{picture},{WIDTH},{HEIGHT},,,,,")
    return "\n".join(lines) + "\n"


def coco(root: Path) -> None:
    """`train.json`, `val.json` and `images/`."""
    for split, pictures in PICTURES.items():
        write_coco(root / f"{split}.json", pictures)
    for name in ALL:
        draw(root / "images" / name)


def coco_official(root: Path) -> None:
    """`annotations/instances_train2017.json`, other files for the same splits, and `train2017/`."""
    for split, pictures in PICTURES.items():
        write_coco(root / "annotations" / f"instances_{split}2017.json", pictures)
        write_coco(root / "annotations" / f"person_keypoints_{split}2017.json", {})
        write(root / "annotations" / f"captions_{split}2017.json", '{"images": [], "annotations": []}')
        for name in pictures:
            draw(root / f"{split}2017" / name)


def coco_roboflow(root: Path) -> None:
    """`train/_annotations.coco.json` beside the pictures, with a root category."""
    for split, folder in (("train", "train"), ("val", "valid")):
        content = coco_content(PICTURES[split])
        for category in content["categories"]:
            category["supercategory"] = "pets"
        content["categories"].insert(0, {"id": 0, "name": "pets", "supercategory": "none"})
        write(root / folder / "_annotations.coco.json", json.dumps(content))
        for name in PICTURES[split]:
            draw(root / folder / name)


def voc_lists(root: Path) -> None:
    """`annotations/`, `images/`, `train.txt` and `val.txt`."""
    for split, pictures in PICTURES.items():
        write(root / f"{split}.txt", "".join(f"{Path(name).stem}\n" for name in pictures))
    for name, boxes in ALL.items():
        write_voc(root / "annotations" / f"{Path(name).stem}.xml", boxes)
        draw(root / "images" / name)


def voc_devkit(root: Path) -> None:
    """`VOCdevkit/VOC2007` with lists of splits and of classes."""
    folder = root / "VOCdevkit" / "VOC2007"
    for split, pictures in PICTURES.items():
        write(folder / "ImageSets" / "Main" / f"{split}.txt", "".join(f"{Path(name).stem}\n" for name in pictures))
        write(folder / "ImageSets" / "Main" / f"dog_{split}.txt", "a 1\n")
        write(folder / "ImageSets" / "Layout" / f"{split}.txt", "a\n")
    write(folder / "ImageSets" / "Main" / "trainval.txt", "a\nb\nc\nd\n")
    for name, boxes in ALL.items():
        write_voc(folder / "Annotations" / f"{Path(name).stem}.xml", boxes)
        draw(folder / "JPEGImages" / name)


def voc_beside(root: Path) -> None:
    """XML files beside the pictures, in folders of splits, as Roboflow exports them."""
    for split, folder in (("train", "train"), ("val", "valid")):
        for name, boxes in PICTURES[split].items():
            write_voc(root / folder / f"{Path(name).stem}.xml", boxes)
            draw(root / folder / name)


def voc_twin_folders(root: Path) -> None:
    """`annotations/train/` and `images/train/`."""
    for split, pictures in PICTURES.items():
        for name, boxes in pictures.items():
            write_voc(root / "annotations" / split / f"{Path(name).stem}.xml", boxes)
            draw(root / "images" / split / name)


def yolo(root: Path, config: str = "train: images/train\nval: images/val\nnames: [cat, dog]\n") -> None:
    """`data.yaml`, `images/train/` and `labels/train/`."""
    write(root / "data.yaml", config)
    for split, pictures in PICTURES.items():
        for name, boxes in pictures.items():
            draw(root / "images" / split / name)
            if boxes:
                write_yolo(root / "labels" / split / f"{Path(name).stem}.txt", boxes)


def yolo_roboflow(root: Path) -> None:
    """`train/images/`, `train/labels/`, and a `data.yaml` whose paths begin one folder too high."""
    write(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 2\nnames: [cat, dog]",
    )
    for split, folder in (("train", "train"), ("val", "valid")):
        for name, boxes in PICTURES[split].items():
            draw(root / folder / "images" / name)
            write_yolo(root / folder / "labels" / f"{Path(name).stem}.txt", boxes)


def yolo_absolute(root: Path) -> None:
    """Absolute paths, and names by number."""
    yolo(
        root,
        f"path: {root.resolve()}\ntrain: images/train\nval: {root.resolve()}/images/val\nnames: {{1: dog, 0: cat}}",
    )


def yolo_elsewhere(root: Path) -> None:
    """Absolute paths of another machine."""
    yolo(root, "path: /nowhere/pets\ntrain: /nowhere/pets/images/train\nval: images/val\nnames: [cat, dog]")


def yolo_lists(root: Path) -> None:
    """Files with the paths of the pictures, as CVAT exports them."""
    yolo(root, "path: .\ntrain: train.txt\nval: val.txt\nnames: {0: cat, 1: dog}")
    for split, pictures in PICTURES.items():
        write(root / f"{split}.txt", "".join(f"data/images/{split}/{name}\n" for name in pictures))


def yolo_names(root: Path) -> None:
    """Names in a text file, as LabelImg writes them."""
    yolo(root)
    (root / "data.yaml").unlink()
    write(root / "labels" / "classes.txt", "cat\ndog\n")


def csv(root: Path) -> None:
    """A table for each split, and `images/`."""
    for split, pictures in PICTURES.items():
        write(root / f"{split}_labels.csv", csv_text(pictures))
    for name in ALL:
        draw(root / "images" / name)


def csv_roboflow(root: Path) -> None:
    """A table beside the pictures of each split."""
    for split, folder in (("train", "train"), ("val", "valid")):
        write(root / folder / "_annotations.csv", csv_text(PICTURES[split]))
        for name in PICTURES[split]:
            draw(root / folder / name)


def many(root: Path, count: int, name: str = "cat") -> None:
    """Write `count` pictures with a box each, and XML beside them."""
    for index in range(count):
        draw(root / f"{index:03}.jpg")
        write_voc(root / f"{index:03}.xml", [(name, (0, 0, 20, 20))])


WRITERS: dict[str, tuple[Callable[[Path], None], ...]] = {
    "coco": (coco, coco_official, coco_roboflow),
    "voc": (voc_lists, voc_devkit, voc_beside, voc_twin_folders),
    "yolo": (yolo, yolo_roboflow, yolo_absolute, yolo_elsewhere, yolo_lists, yolo_names),
    "csv": (csv, csv_roboflow),
}
"""The functions that write `PICTURES` in each layout."""
