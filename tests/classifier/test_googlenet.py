"""The numbers of Table 1 of arXiv 1409.4842, and the variants."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from classifier.googlenet import TABLE_1, AuxiliaryHead, GoogLeNet, Inception, scaled_width


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("num_classes", "auxiliary_heads", "expected"),
    [(1000, False, 6_998_552), (201, False, 6_179_577), (1000, True, 13_378_280)],
)
def test_parameter_totals_of_table_1(num_classes: int, auxiliary_heads: bool, expected: int) -> None:
    assert parameter_count(GoogLeNet(num_classes, auxiliary_heads=auxiliary_heads)) == expected


def test_parameters_of_each_inception_module_of_table_1() -> None:
    network = GoogLeNet(1000)
    counts = {name: parameter_count(block) for name, block in network.blocks.items()}
    assert counts == {
        "3a": 163_696,
        "3b": 388_736,
        "4a": 376_176,
        "4b": 449_160,
        "4c": 510_104,
        "4d": 605_376,
        "4e": 868_352,
        "5a": 1_043_456,
        "5b": 1_444_080,
    }
    assert parameter_count(network.stem) == 9_472 + 114_944
    assert parameter_count(network.linear) == 1_025_000


def test_output_sizes_of_table_1() -> None:
    network = GoogLeNet(1000).eval()
    sizes = {}
    for name, block in network.blocks.items():
        block.register_forward_hook(lambda _, __, output, name=name: sizes.update({name: tuple(output.shape[1:])}))
    with torch.inference_mode():
        logits = network(torch.zeros(1, 3, 224, 224))
    assert logits.shape == (1, 1000)
    sides = {"3": 28, "4": 14, "5": 7}
    assert sizes == {name: (widths.total, sides[name[0]], sides[name[0]]) for name, widths in TABLE_1.items()}
    assert sizes["4e"] == (832, 14, 14)


def test_has_22_layers_with_parameters_in_depth() -> None:
    """Three convolutions in the stem, two in each of nine modules along their deepest branch, one linear layer."""
    network = GoogLeNet(10)
    stem = sum(isinstance(module, nn.Conv2d) for module in network.stem.modules())
    deepest = sum(
        sum(isinstance(part, nn.Conv2d) for part in block.branch3x3.modules())
        for block in network.blocks.values()
        if isinstance(block, Inception)
    )
    assert stem + deepest + 1 == 22


def test_auxiliary_heads_see_4a_and_4d() -> None:
    network = GoogLeNet(7, auxiliary_heads=True).eval()
    with torch.inference_mode():
        logits, auxiliary = network.forward_with_auxiliary(torch.zeros(2, 3, 224, 224))
    assert logits.shape == (2, 7)
    assert [tuple(of_head.shape) for of_head in auxiliary] == [(2, 7), (2, 7)]
    inputs = [head[1][0].in_channels for head in network.auxiliary.values() if isinstance(head, AuxiliaryHead)]  # type: ignore[index]
    assert inputs == [512, 528]


def test_auxiliary_heads_do_not_change_the_main_output() -> None:
    network = GoogLeNet(7, auxiliary_heads=True).eval()
    images = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        torch.testing.assert_close(network(images), network.forward_with_auxiliary(images)[0])


@pytest.mark.parametrize("size", [32, 64, 96])
def test_small_input_variant(size: int) -> None:
    network = GoogLeNet(5, batch_norm=True, stem_stride=4, width_multiplier=0.25).eval()
    with torch.inference_mode():
        assert network.stem(torch.zeros(1, 3, size, size)).shape[2:] == (size // 4, size // 4)
        assert network(torch.zeros(3, 3, size, size)).shape == (3, 5)
        assert network.features(torch.zeros(3, 3, size, size)).shape == (3, 256)


def test_batch_norm_takes_the_place_of_biases() -> None:
    network = GoogLeNet(5, batch_norm=True)
    convolutions = [module for module in network.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(convolutions) == len(norms) == 57
    assert all(convolution.bias is None for convolution in convolutions)
    assert not any(isinstance(module, nn.LocalResponseNorm) for module in network.modules())


@pytest.mark.parametrize(
    ("channels", "multiplier", "expected"), [(64, 1, 64), (24, 1.0, 24), (16, 0.1, 8), (96, 0.5, 48)]
)
def test_scaled_width(channels: int, multiplier: float, expected: int) -> None:
    assert scaled_width(channels, multiplier) == expected


@pytest.mark.parametrize("arguments", [{"stem_stride": 2}, {"width_multiplier": 0}])
def test_refuses_what_it_cannot_build(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GoogLeNet(5, **arguments)  # type: ignore[arg-type]
