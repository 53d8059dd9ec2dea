"""The compiled engine finds the boxes of OpenCV's, with any number of threads, and without a cache of machine code."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numba.core.caching
import numpy as np
import pytest
import skimage.data

from detection.runtime.compilation import compiled
from detection.structures.arrays import FloatArray, Image
from proposals.selective_search import SelectiveSearch

ROOT = Path(__file__).resolve().parents[3]


def boxes(image: Image, engine: str, **settings: object) -> FloatArray:
    return SelectiveSearch(engine=engine, **settings)(image).boxes  # type: ignore[arg-type]


def share_of_equal_boxes(image: Image, **settings: object) -> float:
    """Return the share of boxes that both engines find, of the larger number of boxes."""
    found, expected = (set(map(tuple, boxes(image, engine, **settings).tolist())) for engine in ("compiled", "opencv"))
    return len(found & expected) / max(len(found), len(expected))


@pytest.mark.parametrize("scales", [(50, 100), (100, 200)])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_photos_as_opencv(name: str, scales: tuple[int, ...]) -> None:
    photo = getattr(skimage.data, name)()
    assert share_of_equal_boxes(photo, scales=scales, width=200, min_side=0) >= 0.95


def test_photo_as_opencv_at_full_width() -> None:
    assert share_of_equal_boxes(skimage.data.coffee()) >= 0.95  # type: ignore[no-untyped-call]


def test_smoothed_as_opencv_smooths() -> None:
    photo = skimage.data.coffee()  # type: ignore[no-untyped-call]
    assert share_of_equal_boxes(photo, sigma=0.5, width=200, min_side=0) >= 0.95
    assert len(boxes(photo, "compiled", sigma=0.5, width=200)) > len(boxes(photo, "compiled", sigma=1.2, width=200))


@pytest.mark.parametrize("size", [(7, 300), (300, 7), (19, 12)])
def test_narrow_parts_of_a_photo_as_opencv(size: tuple[int, int]) -> None:
    photo = skimage.data.astronaut()[: size[0], 100 : 100 + size[1]]  # type: ignore[no-untyped-call]
    assert share_of_equal_boxes(photo, scales=(20,), width=size[1], min_side=0) >= 0.95


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_number_of_threads_makes_no_difference(
    threads: int, photo_pixels: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = boxes(photo_pixels, "compiled", width=160, scales=(20, 30, 50))
    monkeypatch.setattr(cv2, "getNumThreads", lambda: threads)
    np.testing.assert_array_equal(boxes(photo_pixels, "compiled", width=160, scales=(20, 30, 50)), expected)


def test_calls_in_threads_do_not_disturb_each_other(photo_pixels: Image) -> None:
    search = SelectiveSearch(width=160)
    images = [photo_pixels, photo_pixels[::-1], photo_pixels[:, ::-1]] * 2
    expected = [search(image).boxes for image in images]
    with ThreadPoolExecutor(4) as threads:
        for found, single in zip(threads.map(search, images), expected, strict=True):
            np.testing.assert_array_equal(found.boxes, single)


def test_time_for_forty_megapixels_is_bounded() -> None:
    small = cv2.resize(skimage.data.astronaut(), (800, 500))  # type: ignore[no-untyped-call]
    large = np.asarray(cv2.resize(small, (8000, 5000), interpolation=cv2.INTER_NEAREST), np.uint8)
    search = SelectiveSearch(width=200)
    search(np.asarray(small, np.uint8))
    start = time.thread_time()
    proposals = search(large)
    assert time.thread_time() - start < 5
    np.testing.assert_array_equal(proposals.boxes[0], [0, 0, 8000, 5000])
    assert len(proposals) > 50


def test_works_where_machine_code_cannot_be_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_writable(self: object) -> None:  # noqa: ARG001
        raise PermissionError

    monkeypatch.setattr(numba.core.caching._CacheLocator, "ensure_cache_path", not_writable)

    def double(value: int) -> int:
        return 2 * value

    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(double)
    assert compiled(double)(4) == 8


def test_numba_is_imported_by_the_first_search() -> None:
    source = """
import sys, numpy as np
from proposals.selective_search import SelectiveSearch
search = SelectiveSearch()
assert "numba" not in sys.modules
search(np.zeros((9, 9, 3), np.uint8))
assert "numba" in sys.modules
"""
    subprocess.run([sys.executable, "-W", "error", "-c", source], cwd=ROOT, check=True, timeout=600)
