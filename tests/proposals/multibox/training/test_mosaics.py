"""Mosaics, their layouts and batches: the boxes are on their objects, wherever a picture is painted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes, box_area
from detection.structures.ground_truth import GroundTruth
from detection.training.sample_order import SampleKey
from proposals.multibox.proposer import resize
from proposals.multibox.training.batch import MosaicCollation
from proposals.multibox.training.layout import Layout, split_canvas
from proposals.multibox.training.mosaics import MIN_SIDE, VISIBLE, MeasuredMosaics, Mosaics, as_filler

SIZE = 96


def write(folder: Path, name: str, pixels: Image) -> Path:
    path = folder / f"{name}.png"
    PIL.Image.fromarray(pixels).save(path)
    return path


def record(path: Path, boxes: Sequence[Sequence[float]], ignored: Sequence[bool] | None = None) -> GroundTruth:
    labels = np.zeros(len(boxes), np.int64)
    if ignored is None:
        return GroundTruth(path.stem, path, as_boxes(boxes), labels)
    return GroundTruth(path.stem, path, as_boxes(boxes), labels, np.array(ignored))


@pytest.fixture(name="records", scope="module")
def painted_pictures(tmp_path_factory: pytest.TempPathFactory) -> list[GroundTruth]:
    """Return twenty dark pictures of different sizes with one or two objects, each in a different grey."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    records = []
    for index in range(20):
        height, width = generator.integers(40, 100, 2)
        pixels = np.zeros((height, width, 3), np.uint8)
        boxes = []
        for place in range(1 + index % 2):
            left = place * width // 2
            x1, y1 = left + generator.integers(0, width // 8), generator.integers(0, height // 4)
            x2, y2 = (
                x1 + generator.integers(width // 4, width // 3),
                y1 + generator.integers(height // 2, height // 1.5),
            )
            pixels[y1:y2, x1:x2] = 100 + 7 * index + 3 * place
            boxes.append((x1, y1, x2, y2))
        records.append(record(write(folder, f"{index}", pixels), boxes))
    return records


LAYOUT = Layout(cells=9, insets=4, inset_sides=(0.15, 0.4), crop_area=0.5, stretch=1.3, cover=0.8, mirror=0.5)


def test_boxes_lie_on_their_pixels(records: list[GroundTruth]) -> None:
    """The grey of an object fills most of its box."""
    mosaics = Mosaics(records, LAYOUT, size=SIZE, seed=1)
    counts = []
    for index in range(60):
        mosaic = mosaics[SampleKey(0, index, index % 20)]
        counts.append(len(mosaic.boxes))
        for box in mosaic.boxes:
            x1, y1 = np.ceil(box[:2] + 1).astype(int)  # a pixel at the border may be blended
            x2, y2 = np.floor(box[2:] - 1).astype(int)
            inside = mosaic.image[y1:y2, x1:x2, 0]
            values, shares = np.unique(inside, return_counts=True)
            assert shares.max() / inside.size > VISIBLE - 0.15
            assert values[shares.argmax()] >= 100
    assert min(counts) < 2
    assert max(counts) > 8


def test_one_whole_image_is_the_image_with_its_boxes(tmp_path: Path) -> None:
    # 40x20 pixels to 80x80: x doubles, y is four times as large.
    pixels = np.random.default_rng(0).integers(0, 256, (20, 40, 3), dtype=np.uint8)
    objects = record(write(tmp_path, "one", pixels), [(0, 0, 40, 20), (10, 5, 30, 10)])
    mosaic = Mosaics([objects], Layout(), size=80, seed=3)[SampleKey(0, 0, 0)]
    np.testing.assert_array_equal(mosaic.image, resize(pixels, (80, 80)))
    np.testing.assert_allclose(mosaic.boxes, [(0, 0, 80, 80), (20, 20, 60, 40)])
    assert len(mosaic.ignored) == 0
    assert mosaic.paths == (objects.path,)


def test_mirrored_boxes(tmp_path: Path) -> None:
    objects = record(write(tmp_path, "one", np.zeros((50, 100, 3), np.uint8)), [(10, 10, 40, 30)])
    mosaic = Mosaics([objects], Layout(mirror=1.0), size=100, seed=0)[SampleKey(0, 0, 0)]
    np.testing.assert_allclose(mosaic.boxes, [(60, 20, 90, 60)])


def test_small_and_ignored_objects_are_ignored(tmp_path: Path) -> None:
    boxes = [(0, 0, 50, 50), (50, 50, 50 + MIN_SIDE - 1, 90), (60, 0, 90, 30), (50, 50, 50 + MIN_SIDE, 90)]
    objects = record(write(tmp_path, "one", np.zeros((100, 100, 3), np.uint8)), boxes, [False, False, True, False])
    mosaic = Mosaics([objects], Layout(), size=100, seed=0)[SampleKey(0, 0, 0)]
    np.testing.assert_array_equal(mosaic.boxes, [boxes[0], boxes[3]])
    np.testing.assert_array_equal(mosaic.ignored, [boxes[1], boxes[2]])


def test_covered_objects_are_ignored(records: list[GroundTruth]) -> None:
    """With one inset as large as the canvas over a whole picture, only the inset's objects are left."""
    layout = Layout(insets=1, inset_sides=(1.0, 1.0))
    mosaics = Mosaics(records[:1], layout, size=SIZE, seed=0)
    drawn = [(mosaics[SampleKey(0, index, 0)], key) for index, key in enumerate(range(20))]
    covered = [mosaic for mosaic, _ in drawn if len(mosaic.paths) == 2]
    assert covered
    assert {len(mosaic.boxes) for mosaic in covered} == {1}


def test_boxes_without_decoding_are_the_same(records: list[GroundTruth]) -> None:
    mosaics = Mosaics(records, LAYOUT, size=SIZE, seed=1)
    for index in range(10):
        key = SampleKey(2, index, index)
        np.testing.assert_array_equal(mosaics.boxes(key), mosaics[key].boxes)


def test_mosaic_depends_on_seed_epoch_and_position(records: list[GroundTruth]) -> None:
    mosaics = Mosaics(records, LAYOUT, size=SIZE, seed=1)
    key = SampleKey(1, 5, 7)
    np.testing.assert_array_equal(mosaics[key].image, Mosaics(records, LAYOUT, size=SIZE, seed=1)[key].image)
    others = [
        mosaics[SampleKey(2, 5, 7)],
        mosaics[SampleKey(1, 6, 7)],
        Mosaics(records, LAYOUT, size=SIZE, seed=2)[key],
    ]
    assert all(not np.array_equal(mosaics[key].image, other.image) for other in others)
    assert mosaics[key].paths[0] == records[7].path


def test_objects_are_within_the_canvas_and_have_an_area(records: list[GroundTruth]) -> None:
    mosaics = Mosaics(records, LAYOUT, size=SIZE, seed=4)
    for index in range(40):
        mosaic = mosaics[SampleKey(0, index, 0)]
        for boxes in (mosaic.boxes, mosaic.ignored):
            assert (boxes >= 0).all()
            assert (boxes <= SIZE).all()
        assert (mosaic.boxes[:, 2:] - mosaic.boxes[:, :2] >= MIN_SIDE).all()


def test_measured_mosaics_are_spread_over_the_split(records: list[GroundTruth]) -> None:
    measured = MeasuredMosaics(Mosaics(records, Layout(), size=SIZE, seed=0), 5)
    assert len(measured) == 5
    assert [measured[index].paths[0] for index in range(5)] == [records[index].path for index in (0, 4, 8, 12, 16)]


def test_image_without_objects(tmp_path: Path) -> None:
    empty = record(write(tmp_path, "empty", np.zeros((30, 30, 3), np.uint8)), [])
    mosaic = Mosaics([empty], LAYOUT, size=SIZE, seed=0)[SampleKey(0, 0, 0)]
    assert mosaic.boxes.shape == mosaic.ignored.shape == (0, 4)
    batch = MosaicCollation(np.array([[0, 0, 1, 1]], np.float32))([mosaic])
    assert batch.matched.shape == (0, 2)
    assert batch.counted.all()  # all of it is background


def test_no_images() -> None:
    with pytest.raises(InputError, match="mosaics: expected images"):
        Mosaics([], Layout(), size=SIZE, seed=0)


@pytest.mark.parametrize("cells", [1, 2, 7, 30])
def test_cells_fill_the_canvas_without_overlap(cells: int) -> None:
    rectangles = np.array(split_canvas(cells, np.random.default_rng(cells)))
    assert len(rectangles) == cells
    np.testing.assert_allclose(box_area(rectangles).sum(), 1)
    x1, y1, x2, y2 = rectangles.T
    widths = np.minimum(x2[:, None], x2) - np.maximum(x1[:, None], x1)
    heights = np.minimum(y2[:, None], y2) - np.maximum(y1[:, None], y1)
    shared = np.maximum(widths, 0) * np.maximum(heights, 0)
    np.testing.assert_allclose(shared - np.diag(np.diag(shared)), 0, atol=1e-12)
    sides = np.stack([x2 - x1, y2 - y1])
    assert (sides.max(0) / sides.min(0) < 1 / 0.3 + 1e-6).all()  # a square's part, at the most


def test_layouts_have_the_given_ranges() -> None:
    generator = np.random.default_rng(0)
    drawn = [LAYOUT.draw(3, 50, generator) for _ in range(300)]
    assert {len(mosaic) for mosaic in drawn} == set(range(1, 14))  # 1-9 cells and 0-4 insets
    assert {mosaic[0].record for mosaic in drawn} == {3}
    assert {placement.record for mosaic in drawn for placement in mosaic} == set(range(50))
    for placement in (placement for mosaic in drawn for placement in mosaic):
        for x1, y1, x2, y2 in (placement.crop, placement.target):
            assert 0 <= x1 < x2 <= 1 + 1e-9
            assert 0 <= y1 < y2 <= 1 + 1e-9
        crop = placement.crop
        assert (crop[2] - crop[0]) * (crop[3] - crop[1]) > 0.5 / 1.3 - 1e-9
    assert 0.4 < np.mean([placement.mirrored for mosaic in drawn for placement in mosaic]) < 0.6


@pytest.mark.parametrize(
    "arguments",
    [{"cells": 0}, {"insets": -1}, {"stretch": 0.5}, {"crop_area": 0.0}, {"cover": 1.1}, {"inset_sides": (0.5, 0.2)}],
    ids=str,
)
def test_layout_out_of_range(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        Layout(**arguments)  # type: ignore[arg-type]


def test_resize_averages_along_each_side() -> None:
    # 1x8 pixels to 2x2: the length is halved twice by means, the height doubled.
    strip = np.arange(8, dtype=np.uint8).reshape(1, 8, 1).repeat(3, axis=2) * 10
    np.testing.assert_array_equal(resize(strip, (2, 2))[:, :, 0], [[15, 55], [15, 55]])


def test_batch_matches_each_object_with_a_prior(records: list[GroundTruth]) -> None:
    mosaics = Mosaics(records, LAYOUT, size=SIZE, seed=1)
    samples = [mosaics[SampleKey(0, index, index)] for index in range(4)]
    generator = np.random.default_rng(0)
    corners = generator.uniform(0, 0.5, (50, 2))
    priors = np.concatenate([corners, corners + generator.uniform(0.1, 0.5, (50, 2))], axis=1).astype(np.float32)
    batch = MosaicCollation(priors)(samples)
    assert batch.images.shape == (4, SIZE, SIZE, 3)
    assert batch.counted.shape == (4, 50)
    for image, sample in enumerate(samples):
        own = batch.boxes[batch.matched[:, 0] == image].numpy() * SIZE
        np.testing.assert_allclose(own[np.lexsort(own.T)], sample.boxes[np.lexsort(sample.boxes.T)], atol=1e-3)
    assert len({tuple(pair) for pair in batch.matched.tolist()}) == len(batch.matched)
    assert batch.files == ", ".join(str(path) for sample in samples for path in sample.paths)


def test_priors_on_ignored_objects_are_not_background(tmp_path: Path) -> None:
    # IoU of the first prior with the ignored object 0.5 exactly, of the second one less.
    objects = record(write(tmp_path, "one", np.zeros((100, 100, 3), np.uint8)), [(0, 0, 20, 20)], [True])
    mosaic = Mosaics([objects], Layout(), size=100, seed=0)[SampleKey(0, 0, 0)]
    priors = np.array([[0, 0, 0.2, 0.4], [0, 0, 0.2, 0.41], [0.5, 0.5, 1, 1]], np.float32)
    batch = MosaicCollation(priors)([mosaic, as_filler(mosaic)])
    assert batch.counted.tolist() == [[False, True, True], [False, False, False]]
    assert len(batch.matched) == 0


def test_a_filler_has_no_objects(records: list[GroundTruth]) -> None:
    mosaic = Mosaics(records, Layout(), size=SIZE, seed=0)[SampleKey(0, 0, 1)]
    assert len(mosaic.boxes) == 2
    batch = MosaicCollation(np.array([[0, 0, 1, 1]], np.float32))([as_filler(mosaic)])
    assert batch.matched.shape == (0, 2)
    assert batch.boxes.shape == (0, 4)
