from __future__ import annotations

from pathlib import Path

from detection.datasets import LabelledFolder
from detection.datasets.layouts import summarise
from tests.detection.datasets.layouts import drawn_folders
from tests.detection.datasets.layouts.drawn_folders import ALL, draw, write, write_voc


def test_numbers_of_a_folder(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    draw(tmp_path / "images" / "b.jpg", size=(40, 40))
    write_voc(tmp_path / "annotations" / "b.xml", ALL["b.jpg"], size=(40, 40))
    summary = summarise(LabelledFolder(tmp_path))
    assert summary.class_names == ("cat", "dog")
    assert summary.pictures == {"train": 3, "val": 1}
    assert summary.background == {"train": 1, "val": 0}
    assert {split: counts.tolist() for split, counts in summary.boxes.items()} == {"train": [1, 2], "val": [1, 0]}
    assert summary.picture_sizes.tolist() == [[40, 40], [80, 60], [80, 60]]
    # The boxes have 40x30, 60x45, 24x24 and 40x45 px: sides of 34.64, 51.96, 24 and 42.43; the median is 38.53.
    assert [round(float(size), 2) for size in summary.box_sizes] == [25.6, 38.53, 50.53]
    # The sides of the pictures are 69.28 (80x60) and 40 (b.jpg): shares of 0.5, 0.75, 0.6 and 0.612.
    assert [round(float(share), 3) for share in summary.box_shares] == [0.515, 0.606, 0.729]


def test_lines(tmp_path: Path) -> None:
    drawn_folders.voc_lists(tmp_path)
    write(tmp_path / "train.txt", "a\nb\nc\nx\ny\n")
    lines = summarise(LabelledFolder(tmp_path)).lines()
    assert lines == [
        f"{tmp_path}: PASCAL VOC (4 XML files in annotations/, lists train.txt, val.txt)",
        "splits, as given: train 3, val 1 pictures",
        "               train  val",
        "pictures           3    1",
        "without boxes      1    0",
        "boxes              3    1",
        "  cat              1    1",
        "  dog              2    0",
        "size of pictures: 80x60 (smallest), 80x60 (median), 80x60 (largest) px",
        "size of boxes (square root of the area; in brackets, relative to the picture): 5% below 26 px "
        "(37%), half below 39 px (56%), 95% below 51 px (73%)",
        "note: classes without boxes in split 'val': dog",
        "note: pictures without boxes, which are used as background: 1",
        f"left out: {tmp_path / 'train.txt'}:4: expected a file 'x' in the folder or below, got none",
        f"left out: {tmp_path / 'train.txt'}:5: expected a file 'y' in the folder or below, got none",
    ]
    short = summarise(LabelledFolder(tmp_path)).lines(max_lines=1)
    assert "  cat              1    1" in short
    assert "  dog              2    0" not in short
    assert "  and 1 more classes" in short
    assert short[-1] == "left out: 1 more"
