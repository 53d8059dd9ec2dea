"""Deltas of box regression: decoding is the inverse of encoding, for all kinds of boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from classifier.box_deltas import DELTA_STDS, MAX_LOG_SCALE, decode_boxes, encode_boxes, mirror_deltas

SIZE = (300, 400)


def random_boxes(seed: int, count: int) -> Tensor:
    """Boxes of 1 to 100 pixels a side within an image of `SIZE`."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand((count, 2), generator=generator) * torch.tensor([300, 200])
    return torch.cat([corners, corners + 1 + 99 * torch.rand((count, 2), generator=generator)], dim=1)


def test_hand_derived_deltas() -> None:
    # Region: centre (20, 30), 20 wide and 40 high. Target: centre (25, 20), 40 wide and 20 high.
    region, target = torch.tensor([[10.0, 10, 30, 50]]), torch.tensor([[5.0, 10, 45, 30]])
    # dx = 5 / 20 = 0.25, dy = -10 / 40 = -0.25, log 2 and log 1/2; over 0.1, 0.1, 0.2, 0.2.
    expected = torch.tensor([[2.5, -2.5, 5 * math.log(2), -5 * math.log(2)]])
    torch.testing.assert_close(encode_boxes(region, target), expected)
    torch.testing.assert_close(decode_boxes(region, expected[:, None], SIZE), target[:, None])


def test_deltas_of_mirrored_regions() -> None:
    def mirror(boxes: Tensor) -> Tensor:
        x1, y1, x2, y2 = boxes.unbind(1)
        return torch.stack([SIZE[1] - x2, y1, SIZE[1] - x1, y2], dim=1)

    regions, targets = random_boxes(3, 20), random_boxes(4, 20)
    mirrored = encode_boxes(mirror(regions), mirror(targets))
    torch.testing.assert_close(mirror_deltas(mirrored), encode_boxes(regions, targets), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(mirror_deltas(mirror_deltas(mirrored)), mirrored)


def test_zero_deltas_leave_the_region() -> None:
    regions = random_boxes(0, 5)
    decoded = decode_boxes(regions, torch.zeros(5, 3, 4), SIZE)
    torch.testing.assert_close(decoded, regions[:, None].expand(5, 3, 4))


def test_round_trip() -> None:
    regions, targets = random_boxes(1, 200), random_boxes(2, 200)
    too_far = (encode_boxes(regions, targets)[:, 2:] * 0.2 > MAX_LOG_SCALE).any(dim=1)
    assert int(too_far.sum()) < 20
    decoded = decode_boxes(regions, encode_boxes(regions, targets)[:, None], SIZE)[:, 0]
    torch.testing.assert_close(decoded[~too_far], targets[~too_far], atol=1e-3, rtol=1e-5)


def naive_decode(region: list[float], delta: list[float], size: tuple[int, int]) -> list[float]:
    """One box in Python's numbers."""
    width, height = max(1.0, region[2] - region[0]), max(1.0, region[3] - region[1])
    dx, dy, dw, dh = (value * std for value, std in zip(delta, DELTA_STDS, strict=True))
    x, y = (region[0] + region[2]) / 2 + dx * width, (region[1] + region[3]) / 2 + dy * height
    width, height = width * math.exp(min(dw, math.log(62.5))), height * math.exp(min(dh, math.log(62.5)))
    corners = [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    return [min(max(corner, 0), limit) for corner, limit in zip(corners, [size[1], size[0]] * 2, strict=True)]


def test_decoding_agrees_with_loops() -> None:
    regions = random_boxes(3, 20)
    deltas = 8 * torch.randn((20, 5, 4), generator=torch.Generator().manual_seed(4))
    actual = decode_boxes(regions, deltas, SIZE)
    expected = [
        [naive_decode(region.tolist(), delta.tolist(), SIZE) for delta in region_deltas]
        for region, region_deltas in zip(regions, deltas, strict=True)
    ]
    torch.testing.assert_close(actual, torch.tensor(expected), atol=1e-3, rtol=1e-5)
    assert (actual[..., :2] == 0).any()
    assert (actual[..., 2:] == torch.tensor([400, 300])).any()


def test_boxes_without_area_count_as_a_pixel() -> None:
    point, target = torch.tensor([[20.0, 30, 20, 30]]), torch.tensor([[18.0, 30, 22, 31]])
    deltas = encode_boxes(point, target)
    torch.testing.assert_close(deltas, torch.tensor([[0, 5, 5 * math.log(4), 0]]))
    torch.testing.assert_close(decode_boxes(point, deltas[:, None], SIZE)[:, 0], target)
    torch.testing.assert_close(encode_boxes(target, point), torch.tensor([[0, -5, -5 * math.log(4), 0]]))


def test_wild_deltas_stay_within_the_image() -> None:
    region = torch.tensor([[100.0, 100, 104, 104]])
    wild = torch.tensor([[[0, 0, 1e4, 1e4], [1e30, 1e30, 0, 0], [-1e30, 0, 0, -1e4], [torch.inf] * 4]])
    boxes = decode_boxes(region, wild, (1000, 1000))[0]
    assert torch.isfinite(boxes).all()
    # From 4 pixels to 4 * 62.5 = 250 about 102, beyond the left and the upper border.
    torch.testing.assert_close(boxes[0], torch.tensor([0.0, 0, 227, 227]))
    assert boxes[1].tolist() == [1000] * 4
    assert boxes[2].tolist() == [0, 102, 0, 102]
    assert (boxes[:, :2] <= boxes[:, 2:]).all()


def test_no_regions() -> None:
    empty = torch.zeros(0, 4)
    assert encode_boxes(empty, empty).shape == (0, 4)
    assert decode_boxes(empty, torch.zeros(0, 7, 4), SIZE).shape == (0, 7, 4)


@pytest.mark.parametrize("shapes", [((2, 4), (3, 4)), ((4,), (4,)), ((2, 5), (2, 5))])
def test_encoding_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match="regions and targets must both have shape"):
        encode_boxes(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


@pytest.mark.parametrize("shapes", [((2, 4), (2, 4)), ((2, 4), (3, 1, 4)), ((2, 4), (2, 1, 5)), ((2, 1, 4), (2, 1, 4))])
def test_decoding_refuses_other_shapes(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"deltas \[N, C, 4\]"):
        decode_boxes(torch.zeros(shapes[0]), torch.zeros(shapes[1]), SIZE)


def test_arrays_are_decoded_like_tensors() -> None:
    regions, targets = random_boxes(8, 30), random_boxes(9, 30)
    deltas = torch.randn((30, 5, 4), generator=torch.Generator().manual_seed(8)) * 5
    arrays = [tensor.numpy() for tensor in (regions, targets, deltas)]
    decoded = decode_boxes(arrays[0], arrays[2], SIZE)
    assert decoded.dtype == np.float32
    np.testing.assert_allclose(decoded, decode_boxes(regions, deltas, SIZE), atol=1e-3)
    np.testing.assert_allclose(encode_boxes(*arrays[:2]), encode_boxes(regions, targets), atol=1e-5)
    np.testing.assert_array_equal(mirror_deltas(arrays[2]), mirror_deltas(deltas))
