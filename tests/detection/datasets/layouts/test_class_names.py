from __future__ import annotations

from detection.datasets.layouts.class_names import build_class_list


def test_order_of_the_files_is_kept() -> None:
    classes = build_class_list({"dog": 3, "cat": 1, "eel": 2})
    assert classes.names == ("dog", "cat", "eel")
    assert classes.remarks == []


def test_spelling_with_most_boxes_is_taken() -> None:
    classes = build_class_list({"Cat": 2, "dog": 1, "c a t": 5, "CAT ": 0})
    assert classes.names == ("c a t", "dog")
    assert classes.name_of == {"Cat": "c a t", "dog": "dog", "c a t": "c a t", "CAT ": "c a t"}
    assert classes.remarks == [
        "classes 'Cat' (2 boxes), 'c a t' (5 boxes) differ only in case or spaces: merged into 'c a t'"
    ]


def test_single_letters_are_classes_of_their_own() -> None:
    assert build_class_list({"a": 1, "A": 1, "b ": 1}).names == ("a", "A", "b")


def test_classes_without_boxes_are_left_out() -> None:
    classes = build_class_list({"cat": 1, "dog": 0})
    assert classes.names == ("cat",)
    assert classes.remarks == ["class 'dog' has no boxes: it is left out"]
