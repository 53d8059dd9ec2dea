from __future__ import annotations

import numpy as np
import pytest

from detection.structures.arrays import FloatArray
from detection.structures.boxes import as_boxes
from detection.structures.contracts import Proposals
from proposals.cache.stored_boxes import STORED_BOX, grid_step, restore_boxes, store_boxes

Size = tuple[int, int]


def random_proposals(size: Size, count: int = 500) -> Proposals:
    """Return boxes anywhere in the image, and scores over many orders of magnitude, best first."""
    generator = np.random.default_rng(0)
    height, width = size
    corners = np.sort(generator.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4)
    scores = np.sort(10 ** generator.uniform(-4, 4, count))[::-1]
    return Proposals((corners * [width, height, width, height]).astype(np.float32), scores.astype(np.float32))


def largest_move(proposals: Proposals, size: Size) -> float:
    """Return the largest distance in pixels that a side of a box moves when the boxes are stored."""
    restored: FloatArray = restore_boxes(store_boxes(proposals, size), size).boxes
    return float(np.abs(restored.astype(np.float64) - proposals.boxes).max())


@pytest.mark.parametrize(
    ("size", "step"),
    [
        ((1, 1), 2**-15),  # 32,768 steps; twice as many would be one too many
        ((64, 48), 2**-9),  # 64 * 2**9 = 32,768
        ((375, 500), 2**-7),  # 500 * 2**7 = 64,000
        ((3000, 4000), 2**-4),  # 4,000 * 2**4 = 64,000
        ((4000, 3000), 2**-4),
        ((10, 4095), 2**-4),  # 65,520
        ((10, 4096), 2**-3),  # 65,536 is one too many
        ((65_535, 10), 1),
        ((65_536, 10), 2),
    ],
)
def test_step(size: Size, step: float) -> None:
    assert grid_step(size) == step
    assert max(size) / step <= 65_535


@pytest.mark.parametrize(
    ("size", "most"), [((375, 500), 1 / 256), ((3000, 4000), 1 / 32), ((20, 4095), 1 / 32), ((4096, 20), 1 / 16)]
)
def test_boxes_move_by_half_a_step_at_most(size: Size, most: float) -> None:
    distance = largest_move(random_proposals(size), size)
    assert 0.9 * most < distance <= most
    assert distance < max(size) / 65_535


@pytest.mark.parametrize("size", [(1, 1), (375, 500), (4001, 3001), (65_535, 65_535)])
def test_whole_pixels_do_not_move(size: Size) -> None:
    height, width = size
    whole = np.rint(random_proposals(size).boxes)
    boxes = np.concatenate([whole, [[0, 0, width, height]]]).astype(np.float32)
    assert largest_move(Proposals(boxes, np.zeros(len(boxes), np.float32)), size) == 0


def test_record_by_hand() -> None:
    # 500 wide: 128 steps a pixel. 1.5 px is 192 steps, 2.004 px 256.512, 100 px 12,800, 500 px 64,000.
    proposals = Proposals(as_boxes([(1.5, 2.004, 100, 375), (0, 0, 500, 375)]), np.array([0.5, -2]))
    stored = store_boxes(proposals, (375, 500))
    assert stored.dtype == STORED_BOX
    halves = np.array([[192, 257, 12_800, 48_000, 0x3800], [0, 0, 64_000, 48_000, 0xC000]], "<u2")  # 0.5, -2 as f2
    assert stored.tobytes() == b"".join(half.tobytes() + b"\xff" for half in halves)
    restored = restore_boxes(stored, (375, 500))
    assert restored.boxes.tolist() == [[1.5, 257 / 128, 100, 375], [0, 0, 500, 375]]
    assert restored.scores.tolist() == [0.5, -2]
    assert restored.sources is None


def test_sources_take_a_byte() -> None:
    stored = store_boxes(
        Proposals(as_boxes([(0, 0, 5, 5)] * 3), np.zeros(3, np.float32), np.array([0, 254, 7])), (5, 5)
    )
    assert [row[-1] for row in stored.view((np.uint8, 11))] == [0, 254, 7]
    sources = restore_boxes(stored, (5, 5)).sources
    assert sources is not None
    assert sources.tolist() == [0, 254, 7]


def test_scores_keep_eleven_bits_and_their_order() -> None:
    proposals = random_proposals((100, 100))
    scores = restore_boxes(store_boxes(proposals, (100, 100)), (100, 100)).scores
    np.testing.assert_allclose(scores, proposals.scores, rtol=2**-11)
    assert (np.diff(scores) <= 0).all()


def test_scores_beyond_half_precision_are_clipped() -> None:
    proposals = Proposals(as_boxes([(0, 0, 1, 1)] * 3), np.array([np.inf, 1e9, -1e9], np.float32))
    assert restore_boxes(store_boxes(proposals, (9, 9)), (9, 9)).scores.tolist() == [65_504, 65_504, -65_504]


def test_no_boxes() -> None:
    stored = store_boxes(Proposals(as_boxes([]), np.zeros(0, np.float32)), (30, 40))
    assert stored.shape == (0,)
    assert restore_boxes(stored, (30, 40)).boxes.shape == (0, 4)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, -0.01, 5, 5), (0, 0, 40.01, 5), (0, 0, 5, 31), (41, 5, 42, 6)])
def test_boxes_outside_the_image(box: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match=r"must lie within the image of 40x30 px, got .* at 1"):
        store_boxes(Proposals(as_boxes([(0, 0, 40, 30), box]), np.zeros(2, np.float32)), (30, 40))


def test_rounding_beyond_the_border_is_accepted() -> None:
    # 1,024 steps a pixel: a tenth of a thousandth of a pixel is a tenth of a step.
    proposals = Proposals(as_boxes([(-1e-4, 0, 40.0001, 30)]), np.zeros(1, np.float32))
    assert restore_boxes(store_boxes(proposals, (30, 40)), (30, 40)).boxes.tolist() == [[0, 0, 40, 30]]


@pytest.mark.parametrize("width", [65_537, 70_001, 70_003, 140_002, 140_003, 140_005])
def test_a_border_between_two_steps_stays_in_the_image(width: int) -> None:
    proposals = Proposals(as_boxes([(0, 0, width, 9)]), np.zeros(1, np.float32))
    (box,) = restore_boxes(store_boxes(proposals, (9, width)), (9, width)).boxes.tolist()
    assert width - grid_step((9, width)) < box[2] <= width


def test_score_that_is_nan() -> None:
    with pytest.raises(ValueError, match="scores must be numbers, got nan"):
        store_boxes(Proposals(as_boxes([(0, 0, 1, 1)]), np.array([np.nan], np.float32)), (9, 9))
