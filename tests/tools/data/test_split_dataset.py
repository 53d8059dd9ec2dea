"""A split into halves, written as lists that the readers of data sets accept."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from detection.datasets import PascalVOC
from tools.data import split_dataset

CLASSES = ("cat", "dog", "dog", "bus", "cat", "dog", "bus", "dog", "cat")
"""The classes of nine images with one object each."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An image set of PASCAL VOC."""
    root = tmp_path / "VOC2007"
    for folder in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(CLASSES):
        box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>8</xmax><ymax>6</ymax></bndbox>"
        size = "<size><width>8</width><height>6</height></size>"
        (root / "Annotations" / f"00{number}.xml").write_text(
            f"<annotation>{size}<object><name>{name}</name>{box}</object></annotation>"
        )
        PIL.Image.new("RGB", (8, 6)).save(root / "JPEGImages" / f"00{number}.jpg")
    (root / "ImageSets" / "Main" / "val.txt").write_text("".join(f"00{number}\n" for number in reversed(range(9))))
    return root


def run(root: Path, output: Path, *options: str) -> int:
    reader = ["--dataset", "detection.datasets.PascalVOC", "--data", str(root), "--split", "val"]
    return split_dataset.main([*reader, "--output", str(output), *options])


def test_halves_are_sets_of_the_reader(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = root / "ImageSets" / "Main"
    assert run(root, folder) == 0
    lines = capsys.readouterr().out.splitlines()
    halves = [[record.image_id for record in PascalVOC(root).read(f"val{number}")] for number in (1, 2)]
    assert sorted(halves[0] + halves[1]) == [f"00{number}" for number in range(9)]
    assert all(half == sorted(half, reverse=True) for half in halves)  # in the order of the list that was split
    found = [[CLASSES[int(name)] for name in half] for half in halves]
    for name, total in (("cat", 3), ("dog", 4), ("bus", 2)):
        assert abs(found[0].count(name) - found[1].count(name)) == total % 2
    assert lines == [
        f"{folder / 'val1.txt'}: {len(halves[0])} images, {len(halves[0])} objects",
        f"{folder / 'val2.txt'}: {len(halves[1])} images, {len(halves[1])} objects",
        "largest relative class imbalance: 33.33% (cat)",
        "median relative class imbalance: 0.00%",
    ]


def test_the_seed_decides(root: Path, tmp_path: Path) -> None:
    lists = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2"), ("d", "3")):
        assert run(root, tmp_path / name, "--seed", seed) == 0
        assert sorted(path.name for path in (tmp_path / name).iterdir()) == ["val1.txt", "val2.txt"]
        lists.append((tmp_path / name / "val1.txt").read_text())
    assert lists[0] == lists[1]
    assert len(set(lists)) > 1


def test_faulty_data_set_is_not_split(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "JPEGImages" / "004.jpg").unlink()
    assert run(root, tmp_path / "lists") == 1
    assert capsys.readouterr().err.startswith(
        f"detect-split-dataset: {root / 'ImageSets' / 'Main' / 'val.txt'}:5: expected the"
    )
    assert not any((tmp_path / "lists").glob("*"))


def test_folder_that_cannot_be_written(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = root / "JPEGImages" / "000.jpg"
    assert run(root, output) == 1
    assert capsys.readouterr().err.startswith(
        f"detect-split-dataset: {output / 'val1.txt'}: expected a place to write to, got: "
    )


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images(count: int, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "ImageSets" / "Main" / "val.txt").write_text("000\n" * count)
    assert run(root, tmp_path / "lists") == 1
    expected = f"{root}: expected at least 2 images in split 'val', got {count}"
    assert capsys.readouterr().err == f"detect-split-dataset: {expected}\n"
