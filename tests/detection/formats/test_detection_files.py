"""The four formats of detections: one set of detections in each, there and back, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.detections import FORMATS, read_detections, write_detections
from detection.tables import DetectionTable, ObjectTable, split_index


def ground_truth(image_ids: tuple[str, ...] = ("000012", "000003", "empty")) -> ObjectTable:
    """A split without any objects, of which formats know nothing."""
    nothing = np.zeros(0, np.int64)
    index = split_index(
        image_ids,
        ("cat", "baby bed"),
        file_names=[f"images/{name}.jpg" for name in image_ids],
        sizes=[(100, 200)] * len(image_ids),
        list_numbers=[7, 5, 6][: len(image_ids)],
        coco_image_ids=[12, 3, 40][: len(image_ids)],
        category_ids=[3, 90],
    )
    return ObjectTable(
        index, nothing, nothing, np.zeros((0, 4)), nothing.astype(bool), nothing.astype(bool), np.zeros(0)
    )


@pytest.fixture(name="truth")
def some_ground_truth() -> ObjectTable:
    return ground_truth()


def some_detections(truth: ObjectTable) -> DetectionTable:
    return DetectionTable(
        truth.index,
        np.array([1, 0, 1, 0]),
        np.array([1, 0, 0, 1]),
        np.array([[10, 20, 30, 40], [0, 0, 199.5, 100], [1.25, 2.5, 3, 4.75], [5, 5, 0, 0]]),
        np.array([0.5, 0.123456789, 1, 0]),
    )


def rows_of(table: DetectionTable) -> list[Any]:
    """Rows in an order of their own, as formats group them by image or class."""
    columns = (table.images, table.labels, table.scores, *table.boxes_xywh.T)
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.parametrize("file_format", FORMATS)
def test_there_and_back(file_format: str, truth: ObjectTable, tmp_path: Path) -> None:
    detections = some_detections(truth)
    write_detections(tmp_path / "new" / "file", detections, file_format=file_format, split="val")
    again = read_detections(tmp_path / "new" / "file", truth)
    assert rows_of(again) == rows_of(detections)


@pytest.mark.parametrize("file_format", FORMATS)
def test_random_numbers_there_and_back(file_format: str, truth: ObjectTable, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    boxes = generator.uniform(0, 100, (200, 4)).astype(np.float32).astype(np.float64)
    scores = generator.random(200).astype(np.float32).astype(np.float64)
    detections = DetectionTable(
        truth.index, generator.integers(2, size=200), generator.integers(2, size=200), boxes, scores
    )
    write_detections(tmp_path / "file", detections, file_format=file_format, split="val")
    again = read_detections(tmp_path / "file", truth)
    np.testing.assert_allclose(rows_of(again), rows_of(detections), rtol=0, atol=1e-12)
    assert sorted(again.scores) == sorted(scores)


def test_nothing_there_and_back(truth: ObjectTable, tmp_path: Path) -> None:
    nothing = some_detections(truth)[np.zeros(0, np.int64)]
    for file_format in ("coco", "voc", "detect"):
        write_detections(tmp_path / file_format, nothing, file_format=file_format, split="val")
        assert len(read_detections(tmp_path / file_format, truth)) == 0
    write_detections(tmp_path / "empty.txt", nothing, file_format="ilsvrc", split="val")
    for name in ("empty.txt", "empty.json"):
        (tmp_path / name).write_text("\n")
        with pytest.raises(InputError, match=rf"{name}: expected detections, got an empty file"):
            read_detections(tmp_path / name, truth)
    with pytest.raises(ValueError, match="expected a format of ilsvrc, coco, voc, detect, got 'yolo'"):
        write_detections(tmp_path / "file", nothing, file_format="yolo", split="val")


def test_ilsvrc_by_hand(truth: ObjectTable, tmp_path: Path) -> None:
    # Image 5 is the second of the list, class 2 "baby bed"; pixels 11 to 40 are 30 wide and begin at 10.
    path = tmp_path / "submission.txt"
    path.write_text("5 2 0.5 11 21 40 60\n\n7 1 0.25 1 1 1 1\n")
    found = read_detections(path, truth)
    assert rows_of(found) == [(0, 0, 0.25, 0, 0, 1, 1), (1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(path, found, file_format="ilsvrc", split="val")
    assert path.read_text() == "5 2 0.5 11 21 40 60\n7 1 0.25 1 1 1 1\n"


def test_voc_by_hand(truth: ObjectTable, tmp_path: Path) -> None:
    (tmp_path / "comp4_det_test_cat.txt").write_text("")
    (tmp_path / "comp4_det_test_baby bed.txt").write_text("000003 0.5 11 21 40 60\n")
    found = read_detections(tmp_path, truth)
    assert rows_of(found) == [(1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(tmp_path / "again", found, file_format="voc", split="test")
    assert (tmp_path / "again" / "comp4_det_test_baby bed.txt").read_text() == "000003 0.5 11 21 40 60\n"
    assert (tmp_path / "again" / "comp4_det_test_cat.txt").read_text() == ""


def test_coco_by_hand(truth: ObjectTable, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    one = {"image_id": 3, "category_id": 90, "bbox": [10.0, 20.0, 30.0, 40.0], "score": 0.5}
    path.write_text(json.dumps([one, one | {"image_id": "000012", "segmentation": {"counts": "]}, {"}}]))
    found = read_detections(path, truth)
    assert rows_of(found) == [(0, 1, 0.5, 10, 20, 30, 40), (1, 1, 0.5, 10, 20, 30, 40)]
    write_detections(path, found[found.images == 1], file_format="coco", split="val")
    assert json.loads(path.read_text()) == [one]


@pytest.mark.parametrize("name", ["000003", "images/000003.jpg", "/elsewhere/000003.jpg", "000003.png", "C/000003"])
def test_detect_by_hand(name: str, truth: ObjectTable, tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    one = {"class": "baby bed", "label": 77, "score": 0.5, "box": [10, 20, 40, 60]}
    others = [{"image": "000012", "detections": []}, {"image": "empty.jpg", "seconds": 1.5, "detections": []}]
    path.write_text(json.dumps([{"image": name, "detections": [one]}, *others]))
    assert rows_of(read_detections(path, truth)) == [(1, 1, 0.5, 10, 20, 30, 40)]


GOOD = {"image_id": 3, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"image_id": 99}, "expected the id of an image of the ground truth, got image_id 99"),
        ({"image_id": [3]}, "expected a field 'image_id', got"),
        ({"image_id": True}, "expected a field 'image_id', got"),
        ({"category_id": True}, "expected a field 'category_id', got"),
        ({"category_id": 4}, "expected the id of a category of the ground truth, got category_id 4"),
        ({"score": float("nan")}, "expected finite numbers, got x 1.0, y 2.0, width 3.0, height 4.0, score nan"),
        ({"score": 1.5}, "expected a score in 0-1, got 1.5; --any-score takes others"),
        ({"score": -0.1}, "expected a score in 0-1, got -0.1"),
        ({"score": "0.5"}, "expected a bbox of four numbers and a score"),
        ({"score": None}, "expected a bbox of four numbers and a score"),
        ({"bbox": [1, 2, -3, 4]}, "expected a width and height of 0 or more, got -3 and 4 (x 1, y 2)"),
        ({"bbox": [1, 2, 3]}, "expected a bbox of four numbers and a score"),
        ({"bbox": [1, 2, 3, float("inf")]}, "expected finite numbers"),
        ({"bbox": 5}, "expected a field 'bbox' of type list, got 5"),
        ({"id": 1}, "expected each id once, got 1 again"),
    ],
)
def test_bad_coco_results_are_named_with_their_line(
    wrong: dict[str, Any], reason: str, truth: ObjectTable, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    lines = [json.dumps(one) for one in (GOOD | {"id": 1}, GOOD | wrong)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: [1]: {reason}")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", ":1: [0]: expected a field 'image_id', got 1"),
        ('[{"image_id": 3,\n', ":2: expected json: "),
        ("[\n{} {}]", ":2: expected json: Expecting ',' or ']' behind an item in column 3"),
        ("[{}, ]", ":1: expected json: "),
        ("[]\n[]", ":2: expected the end of the file behind the list"),
        (
            '{"annotations": []}',
            ":1: expected detections as COCO's results or detect --json have them, a json list, got",
        ),
    ],
)
def test_broken_json(text: str, reason: str, truth: ObjectTable, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}{reason}")


def test_long_list_is_read_in_parts(truth: ObjectTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.formats.json_list.ITEMS_AT_ONCE", 3)
    path = tmp_path / "results.json"
    items = [GOOD | {"score": score / 10} for score in range(8)]
    path.write_text(json.dumps(items, indent=1))
    assert read_detections(path, truth).scores.tolist() == [score / 10 for score in range(8)]
    path.write_text("[" + ",\n".join(map(json.dumps, [*items, GOOD | {"image_id": 0}])) + "]")
    with pytest.raises(InputError, match=r"results\.json:9: \[8\]: expected the id of an image"):
        read_detections(path, truth)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("8 1 0.5 1 1 9 9", "expected the number of an image in the list of the split, got 8"),
        ("5.5 1 0.5 1 1 9 9", "expected the number of an image in the list of the split, got 5.5"),
        ("nan 1 0.5 1 1 9 9", "expected the number of an image in the list of the split, got nan"),
        ("5 3 0.5 1 1 9 9", "expected a class from 1 to 2, got 3"),
        ("5 0 0.5 1 1 9 9", "expected a class from 1 to 2, got 0"),
        ("5 1 nan 1 1 9 9", "expected finite numbers"),
        ("5 1 7 1 1 9 9", "expected a score in 0-1, got 7"),
        ("5 1 0.5 9 1 1 9", "expected a width and height of 0 or more, got -7 and 9"),
        ("5 1 0.5 1 1 9", "expected seven numbers 'image_index det_id score xmin ymin xmax ymax', got '5 1 0.5 1 1 9'"),
        ("5 cat 0.5 1 1 9 9", "expected seven numbers"),
    ],
)
def test_bad_submission_is_named_with_its_line(line: str, reason: str, truth: ObjectTable, tmp_path: Path) -> None:
    path = tmp_path / "submission.txt"
    path.write_text(f"5 2 0.5 11 21 40 60\n\n{line}\n7 1 0.25 1 1 1 1\n")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("000099 0.5 1 1 9 9", "expected an image of the ground truth, got 000099"),
        ("000003 0.5 1 1 9", "expected 'image score xmin ymin xmax ymax', got '000003 0.5 1 1 9'"),
        ("000003 high 1 1 9 9", "expected 'image score xmin ymin xmax ymax', got"),
        ("000003 nan 1 1 9 9", "expected finite numbers"),
        ("000003 -1.5 1 1 9 9", "expected a score in 0-1, got -1.5"),
        ("000003 0.5 9 1 1 9", "expected a width and height of 0 or more"),
    ],
)
def test_bad_voc_results_are_named_with_their_line(line: str, reason: str, truth: ObjectTable, tmp_path: Path) -> None:
    (tmp_path / "comp4_det_test_baby bed.txt").write_text("")
    path = tmp_path / "comp4_det_test_cat.txt"
    path.write_text(f"\n000003 0.5 11 21 40 60\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_detections(tmp_path, truth)
    assert str(caught.value).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], ": expected files comp4_det_SPLIT_CLASS.txt, got none"),
        (["val_cat"], "/comp4_det_val_baby bed.txt: expected a file for each of the 2 classes, got none"),
        (["val_cat", "val_baby bed", "val_dog"], "/comp4_det_val_dog.txt: expected files of the classes of the ground"),
        (["val_dog"], "/comp4_det_SPLIT_cat.txt: expected a file for each of the 2 classes"),
        (
            ["val_cat", "val_baby bed", "test_cat", "test_baby bed"],
            ": expected the results of one split, got those of comp4_det_test_ and comp4_det_val_",
        ),
    ],
)
def test_voc_files_of_other_classes(files: list[str], message: str, truth: ObjectTable, tmp_path: Path) -> None:
    for name in files:
        (tmp_path / f"comp4_det_{name}.txt").write_text("")
    with pytest.raises(InputError) as caught:
        read_detections(tmp_path, truth)
    assert str(caught.value).startswith(f"{tmp_path}{message}")


ONE = {"class": "cat", "score": 0.5, "box": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"image": "stranger.jpg", "detections": []}, "expected an image of the ground truth, got 'stranger.jpg'"),
        ({"image": "images/empty.jpg", "detections": []}, "expected each image once, got 'images/empty.jpg' again"),
        ({"image": 12, "detections": []}, "expected a field 'image' with the name of an image"),
        ({"image": "000003", "error": "no such file"}, "expected a list 'detections', the image was not read: no such"),
        ({"image": "000003", "detections": None}, "expected a list 'detections', got None"),
        (
            {"image": "000003", "detections": [ONE, ONE | {"class": "dog"}]},
            "detections[1]: expected a class of the groun",
        ),
        (
            {"image": "000003", "detections": [ONE | {"box": [3, 2, 1, 4]}]},
            "detections[0]: expected a width and height",
        ),
        ({"image": "000003", "detections": [ONE | {"box": [1, 2, 3]}]}, "detections[0]: expected a class, a score and"),
        ({"image": "000003", "detections": [ONE | {"score": 2}]}, "detections[0]: expected a score in 0-1, got 2"),
        (
            {"image": "000003", "detections": [ONE | {"score": None}]},
            "detections[0]: expected a class, a score and a b",
        ),
    ],
)
def test_bad_record_of_detect_is_named_with_its_line(
    record: dict[str, Any], reason: str, truth: ObjectTable, tmp_path: Path
) -> None:
    path = tmp_path / "detect.json"
    path.write_text(f"[\n{json.dumps({'image': 'empty', 'detections': []})},\n{json.dumps(record)}\n]")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: [1]: {reason}")


def test_detect_left_out_an_image(truth: ObjectTable, tmp_path: Path) -> None:
    path = tmp_path / "detect.json"
    path.write_text(json.dumps([{"image": name, "detections": []} for name in ("000003", "empty")]))
    with pytest.raises(InputError, match=r"expected a record of all 3 images .*, got 2; the first without is '000012'"):
        read_detections(path, truth)


def test_name_of_several_images(tmp_path: Path) -> None:
    truth = ground_truth(("a/1.jpg", "b/1.jpg"))
    path = tmp_path / "detect.json"
    path.write_text(json.dumps([{"image": "a/1.jpg", "detections": []}, {"image": "b/1.jpg", "detections": [ONE]}]))
    assert read_detections(path, truth).images.tolist() == [1]
    path.write_text(json.dumps([{"image": "c/1.jpg", "detections": []}]))
    with pytest.raises(InputError, match=r":1: \[0\]: expected the name of one image .*, that of several"):
        read_detections(path, truth)


def test_scores_of_any_range_where_they_are_wanted(truth: ObjectTable, tmp_path: Path) -> None:
    detections = some_detections(truth)
    wide = DetectionTable(
        truth.index, detections.images, detections.labels, detections.boxes_xywh, np.array([-3.5, 0, 7, 1e5])
    )
    for file_format in FORMATS:
        write_detections(tmp_path / file_format, wide, file_format=file_format, split="val")
        assert rows_of(read_detections(tmp_path / file_format, truth, any_score=True)) == rows_of(wide)
        with pytest.raises(InputError, match="expected a score in 0-1"):
            read_detections(tmp_path / file_format, truth)


def test_names_that_files_cannot_have(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    for images, classes, reason in (
        (("a",), ("cat/dog",), "names of classes that a file can have, got 'cat/dog'"),
        (("a b",), ("cat",), "names of images without spaces, got 'a b'"),
    ):
        table = DetectionTable(split_index(images, classes), nothing, nothing, np.zeros((0, 4)), np.zeros(0))
        with pytest.raises(InputError, match=reason):
            write_detections(tmp_path, table, file_format="voc", split="val")


def test_file_that_is_not_there(truth: ObjectTable, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: expected a file of detections: No such file"):
        read_detections(tmp_path / "none.json", truth)


def test_file_that_cannot_be_written(truth: ObjectTable, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"x\.json: expected a place to write to"):
        write_detections(tmp_path / "file" / "x.json", some_detections(truth), file_format="coco", split="val")
