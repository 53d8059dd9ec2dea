from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.datasets import COCO, ILSVRCDetection, PascalVOC
from detection.errors import InputError
from detection.formats.ground_truth import coco_ground_truth, read_coco_ground_truth, read_data_set
from detection.runtime.atomic_write import write_atomically
from detection.structures.split_columns import SplitObjects

Record = dict[str, Any]

CONTENT: Record = {
    "images": [
        {"id": 30, "file_name": "b.jpg", "width": 200, "height": 100},
        {"id": 9},
    ],
    "annotations": [
        {"id": 0, "image_id": 9, "category_id": 90, "bbox": [1.5, 2, 30, 40.25], "iscrowd": 0, "area": 700.5},
        {"id": 2, "image_id": 30, "category_id": 1, "bbox": [0, 0, 200, 100], "iscrowd": 1},
        {"id": 7, "image_id": 9, "category_id": 1, "bbox": [10, 10, 40, 0]},
        {"id": 8, "image_id": 9, "category_id": 1, "bbox": [10.1, 10, 20.3, 9], "difficult": 1},
        {"id": 9, "image_id": 9, "category_id": 1, "bbox": [-0.4, 10, 20, 9]},
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}],
}


def write(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture(name="objects")
def read_objects(tmp_path: Path) -> SplitObjects:
    return read_coco_ground_truth(write(tmp_path / "truth.json", CONTENT))


def test_numbers_stand_as_in_the_file(objects: SplitObjects) -> None:
    index = objects.index
    assert (index.image_ids, index.class_names) == (("30", "9"), ("person", "toothbrush"))
    assert index.coco_image_ids.tolist() == [30, 9]
    assert index.category_ids.tolist() == [1, 90]
    assert index.sizes.tolist() == [[100, 200], [0, 0]]
    assert objects.images.tolist() == [1, 0, 1, 1, 1]
    assert objects.labels.tolist() == [1, 0, 0, 0, 0]
    assert objects.boxes_xywh.tolist() == [item["bbox"] for item in CONTENT["annotations"]]
    assert objects.areas.tolist() == [700.5, 20_000, 0, 20.3 * 9, 180]


def test_what_is_ignored(objects: SplitObjects) -> None:
    assert objects.crowd.tolist() == [False, True, False, False, False]
    assert objects.ignored.tolist() == [False, True, True, True, False]  # the crowd, no height, difficult


def test_written_file_is_read_as_the_same(objects: SplitObjects, tmp_path: Path) -> None:
    write_atomically(tmp_path / "again" / "truth.json", coco_ground_truth(objects))
    again = read_coco_ground_truth(tmp_path / "again" / "truth.json")
    assert coco_ground_truth(again) == coco_ground_truth(objects)
    for name in ("images", "labels", "boxes_xywh", "ignored", "crowd", "areas"):
        np.testing.assert_array_equal(getattr(again, name), getattr(objects, name))


def changed(key: str, position: int, **values: object) -> Record:
    content = copy.deepcopy(CONTENT)
    content[key][position].update(values)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (changed("annotations", 1, image_id=31), "annotations[1] (id 2): expected the id of an image of the file, got"),
        (changed("annotations", 1, category_id=2), "annotations[1] (id 2): expected the id of a category of the file"),
        (changed("annotations", 1, id=0), "annotations[1] (id 0): expected each annotation once, got its id again"),
        (changed("annotations", 3, bbox=[1, 2, 3]), "annotations[3] (id 8): expected a bbox of four numbers"),
        (changed("annotations", 3, bbox=[1, 2, 3, "4"]), "annotations[3] (id 8): expected a bbox of four numbers"),
        (changed("annotations", 3, bbox=[1, float("nan"), 3, 4]), "annotations[3] (id 8): expected finite numbers"),
        (changed("annotations", 3, bbox=[1, 2, 1e200, 4]), "annotations[3] (id 8): expected finite numbers of at most"),
        (
            changed("annotations", 3, bbox=[9, 9, -3, 4]),
            "and a width and height of 0 or more, got x, y, width, height [9, 9, -3, 4]",
        ),
        (changed("annotations", 0, area=-1), "annotations[0] (id 0): expected an area of 0 or more, got -1"),
        (changed("annotations", 0, iscrowd=2), "annotations[0] (id 0): expected 0 or 1 for iscrowd, got 2"),
        (changed("images", 1, id=30), "images[1] (id 30): expected each image once, got its id again"),
        (
            changed("images", 1, image_id="30"),
            "expected names and numbers of images that can be told apart: image_ids mus",
        ),
        (changed("images", 1, list_number="one"), "expected names and numbers of images that can be told apart"),
        (changed("images", 0, width=0), "images[0] (id 30): expected a width and height above 0, got 0 and 100"),
        (changed("categories", 0, name="person"), "expected each category once, got its name 'person' again"),
        (CONTENT | {"annotations": None}, "expected a list 'annotations', got NoneType"),
        ([], "expected a json object"),
        (changed("images", 0, id=10**400), "images[0] (id 1000000"),
        (changed("images", 0, height=[100]), "images[0] (id 30): expected a field 'height' of type int, got [100]"),
        (changed("annotations", 3, bbox=[10**400] * 4), "annotations[3] (id 8): expected a bbox of four numbers"),
        (changed("annotations", 0, area=float("inf")), "annotations[0] (id 0): expected an area of 0 or more, got inf"),
        (changed("annotations", 0, iscrowd=[0]), "annotations[0] (id 0): expected 0 or 1 for iscrowd, got [0]"),
        (changed("categories", 0, name=["cat"]), "expected a field 'name' of type str, got ['cat']"),
    ],
)
def test_bad_file_is_named_with_the_place(content: Any, message: str, tmp_path: Path) -> None:
    path = write(tmp_path / "truth.json", content)
    with pytest.raises(InputError) as caught:
        read_coco_ground_truth(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500


def test_coco_folder_is_read_as_its_file(tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    path = write(tmp_path / "annotations" / "instances_val.json", CONTENT)
    objects = read_data_set(COCO(tmp_path), "val")
    assert coco_ground_truth(objects) == coco_ground_truth(read_coco_ground_truth(path))


def test_voc_folder_without_its_pictures(tmp_path: Path, write_xml: Callable[..., Path]) -> None:
    lists = tmp_path / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("000012\n000003\n")
    write_xml(tmp_path / "Annotations" / "000012.xml", [("dog", (1, 1, 10, 20), "<difficult>1</difficult>")])
    write_xml(tmp_path / "Annotations" / "000003.xml", [("cat", (5, 6, 10, 20))])
    objects = read_data_set(PascalVOC(tmp_path), "val")
    assert objects.index.image_ids == ("000012", "000003")
    assert objects.index.coco_image_ids.tolist() == [12, 3]
    assert objects.index.file_names == ("JPEGImages/000012.jpg", "JPEGImages/000003.jpg")
    assert objects.index.sizes.tolist() == [[100, 200]] * 2
    assert objects.boxes_xywh.tolist() == [[0, 0, 10, 20], [4, 5, 6, 15]]
    assert objects.ignored.tolist() == [True, False]
    (lists / "val.txt").write_text("000012\n000012\n")
    with pytest.raises(InputError, match=r"val\.txt:2: expected each image once, got '000012' as in \S+val\.txt:1"):
        read_data_set(PascalVOC(tmp_path), "val")


@pytest.mark.parametrize(
    ("lines", "expected"), [("a 7\nb 5\n", [7, 5]), ("a\nb\n", [1, 2]), ("a 1\nb 1\n", [1, 2]), ("a 1\nb -1\n", [1, 2])]
)
def test_numbers_of_an_ilsvrc_list(lines: str, expected: list[int], tmp_path: Path) -> None:
    for folder in ("Annotations/DET/val", "Data/DET/val", "ImageSets/DET"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "ImageSets" / "DET" / "val.txt").write_text(lines)
    objects = read_data_set(ILSVRCDetection(tmp_path), "val")
    write_atomically(tmp_path / "truth.json", coco_ground_truth(objects))
    for read in (objects, read_coco_ground_truth(tmp_path / "truth.json")):
        assert read.index.image_ids == ("a", "b")
        assert read.index.list_numbers.tolist() == expected
        assert len(read) == 0


def test_parents_in_a_file_alone(tmp_path: Path) -> None:
    # "pets" may have objects in another split and in the detections, but a second "cat" cannot be told apart.
    cat = {"id": 1, "name": "cat", "supercategory": "pets"}
    for root, names in ({"id": 90, "name": "pets"}, ("cat", "pets")), ({"id": 7, "name": "cat"}, ("cat",)):
        categories = [root, cat | {"supercategory": root["name"]}]
        objects = read_coco_ground_truth(
            write(tmp_path / "truth.json", CONTENT | {"categories": categories, "annotations": []})
        )
        assert objects.index.class_names == names
