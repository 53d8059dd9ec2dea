from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from detection.datasets import CSVTable
from detection.errors import InputError

HEADER = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures of 200x100 px and tables of two splits."""
    write(
        tmp_path / "train.csv", HEADER + "a.jpg,200,100,dog,1,2,30,40\nb.jpg,200,100,,,,,\na.jpg,200,100,cat,5,5,9,9\n"
    )
    write(tmp_path / "val.csv", HEADER + "c.jpg,200,100,eel,1,1,200,100\n")
    (tmp_path / "images").mkdir()
    for name in "abc":
        PIL.Image.new("RGB", (200, 100)).save(tmp_path / "images" / f"{name}.jpg")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_lines_of_an_image_belong_together(root: Path) -> None:
    dataset = CSVTable(root)
    assert dataset.class_names == ("cat", "dog", "eel")
    two, none = dataset.read("train")
    assert (two.image_id, two.path) == ("a.jpg", root / "images" / "a.jpg")
    # Corners count from 1 and include the last pixel.
    assert (two.boxes.tolist(), two.labels.tolist()) == ([[0, 1, 30, 40], [4, 4, 9, 9]], [1, 0])
    assert len(none) == 0
    assert dataset.read("val")[0].boxes.tolist() == [[0, 0, 200, 100]]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_other_separators_orders_and_columns(root: Path, separator: str) -> None:
    text = 'class,XMin,ymin,xmax,ymax, filename,depth\n"big dog",1,2,30,40,a.jpg,3\n\n'
    write(root / "train.csv", "\ufeff" + text.replace(",", separator))
    (record,) = CSVTable(root, annotations="train.csv").read("train")
    assert record.boxes.tolist() == [[0, 1, 30, 40]]
    assert CSVTable(root, annotations="train.csv").class_names == ("big dog",)


def test_size_is_read_from_the_image_if_it_is_not_stated(root: Path) -> None:
    write(root / "train.csv", HEADER + "a.jpg,0,0,dog,1,2,30,40\nb.jpg,,,dog,1,2,300,40\n")
    check = CSVTable(root).read_usable("train")
    assert [entry.size for entry in check.entries] == [(100, 200), (100, 200)]
    assert [str(fault) for fault in check.faults] == [
        f"{root / 'train.csv'}:3: expected a box within the image of 200x100 px, got xmin=1 ymin=2 xmax=300 ymax=40"
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("a.jpg,200,100,dog,1,2,30,", "expected four numbers, got xmin=1 ymin=2 xmax=30 ymax="),
        ("a.jpg,200,100,,1,2,30,40", "expected a class, got none for xmin=1 ymin=2 xmax=30 ymax=40"),
        ("a.jpg,200,100,dog", "expected four numbers, got xmin= ymin= xmax= ymax="),
        ("a.jpg,wide,100,dog,1,2,30,40", "expected the size of the image in pixels, got width 'wide' and height '100'"),
        ("x.jpg,200,100,dog,1,2,30,40", "expected the image {root}/images/x.jpg, got no such file"),
    ],
)
def test_faulty_lines(root: Path, line: str, fault: str) -> None:
    write(root / "train.csv", f"{HEADER}b.jpg,200,100,dog,1,2,30,40\n{line}\n")
    check = CSVTable(root).read_usable("train")
    assert [str(found) for found in check.faults] == [f"{root / 'train.csv'}:3: {fault.format(root=root)}"]
    assert check.entries[0].record.image_id == "b.jpg"


def test_tables_that_cannot_be_read(root: Path) -> None:
    with pytest.raises(InputError, match=r"\{split\}_labels\.csv: expected a table of boxes, got none"):
        CSVTable(root, annotations="{split}_labels.csv")
    write(root / "val.csv", "filename,class,xmin,ymin,xmax\n")
    with pytest.raises(InputError, match=r"val\.csv:1: expected the columns filename,class,.*, got none 'ymax'"):
        CSVTable(root)
    write(root / "val.csv", "")
    with pytest.raises(InputError, match=r"val\.csv:1: expected the columns filename,class,.*, got none 'filename'"):
        CSVTable(root)
    write(root / "val.csv", HEADER + '"' + "a" * 200_000)
    with pytest.raises(InputError, match=r"val\.csv:2: expected a table of boxes: field larger than field limit"):
        CSVTable(root)


@pytest.mark.parametrize("side", ["1" * 5000, "-3", "1e3", "٣"])
def test_sizes_that_are_no_numbers(root: Path, side: str) -> None:
    write(root / "train.csv", HEADER + f"a.jpg,{side},100,dog,1,2,30,40\n")
    with pytest.raises(
        InputError, match=r"train\.csv:2: expected the size of the image in pixels, got width '.{1,150}$"
    ):
        CSVTable(root).read("train")


def test_cells_in_quotes_have_line_breaks_and_rare_separators(root: Path) -> None:
    """A file name may have both; U+2028 is a line break for Python's `splitlines`, but not for a table."""
    names = ["a\nb.jpg", "a\u2028b.jpg"]
    for name in names:
        PIL.Image.new("RGB", (200, 100)).save(root / "images" / name)
    write(root / "train.csv", HEADER + "".join(f'"{name}",200,100,dog,1,2,30,40\n' for name in names))
    assert [record.image_id for record in CSVTable(root).read("train")] == names
