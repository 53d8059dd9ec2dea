"""The numbers of Table 1 of arXiv 1409.4842, and the variants."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from classifier.googlenet import AuxiliaryHead, GoogLeNet
from classifier.inception import STEM_WIDTHS, TABLE_1, Inception, scaled_width
from classifier.layers.response_norm import ResponseNorm


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
    assert counts == {"3a": 163_696, "3b": 388_736, "4a": 376_176, "4b": 449_160, "4c": 510_104, "4d": 605_376,
                      "4e": 868_352, "5a": 1_043_456, "5b": 1_444_080}  # fmt: skip
    assert parameter_count(network.stem) == 9_472 + 114_944
    assert parameter_count(network.linear) == 1_025_000


MULTIPLY_ADDS_OF_TABLE_1 = {
    "conv 7x7": 118.0, "conv 3x3": 359.7, "3a": 128.0, "3b": 304.3, "4a": 73.6, "4b": 87.9, "4c": 99.9, "4d": 118.5,
    "4e": 170.0, "5a": 51.1, "5b": 70.7, "linear": 1.0,
}  # fmt: skip
"""In millions, for 224x224 pixels."""


def test_multiply_adds_of_table_1() -> None:
    """One for each weight of a convolution at each position of its output, and for each weight of the linear layer.

    The 1x1 reduction counts with the stem's 3x3 convolution; biases, pooling and response normalisation do not count.
    """
    network = GoogLeNet(1000).eval()
    rows = {"conv 7x7": network.stem[0], "conv 3x3": network.stem[3:5], **network.blocks, "linear": network.linear}
    counts = dict.fromkeys(rows, 0)
    for name, row in rows.items():
        for layer in row.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):

                def count(layer: nn.Module, _: object, output: torch.Tensor, name: str = name) -> None:
                    counts[name] += layer.get_parameter("weight").numel() * output[0, 0].numel()

                layer.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, 224, 224))
    assert {name: round(total / 1e6, 1) for name, total in counts.items()} == MULTIPLY_ADDS_OF_TABLE_1
    assert sum(counts.values()) == pytest.approx(1.58e9, rel=0.01)  # "1.5 billion multiply-adds" (section 1)


def test_output_sizes_of_the_stem() -> None:
    """Figure 3: convolution, pooling, normalisation, two convolutions, normalisation, pooling."""
    features = torch.zeros(1, 3, 224, 224)
    steps = []
    for layer in GoogLeNet(1000).stem:
        features = layer(features)
        steps.append((type(layer).__name__, *features.shape[1:3]))
    assert steps == [("Convolution", 64, 112), ("MaxPool", 64, 56), ("ResponseNorm", 64, 56), ("Convolution", 64, 56),
                     ("Convolution", 192, 56), ("ResponseNorm", 192, 56), ("MaxPool", 192, 28)]  # fmt: skip


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
    blocks = [block for block in network.blocks.values() if isinstance(block, Inception)]
    deepest = sum(isinstance(part, nn.Conv2d) for block in blocks for part in block.branch3x3.modules())
    assert stem + deepest + 1 == 22


def test_auxiliary_heads_see_4a_and_4d_and_do_not_change_the_features() -> None:
    network = GoogLeNet(7, auxiliary_heads=True).eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features, auxiliary = network.features_with_auxiliary(images)
        torch.testing.assert_close(network.features(images), features)
    assert [tuple(head_logits.shape) for head_logits in auxiliary] == [(2, 7), (2, 7)]
    inputs = [head[1][0].in_channels for head in network.auxiliary.values() if isinstance(head, AuxiliaryHead)]  # type: ignore[index]
    assert inputs == [512, 528]


def test_auxiliary_heads_run_only_when_asked_for() -> None:
    """They are dropped at inference (section 5), and so is the size of picture that they need."""
    network = GoogLeNet(7, auxiliary_heads=True, width_multiplier=0.125).eval()
    calls = []
    for head in network.auxiliary.values():
        head.register_forward_hook(lambda head, _, __: calls.append(head))
    with torch.inference_mode():
        assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
        assert network.features(torch.zeros(1, 3, 224, 224)).shape == (1, 128)
        assert calls == []
        network.features_with_auxiliary(torch.zeros(1, 3, 224, 224))
    assert calls == list(network.auxiliary.values())


def test_without_auxiliary_heads_there_are_no_auxiliary_logits() -> None:
    network = GoogLeNet(7, width_multiplier=0.125).eval()
    with torch.inference_mode():
        features, auxiliary = network.features_with_auxiliary(torch.zeros(2, 3, 64, 64))
    assert features.shape == (2, 128)
    assert auxiliary == []


def test_auxiliary_losses_reach_only_the_layers_below_them() -> None:
    network = GoogLeNet(7, auxiliary_heads=True, width_multiplier=0.125)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    _, auxiliary = network.features_with_auxiliary(images)
    for logits, last in zip(auxiliary, ("4a", "4d"), strict=True):
        network.zero_grad()
        logits.sum().backward(retain_graph=True)
        taught = [name for name, block in network.blocks.items() if next(block.parameters()).grad is not None]
        assert taught == [name for name in TABLE_1 if name <= last]
        assert network.linear.weight.grad is None


def test_auxiliary_heads_of_section_5() -> None:
    """Average pooling 5x5 of stride 3, 128 1x1 convolutions, 1024 hidden units, dropout of 70%."""
    head = GoogLeNet(7, auxiliary_heads=True).auxiliary["4a"]
    features = torch.zeros(1, 512, 14, 14)
    sizes = []
    for layer in head.eval().children():
        features = layer(features)
        sizes.append(tuple(features.shape[1:]))
    assert sizes == [(512, 4, 4), (128, 4, 4), (2048,), (1024,), (1024,), (1024,), (7,)]
    assert [layer.p for layer in head.modules() if isinstance(layer, nn.Dropout)] == [0.7]


def test_response_norms_have_the_channels_of_their_place() -> None:
    norms = [module for module in GoogLeNet(5).modules() if isinstance(module, ResponseNorm)]
    assert [len(norm.band) for norm in norms] == [64, 192]


def test_parameters_of_the_wider_network() -> None:
    """At twice the width a convolution has four times the weights, only twice in the first: its 3 inputs stay."""
    biases = sum(STEM_WIDTHS) + sum(sum(widths) for widths in TABLE_1.values())
    first = 64 * 3 * 7 * 7
    others = 6_998_552 - 1_025_000 - biases - first
    linear = 1000 * 2048 + 1000
    assert parameter_count(GoogLeNet(1000, width_multiplier=2)) == 2 * first + 4 * others + 2 * biases + linear


@pytest.mark.parametrize("multiplier", [0.3, 1.25, 1.5])
def test_every_layer_scales_with_the_width(multiplier: float) -> None:
    plain, scaled = (
        [module for module in GoogLeNet(5, width_multiplier=width).modules() if isinstance(module, nn.Conv2d)]
        for width in (1, multiplier)
    )
    for before, after in zip(plain, scaled, strict=True):
        assert after.out_channels == scaled_width(before.out_channels, multiplier)
        assert abs(after.out_channels - multiplier * before.out_channels) <= 4


def test_activations_keep_their_size() -> None:
    """From the 3 channels of noise of deviation 1 to the last features, through 22 layers and two normalisations."""
    torch.manual_seed(0)
    network = GoogLeNet(5).eval()
    with torch.inference_mode():
        features = network.features(torch.randn(4, 3, 64, 64))
    assert 0.01 < features.square().mean().sqrt() < 10


def test_learns_with_response_norm_and_auxiliary_heads() -> None:
    """Two pictures of four colours each; the auxiliary losses weigh 0.3 (section 5)."""
    torch.manual_seed(0)
    network = GoogLeNet(2, auxiliary_heads=True, width_multiplier=0.125)
    optimizer = torch.optim.SGD(network.parameters(), 0.02, momentum=0.9)
    images, labels = torch.randn(2, 3, 2, 2).repeat_interleave(112, 2).repeat_interleave(112, 3), torch.arange(2)

    def losses() -> torch.Tensor:
        features, auxiliary = network.features_with_auxiliary(images)
        logits = network.linear(network.dropout(features))
        return torch.stack([functional.cross_entropy(head_logits, labels) for head_logits in (logits, *auxiliary)])

    with torch.no_grad():
        network.eval()
        before = losses()
    network.train()
    for _ in range(10):
        optimizer.zero_grad()
        (losses() * torch.tensor([1, 0.3, 0.3])).sum().backward()
        optimizer.step()
    with torch.no_grad():
        network.eval()
        after = losses()
    torch.testing.assert_close(before, torch.full((3,), math.log(2)), atol=0.05, rtol=0)
    assert (after < before - 0.05).all()


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
    assert not any(isinstance(module, ResponseNorm) for module in network.modules())


@pytest.mark.parametrize(
    ("channels", "multiplier", "expected"), [(64, 1, 64), (24, 1.0, 24), (16, 0.1, 8), (96, 0.5, 48)]
)
def test_scaled_width(channels: int, multiplier: float, expected: int) -> None:
    assert scaled_width(channels, multiplier) == expected


BOTH_DETAILS = {"caffe_details": True, "torchvision_details": True}


@pytest.mark.parametrize("arguments", [{"stem_stride": 2}, {"width_multiplier": 0}, BOTH_DETAILS])
def test_refuses_what_it_cannot_build(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        GoogLeNet(5, **arguments)  # type: ignore[arg-type]
