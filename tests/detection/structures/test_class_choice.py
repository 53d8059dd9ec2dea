"""The classes that a user names."""

from __future__ import annotations

import pytest

from detection.structures.class_choice import find_labels

NAMES = ("person", "dog", "wine glass", "Dog", "hot dog")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("person", [0]),
        (["dog", "person", "dog"], [0, 1]),
        ("Dog", [3]),  # an exact name comes first
        (["Wine_Glass"], [2]),
        (["HOT-DOG"], [4]),
        ([], []),
    ],
)
def test_labels(names: str | list[str], expected: list[int]) -> None:
    assert find_labels(names, NAMES).tolist() == expected


@pytest.mark.parametrize(
    ("name", "similar"),
    [("persom", ", such as 'person'"), ("hotdog", ", such as 'hot dog' or 'Dog'"), ("xyz", ""), ("", "")],
)
def test_a_wrong_name(name: str, similar: str) -> None:
    with pytest.raises(ValueError, match="expected a class of the detector") as caught:
        find_labels(["person", name], NAMES)
    assert str(caught.value) == f"expected a class of the detector{similar}, got '{name}'"


def test_a_label_is_no_name() -> None:
    with pytest.raises(TypeError, match="expected names of classes, got 0 of type int"):
        find_labels([0], NAMES)  # type: ignore[list-item]
