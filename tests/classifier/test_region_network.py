"""`RegionNetwork`: a class layer and a box regression layer on one trunk."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from classifier.alexnet import AlexNet
from classifier.googlenet import GoogLeNet
from classifier.layers.box_grid import REDUCED, BoxGrid
from classifier.region_network import RegionNetwork
from detection.runtime.device import to_device

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(name="trunk", scope="module")
def random_trunk() -> GoogLeNet:
    torch.manual_seed(0)
    return GoogLeNet(6, batch_norm=True, stem_stride=4, width_multiplier=0.125).eval()


def test_logits_are_those_of_the_trunk(trunk: GoogLeNet) -> None:
    for classes in (None, 5):
        assert torch.equal(RegionNetwork(trunk, box_classes=classes).eval()(IMAGES).logits, trunk(IMAGES))


def test_head_is_linear_in_the_features_class_by_class(trunk: GoogLeNet) -> None:
    network = RegionNetwork(trunk, box_classes=5).eval()
    assert network.box_head is not None
    torch.nn.init.normal_(network.box_head.weight)
    torch.nn.init.normal_(network.box_head.bias)
    deltas = network(IMAGES).deltas
    assert deltas.shape == (3, 5, 4)
    features = trunk.features(IMAGES)
    torch.testing.assert_close(network.features(IMAGES), features)
    for label in range(5):
        rows = slice(4 * label, 4 * label + 4)
        expected = features @ network.box_head.weight[rows].T + network.box_head.bias[rows]
        torch.testing.assert_close(deltas[:, label], expected)


def test_starts_with_the_regions_themselves_and_can_learn(trunk: GoogLeNet) -> None:
    network = RegionNetwork(trunk, box_classes=5).eval()
    deltas = network(IMAGES).deltas
    assert not deltas.any()
    (deltas - 1).square().sum().backward()
    assert network.box_head is not None
    assert network.box_head.weight.grad is not None
    assert network.box_head.weight.grad.any()


def test_grid_starts_with_the_regions_themselves_and_keeps_the_features(trunk: GoogLeNet) -> None:
    network = RegionNetwork(trunk, box_classes=5, box_grid=2).eval()
    outputs = network(IMAGES)
    assert outputs.deltas.shape == (3, 5, 4)
    assert not outputs.deltas.any()
    torch.testing.assert_close(outputs.logits, trunk(IMAGES))
    torch.testing.assert_close(network.class_features(IMAGES), trunk.features(IMAGES))
    (outputs.deltas - 1).square().sum().backward()
    assert network.box_grid is not None
    assert network.box_grid.last.weight.grad is not None
    assert network.box_grid.last.weight.grad.any()


def test_grid_takes_the_place_of_the_linear_layer(trunk: GoogLeNet) -> None:
    network = RegionNetwork(trunk, box_classes=5, box_grid=2).eval()
    assert network.box_head is None
    assert network.box_grid is not None
    torch.nn.init.normal_(network.box_grid.last.weight)
    grid = network.features(IMAGES)[:, trunk.linear.in_features :]
    torch.testing.assert_close(network(IMAGES).deltas.flatten(1), network.box_grid(grid))


@pytest.mark.parametrize("side", [4, 8])
def test_grid_tells_where_a_feature_is(side: int) -> None:
    """A map of twice the side is interpolated."""
    torch.manual_seed(0)
    head = BoxGrid(16, 5, grid=4).eval()
    cell = side // 4
    for row, column in ((0, 0), (1, 3), (3, 2)):
        maps = torch.zeros(1, 16, side, side)
        maps[:, :, row * cell : (row + 1) * cell, column * cell : (column + 1) * cell] = torch.rand(16, 1, 1)
        reduced = head.positions(maps, 2.0).unflatten(1, (REDUCED, 4, 4)).sum(dim=1)
        expected = functional.relu(2 * maps[0, :, row * cell, column * cell] @ head.reduce.weight.flatten(1).T).sum()
        assert reduced[0].argmax() == 4 * row + column
        torch.testing.assert_close(reduced.amax(), expected)
        assert reduced.count_nonzero() == 1


@pytest.mark.parametrize("size", [32, 64, 96])
def test_grid_of_inputs_of_any_size(size: int) -> None:
    network = RegionNetwork(GoogLeNet(6, width_multiplier=0.125), box_classes=5, box_grid=3).eval()
    assert network(torch.randn(2, 3, size, size)).deltas.shape == (2, 5, 4)


def test_grid_of_a_map_of_bytes() -> None:
    """The grid reads the numbers that the bytes stand for, whose mean the class layer reads."""
    torch.manual_seed(0)
    network = RegionNetwork(GoogLeNet(6, batch_norm=True, width_multiplier=0.125), box_classes=5, box_grid=3).eval()
    to_device(network, torch.device("cpu"), "int8")
    images = torch.randn(8, 3, 64, 64).clip(-2, 2)
    trunk, head = network.trunk, network.box_grid
    assert isinstance(trunk, GoogLeNet)
    assert isinstance(head, BoxGrid)
    maps = trunk.last_map(images)
    assert maps.dtype == torch.uint8
    numbers = maps.float() * trunk.last_scale
    features = network.features(images)
    torch.testing.assert_close(features[:, : trunk.linear.in_features], numbers.mean(dim=(2, 3)))
    torch.testing.assert_close(features[:, trunk.linear.in_features :], head.positions(numbers, 1.0))


def test_grid_needs_a_feature_map() -> None:
    with pytest.raises(ValueError, match=r"^box_grid: expected an InceptionTrunk such as GoogLeNet, got AlexNet$"):
        RegionNetwork(AlexNet(6), box_classes=5, box_grid=3)


def test_without_box_classes_there_are_no_deltas(trunk: GoogLeNet) -> None:
    network = RegionNetwork(trunk)
    assert network(IMAGES).deltas is None
    assert set(network.state_dict()) == {f"trunk.{name}" for name in trunk.state_dict()}


def test_features_are_computed_once(trunk: GoogLeNet) -> None:
    calls = []
    handle = trunk.stem.register_forward_hook(lambda *_: calls.append(1))
    RegionNetwork(trunk, box_classes=5)(IMAGES)
    handle.remove()
    assert len(calls) == 1


def test_dropout_of_the_trunk_is_kept() -> None:
    network = RegionNetwork(GoogLeNet(6, width_multiplier=0.125, dropout=1.0), box_classes=5)
    assert not network(IMAGES).logits.any()  # the linear layer's bias starts at zero


def test_a_trunk_without_features_is_named() -> None:
    message = "^network Flatten: expected features, as classifier.region_network.Trunk describes it$"
    with pytest.raises(ValueError, match=message):
        RegionNetwork(nn.Flatten(0))
