from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from detection.errors import InputError
from detection.structures.arrays import Image
from detection.structures.boxes import as_boxes, box_iou
from detection.structures.contracts import Proposals
from proposals.merge import DUPLICATE_IOU, MergedProposer
from proposals.selective_search import SelectiveSearch
from proposals.whole_image import WholeImage

LEFT, RIGHT, ALMOST_LEFT = (0, 0, 20, 40), (20, 0, 40, 40), (0, 0, 20, 40.5)
IMAGE = np.zeros((50, 40, 3), np.uint8)


class Fixed:
    """A proposer that returns the same boxes for every image."""

    def __init__(self, boxes: Sequence[Sequence[float]]) -> None:
        self.boxes = as_boxes(boxes)

    def __call__(self, image: Image) -> Proposals:  # noqa: ARG002
        return Proposals(self.boxes, np.arange(len(self.boxes), dtype=np.float32)[::-1], np.full(len(self.boxes), 9))


def merged(*sources: Sequence[Sequence[float]], budget: int | None = None) -> tuple[list[list[float]], list[int]]:
    proposals = MergedProposer([Fixed(boxes) for boxes in sources], budget)(IMAGE)
    assert proposals.sources is not None
    return proposals.boxes.tolist(), proposals.sources.tolist()


def test_union_with_sources() -> None:
    boxes, sources = merged([RIGHT], [], [LEFT, (0, 0, 5, 5)])
    assert boxes == [list(RIGHT), list(LEFT), [0, 0, 5, 5]]
    assert sources == [0, 2, 2]


def test_near_duplicates_are_left_out() -> None:
    # LEFT and ALMOST_LEFT overlap by 40 / 40.5 = 0.988; one stands for both, so it comes before RIGHT.
    assert merged([RIGHT, LEFT], [ALMOST_LEFT]) == ([list(LEFT), list(RIGHT)], [0, 0])
    assert merged([RIGHT], [ALMOST_LEFT], [LEFT]) == ([list(ALMOST_LEFT), list(RIGHT)], [1, 0])


def test_scores_are_shares_of_the_places() -> None:
    proposals = MergedProposer([Fixed([RIGHT, LEFT]), Fixed([LEFT])])(IMAGE)
    np.testing.assert_allclose(proposals.scores, [2 / 3, 1 / 3], rtol=1e-6)


def test_budget() -> None:
    assert merged([RIGHT, LEFT], [(0, 0, 5, 5)], budget=2) == ([list(RIGHT), list(LEFT)], [0, 0])
    assert merged([RIGHT, LEFT], budget=5) == ([list(RIGHT), list(LEFT)], [0, 0])


def test_boxes_of_a_proposer_count_as_several_places() -> None:
    proposers = [Fixed([(0, 0, 5, 5)]), Fixed([RIGHT, LEFT, ALMOST_LEFT])]
    plain = MergedProposer(proposers)(IMAGE)
    weighted = MergedProposer(proposers, place_weights=[3, 1])(IMAGE)
    assert plain.boxes.tolist() == [list(LEFT), [0, 0, 5, 5], list(RIGHT)]
    assert weighted.boxes.tolist() == [[0, 0, 5, 5], list(LEFT), list(RIGHT)]
    np.testing.assert_allclose(weighted.scores, [3 / 6, 2 / 6, 1 / 6], rtol=1e-6)


def test_no_boxes() -> None:
    assert merged([], []) == ([], [])


def test_merges_may_be_merged() -> None:
    inner = MergedProposer([Fixed([LEFT]), Fixed([(0, 0, 5, 5)])])
    sources = MergedProposer([Fixed([RIGHT]), inner])(IMAGE).sources
    assert sources is not None
    assert sources.tolist() == [0, 1, 1]


def test_real_proposers(photo_pixels: Image) -> None:
    search = SelectiveSearch(width=160, min_side=8)
    propose = MergedProposer([search, WholeImage()])
    proposals, again, alone = propose(photo_pixels), propose(photo_pixels), search(photo_pixels)
    np.testing.assert_array_equal(proposals.boxes, again.boxes)
    np.testing.assert_array_equal(proposals.scores, again.scores)
    assert (np.diff(proposals.scores) <= 0).all()
    assert proposals.sources is not None
    assert (proposals.sources == 0).all()  # selective search has the whole image too
    assert 50 < len(proposals) < len(alone)
    overlaps = box_iou(proposals.boxes, proposals.boxes) - np.eye(len(proposals))
    assert overlaps.max() <= np.float32(DUPLICATE_IOU)
    assert box_iou(alone.boxes, proposals.boxes).max(axis=1).min() > np.float32(DUPLICATE_IOU)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"proposers": []}, "proposers must be 1 to 255, got 0"),
        ({"proposers": [WholeImage()] * 256}, "proposers must be 1 to 255, got 256"),
        ({"proposers": [WholeImage()], "budget": 0}, "budget above 0"),
        ({"proposers": [WholeImage()], "duplicate_iou": 0}, "duplicate_iou in 0-1"),
        ({"proposers": [WholeImage()], "duplicate_iou": 1.5}, "duplicate_iou in 0-1"),
        ({"proposers": [WholeImage()], "place_weights": [1, 1]}, "place_weights must be 1 numbers above 0"),
        ({"proposers": [WholeImage()], "place_weights": [0]}, "place_weights must be 1 numbers above 0"),
    ],
)
def test_arguments_out_of_range(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        MergedProposer(**arguments)  # type: ignore[arg-type]


def test_proposer_that_returns_a_tuple_is_named() -> None:
    def propose(image: Image) -> tuple[int, int]:
        return image.shape[:2]

    with pytest.raises(InputError, match=r"propose: expected Proposals, got tuple"):
        MergedProposer([propose])(IMAGE)  # type: ignore[list-item]
