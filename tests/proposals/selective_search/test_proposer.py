"""The contract of all proposers, and what selective search adds to it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data

from detection.errors import InputError
from detection.runtime.parallel.ordered_map import map_ahead
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_area, box_iou
from detection.structures.contracts import Proposer
from proposals.merge import MergedProposer
from proposals.selective_search import SelectiveSearch
from proposals.whole_image import WholeImage

PROPOSERS = [
    pytest.param(SelectiveSearch(width=100), id="selective search"),
    pytest.param(SelectiveSearch(width=100, engine="opencv"), id="selective search, opencv"),
    pytest.param(SelectiveSearch(scales=(50,), width=300, min_side=0), id="selective search, enlarged"),
    pytest.param(WholeImage(), id="whole image"),
    pytest.param(MergedProposer([WholeImage(), SelectiveSearch(width=100)]), id="merged"),
]


def noise(height: int, width: int) -> Image:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def flat(height: int, width: int) -> Image:
    return np.full((height, width, 3), 77, np.uint8)


IMAGES = [
    pytest.param(noise(90, 130), id="noise"),
    pytest.param(flat(90, 130), id="one colour"),
    pytest.param(noise(1, 1), id="1x1"),
    pytest.param(noise(3, 2), id="2x3"),
    pytest.param(noise(1, 1000), id="1000:1"),
    pytest.param(noise(1000, 1), id="1:1000"),
    pytest.param(noise(40, 20_000), id="20,000 wide"),
]


def assert_keeps_the_contract(propose: Proposer, image: Image) -> None:
    height, width = image.shape[:2]
    before = image.copy()
    cv2.setRNGSeed(1)
    proposals = propose(image)
    cv2.setRNGSeed(2)  # OpenCV's selective search draws from it
    again = propose(image)
    np.testing.assert_array_equal(image, before)
    assert proposals.boxes.dtype == proposals.scores.dtype == np.float32
    assert len(proposals) >= 1
    assert (proposals.boxes[:, :2] >= 0).all()
    assert (proposals.boxes[:, 2:] <= (width, height)).all()
    assert (box_area(proposals.boxes) > 0).all()
    assert (np.diff(proposals.scores) <= 0).all()
    np.testing.assert_array_equal(again.boxes, proposals.boxes)
    np.testing.assert_array_equal(again.scores, proposals.scores)


@pytest.mark.parametrize("propose", PROPOSERS)
def test_contract_on_a_photo(propose: Proposer, photo_pixels: Image) -> None:
    assert_keeps_the_contract(propose, photo_pixels)


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("propose", PROPOSERS)
def test_contract_on_odd_images(propose: Proposer, image: Image) -> None:
    assert_keeps_the_contract(propose, image)


@pytest.mark.parametrize("propose", PROPOSERS)
def test_several_threads_at_once(propose: Proposer, photo_pixels: Image) -> None:
    alone = propose(photo_pixels).boxes
    for proposals in map_ahead(propose, [photo_pixels] * 4, threads=2, ahead=4):
        np.testing.assert_array_equal(proposals.boxes, alone)


def test_whole_image_is_one_box() -> None:
    proposals = WholeImage()(noise(3, 5))
    np.testing.assert_array_equal(proposals.boxes, [[0, 0, 5, 3]])
    np.testing.assert_array_equal(proposals.scores, [1])


def test_whole_image_comes_first_and_exactly() -> None:
    # In float32, 100 * (width / 100) misses some of these widths.
    for width in range(101, 500, 3):
        boxes = SelectiveSearch(width=100)(flat(10, width)).boxes
        np.testing.assert_array_equal(boxes, [[0, 0, width, 10]])


@pytest.fixture(name="unfiltered", scope="module")
def searched_at_half_size(photo_pixels: Image) -> FloatArray:
    """Return all boxes of the photo of 160x120 pixels, searched at 80x60, so one searched pixel is two of the photo."""
    return SelectiveSearch(width=80, min_side=0)(photo_pixels).boxes


def test_no_duplicates(unfiltered: FloatArray) -> None:
    assert len(unfiltered) > 20
    assert len(np.unique(unfiltered, axis=0)) == len(unfiltered)


def test_scores_are_shares_of_the_area_and_ties_are_ordered_by_corners(photo_pixels: Image) -> None:
    proposals = SelectiveSearch(width=80, min_side=0)(photo_pixels)
    areas = box_area(proposals.boxes)
    assert len(np.unique(areas)) < len(areas)
    np.testing.assert_allclose(proposals.scores, areas / (160 * 120), rtol=1e-6)
    x1, y1, x2, y2 = proposals.boxes.T
    np.testing.assert_array_equal(np.lexsort((y2, x2, y1, x1, -areas)), np.arange(len(areas)))


def test_boxes_are_pixels_of_the_original(unfiltered: FloatArray) -> None:
    assert (unfiltered % 2 == 0).all()
    np.testing.assert_array_equal(unfiltered[:, 2:].max(axis=0), (160, 120))


@pytest.mark.parametrize("min_side", [8, 13])
def test_min_side_counts_searched_pixels(unfiltered: FloatArray, photo_pixels: Image, min_side: int) -> None:
    sides = (unfiltered[:, 2:] - unfiltered[:, :2]).min(axis=1)
    assert (sides == 2 * min_side).any(), "the boundary is not tested"
    assert (sides < 2 * min_side).any()
    boxes = SelectiveSearch(width=80, min_side=min_side)(photo_pixels).boxes
    np.testing.assert_array_equal(boxes, unfiltered[sides >= 2 * min_side])


@pytest.mark.parametrize("name", ["astronaut", "rocket"])
def test_doubled_superpixels_give_about_half_the_boxes(name: str) -> None:
    photo = getattr(skimage.data, name)()
    single, double = (len(SelectiveSearch(scales, width=200, min_side=0)(photo)) for scales in ((50, 100), (100, 200)))
    assert 0.3 < double / single < 0.75


@pytest.mark.parametrize("width", [100, 200, 400])
@pytest.mark.parametrize("texture", [0, 40], ids=["dark", "textured"])
def test_finds_a_bright_rectangle(width: int, texture: int) -> None:
    image = (noise(150, 200) * (texture / 255)).astype(np.uint8)
    rectangle = np.array([[50, 40, 130, 110]], np.float32)
    image[40:110, 50:130] += np.uint8(200)
    boxes = SelectiveSearch(width=width)(image).boxes
    assert box_iou(rectangle, boxes).max() >= 0.7


def test_tall_strips_are_searched_at_a_bounded_height(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    resize = cv2.resize

    def recording_resize(image: Image, size: tuple[int, int], *, interpolation: int) -> object:
        searched.append(size)
        return resize(image, size, interpolation=interpolation)

    monkeypatch.setattr(cv2, "resize", recording_resize)
    propose = SelectiveSearch(width=50)
    for height, width in ((30, 100), (100, 50), (102, 50), (1000, 10), (10, 1000)):
        propose(flat(height, width))
    # (width, height); twice as high as wide is the limit
    assert searched == [(50, 15), (50, 100), (49, 100), (1, 100), (50, 1)]


@pytest.mark.parametrize(
    "arguments",
    [
        {"engine": "steam"},
        {"scales": ()},
        {"scales": (100, 0)},
        {"width": 0},
        {"min_side": -1},
        {"sigma": 0.0},
        {"sigma": 1e9},
    ],
    ids=str,
)
def test_arguments_out_of_range(arguments: dict[str, object]) -> None:
    name = next(iter(arguments))
    with pytest.raises(ValueError, match=name):
        SelectiveSearch(**arguments)  # type: ignore[arg-type]


def test_opencv_without_contributed_modules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(cv2, "ximgproc")
    assert len(SelectiveSearch(width=50)(noise(50, 50))) > 1
    with pytest.raises(InputError, match="expected OpenCV with ximgproc") as caught:
        SelectiveSearch(engine="opencv")
    assert str(caught.value).startswith(str(cv2.__file__))
    assert len(str(caught.value).splitlines()) == 1
