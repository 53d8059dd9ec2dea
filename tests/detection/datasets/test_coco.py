from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from detection.datasets import COCO
from detection.errors import InputError

Record = dict[str, Any]

CONTENT: Record = {
    "images": [
        {"id": 30, "file_name": "b.jpg", "width": 200, "height": 100},
        {"id": 9, "file_name": "a.jpg", "width": 50, "height": 60},
        {"id": 10, "file_name": "empty.jpg", "width": 50, "height": 60},
    ],
    "annotations": [
        {"id": 1, "image_id": 9, "category_id": 90, "bbox": [1.5, 2, 30, 40.25], "iscrowd": 0},
        {"id": 2, "image_id": 30, "category_id": 1, "bbox": [0, 0, 200, 100], "iscrowd": 1, "segmentation": {}},
        {"id": 7, "image_id": 9, "category_id": 1, "bbox": [10, 10, 40.25, 50.5]},
    ],
    "categories": [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 13, "name": "stop sign"}],
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The layout of COCO with three images; the image files are empty, as readers do not open them."""
    for split in ("train2017", "val2017"):
        (tmp_path / split).mkdir()
        for image in CONTENT["images"]:
            (tmp_path / split / image["file_name"]).touch()
        write(tmp_path, CONTENT, split)
    return tmp_path


def write(root: Path, content: Record, split: str = "train2017") -> Path:
    path = root / "annotations" / f"instances_{split}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def changed(key: str, index: int, **values: object) -> Record:
    content = copy.deepcopy(CONTENT)
    content[key][index].update(values)
    return content


def test_labels_follow_the_category_ids(root: Path) -> None:
    assert COCO(root).class_names == ("person", "stop sign", "toothbrush")


def test_images_in_their_order_with_half_open_boxes(root: Path) -> None:
    crowd, two, empty = COCO(root).read("train2017")
    assert [record.image_id for record in (crowd, two, empty)] == ["30", "9", "10"]
    assert crowd.path == root / "train2017" / "b.jpg"
    assert (crowd.boxes.tolist(), crowd.labels.tolist(), crowd.ignored.tolist()) == ([[0, 0, 200, 100]], [0], [True])
    # The second box ends at 50.25, 60.5: fractions outside 50x60, which are clipped.
    assert two.boxes.tolist() == [[1.5, 2, 31.5, 42.25], [10, 10, 50, 60]]
    assert (two.labels.tolist(), two.ignored.tolist()) == ([2, 0], [False, False])
    assert empty.boxes.shape == (0, 4)


@pytest.mark.parametrize("bbox", [[5, 6, 1.03, 0.0], [5, 6, 0, 7], [50, 60, 0, 0], [0, 0, 0, 0]])
def test_empty_box_is_ignored(root: Path, bbox: list[float]) -> None:
    write(root, changed("annotations", 0, bbox=bbox))
    x, y, width, height = bbox
    record = COCO(root).read("train2017")[1]
    assert record.boxes[0] == pytest.approx([x, y, x + width, y + height])
    assert record.ignored.tolist() == [True, False]


def test_names_of_files_and_folders(root: Path) -> None:
    (root / "val2017").rename(root / "images")
    (root / "annotations" / "instances_val2017.json").rename(root / "all.json")
    records = COCO(root, annotations="all.json", images="images").read("whatever")
    assert [record.path.parent for record in records] == [root / "images"] * 3


UNUSABLE = [
    ({"bbox": [1, 2, -3, 4]}, "expected a box with a width and height above 0, got x, y, width, height [1, 2, -3, 4]"),
    ({"bbox": [1, 2, -3, 0]}, "expected a box with a width and height above 0, got x, y, width, height [1, 2, -3, 0]"),
    ({"bbox": [1, float("nan"), 3, 4]}, "expected finite numbers, got x, y, width, height [1, nan, 3, 4]"),
    ({"bbox": [1, 2, 50.5, 4]}, "expected a box within the image of 50x60 px, got x, y, width, height [1, 2, 50.5, 4]"),
    ({"bbox": [70, 2, 0, 4]}, "expected a box within the image of 50x60 px, got x, y, width, height [70, 2, 0, 4]"),
    ({"bbox": [1, 2, 3]}, "expected a bbox of four numbers, got x, y, width, height [1, 2, 3]"),
    ({"bbox": [1, 2, 3, "4"]}, "expected a bbox of four numbers, got x, y, width, height [1, 2, 3, '4']"),
    ({"bbox": None}, "expected a field 'bbox' of type list, got None"),
    ({"category_id": 2}, "expected the id of a category of the file, got category_id 2"),
    ({"image_id": 8}, "expected the id of an image of the file, got image_id 8"),
    ({"image_id": "9"}, "expected a field 'image_id' of type int, got '9'"),
    ({"iscrowd": 2}, "expected 0 or 1 for iscrowd, got 2"),
]


@pytest.mark.parametrize(("values", "message"), UNUSABLE)
def test_unusable_annotation_is_named_with_position_and_id(root: Path, values: Record, message: str) -> None:
    path = write(root, changed("annotations", 2, **values))
    with pytest.raises(InputError) as caught:
        COCO(root).read("train2017")
    assert str(caught.value) == f"{path}: annotations[2] (id 7): {message}"


@pytest.mark.parametrize(
    ("key", "index", "values", "message"),
    [
        ("annotations", 2, {"id": 1}, "annotations[2] (id 1): expected each annotation once, got its id again"),
        ("images", 2, {"id": 9}, "images[2] (id 9): expected each image once, got its id again"),
        ("images", 0, {"width": 0}, "images[0] (id 30): expected a width and height above 0, got 0 and 100"),
        ("images", 0, {"height": 9.5}, "images[0] (id 30): expected a field 'height' of type int, got 9.5"),
        ("images", 0, {"id": None}, "images[0] (id None): expected a field 'id' of type int, got None"),
        ("categories", 1, {"name": 5}, "categories[1] (id 1): expected a field 'name' of type str, got 5"),
    ],
)
def test_unusable_record_is_named(root: Path, key: str, index: int, values: Record, message: str) -> None:
    path = write(root, changed(key, index, **values))
    with pytest.raises(InputError) as caught:
        COCO(root, annotations="annotations/instances_train2017.json").read("train2017")
    assert str(caught.value) == f"{path}: {message}"


def test_image_file_under_two_ids(root: Path) -> None:
    write(root, changed("images", 2, file_name="b.jpg"))
    with pytest.raises(InputError, match=r"json: images\[2\] \(id 10\): expected each image once, got \S+b\.jpg again"):
        COCO(root).read("train2017")


def test_missing_image_file(root: Path) -> None:
    (root / "train2017" / "a.jpg").unlink()
    with pytest.raises(InputError, match=r"json: images\[1\] \(id 9\): expected the image \S+a\.jpg, got no such file"):
        COCO(root).read("train2017")


def test_check_lists_all_faults_and_keeps_the_rest(root: Path) -> None:
    content = changed("annotations", 0, bbox=[1, 2, -3, 4])
    content["annotations"].append("nonsense")
    content["images"].append({"id": 11, "file_name": "none.jpg", "width": 5, "height": 5})
    path = write(root, content)
    check = COCO(root).check("train2017")
    assert [len(entry.record) for entry in check.entries] == [1, 1, 0]
    assert [entry.size for entry in check.entries] == [(100, 200), (60, 50), (60, 50)]
    box = "expected a box with a width and height above 0, got x, y, width, height [1, 2, -3, 4]"
    assert [str(fault) for fault in check.faults] == [
        f"{path}: annotations[0] (id 1): {box}",
        f"{path}: annotations[3] (id None): expected a field 'id' of type int, got None",
        f"{path}: images[3] (id 11): expected the image {root / 'train2017' / 'none.jpg'}, got no such file",
        f"{root}: expected objects of every class in split 'train2017', got none of 'stop sign'",
        f"{root}: expected objects of every class in split 'train2017', got none of 'toothbrush'",
    ]


def test_splits_with_other_categories(root: Path) -> None:
    path = write(root, changed("categories", 0, name="toothbrush of another kind"))  # the longer, second file
    assert len(COCO(root).read("val2017")) == 3
    with pytest.raises(InputError) as caught:
        COCO(root).read("train2017")
    source = root / "annotations" / "instances_val2017.json"
    assert str(caught.value) == f"{path}: expected the categories of {source}, got others"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"images": [],\n "annotations": [}', ":2: expected json: Expecting value in column 18"),
        ("", ": expected json, got an empty file"),
        ("[]", ": expected a json object with images, annotations and categories"),
        ("{}", ": expected a list 'categories', got NoneType"),
        ('{"categories": []}', ": expected categories, got none"),
        (
            '{"categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]}',
            ": categories[1] (id 2): expected each category once, got its name 'a' again",
        ),
        (
            '{"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}',
            ": categories[1] (id 1): expected each category once, got its id again",
        ),
    ],
)
def test_unusable_file_is_named(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        COCO(tmp_path, annotations="a.json")
    assert str(caught.value) == f"{path}{message}"


@pytest.mark.parametrize("key", ["images", "annotations"])
def test_list_that_is_missing(root: Path, key: str) -> None:
    path = write(root, {name: items for name, items in CONTENT.items() if name != key})
    with pytest.raises(InputError, match=f"expected a list '{key}', got NoneType") as caught:
        COCO(root).read("train2017")
    assert str(caught.value).startswith(f"{path}: ")


def test_missing_files(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"instances_test\.json: expected a json file in the format of COCO: No such"):
        COCO(root).read("test")
    with pytest.raises(InputError, match=r"\{split\}\.json: expected a json file in the format of COCO, got none"):
        COCO(tmp_path / "nowhere")


def with_parents(*categories: Record, objects_of: int = 1) -> Record:
    content = copy.deepcopy(CONTENT)
    content["categories"] = list(categories)
    for item in content["annotations"]:
        item["category_id"] = objects_of
    return content


PETS: Record = {"id": 0, "name": "pets", "supercategory": "none"}
CAT: Record = {"id": 1, "name": "cat", "supercategory": "pets"}
SAME_NAME: list[Record] = [{"id": 0, "name": "cat", "supercategory": "none"}, CAT | {"supercategory": "cat"}]


@pytest.mark.parametrize("categories", [[PETS, CAT], SAME_NAME])
def test_parent_without_objects_is_left_out(
    root: Path, categories: list[Record], caplog: pytest.LogCaptureFixture
) -> None:
    for split in ("train2017", "val2017"):
        write(root, with_parents(*categories), split)
    dataset = COCO(root)
    assert (dataset.class_names, dataset.category_ids) == (("cat",), (1,))
    assert [record.labels.tolist() for record in dataset.read("val2017")] == [[0], [0, 0], []]
    assert dataset.check("val2017").faults == []
    name = categories[0]["name"]
    assert [record.getMessage() for record in caplog.records] == [
        f"{root}: left out the category '{name}' (id 0), which is only the supercategory of others and has no objects"
    ]


def test_parent_with_objects_in_any_split_is_a_class(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(root, with_parents(PETS, CAT, objects_of=0), "train2017")
    write(root, with_parents(PETS, CAT), "val2017")
    assert COCO(root).class_names == ("pets", "cat")
    write(root, with_parents(*SAME_NAME, objects_of=0), "train2017")
    write(root, with_parents(*SAME_NAME), "val2017")
    with pytest.raises(InputError, match="expected each category once, got its name 'cat' again"):
        COCO(root)
    assert not caplog.records


def test_category_that_is_its_own_supercategory_is_a_class(root: Path) -> None:
    person = {"id": 2, "name": "person", "supercategory": "person"}  # as in COCO; and a parent may have no children
    for split in ("train2017", "val2017"):
        write(root, with_parents(CAT, person, {"id": 3, "name": "things", "supercategory": ["pets"]}), split)
    assert COCO(root).class_names == ("cat", "person", "things")
