from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from detection.evaluation import DetectionMetrics, score
from detection.formats.web_page.page import LONGEST_SIDE
from detection.structures.split_columns import SplitDetections, SplitIndex, SplitObjects, split_index
from tools.report.gallery import MAX_DETECTIONS, Gallery, build_gallery, image_finder

SHOWN: dict[str, Any] = {"worst_images": [{"image_id": "b"}], "best_images": [{"image_id": "b"}, {"image_id": "a"}]}


def metrics_of(
    index: SplitIndex,
    objects: Sequence[tuple[int, int, float, bool]],
    detections: Sequence[tuple[int, int, float, float]],
) -> DetectionMetrics:
    """Score objects (image, label, x, ignored) and detections (image, label, x, score); boxes are 20 x 20 pixels."""
    images, labels, places, ignored = np.array(objects, np.float64).reshape(-1, 4).T
    found_images, found_labels, found_places, scores = np.array(detections, np.float64).reshape(-1, 4).T
    flags = ignored.astype(np.bool_)
    return score(
        SplitObjects(
            index, images.astype(int), labels.astype(int), boxes(places), flags, flags, np.full(len(flags), 400.0)
        ),
        SplitDetections(index, found_images.astype(int), found_labels.astype(int), boxes(found_places), scores),
        "voc",
    )


def boxes(places: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.column_stack([places, np.full((len(places), 3), (5.0, 20.0, 20.0))])


@pytest.fixture(name="metrics")
def metrics_of_two_images() -> DetectionMetrics:
    index = split_index(["a", "b"], ["cat", "dog"], sizes=[(50, 200), None])
    objects = [(0, 0, 0, False), (1, 1, 10, False), (1, 0, 60.04, False), (1, 0, 100, True)]
    detections = [(1, 0, 60, 0.2), (1, 1, 10, 0.9), (0, 0, 0, 0.8), (1, 0, 100, 0.7), (1, 1, 11, 0.6)]
    return metrics_of(index, objects, detections)


def gallery_of(metrics: DetectionMetrics, files: dict[str, Path] | None = None) -> Gallery:
    return build_gallery(metrics, SHOWN, (files or {}).get)


def test_boxes_of_an_image(metrics: DetectionMetrics) -> None:
    gallery = gallery_of(metrics)
    assert list(gallery.pictures) == ["b", "a"]
    picture = gallery.pictures["b"]
    assert picture["objects"] == [
        {"box": [10, 5, 20, 20], "class": "dog", "ignored": False},
        {"box": [60, 5, 20, 20], "class": "cat", "ignored": False},
        {"box": [100, 5, 20, 20], "class": "cat", "ignored": True},
    ]
    found = [(item["class"], item["score"], item["outcome"], item["object"]) for item in picture["detections"]]
    assert found == [
        ("dog", 0.9, "right", 0),
        ("cat", 0.7, "ignored", 2),
        ("dog", 0.6, "wrong", None),  # a duplicate
        ("cat", 0.2, "right", 1),
    ]


def test_sizes_without_pictures(metrics: DetectionMetrics) -> None:
    # Nobody knows the size of b: its boxes reach to 100 + 20 and 5 + 20.
    gallery = gallery_of(metrics)
    assert {name: tuple(item["size"]) for name, item in gallery.pictures.items()} == {"a": (50, 200), "b": (25, 120)}
    assert [item["picture"] for item in gallery.pictures.values()] == [None, None]
    assert gallery.warnings == []


def test_image_without_boxes() -> None:
    metrics = metrics_of(split_index(["a", "b"], ["cat"]), [], [])
    assert gallery_of(metrics).pictures["a"] == {"size": (1, 1), "picture": None, "objects": [], "detections": []}


def test_nothing_to_show(metrics: DetectionMetrics) -> None:
    assert build_gallery(metrics, {}, pytest.fail) == Gallery({}, [])


def test_best_of_many_detections_are_kept() -> None:
    scores = np.random.default_rng(0).permutation(MAX_DETECTIONS + 50) / 1000
    metrics = metrics_of(split_index(["a", "b"], ["cat"]), [], [(0, 0, 0, float(item)) for item in scores])
    kept = [item["score"] for item in gallery_of(metrics).pictures["a"]["detections"]]
    assert kept == sorted(scores.tolist(), reverse=True)[:MAX_DETECTIONS]


def test_pictures_are_small_jpegs(metrics: DetectionMetrics, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (200, 50), "red").save(tmp_path / "a.png")
    PIL.Image.new("RGB", (1200, 900), "blue").save(tmp_path / "b.png")
    gallery = gallery_of(metrics, {name: tmp_path / f"{name}.png" for name in "ab"})
    sizes = {}
    for name, item in gallery.pictures.items():
        header, content = item["picture"].split(",")
        assert header == "data:image/jpeg;base64"
        with PIL.Image.open(io.BytesIO(base64.b64decode(content))) as picture:
            sizes[name] = picture.size
    assert sizes == {"a": (200, 50), "b": (LONGEST_SIDE, LONGEST_SIDE * 3 // 4)}
    assert tuple(gallery.pictures["b"]["size"]) == (900, 1200)


def test_pictures_that_cannot_be_shown_are_named(metrics: DetectionMetrics, tmp_path: Path) -> None:
    PIL.Image.new("RGB", (50, 200)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    gallery = gallery_of(metrics, {name: tmp_path / f"{name}.png" for name in "ab"})
    assert [item["picture"] for item in gallery.pictures.values()] == [None, None]
    unreadable, turned = gallery.warnings
    assert unreadable.startswith(f"{tmp_path / 'b.png'}: expected a readable image")
    expected = "expected an image of 200 x 50 pixels as in the ground truth, got 50 x 200"
    assert turned == f"{tmp_path / 'a.png'}: {expected}"


def test_images_are_found_by_their_names(tmp_path: Path) -> None:
    index = split_index(["1", "2", "3", "4"], ["cat"], file_names=["val/one.png", "deep/two.png", "", ""])
    (tmp_path / "val").mkdir()
    for name in ("val/one.png", "two.png", "3.JPEG"):
        (tmp_path / name).touch()
    find = image_finder(str(tmp_path), index)
    found = [find(name) for name in index.image_ids]
    assert found[:3] == [tmp_path / "val/one.png", tmp_path / "two.png", tmp_path / "3.JPEG"]
    assert found[3] is not None
    assert found[3].parent == tmp_path
    assert image_finder(None, index)("1") is None
