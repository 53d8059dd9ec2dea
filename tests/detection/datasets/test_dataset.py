from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from detection.datasets import DataSet
from detection.datasets.dataset import Entry, classes_without_objects, count_objects
from detection.datasets.files.faults import Faults
from detection.errors import InputError
from detection.structures.ground_truth import GroundTruth


class Listed(DataSet):
    """Images with given identifiers, files and labels. A label of -1 is an error, and -2 one that ends the split."""

    class_names = ("cat", "dog", "eel")

    def __init__(self, root: Path, images: list[tuple[str, str, list[int]]]) -> None:
        self.root = root
        self.images = images

    def entries(self, split: str, faults: Faults) -> Iterator[Entry]:
        for number, (image_id, file, labels) in enumerate(self.images, start=1):
            place = f"{split}.txt:{number}"
            if -2 in labels:
                raise InputError(f"{split}.txt: torn off")
            with faults.at(place):
                if -1 in labels:
                    raise InputError("expected a label")
                boxes = np.tile(np.array([0, 0, 5, 5], np.float32), (len(labels), 1))
                yield Entry(place, GroundTruth(image_id, self.root / file, boxes, np.array(labels, np.int64)), None)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        (tmp_path / name).touch()
    return tmp_path


def test_repr(root: Path) -> None:
    dataset = Listed(root, [])
    assert repr(dataset) == f"Listed('{root}', 3 classes)"
    dataset.class_names = ("cat",)  # type: ignore[assignment]
    assert repr(dataset) == f"Listed('{root}', 1 class)"


def test_split_without_faults(root: Path) -> None:
    dataset = Listed(root, [("b", "b.jpg", [0, 2]), ("a", "a.jpg", []), ("c", "c.jpg", [1])])
    check = dataset.check("val")
    assert [record.image_id for record in dataset.read("val")] == ["b", "a", "c"]
    assert [entry.record.image_id for entry in check.entries] == ["b", "a", "c"]
    assert check.faults == []


def test_empty_split(root: Path) -> None:
    assert Listed(root, []).read("val") == []
    assert len(Listed(root, []).check("val").faults) == 3


def test_class_without_objects_is_a_fault_for_check_alone(root: Path) -> None:
    dataset = Listed(root, [("a", "a.jpg", [0, 2])])
    assert len(dataset.read("val")) == 1
    message = f"{root}: expected objects of every class in split 'val', got none of 'dog'"
    assert [str(fault) for fault in dataset.check("val").faults] == [message]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (("b", "a.jpg", []), "expected each image once, got {root}/a.jpg again"),
        (("a", "b.jpg", []), "expected each image once, got a second 'a'"),
        (("b", "none.jpg", []), "expected the image {root}/none.jpg, got no such file"),
        (("b", "", []), "expected the image {root}, got no such file"),  # a folder
        (("b", "b.jpg", [-1]), "expected a label"),
    ],
)
def test_first_fault_is_raised_and_all_are_listed(root: Path, second: tuple[str, str, list[int]], message: str) -> None:
    dataset = Listed(root, [("a", "a.jpg", [0, 1, 2]), second, ("c", "none.jpg", [])])
    expected = f"val.txt:2: {message.format(root=root)}"
    with pytest.raises(InputError) as caught:
        dataset.read("val")
    assert str(caught.value) == expected
    check = dataset.check("val")
    assert [entry.record.image_id for entry in check.entries] == ["a"]
    last = f"val.txt:3: expected the image {root / 'none.jpg'}, got no such file"
    assert [str(fault) for fault in check.faults] == [expected, last]


def test_error_that_ends_the_split_comes_last(root: Path) -> None:
    # Classes without objects are not reported, as the rest of the split is unknown.
    dataset = Listed(root, [("a", "a.jpg", [0]), ("b", "b.jpg", [-1]), ("c", "c.jpg", [-2]), ("d", "d.jpg", [-1])])
    check = dataset.check("val")
    assert [entry.record.image_id for entry in check.entries] == ["a"]
    assert [str(fault) for fault in check.faults] == ["val.txt:2: expected a label", "val.txt: torn off"]


def test_labels_of_images_whose_objects_agree(root: Path) -> None:
    dataset = Listed(root, [("a", "a.jpg", [2, 2, 2]), ("b", "b.jpg", [0])])
    assert [tuple(image) for image in dataset.read_labels("val")] == [(root / "a.jpg", 2), (root / "b.jpg", 0)]


@pytest.mark.parametrize(("labels", "got"), [([0, 2, 0], "cat, eel"), ([], "no objects")])
def test_image_without_one_class_is_named(root: Path, labels: list[int], got: str) -> None:
    with pytest.raises(InputError) as caught:
        Listed(root, [("b", "b.jpg", [1]), ("a", "a.jpg", labels)]).read_labels("val")
    assert str(caught.value) == f"{root / 'a.jpg'}: expected objects of one class, got {got}"


def test_counts_are_those_of_a_loop(root: Path) -> None:
    generator = np.random.default_rng(5)
    images = [(str(index), "a.jpg", generator.integers(0, 3, index % 4).tolist()) for index in range(20)]
    records = [entry.record for entry in Listed(root, images).entries("val", Faults())]
    expected = [sum(labels.count(label) for _, _, labels in images) for label in range(3)]
    assert count_objects(records, 3).tolist() == expected
    assert count_objects(records, 4).tolist() == [*expected, 0]
    assert classes_without_objects(records, ("cat", "dog", "eel", "fox")) == ["fox"]
    assert count_objects([], 2).tolist() == [0, 0]
