"""Files with the classes that are kinds of each category."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights
from detection.datasets.category_kinds import HEADER, Kinds, read_kinds, same_names
from detection.errors import InputError

CATEGORIES = ("person", "cat", "dog", "pizza")
CLASSES = ("tabby", "pizza", "Persian cat", "Chihuahua")
SHIPPED = Path(__file__).resolve().parents[3] / "configs" / "classes" / "coco_to_tiny_imagenet.tsv"


@pytest.fixture(name="path")
def kinds_file(tmp_path: Path) -> Path:
    return tmp_path / "classes.tsv"


def test_rows(path: Path) -> None:
    path.write_text(f"# why\n\n{HEADER}\n\ncat\tsome\ttabby, Persian cat\n# more\npizza\tall\tpizza\n")
    assert read_kinds(path, CATEGORIES, CLASSES) == {1: Kinds(frozenset({0, 2}), False), 3: Kinds(frozenset({1}), True)}


def test_same_names() -> None:
    assert same_names(CATEGORIES, CLASSES) == {3: Kinds(frozenset({1}), True)}
    assert same_names(CATEGORIES[:3], CLASSES) == {}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("bird\tsome\ttabby", "expected a category of the data set, got 'bird'"),
        ("dog\tsome\tChihuahua, poodle", "expected names of classes, got 'poodle'"),
        ("dog\tsome\tChihuahua,", "expected names of classes, got ''"),
        ("cat\tsome\ttabby", "expected each category once, got 'cat' again"),
        ("dog\tChihuahua", "expected a category, 'all' or 'some', and classes, tab-separated, got 'dog\\tChihuahua'"),
        ("dog\tmany\tChihuahua", "expected a category, 'all' or 'some', and classes, tab-separated"),
        ("dog some Chihuahua", "expected a category, 'all' or 'some', and classes, tab-separated"),
    ],
)
def test_bad_line_is_named(line: str, expected: str, path: Path) -> None:
    path.write_text(f"# why\n{HEADER}\ncat\tall\ttabby\n{line}\n")
    with pytest.raises(InputError) as raised:
        read_kinds(path, CATEGORIES, CLASSES)
    assert str(raised.value).startswith(f"{path}:4: {expected}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "place"), [("", ""), ("# nothing\n", ""), ("cat\tsome\ttabby\n", ":1"), (f"# why\n{HEADER}x\n", ":2")]
)
def test_header_is_needed(text: str, place: str, path: Path) -> None:
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        read_kinds(path, CATEGORIES, CLASSES)
    assert str(raised.value).startswith(f"{path}{place}: expected the header 'category\\tcovers\\tclasses', got ")


def test_no_categories(path: Path) -> None:
    path.write_text(f"{HEADER}\n")
    with pytest.raises(InputError, match=r"classes\.tsv: expected categories below the header, got none"):
        read_kinds(path, CATEGORIES, CLASSES)


@pytest.mark.parametrize("content", [None, b"\xff\xfb"])
def test_unreadable(content: bytes | None, path: Path) -> None:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"classes\.tsv(:1)?: expected categories and their classes"):
        read_kinds(path, CATEGORIES, CLASSES)


def test_shipped_file_has_classes_of_the_shipped_detector() -> None:
    """A shipped file is valid, and has each class in at most one category."""
    names = load_weights(find_weights("tiny_imagenet.safetensors"))[1].class_names
    lines = [line for line in SHIPPED.read_text().splitlines() if not line.startswith("#")]
    categories = [line.split("\t")[0] for line in lines[1:]]
    assert categories == sorted(categories)
    kinds = read_kinds(SHIPPED, categories, names)
    labels = [label for item in kinds.values() for label in item.labels]
    assert len(labels) == len(set(labels))
    assert {names[label] for label in kinds[categories.index("cat")].labels} == {"tabby", "Persian cat", "Egyptian cat"}
    assert all(len(item.labels) == 1 for item in kinds.values() if item.complete)
