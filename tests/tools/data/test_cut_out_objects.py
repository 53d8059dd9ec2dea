"""Pictures of single objects, which are cut out of drawn photographs and read back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.datasets import LabelledFolder
from tools.data import cut_out_objects

CAT, DOG = 1, 2
BOXES = [
    # photo, category, box as x, y, width, height, crowd
    (1, CAT, [100, 100, 100, 60], 0),  # stands alone
    (1, DOG, [20, 20, 10, 10], 0),  # too small
    (2, CAT, [10, 10, 80, 100], 0),  # has a dog beside it, in its window
    (2, DOG, [95, 10, 60, 100], 0),
    (2, DOG, [250, 200, 50, 40], 0),  # alone, in the corner of the photo
    (3, CAT, [10, 10, 60, 60], 0),  # of two cats that stand alone, the smaller one
    (3, CAT, [150, 100, 80, 80], 0),
    (3, DOG, [20, 150, 60, 60], 1),  # a crowd
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three photos of 300x240 pixels in COCO's layout. The red and green of a pixel tell its place."""
    (tmp_path / "data" / "images").mkdir(parents=True)
    y, x = np.mgrid[:240, :300]
    pixels = np.stack([x % 256, y, x // 256], axis=2).astype(np.uint8)
    for number in (1, 2, 3):
        PIL.Image.fromarray(pixels).save(tmp_path / "data" / "images" / f"{number}.png")
    content = {
        "images": [{"id": number, "file_name": f"{number}.png", "width": 300, "height": 240} for number in (1, 2, 3)],
        "annotations": [
            {"id": row, "image_id": photo, "category_id": category, "bbox": box, "area": 1, "iscrowd": crowd}
            for row, (photo, category, box, crowd) in enumerate(BOXES, start=1)
        ],
        "categories": [{"id": CAT, "name": "cat"}, {"id": DOG, "name": "dog"}],
    }
    (tmp_path / "data" / "val.json").write_text(json.dumps(content))
    return tmp_path / "data"


def run(data: Path, output: Path, *options: str) -> int:
    reader = ["--dataset", "detection.datasets.COCO", "--data", str(data), "--split", "val"]
    reader += ["--dataset.annotations", "{split}.json", "--dataset.images", "images"]
    return cut_out_objects.main([*reader, "--output", str(output), "--margin", "1.5", *options])


def test_objects_that_stand_alone_become_pictures(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "single"
    assert run(data, output, "--min_side", "40", "--max_others", "0.05") == 0
    assert capsys.readouterr().out == f"{output}: 3 pictures of single objects, out of 3 photographs\n"

    dataset = LabelledFolder(output)
    records = sorted(dataset.read("all"), key=lambda record: record.path)
    assert [dataset.class_names[label] for record in records for label in record.labels] == ["cat", "dog", "cat"]
    # The windows are 1.5 times as large as the boxes, and end where the photo ends.
    expected = [((75, 85), (150, 90)), ((237, 190), (63, 50)), ((130, 80), (120, 120))]
    for record, ((left, top), (width, height)), row in zip(records, expected, (0, 4, 6), strict=True):
        pixels = np.asarray(PIL.Image.open(record.path)).astype(int)
        assert pixels.shape == (height, width, 3)
        assert pixels[0, 0].tolist() == [left % 256, top, left // 256]
        x, y, box_width, box_height = BOXES[row][2]
        x1, y1 = x - left, y - top
        np.testing.assert_allclose(record.boxes, [[x1, y1, x1 + box_width, y1 + box_height]])


def test_others_may_cover_a_share(data: Path, tmp_path: Path) -> None:
    assert run(data, tmp_path / "few", "--min_side", "40", "--max_others", "0") == 0
    assert run(data, tmp_path / "all", "--min_side", "40", "--max_others", "1") == 0
    assert len(LabelledFolder(tmp_path / "few").read("all")) == 3
    # The larger dog of the second photo, its cat, and one cat of each of the others.
    assert len(LabelledFolder(tmp_path / "all").read("all")) == 4


def test_a_folder_with_files_is_left_as_it_is(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert run(data, tmp_path) == 1
    assert "expected an empty folder or none" in capsys.readouterr().err
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_no_object_stands_alone(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(data, tmp_path / "single", "--min_side", "200") == 1
    assert f"{data}: expected objects that stand alone in split 'val', found none" in capsys.readouterr().err


def test_a_failure_leaves_no_pictures(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = data / "images" / "3.png"
    content = photo.read_bytes()
    photo.write_bytes(content[:500])
    options = ("--min_side", "40", "--max_others", "0.05")
    assert run(data, tmp_path / "single", *options) == 1
    assert f"{photo}: expected a readable image" in capsys.readouterr().err
    photo.write_bytes(content)
    assert run(data, tmp_path / "single", *options) == 0


def test_a_picture_of_another_size_than_its_annotation(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = data / "images" / "2.png"
    PIL.Image.open(picture).resize((150, 120)).save(picture)
    assert run(data, tmp_path / "single") == 1
    assert f"{picture}: expected" in capsys.readouterr().err
    assert not (tmp_path / "single" / "images").exists()
