"""Errors in files of detections, which messages name with their line, and detections that cannot be written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.detections import read_detections, write_detections
from detection.formats.exports.coco_file import CocoFile
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index
from tests.detection.formats.detection_examples import example_detections, ground_truth
from tests.detection.formats.exports.export_examples import export, saved

GOOD = {"image_id": 3, "category_id": 90, "bbox": [1, 2, 3, 4], "score": 0.5}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"image_id": 99}, "expected an image_id of the ground truth, got 99"),
        ({"image_id": [3]}, "expected a field 'image_id', got"),
        ({"image_id": True}, "expected a field 'image_id', got"),
        ({"category_id": True}, "expected a field 'category_id', got"),
        ({"category_id": 4}, "expected a category_id of the ground truth, got 4"),
        ({"score": float("nan")}, "expected finite numbers, got x 1.0, y 2.0, width 3.0, height 4.0, score nan"),
        ({"score": 1.5}, "expected a score in 0-1, got 1.5; --any-score accepts others"),
        ({"score": -0.1}, "expected a score in 0-1, got -0.1"),
        ({"score": "0.5"}, "expected a bbox of four numbers and a score"),
        ({"score": None}, "expected a bbox of four numbers and a score"),
        ({"bbox": [1, 2, -3, 4]}, "expected a width and height of 0 or more, got -3 and 4 (x 1, y 2)"),
        ({"bbox": [1, 2, 3]}, "expected a bbox of four numbers and a score"),
        ({"bbox": [1, 2, 3, float("inf")]}, "expected finite numbers"),
        ({"bbox": [-1e300, 2, 3, 4]}, "expected numbers of at most 1e+09, got x -1e+300, y 2.0, width 3.0"),
        ({"bbox": 5}, "expected a field 'bbox' of type list, got 5"),
        ({"id": 1}, "expected each id once, got 1 again"),
        ({"id": [1]}, "expected a number or text as id, got"),
        ({"score": [0.5]}, "expected a bbox of four numbers and a score"),
        ({"score": 10**400}, "expected a bbox of four numbers and a score"),
        ({"image_id": 10**400}, "expected an image_id of the ground truth, got 1000"),
    ],
)
def test_bad_coco_results_are_named_with_their_line(
    wrong: dict[str, Any], reason: str, truth: SplitObjects, tmp_path: Path
) -> None:
    path = tmp_path / "results.json"
    lines = [json.dumps(item) for item in (GOOD | {"id": 1}, GOOD | wrong)]
    path.write_text("[\n" + ",\n".join(lines) + "\n]")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: [1]: {reason}")


def test_annotations_of_detect_are_refused_with_advice(truth: SplitObjects, tmp_path: Path) -> None:
    """They number the images and classes from 1, which are other numbers than those of the ground truth."""
    path = tmp_path / "found.json"
    export(CocoFile, path, [saved(tmp_path / "a.png")])
    with pytest.raises(InputError, match=r"found\.json: expected a json list, .* score the file of detect --json"):
        read_detections(path, truth)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[1, 2]", ":1: [0]: expected a field 'image_id', got 1"),
        ('[{"image_id": 3,\n', ":2: expected json: "),
        ("[\n{} {}]", ":2: expected json: Expecting ',' or ']' behind an item in column 3"),
        ("[{}, ]", ":1: expected json: "),
        ("[]\n[]", ":2: expected the end of the file behind the list"),
        ("[\n" + "[" * 100_000, ":2: expected json, got lists or objects that are nested too deeply"),
        ('[\n["[[[[\\"' + "[" * 200 + '",\n' + '{"a":[' * 9_000, ":3: expected json, got lists or objects that are"),
        ("[\n" + "9" * 5000 + "]", ":2: expected json, got a number of thousands of digits"),
    ],
)
def test_broken_json(text: str, reason: str, truth: SplitObjects, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}{reason}")


def test_long_list_is_read_in_batches(truth: SplitObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detection.formats.parts.json_list.ITEMS_AT_ONCE", 3)
    path = tmp_path / "results.json"
    items = [GOOD | {"score": score / 10} for score in range(8)]
    path.write_text(json.dumps(items, indent=1))
    assert read_detections(path, truth).scores.tolist() == [score / 10 for score in range(8)]
    path.write_text("[" + ",\n".join(map(json.dumps, [*items, GOOD | {"image_id": 0}])) + "]")
    with pytest.raises(InputError, match=r"results\.json:9: \[8\]: expected an image_id of the ground truth, got 0"):
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
        ("5 1 0.5 1 1 9", "expected 'image_index det_id score xmin ymin xmax ymax', got '5 1 0.5 1 1 9'"),
        ("5 cat 0.5 1 1 9 9", "expected 'image_index det_id score xmin ymin xmax ymax', got '5 cat"),
    ],
)
def test_bad_submission_is_named_with_its_line(line: str, reason: str, truth: SplitObjects, tmp_path: Path) -> None:
    path = tmp_path / "submission.txt"
    path.write_text(f"5 2 0.5 11 21 40 60\n\n{line}\n7 1 0.25 1 1 1 1\n")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: {reason}")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("000099 0.5 1 1 9 9", "expected an image of the ground truth, got '000099'"),
        ("000003 0.5 1 1 9", "expected 'image score xmin ymin xmax ymax', got '000003 0.5 1 1 9'"),
        ("000003 high 1 1 9 9", "expected 'image score xmin ymin xmax ymax', got"),
        ("000003 nan 1 1 9 9", "expected finite numbers"),
        ("000003 -1.5 1 1 9 9", "expected a score in 0-1, got -1.5"),
        ("000003 0.5 9 1 1 9", "expected a width and height of 0 or more"),
    ],
)
def test_bad_voc_results_are_named_with_their_line(line: str, reason: str, truth: SplitObjects, tmp_path: Path) -> None:
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
def test_voc_files_of_other_classes(files: list[str], message: str, truth: SplitObjects, tmp_path: Path) -> None:
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
    record: dict[str, Any], reason: str, truth: SplitObjects, tmp_path: Path
) -> None:
    path = tmp_path / "detect.json"
    path.write_text(f"[\n{json.dumps({'image': 'empty', 'detections': []})},\n{json.dumps(record)}\n]")
    with pytest.raises(InputError) as caught:
        read_detections(path, truth)
    assert str(caught.value).startswith(f"{path}:3: [1]: {reason}")


def test_detect_left_out_an_image(truth: SplitObjects, tmp_path: Path) -> None:
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


def test_names_that_files_cannot_have(tmp_path: Path) -> None:
    nothing = np.zeros(0, np.int64)
    for images, classes, reason in (
        (("a",), ("cat/dog",), "names of classes that a file can have, got 'cat/dog'"),
        (("a b",), ("cat",), "names of images without spaces, got 'a b'"),
    ):
        table = SplitDetections(split_index(images, classes), nothing, nothing, np.zeros((0, 4)), np.zeros(0))
        with pytest.raises(InputError, match=reason):
            write_detections(tmp_path, table, file_format="voc", split="val")


def test_file_that_is_not_there(truth: SplitObjects, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.json: expected a file of detections: No such file"):
        read_detections(tmp_path / "none.json", truth)


def test_file_that_cannot_be_written(truth: SplitObjects, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"x\.json: expected a place to write to"):
        write_detections(tmp_path / "file" / "x.json", example_detections(truth), file_format="coco", split="val")
