from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from detection.datasets import PascalVOC
from detection.datasets.pascal_voc import CLASS_NAMES
from detection.errors import InputError

DIFFICULT = "<difficult>1</difficult>"


@pytest.fixture
def root(tmp_path: Path, write_xml: Callable[..., Path]) -> Path:
    """`VOCdevkit/VOC2007` with three images; the image files are empty, as readers do not open them."""
    root = tmp_path / "VOCdevkit" / "VOC2007"
    write_xml(root / "Annotations" / "000005.xml", [("chair", (1, 2, 30, 40)), ("person", (5, 5, 9, 9), DIFFICULT)])
    write_xml(root / "Annotations" / "000007.xml", [("car", (141, 50, 200, 100))])
    write_xml(root / "Annotations" / "000009.xml", [])
    write(root / "ImageSets" / "Main" / "train.txt", "000009\n000005\n")
    write(root / "ImageSets" / "Main" / "val.txt", "000007\n")
    write(root / "ImageSets" / "Main" / "car_val.txt", "000007  1\n")
    for name in ("000005", "000007", "000009"):
        write(root / "JPEGImages" / f"{name}.jpg", "")
    return root


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_records_are_in_the_order_of_the_list(root: Path) -> None:
    empty, room = PascalVOC(root).read("train")
    assert (empty.image_id, len(empty)) == ("000009", 0)
    assert (room.image_id, room.path) == ("000005", root / "JPEGImages" / "000005.jpg")
    assert room.boxes.tolist() == [[0, 1, 30, 40], [4, 4, 9, 9]]
    assert [PascalVOC(root).class_names[label] for label in room.labels] == ["chair", "person"]
    assert room.ignored.tolist() == [False, True]


def test_classes_are_the_published_20_in_alphabetical_order(root: Path) -> None:
    names = PascalVOC(root).class_names
    assert len(names) == 20
    assert list(names) == sorted(names)


def test_root_may_be_the_year_or_what_holds_it(root: Path) -> None:
    for given in (root, root.parent, root.parent.parent, str(root)):
        assert PascalVOC(given).root == root
    assert PascalVOC(root.parent, year=2012).root == root.parent


def test_list_of_a_class_is_no_split(root: Path) -> None:
    with pytest.raises(InputError, match=r"car_val\.txt:1: expected only the name of an image, .* got '000007 1'"):
        PascalVOC(root).read("car_val")


def test_missing_files_are_named(root: Path) -> None:
    dataset = PascalVOC(root)
    with pytest.raises(InputError, match=r"test\.txt: expected a list of images: No such file"):
        dataset.read("test")
    (root / "Annotations" / "000005.xml").unlink()
    with pytest.raises(InputError, match=r"000005\.xml: expected an annotation"):
        dataset.read("train")
    (root / "JPEGImages" / "000009.jpg").unlink()
    message = f"train.txt:1: expected the image {root / 'JPEGImages' / '000009.jpg'}, got no such file"
    with pytest.raises(InputError, match=re.escape(message)):
        dataset.read("train")


def test_check_goes_on_behind_every_kind_of_fault(root: Path, write_xml: Callable[..., Path]) -> None:
    annotations, images = root / "Annotations", root / "JPEGImages"
    listed = root / "ImageSets" / "Main" / "train.txt"
    write(listed, "000005\nno such thing\n000001\n000002\n000003\n000007\n000005\n")
    write_xml(annotations / "000005.xml", [("chair", (1, 2, 30, 40)), ("unicorn", (1, 1, 5, 5))])
    write_xml(annotations / "000001.xml", [("car", (1, 1, 5, 5))])  # without a picture
    write(annotations / "000002.xml", "<annotation>\n")
    write(images / "000003.jpg", "")  # without an annotation
    check = PascalVOC(root, class_names=CLASS_NAMES).check("train")
    assert [entry.record.image_id for entry in check.entries] == ["000005", "000007"]
    assert [entry.size for entry in check.entries] == [(100, 200)] * 2
    faults = [str(fault) for fault in check.faults]
    assert faults[:7] == [
        f"{annotations / '000005.xml'}:8: expected a class of the data set, got 'unicorn'",
        f"{listed}:2: expected the name of an image, got 'no such thing'",
        f"{listed}:3: expected the image {images / '000001.jpg'}, got no such file",
        f"{annotations / '000002.xml'}:2: expected XML: no element found: line 2, column 0",
        f"{annotations / '000003.xml'}: expected an annotation in the XML of PASCAL VOC: No such file or directory",
        f"{annotations / '000005.xml'}:8: expected a class of the data set, got 'unicorn'",
        f"{listed}:7: expected each image once, got {images / '000005.jpg'} again",
    ]
    assert len(faults) == 7 + 18  # the classes but chair and car have no objects


def test_labels_of_images(root: Path) -> None:
    (image,) = PascalVOC(root).read_labels("val")
    assert image == (root / "JPEGImages" / "000007.jpg", PascalVOC(root).class_names.index("car"))


@pytest.mark.parametrize(("name", "got"), [("000005", "chair, person"), ("000009", "no objects")])
def test_image_without_a_single_class_has_no_label(root: Path, name: str, got: str) -> None:
    write(root / "ImageSets" / "Main" / "train.txt", f"000007\n{name}\n")
    with pytest.raises(InputError) as caught:
        PascalVOC(root).read_labels("train")
    assert str(caught.value) == f"{root / 'JPEGImages' / f'{name}.jpg'}: expected objects of one class, got {got}"


def test_own_classes_are_found_in_all_annotations(root: Path, write_xml: Callable[..., Path]) -> None:
    own = root.parent.rename(root.parent.parent / "own") / "VOC2007"
    assert PascalVOC(own).class_names == CLASS_NAMES  # a part of the challenge
    write_xml(
        own / "Annotations" / "7.xml", [("vest", (1, 2, 30, 40)), ("\nhelmet ", (5, 5, 9, 9)), ("", (1, 1, 2, 2))]
    )
    write(own / "Annotations" / "8.xml", "<annotation>")  # reported when its split is read
    assert PascalVOC(own).class_names == ("car", "chair", "helmet", "person", "vest")
    alone = own.rename(own.parent / "own photos")
    (alone / "Annotations" / "7.xml").unlink()
    assert PascalVOC(alone).class_names == ("car", "chair", "person")
    (record,) = PascalVOC(alone).read("val")
    assert record.labels.tolist() == [0]


def test_given_classes_and_their_order(root: Path) -> None:
    dataset = PascalVOC(root, class_names=["person", "chair"])
    assert [record.labels.tolist() for record in dataset.read("train")] == [[], [1, 0]]
    with pytest.raises(InputError, match=r"000007\.xml:4: expected a class of the data set, got 'car'"):
        dataset.read("val")
    for names in ([], ["a", "b", "a"]):
        with pytest.raises(InputError, match=r"class_names: expected one or more classes, each once, got \["):
            PascalVOC(root, class_names=names)


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".JPG", ".jpeg", ".jfif"])
def test_images_have_any_suffix(root: Path, suffix: str) -> None:
    images = root / "JPEGImages"
    (images / "000005.jpg").rename(images / f"000005{suffix}")
    write(images / "000005.txt", "no image")
    assert [record.path.name for record in PascalVOC(root).read("train")] == ["000009.jpg", f"000005{suffix}"]


@pytest.mark.parametrize("suffix", [".bmp", "bmp"])
def test_given_suffix_is_the_only_one(root: Path, suffix: str) -> None:
    images = root / "JPEGImages"
    for name in ("000005", "000009"):
        write(images / f"{name}.bmp", "")
    assert [record.path.suffix for record in PascalVOC(root, image_suffix=suffix).read("train")] == [".bmp"] * 2
    with pytest.raises(InputError, match=r"val\.txt:1: expected the image \S+000007\.bmp, got no such file"):
        PascalVOC(root, image_suffix=suffix).read("val")


def test_names_in_quotes_and_with_a_suffix(root: Path) -> None:
    write(root / "ImageSets" / "Main" / "train.txt", '"000005"\n000009.jpg\n')
    assert [record.image_id for record in PascalVOC(root).read("train")] == ["000005", "000009"]


def test_name_with_spaces_and_a_number(root: Path) -> None:
    for folder, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        (root / folder / f"000005{suffix}").rename(root / folder / f"a photo 1{suffix}")
    write(root / "ImageSets" / "Main" / "train.txt", "a photo 1\n000009\n")
    assert [record.image_id for record in PascalVOC(root).read("train")] == ["a photo 1", "000009"]
