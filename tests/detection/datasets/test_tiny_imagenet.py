from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from detection.datasets import TinyImageNet
from detection.errors import InputError

WNIDS = "n02\nn01\n"
# In another order, and with words of other WNIDs.
WORDS = "n00\tentity\nn01\tgoldfish, Carassius auratus\nn02\tEgyptian cat\nn03\tdog, domestic dog\n"
TRAIN = {
    "n01": "n01_0.JPEG\t0\t0\t63\t63\nn01_1.JPEG\t5\t7\t5\t7\n",
    "n02": "n02_9.JPEG\t1\t2\t30\t40\nn02_3.JPEG\t0\t10\t63\t11\nn02_5.JPEG\t2\t0\t3\t0\n",
}
VAL = "val_1.JPEG\tn01\t0\t32\t44\t62\nval_0.JPEG\tn02\t52\t55\t57\t59\n"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The public layout with two classes; the image files are empty, as readers do not open them."""
    root = tmp_path / "tiny-imagenet-200"
    for wnid, text in TRAIN.items():
        write(root / "train" / wnid / f"{wnid}_boxes.txt", text)
        write_pictures(root / "train" / wnid / "images", text)
    write(root / "val" / "val_annotations.txt", VAL)
    write_pictures(root / "val" / "images", VAL)
    write(root / "wnids.txt", WNIDS)
    write(root / "words.txt", WORDS)
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def write_pictures(folder: Path, annotations: str) -> None:
    for line in annotations.splitlines():
        write(folder / line.split("\t")[0], "")


def test_classes_are_in_the_order_of_wnids_by_their_first_name(root: Path) -> None:
    dataset = TinyImageNet(root)
    assert dataset.wnids == ("n02", "n01")
    assert dataset.class_names == ("Egyptian cat", "goldfish")


def test_root_may_be_the_folder_or_its_parent(root: Path) -> None:
    for given in (root, root.parent, str(root), str(root.parent)):
        dataset = TinyImageNet(given)
        assert dataset.root == root
        assert [record.image_id for record in dataset.read("val")] == ["val_1", "val_0"]


def test_folder_of_another_name(root: Path) -> None:
    renamed = root.rename(root.parent / "renamed")
    assert TinyImageNet(renamed).class_names == ("Egyptian cat", "goldfish")


def test_training_images(root: Path) -> None:
    records = TinyImageNet(root).read("train")
    # By class, in the order of wnids.txt, then in that of the file.
    assert [record.image_id for record in records] == ["n02_9", "n02_3", "n02_5", "n01_0", "n01_1"]
    assert [record.labels.tolist() for record in records] == [[0], [0], [0], [1], [1]]
    assert [record.path for record in records[2:4]] == [
        root / "train" / "n02" / "images" / "n02_5.JPEG",
        root / "train" / "n01" / "images" / "n01_0.JPEG",
    ]


def test_boxes_become_half_open(root: Path) -> None:
    # Inclusive pixels counted from 0: the last pixel of 64 is 63, so the border behind it is 64.
    records = {record.image_id: record for record in TinyImageNet(root).read("train")}
    assert {image_id: record.boxes.tolist() for image_id, record in records.items()} == {
        "n01_0": [[0, 0, 64, 64]],
        "n01_1": [[5, 7, 6, 8]],  # one pixel
        "n02_9": [[1, 2, 31, 41]],
        "n02_3": [[0, 10, 64, 12]],
        "n02_5": [[2, 0, 4, 1]],
    }
    assert {record.boxes.dtype for record in records.values()} == {np.dtype(np.float32)}


def test_validation_images(root: Path) -> None:
    first, second = TinyImageNet(root).read("val")
    assert (first.image_id, second.image_id) == ("val_1", "val_0")
    assert first.path == root / "val" / "images" / "val_1.JPEG"
    assert (first.labels.tolist(), second.labels.tolist()) == ([1], [0])
    assert first.boxes.tolist() == [[0, 32, 45, 63]]
    assert second.boxes.tolist() == [[52, 55, 58, 60]]


def test_empty_lines_at_the_end_are_allowed(root: Path) -> None:
    write(root / "wnids.txt", WNIDS + "\n\n")
    write(root / "words.txt", WORDS + "\n")
    write(root / "val" / "val_annotations.txt", VAL + "\n\n")
    assert len(TinyImageNet(root).read("val")) == 2


def test_windows_line_ends_are_allowed(root: Path) -> None:
    for name, text in (("wnids.txt", WNIDS), ("words.txt", WORDS), ("val/val_annotations.txt", VAL)):
        (root / name).write_bytes(text.replace("\n", "\r\n").encode())
    dataset = TinyImageNet(root)
    assert dataset.class_names == ("Egyptian cat", "goldfish")
    assert len(dataset.read("val")) == 2


@pytest.mark.parametrize("split", ["test", "Train", ""])
def test_unknown_split(root: Path, split: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"{root}: expected split 'train' or 'val', got '{split}'")):
        TinyImageNet(root).read(split)


NUMBERS = "expected whole numbers x1 y1 x2 y2, got "
ORDER = "expected 0 <= x1 <= x2 and 0 <= y1 <= y2, got "
MALFORMED = [
    ("0\t0\tten\t63", NUMBERS + "0 0 ten 63"),
    ("0\t0\t63.0\t63", NUMBERS + "0 0 63.0 63"),
    ("0\t0\t\t63", NUMBERS + "0 0  63"),
    ("-1\t0\t5\t5", ORDER + "-1 0 5 5"),
    ("0\t-1\t5\t5", ORDER + "0 -1 5 5"),
    ("6\t0\t5\t5", ORDER + "6 0 5 5"),
    ("0\t6\t5\t5", ORDER + "0 6 5 5"),
]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        *[(f"a.JPEG\t{corners}", message) for corners, message in MALFORMED],
        ("a.JPEG\t0\t0\t5", "expected 5 tab-separated fields, got 4"),
        ("a.JPEG\t0\t0\t5\t5\t5", "expected 5 tab-separated fields, got 6"),
        ("a.JPEG 0 0 5 5", "expected 5 tab-separated fields, got 1"),
        ("", "expected 5 tab-separated fields, got 1"),
    ],
)
def test_malformed_training_line_is_named(root: Path, line: str, message: str) -> None:
    source = root / "train" / "n01" / "n01_boxes.txt"
    first, last = TRAIN["n01"].splitlines()
    write(source, f"{first}\n{line}\n{last}\n")
    with pytest.raises(InputError) as error:
        TinyImageNet(root).read("train")
    assert str(error.value) == f"{source}:2: {message}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        *[(f"a.JPEG\tn01\t{corners}", message) for corners, message in MALFORMED],
        ("a.JPEG\tn03\t0\t0\t5\t5", "expected a WNID of wnids.txt, got 'n03'"),
        ("a.JPEG\tn01\t0\t0\t5", "expected 6 tab-separated fields, got 5"),
        ("a.JPEG\tn01\t0\t0\t5\t5\t5", "expected 6 tab-separated fields, got 7"),
        ("", "expected 6 tab-separated fields, got 1"),
    ],
)
def test_malformed_validation_line_is_named(root: Path, line: str, message: str) -> None:
    source = root / "val" / "val_annotations.txt"
    first, last = VAL.splitlines()
    write(source, f"{first}\n{line}\n{last}\n")
    with pytest.raises(InputError) as error:
        TinyImageNet(root).read("val")
    assert str(error.value) == f"{source}:2: {message}"


def test_malformed_last_line_has_its_number(root: Path) -> None:
    source = root / "val" / "val_annotations.txt"
    write(source, VAL + "a.JPEG\tn01\t0\t0\t5\tfive")
    with pytest.raises(InputError, match=re.escape(f"{source}:3: {NUMBERS}0 0 5 five")):
        TinyImageNet(root).read("val")


@pytest.mark.parametrize(("corners", "fits"), [("0\t0\t64\t63", True), ("0\t0\t65\t63", False)])
def test_box_beyond_the_picture(root: Path, corners: str, fits: bool) -> None:
    # 64 inclusive ends at 65, one pixel outside, which is clipped; 65 is two outside.
    write(root / "val" / "val_annotations.txt", f"val_1.JPEG\tn01\t{corners}\n")
    if fits:
        assert TinyImageNet(root).read("val")[0].boxes.tolist() == [[0, 0, 64, 64]]
    else:
        with pytest.raises(InputError, match=r"val_annotations\.txt:1: expected a box within the image of 64x64 px"):
            TinyImageNet(root).read("val")


def test_missing_picture_is_named_with_its_line(root: Path) -> None:
    picture = root / "val" / "images" / "val_0.JPEG"
    picture.unlink()
    message = f"{root / 'val' / 'val_annotations.txt'}:2: expected the image {picture}, got no such file"
    for read in (TinyImageNet(root).read, TinyImageNet(root).read_labels):
        with pytest.raises(InputError, match=f"^{re.escape(message)}$"):
            read("val")


def test_picture_listed_twice(root: Path) -> None:
    write(root / "val" / "val_annotations.txt", VAL + VAL.splitlines()[0])
    for read in (TinyImageNet(root).read, TinyImageNet(root).read_labels):
        with pytest.raises(InputError, match=r"annotations\.txt:3: expected each image once, got \S+val_1.JPEG"):
            read("val")


@pytest.mark.parametrize("split", ["train", "val"])
def test_labels_are_those_of_the_boxes(root: Path, split: str) -> None:
    dataset = TinyImageNet(root)
    expected = [(record.path, int(record.labels[0])) for record in dataset.read(split)]
    assert [tuple(image) for image in dataset.read_labels(split)] == expected


def test_labels_do_not_need_boxes(root: Path) -> None:
    write(root / "val" / "val_annotations.txt", "val_1.JPEG\tn01\t\t\t\tnan\n")
    (image,) = TinyImageNet(root).read_labels("val")
    assert image.label == 1


def test_check_lists_all_faults(root: Path) -> None:
    source = root / "train" / "n01" / "n01_boxes.txt"
    write(source, TRAIN["n01"] + "n01_2.JPEG\t0\t0\tten\t5\nshort\nn01_0.JPEG\t0\t0\t1\t1\n")
    (root / "train" / "n02" / "n02_boxes.txt").unlink()
    check = TinyImageNet(root).check("train")
    assert [entry.record.image_id for entry in check.entries] == ["n01_0", "n01_1"]
    faults = [str(fault) for fault in check.faults]
    assert [fault.split(": expected")[0] for fault in faults] == [
        str(root / "train" / "n02" / "n02_boxes.txt"),
        f"{source}:3",
        f"{source}:4",
        f"{source}:5",
        str(root),
    ]
    assert faults[-1] == f"{root}: expected objects of every class in split 'train', got none of 'Egyptian cat'"


@pytest.mark.parametrize("name", ["wnids.txt", "words.txt"])
def test_missing_class_list_is_named(root: Path, name: str) -> None:
    (root / name).unlink()
    with pytest.raises(InputError, match=re.escape(f"{root / name}: expected a text file")):
        TinyImageNet(root)


@pytest.mark.parametrize(("split", "name"), [("train", "train/n01/n01_boxes.txt"), ("val", "val/val_annotations.txt")])
def test_missing_annotations_are_named(root: Path, split: str, name: str) -> None:
    dataset = TinyImageNet(root)
    (root / name).unlink()
    with pytest.raises(InputError, match=re.escape(f"{root / name}: expected a text file")):
        dataset.read(split)


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=re.escape(f"{tmp_path / 'nowhere' / 'wnids.txt'}: expected a text file")):
        TinyImageNet(tmp_path / "nowhere")


@pytest.mark.parametrize("words", [WORDS.replace("n02", "n04"), WORDS.replace("n02\t", "n02 ")])
def test_class_without_a_name_is_named(root: Path, words: str) -> None:
    write(root / "words.txt", words)
    with pytest.raises(InputError) as error:
        TinyImageNet(root)
    assert str(error.value) == f"{root / 'words.txt'}: expected a line for every WNID, found none for n02"


@pytest.mark.parametrize("content", [b"", b"n01\nn01\n", b"caf\xe9\n"])
def test_unusable_class_list_names_the_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "wnids.txt").write_bytes(content)
    (tmp_path / "words.txt").write_text("n01\tcat\n")
    with pytest.raises(InputError, match=r"wnids\.txt(:1)?: expected"):
        TinyImageNet(tmp_path)


def test_root_that_is_a_file(tmp_path: Path) -> None:
    root = tmp_path / "file"
    root.touch()
    with pytest.raises(InputError, match=r"wnids\.txt: expected"):
        TinyImageNet(root)
