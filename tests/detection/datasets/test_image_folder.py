from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL.ExifTags import Base as ExifTag

from detection.datasets import ImageFolder
from detection.errors import InputError
from detection.image import read_image


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two splits, of which the second has a class that the first does not have."""
    for name, size in (
        ("train/dog/b.png", (7, 5)),
        ("train/dog/a.JPEG", (4, 9)),
        ("train/cat/a.webp", (3, 2)),
        ("val/eel/a.bmp", (6, 1)),
        ("val/cat/a.png", (1, 1)),
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.new("RGB", size).save(path)
    return tmp_path


def test_classes_of_all_splits_sorted(root: Path) -> None:
    assert ImageFolder(root).class_names == ("cat", "dog", "eel")


def test_box_is_the_whole_image(root: Path) -> None:
    records = ImageFolder(root).read("train")
    assert [record.image_id for record in records] == ["cat/a.webp", "dog/a.JPEG", "dog/b.png"]
    assert [record.path for record in records] == [root / "train" / record.image_id for record in records]
    assert [record.boxes.tolist() for record in records] == [[[0, 0, 3, 2]], [[0, 0, 4, 9]], [[0, 0, 7, 5]]]
    assert [record.labels.tolist() for record in records] == [[0], [1], [1]]
    assert [record.labels.tolist() for record in ImageFolder(str(root)).read("val")] == [[0], [2]]


def test_pictures_in_other_formats_are_told(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train/dog/c.heic", "train/cat/d.heic", "train/cat/notes.txt", "train/cat/.e.heic", "val/cat/f.gif"):
        (root / name).touch()
    assert len(ImageFolder(root).read("train")) == 3
    assert [record.getMessage() for record in caplog.records] == [f"{root / 'train'}: passed over .heic (2)"]


def test_box_of_a_photo_taken_upright(root: Path) -> None:
    exif = PIL.Image.Exif()
    exif[ExifTag.Orientation] = 6
    path = root / "train" / "cat" / "b.jpg"
    PIL.Image.new("RGB", (8, 4)).save(path, exif=exif)
    record = ImageFolder(root).read("train")[1]
    assert (record.path, record.boxes.tolist()) == (path, [[0, 0, 4, 8]])
    assert read_image(path).shape[:2] == (8, 4)


def test_labels_need_no_headers(root: Path) -> None:
    dataset = ImageFolder(root)
    expected = [(record.path, int(record.labels[0])) for record in dataset.read("train")]
    for path, _ in expected:
        path.write_bytes(b"")
    assert [tuple(image) for image in dataset.read_labels("train")] == expected


def test_other_files_are_passed_over(root: Path) -> None:
    for name in (".DS_Store", "train/.cache", "train/dog/.hidden.png", "train/dog/Thumbs.db", "readme.txt"):
        (root / name).write_bytes(b"")
    (root / ".git" / "hooks").mkdir(parents=True)
    dataset = ImageFolder(root)
    assert dataset.class_names == ("cat", "dog", "eel")
    assert len(dataset.read("train")) == 3


def test_damaged_and_misplaced_files_are_all_listed(root: Path) -> None:
    (root / "train" / "cat" / "a.webp").write_bytes(b"RIFF")
    (root / "train" / "dog" / "nested").mkdir()
    (root / "train" / "list.txt").touch()
    check = ImageFolder(root).check("train")
    assert [entry.record.image_id for entry in check.entries] == ["dog/a.JPEG", "dog/b.png"]
    assert [entry.size for entry in check.entries] == [(9, 4), (5, 7)]
    assert [str(fault).split(", got")[0] for fault in check.faults] == [
        f"{root / 'train/cat/a.webp'}: expected a readable image",
        f"{root / 'train/dog/nested'}: expected an image",
        f"{root / 'train/list.txt'}: expected a folder of a class",
        f"{root}: expected objects of every class in split 'train'",
        f"{root}: expected objects of every class in split 'train'",
    ]


def test_missing_folders_are_named(root: Path) -> None:
    with pytest.raises(InputError, match="test: expected a folder: No such file"):
        ImageFolder(root).read("test")
    with pytest.raises(InputError, match="nowhere: expected a folder: No such file"):
        ImageFolder(root / "nowhere")
    with pytest.raises(InputError, match="dog: expected folders <split>/<class> with images, got none"):
        ImageFolder(root / "train" / "dog")


def test_class_of_another_split(root: Path) -> None:
    (root / "other" / "yak").mkdir(parents=True)
    with pytest.raises(InputError, match="yak: expected a class of the listed splits"):
        ImageFolder(root, ["train", "val"]).read("other")


def test_labels_fit_the_class_names(root: Path) -> None:
    labels = np.concatenate([record.labels for record in ImageFolder(root).read("val")])
    assert labels.max() < len(ImageFolder(root).class_names)
