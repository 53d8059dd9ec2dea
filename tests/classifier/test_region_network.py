"""`RegionNetwork`: a class layer and a box regression layer on one trunk."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from classifier.googlenet import GoogLeNet
from classifier.region_network import RegionNetwork

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
