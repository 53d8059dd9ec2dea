"""The fast parser gives what `json` gives, and leaves everything unusual to the reader that names lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detection.formats.parts import plain_results
from detection.formats.parts.plain_results import read_columns

PLAIN = {"image_id": 7, "category_id": 1, "bbox": [0.1, 2, 3e1, 4.75], "score": 0.5}
NUMBERS = st.floats(allow_nan=False, allow_infinity=False, max_value=1e18, min_value=-1e18) | st.integers(
    -(2**53), 2**53
)
ITEMS = st.fixed_dictionaries(
    {
        "image_id": st.integers(-(2**63), 2**63 - 1),
        "category_id": st.integers(0, 90),
        "bbox": st.lists(NUMBERS, min_size=4, max_size=4),
        "score": NUMBERS,
    },
    optional={"segmentation": st.just({"counts": "a}", "size": [1, 2]}), "area": NUMBERS},
)


def write(folder: Path, content: Any) -> Path:
    path = folder / "results.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@given(items=st.lists(ITEMS, max_size=20), block=st.integers(1, 300), indent=st.sampled_from([None, 1]))
def test_is_what_json_says(
    items: list[dict[str, Any]], block: int, indent: int | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = write(tmp_path_factory.mktemp("results"), json.dumps(items, indent=indent).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plain_results, "BLOCK", block)
        columns = read_columns(path)
    assert columns is not None
    images, categories, boxes, scores = columns
    assert images.tolist() == [item["image_id"] for item in items]
    assert categories.tolist() == [item["category_id"] for item in items]
    np.testing.assert_array_equal(boxes, np.array([item["bbox"] for item in items], np.float64).reshape(-1, 4))
    np.testing.assert_array_equal(scores, np.array([item["score"] for item in items], np.float64))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"7",
        b"[",
        b"[7]",
        b"[{}]",
        b"[] []",
        json.dumps([PLAIN]).encode() + b"]",
        json.dumps([PLAIN, PLAIN]).encode()[:-1],
        json.dumps([PLAIN, PLAIN]).replace("}, {", "} {").encode(),
        json.dumps([PLAIN, PLAIN]).replace("}, {", "},\f{").encode(),
        json.dumps([PLAIN]).encode("utf-16"),
        b"\xef\xbb\xbf" + json.dumps([PLAIN]).encode(),
        [PLAIN | {"image_id": "7"}],
        [PLAIN | {"image_id": True}],
        [PLAIN | {"image_id": 2**63}],
        [PLAIN | {"score": None}],
        [PLAIN | {"score": float("nan")}],
        [PLAIN | {"score": 2**63}],
        [PLAIN | {"bbox": [1, 2, 3]}],
        [PLAIN | {"bbox": [1, 2, 3, 4, 5]}],
        [PLAIN | {"bbox": [1, 2, 3, -(10**30)]}],
        [PLAIN | {"id": 1}, PLAIN | {"id": 1.0}],
        [PLAIN | {"id": None}],
    ],
)
@pytest.mark.parametrize("block", [16, plain_results.BLOCK])
def test_unusual_files_are_left_to_the_other_reader(
    content: Any, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain_results, "BLOCK", block)
    assert read_columns(write(tmp_path, content)) is None


def test_missing_file_is_left_to_the_other_reader(tmp_path: Path) -> None:
    assert read_columns(tmp_path / "none.json") is None
    assert read_columns(tmp_path) is None


def test_long_item_is_left_to_the_other_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [PLAIN, PLAIN | {"more": "x" * 1000}, PLAIN])
    monkeypatch.setattr(plain_results, "BLOCK", 64)
    assert read_columns(path) is not None
    monkeypatch.setattr(plain_results, "LONGEST", 500)
    assert read_columns(path) is None


def test_text_that_looks_like_a_border_of_items(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, [PLAIN | {"name": "a}, {b"}])
    assert read_columns(path) is not None
    monkeypatch.setattr(plain_results, "BLOCK", 20)
    assert read_columns(path) is None


def test_different_ids_are_plain(tmp_path: Path) -> None:
    columns = read_columns(write(tmp_path, [PLAIN | {"id": 1}, PLAIN, PLAIN | {"id": "1"}]))
    assert columns is not None
    assert len(columns[0]) == 3
