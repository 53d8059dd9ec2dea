from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detection.datasets import ILSVRCDetection
from detection.errors import InputError
from detection.evaluation import evaluate
from detection.structures.detections import Detections

ACCORDION, AIRPLANE, ZEBRA = "n02672831", "n02691156", "n02391049"  # identifiers 1, 2 and 200
TRAIN = "ILSVRC2013_train/n02672831/n02672831_7"
EXTRA = "ILSVRC2014_train_0000/ILSVRC2014_train_00000001"


@pytest.fixture
def root(tmp_path: Path, write_xml: Callable[..., Path]) -> Path:
    """The layout of the task with three validation and two training images; the image files are empty."""
    write_xml(
        tmp_path / "Annotations/DET/val/ILSVRC2012_val_00000001.xml",
        [(ZEBRA, (0, 0, 199, 99)), (AIRPLANE, (11, 21, 30, 40))],
    )
    write_xml(tmp_path / "Annotations/DET/val/ILSVRC2012_val_00000003.xml", [(AIRPLANE, (1, 1, 9, 9))])
    write_xml(tmp_path / f"Annotations/DET/train/{TRAIN}.xml", [(ACCORDION, (1, 1, 9, 9))])
    lists = tmp_path / "ImageSets" / "DET"
    write(lists / "val.txt", "".join(f"ILSVRC2012_val_0000000{number} {number}\n" for number in (1, 2, 3)))
    write(lists / "val2.txt", "ILSVRC2012_val_00000003\n")
    for name in ("val/ILSVRC2012_val_00000001", "val/ILSVRC2012_val_00000002", "val/ILSVRC2012_val_00000003"):
        write(tmp_path / f"Data/DET/{name}.JPEG", "")
    for name in (TRAIN, EXTRA):
        write(tmp_path / f"Data/DET/train/{name}.JPEG", "")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_classes_are_those_of_the_task(root: Path) -> None:
    dataset = ILSVRCDetection(root)
    assert len(set(dataset.class_names)) == len(set(dataset.wnids)) == 200
    assert dataset.class_names[:2] + dataset.class_names[-1:] == ("accordion", "airplane", "zebra")
    assert dataset.wnids[:2] + dataset.wnids[-1:] == (ACCORDION, AIRPLANE, ZEBRA)
    assert all(len(wnid) == 9 and wnid[0] == "n" and wnid[1:].isdecimal() for wnid in dataset.wnids)


def test_validation_images(root: Path) -> None:
    first, second, third = ILSVRCDetection(root).read("val")
    assert first.image_id == "ILSVRC2012_val_00000001"
    assert first.path == root / "Data/DET/val/ILSVRC2012_val_00000001.JPEG"
    assert first.boxes.tolist() == [[0, 0, 199, 99], [10, 20, 30, 40]]
    assert first.labels.tolist() == [199, 1]
    assert len(second) == 0  # an image without objects has no XML
    assert len(third) == 1


def test_half_of_a_split_is_found_in_its_folders(root: Path) -> None:
    (record,) = ILSVRCDetection(root).read("val2")
    assert record.path == root / "Data/DET/val/ILSVRC2012_val_00000003.JPEG"


def test_folder_of_the_split_comes_first(root: Path, write_xml: Callable[..., Path]) -> None:
    write_xml(root / "Annotations/DET/val2/ILSVRC2012_val_00000003.xml", [(ZEBRA, (1, 1, 9, 9))])
    assert [record.labels.tolist() for record in ILSVRCDetection(root).read("val2")] == [[199]]


def test_training_images_are_the_union_of_the_lists_of_classes(root: Path) -> None:
    for number in range(1, 201):
        text = f"{EXTRA} -1\n" if number > 1 else f"{TRAIN} 1\n{EXTRA} -1\n"
        write(root / f"ImageSets/DET/train_{number}.txt", text)
    dataset = ILSVRCDetection(root)
    records = dataset.read("train")
    assert [(record.image_id, record.labels.tolist()) for record in records] == [(TRAIN, [0]), (EXTRA, [])]
    assert [record.image_id for record in dataset.read("train_2")] == [EXTRA]
    write(root / "ImageSets/DET/train.txt", f"{EXTRA}\n")
    assert [record.image_id for record in dataset.read("train")] == [EXTRA]


def test_missing_files_are_named(root: Path) -> None:
    dataset = ILSVRCDetection(root)
    with pytest.raises(InputError, match=r"DET: expected a folder test, got none"):
        dataset.read("test")
    with pytest.raises(InputError, match=r"train\.txt: expected a list of images: No such file"):
        dataset.read("train")
    with pytest.raises(InputError, match=r"val3\.txt: expected a list of images: No such file"):
        dataset.read("val3")
    (root / "Data/DET/val/ILSVRC2012_val_00000002.JPEG").unlink()
    with pytest.raises(InputError, match=r"val\.txt:2: expected the image \S+val_00000002\.JPEG, got no such file"):
        dataset.read("val")


def test_unknown_wnid_is_named_with_its_line(root: Path, write_xml: Callable[..., Path]) -> None:
    path = write_xml(root / "Annotations/DET/val/ILSVRC2012_val_00000003.xml", [("n00000000", (1, 1, 9, 9))])
    with pytest.raises(InputError) as caught:
        ILSVRCDetection(root).read("val")
    assert str(caught.value) == f"{path}:4: expected a class of the data set, got 'n00000000'"


def test_blacklist_goes_into_the_evaluation(root: Path, tmp_path: Path) -> None:
    write(tmp_path / "blacklist.txt", f"1 {AIRPLANE}\n1 {ACCORDION}\n3 {AIRPLANE}\n")
    dataset = ILSVRCDetection(root)
    blacklist = dataset.read_blacklist(tmp_path / "blacklist.txt")
    assert blacklist == {"ILSVRC2012_val_00000001": {0, 1}, "ILSVRC2012_val_00000003": {1}}
    box, scores, labels = np.array([[50, 50, 60, 60]], np.float32), np.ones(1, np.float32), np.ones(1, np.int64)
    wrong = {"ILSVRC2012_val_00000003": Detections(box, scores, labels, dataset.class_names)}
    metrics = evaluate(dataset.read("val"), wrong, dataset.class_names, blacklist=blacklist)
    assert metrics.ground_truth_counts[[0, 1, 199]].tolist() == [0, 0, 1]  # both airplanes are left out


@pytest.mark.parametrize("line", [f"4 {AIRPLANE}", "1 n00000000", AIRPLANE, f"one {AIRPLANE}", ""])
def test_unusable_blacklist_is_named_with_its_line(root: Path, tmp_path: Path, line: str) -> None:
    write(tmp_path / "blacklist.txt", f"1 {AIRPLANE}\n{line}\n2 {AIRPLANE}")
    with pytest.raises(
        InputError, match=r"blacklist\.txt:2: expected the number of an image of split 'val' and the WNID"
    ):
        ILSVRCDetection(root).read_blacklist(tmp_path / "blacklist.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header"),
        ("id\twnid\tname\n1\tn1\tcat\n", "expected a header"),
        ("det_id\twnid\tname\n2\tn1\tcat\n", "expected a header"),
        ("det_id\twnid\tname\n1\tn1\tcat\n2\tn1\tdog\n", "expected each class once"),
        ("det_id\twnid\tname\n1\tn1\tcat\n2\tn2\tcat\n", "expected each class once"),
        ("det_id\twnid\tname\n1\tn1\n", "expected a header"),
    ],
)
def test_unusable_class_list_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, message: str) -> None:
    write(tmp_path / "classes.tsv", text)
    monkeypatch.setattr("detection.datasets.ilsvrc_detection.CLASS_LIST", tmp_path / "classes.tsv")
    with pytest.raises(InputError, match=rf"classes\.tsv: {message}"):
        ILSVRCDetection(tmp_path)
