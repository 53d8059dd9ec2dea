from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from detection.datasets import YOLO
from detection.errors import InputError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One picture of 200x100 px in the split "train", with a box."""
    write(tmp_path / "data.yaml", "train: images\nnames: [cat, dog]\n")
    (tmp_path / "images").mkdir()
    PIL.Image.new("RGB", (200, 100)).save(tmp_path / "images" / "a.jpg")
    write(tmp_path / "labels" / "a.txt", "1 0.5 0.5 0.5 0.2\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def boxes(root: Path) -> list[list[float]]:
    (record,) = YOLO(root).read("train")
    return [[round(corner, 3) for corner in box] for box in record.boxes.tolist()]


def test_box_from_its_centre(root: Path) -> None:
    (record,) = YOLO(root).read("train")
    # The centre is 100, 50 and the size 100x20 px.
    assert record.boxes.tolist() == [[50, 40, 150, 60]]
    assert (record.labels.tolist(), record.image_id, record.path) == ([1], "images/a.jpg", root / "images" / "a.jpg")
    assert YOLO(root).class_names == ("cat", "dog")
    assert YOLO(root).splits == ["train"]


def test_polygon_becomes_its_box(root: Path) -> None:
    write(root / "labels" / "a.txt", "0 0.1 0.2 0.3 0.1 0.2 0.9\n\n0 0.1 0.1 0.2 0.1 0.2 0.2 0.1 0.2\n")
    assert boxes(root) == [[20, 10, 60, 90], [20, 10, 40, 20]]


def test_coordinates_of_few_digits_are_clipped(root: Path) -> None:
    write(root / "labels" / "a.txt", "0 0.5 0.5 1.01 1.01\n")
    assert boxes(root) == [[0, 0, 200, 100]]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("0 0.5 0.5 0.2", "expected a class, and x y width height or the corners of a polygon, got 4 numbers"),
        ("0 0.5 0.5 0.2 0.2 0.9", "expected a class, and x y width height or the corners of a polygon, got 6 numbers"),
        ("0.5 0.5 0.5 0.2 0.2", "expected a class, and x y width height or the corners of a polygon, got 5 numbers"),
        ("0 nan 0.5 0.2 0.2", "expected a class, and x y width height or the corners of a polygon, got 5 numbers"),
        ("cat 0.5 0.5 0.2 0.2", "expected a class and numbers, got 'cat 0.5 0.5 0.2 0.2'"),
        ("2 0.5 0.5 0.2 0.2", "expected the number of a class in {root}/data.yaml, got 2"),
        ("-1 0.5 0.5 0.2 0.2", "expected the number of a class in {root}/data.yaml, got -1"),
        ("0 100 50 100 20", "expected a box within the image, in numbers of 0 to 1, got 100 50 100 20"),
        ("0 0.5 0.5 0 0.2", "expected a box with a width and height above 0, got 0.5 0.5 0 0.2"),
    ],
)
def test_faulty_lines(root: Path, line: str, fault: str) -> None:
    write(root / "labels" / "a.txt", f"0 0.5 0.5 0.5 0.2\n{line}\n")
    check = YOLO(root).check("train")
    assert str(check.faults[0]) == f"{root / 'labels' / 'a.txt'}:2: {fault.format(root=root)}"
    assert [len(entry.record) for entry in check.entries] == [1]


def test_boxes_beside_the_image(root: Path) -> None:
    write(root / "images" / "a.txt", "0 0.5 0.5 1 1\n")
    assert boxes(root) == [[0, 0, 200, 100]]


def test_images_without_text_files_have_no_objects_unless_none_has(root: Path) -> None:
    PIL.Image.new("RGB", (9, 9)).save(root / "images" / "b.jpg")
    assert [len(record) for record in YOLO(root).read("train")] == [1, 0]
    (root / "labels" / "a.txt").unlink()
    message = (
        f"expected text files with boxes for split 'train', got none for 2 images, such as {root / 'labels/a.txt'}"
    )
    with pytest.raises(InputError, match=message):
        YOLO(root).read("train")


def test_classes_called_yes_and_no_and_by_number(root: Path) -> None:
    write(root / "data.yaml", "train: images\nnames: {1: yes, 0: no, 7: 12}\n")
    assert YOLO(root).class_names == ("no", "yes", "12")
    write(root / "labels" / "a.txt", "7 0.5 0.5 0.5 0.2\n")
    assert YOLO(root).read("train")[0].labels.tolist() == [2]


def test_several_folders_and_other_keys(root: Path) -> None:
    (root / "more").mkdir()
    PIL.Image.new("RGB", (9, 9)).save(root / "more" / "b.jpg")
    write(root / "data.yaml", "train: [images, more]\nvalid: images\nnames: [cat, dog]\n")
    dataset = YOLO(root)
    assert dataset.splits == ["train", "val"]
    assert [record.image_id for record in dataset.read("train")] == ["images/a.jpg", "more/b.jpg"]
    assert len(dataset.read("val")) == 1


def test_missing_images_of_a_list(root: Path) -> None:
    write(root / "data.yaml", "train: train.txt\nnames: [cat, dog]\n")
    write(root / "train.txt", "./images/a.jpg\n\n./images/x.jpg\n")
    check = YOLO(root).read_usable("train")
    assert [entry.place for entry in check.entries] == [f"{root / 'train.txt'}:1"]
    (fault,) = check.faults
    assert str(fault).startswith(f"{root / 'train.txt'}:3: expected a folder or file './images/x.jpg', got none at ")


@pytest.mark.parametrize(
    ("config", "fault"),
    [
        ("train: images", "expected names of classes, as a list or by number, got None"),
        ("names: cat", "expected names of classes, as a list or by number, got 'cat'"),
        ("names: [cat, [dog]]", r"expected names of classes, as a list or by number, got {'0': 'cat', '1': \['dog'\]}"),
        ("names: {cat: 0}", "expected the number of each class in names, got 'cat'"),
        ("names: [cat, cat]", "expected each class once in names, got cat, cat"),
        ("- cat", "expected a mapping with the key names"),
        ("names: [", "expected YAML: while parsing a flow node"),
    ],
)
def test_faulty_configuration(root: Path, config: str, fault: str) -> None:
    write(root / "data.yaml", config)
    with pytest.raises(InputError, match=rf"data\.yaml: {fault}"):
        YOLO(root)


def test_what_is_not_there_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"data\.yaml: expected a key 'test', got none"):
        YOLO(root).read("test")
    write(root / "data.yaml", "train: nowhere\nnames: [cat]\n")
    with pytest.raises(InputError, match=r"data\.yaml: expected a folder or file 'nowhere', got none at .*/nowhere"):
        YOLO(root).read("train")
    with pytest.raises(InputError, match=r"other\.yaml: expected the configuration of a data set: No such file"):
        YOLO(root, "other.yaml")


def test_text_file_of_names(root: Path) -> None:
    (root / "data.yaml").unlink()
    write(root / "classes.txt", "cat\ndog\n")
    dataset = YOLO(root, "classes.txt")
    assert (dataset.class_names, dataset.splits) == (("cat", "dog"), ["train"])
    assert [record.image_id for record in dataset.read("train")] == ["images/a.jpg"]
    (root / "valid").mkdir()
    PIL.Image.new("RGB", (9, 9)).save(root / "valid" / "b.jpg")
    write(root / "valid" / "b.txt", "0 0.5 0.5 1 1")
    dataset = YOLO(root, "classes.txt")
    assert dataset.splits == ["val"]
    assert [record.image_id for record in dataset.read("val")] == ["valid/b.jpg"]


def test_values_that_no_file_has(root: Path) -> None:
    write(root / "data.yaml", f"path: {'a' * 5000}\ntrain: images\nnames: [cat, dog]\n")
    assert len(YOLO(root).read("train")) == 1  # of such a folder the last part is looked for, as of any other machine's
    write(root / "data.yaml", f"train: {'a' * 5000}\nnames: [cat, dog]\n")
    with pytest.raises(InputError, match=r"data\.yaml: expected a folder or file 'a"):
        YOLO(root).read("train")
    write(root / "data.yaml", "[" * 2000)
    with pytest.raises(InputError, match=r"data\.yaml: expected YAML with values that are nested less deeply"):
        YOLO(root)


def test_aliases_that_stand_for_billions_of_values(root: Path) -> None:
    lines = [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]"
        for before, name in zip("abcdefgh", "bcdefghi", strict=True)
    ]
    write(root / "data.yaml", "\n".join(["a: &a [x]", *lines, "names: *i", "train: *i"]))
    with pytest.raises(InputError, match=r"data\.yaml: expected at most 100000 values"):
        YOLO(root)


def test_a_parent_folder_below_a_link(root: Path, tmp_path: Path) -> None:
    """The system follows the link before it resolves ".."."""
    real = tmp_path / "real" / "set"
    real.mkdir(parents=True)
    for name in ("images", "labels"):
        (root / name).rename(real.parent / name)
    write(real / "data.yaml", "train: ../images\nnames: [cat, dog]\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "set").symlink_to(real)
    (record,) = YOLO(tmp_path / "home" / "set").read("train")
    assert record.path.exists()
    assert len(record.boxes) == 1
