"""The numbers of sections 3 to 5 of the AlexNet paper (NIPS 2012)."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from classifier.alexnet import AlexNet, HalfDropout


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(name="network", scope="module")
def published_network() -> AlexNet:
    torch.manual_seed(0)
    return AlexNet(1000).eval()


@pytest.fixture(name="small", scope="module")
def smallest_network() -> AlexNet:
    torch.manual_seed(0)
    return AlexNet(5, input_size=63).eval()


def layers(network: AlexNet) -> list[nn.Conv2d | nn.Linear]:
    """The five convolutions and three linear layers."""
    return [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def test_parameters_of_each_layer(network: AlexNet) -> None:
    """Kernels x (inputs of a kernel) + biases; in the layers of two groups, a kernel sees half of the maps."""
    expected = [
        96 * (3 * 11 * 11) + 96,
        256 * (96 // 2 * 5 * 5) + 256,
        384 * (256 * 3 * 3) + 384,
        384 * (384 // 2 * 3 * 3) + 384,
        256 * (384 // 2 * 3 * 3) + 256,
        4096 * (256 * 6 * 6) + 4096,
        4096 * 4096 + 4096,
        1000 * 4096 + 1000,
    ]
    assert [sum(parameter.numel() for parameter in layer.parameters()) for layer in layers(network)] == expected
    assert sum(expected) == 60_965_224  # "60 million parameters"
    assert sum(parameter.numel() for parameter in network.parameters()) == 60_965_224


@pytest.mark.parametrize("input_size", [224, 227])
def test_output_size_of_each_layer(input_size: int) -> None:
    """Figure 2: 55 positions, pooled to 27, 13 and 6, whether 224 pixels are padded or R-CNN's 227 are not."""
    sizes: list[tuple[int, ...]] = []
    network = AlexNet(1000, input_size=input_size)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.MaxPool2d | nn.Linear):
            module.register_forward_hook(lambda _, __, output: sizes.append(tuple(output.shape[1:])))
    with torch.inference_mode():
        network(torch.zeros(1, 3, input_size, input_size))
    assert sizes == [(96, 55, 55), (96, 27, 27), (256, 27, 27), (256, 13, 13), (384, 13, 13), (384, 13, 13),
                     (256, 13, 13), (256, 6, 6), (4096,), (4096,), (1000,)]  # fmt: skip


def test_initialisation(network: AlexNet) -> None:
    """N(0, 0.01): a sample of n has a mean within 5 * 0.01 / sqrt(n) and a deviation within 5 * 0.01 / sqrt(2 n)."""
    for layer in layers(network):
        n = layer.weight.numel()
        assert abs(layer.weight.mean().item()) < 5 * 0.01 / math.sqrt(n)
        assert abs(layer.weight.std().item() - 0.01) < 5 * 0.01 / math.sqrt(2 * n)
    biases = [layer.get_parameter("bias").unique().tolist() for layer in layers(network)]
    assert biases == [[0], [1], [0], [1], [1], [1], [1], [0]]


def test_groups_see_only_their_half(network: AlexNet) -> None:
    """Convolutions 2, 4 and 5 (Figure 2): the first half of the kernels has no gradient by the second half of maps."""
    convolutions = [layer for layer in layers(network) if isinstance(layer, nn.Conv2d)]
    seen = []
    for convolution in convolutions:
        maps = torch.randn(1, convolution.in_channels, 11, 11, generator=generator(), requires_grad=True)
        half = convolution(maps)[:, : convolution.out_channels // 2]
        (gradient,) = torch.autograd.grad(half.sum(), maps)
        seen.append([bool(part.any()) for part in gradient[0].tensor_split(2)])
    assert seen == [[True, True], [True, False], [True, True], [True, False], [True, False]]


def test_scores_are_linear_in_the_last_hidden_layer(small: AlexNet) -> None:
    images = torch.randn(3, 3, 63, 63, generator=generator())
    with torch.inference_mode():
        features, logits = small.features(images), small(images)
        expected = functional.linear(features / 2, small.linear.weight, small.linear.bias)  # section 4.2, in testing
    assert features.shape == (3, 4096)
    assert (features >= 0).all()
    torch.testing.assert_close(logits, expected)


def test_reads_pixels_minus_their_mean(small: AlexNet) -> None:
    """The first convolution sees pixels that are multiplied by 58 again."""
    images = torch.randn(1, 3, 63, 63, generator=generator())
    with torch.inference_mode():
        expected = small.hidden(small.convolutions(58 * images))
        torch.testing.assert_close(small.features(images), expected, atol=1e-5, rtol=1e-4)


def test_drops_half_of_both_hidden_layers() -> None:
    """Section 4.2: half of the outputs of the first two fully connected layers in training; all, halved, in testing."""
    small = AlexNet(5, input_size=63)
    factors = []
    layers_that_drop = [module for module in small.modules() if isinstance(module, HalfDropout)]
    images = torch.randn(4, 3, 63, 63, generator=generator())
    for layer in layers_that_drop:
        layer.register_forward_hook(lambda _, given, output: factors.append((output / given[0])[given[0] > 0]))
    with torch.no_grad():
        torch.manual_seed(0)
        small.train()(images)
        small.eval()(images)
    assert len(layers_that_drop) == 2
    for training_factors in factors[:2]:
        assert training_factors.unique().tolist() == [0, 1]
        assert training_factors.mean().item() == pytest.approx(0.5, abs=0.03)
    assert [testing_factors.unique().tolist() for testing_factors in factors[2:]] == [[0.5], [0.5]]


def test_memory_format_and_batch_change_nothing(small: AlexNet) -> None:
    images = torch.randn(3, 3, 63, 63, generator=generator())
    with torch.inference_mode():
        logits = small(images)
        torch.testing.assert_close(small(images.contiguous(memory_format=torch.channels_last)), logits)
        torch.testing.assert_close(small(images[1:2]), logits[1:2])
        assert small(images[:0]).shape == (0, 5)


def test_too_small_to_pool() -> None:
    with pytest.raises(ValueError, match="input_size must be at least 63, got 62"):
        AlexNet(5, input_size=62)


@pytest.mark.parametrize("shape", [(1, 3, 64, 64), (1, 1, 63, 63), (1, 3, 63, 62), (3, 63, 63)])
def test_image_that_does_not_fit(small: AlexNet, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"images must have shape \['B', 3, 63, 63\], got \["):
        small(torch.zeros(shape))


def test_first_steps_with_the_published_settings() -> None:
    """A batch of 128 at rate 0.01, momentum 0.9, weight decay 5e-4 (section 5): the loss falls and does not run away.

    A picture of noise for each of 128 classes, so that the best that can be had without looking at them is log 128.
    """
    torch.manual_seed(0)
    network = AlexNet(1000, input_size=63)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)
    images, labels = torch.randn(128, 3, 63, 63), torch.arange(128)
    losses = []
    for _ in range(7):
        loss = functional.cross_entropy(network(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[0] == pytest.approx(math.log(1000), abs=1)
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < losses[0] - 1
