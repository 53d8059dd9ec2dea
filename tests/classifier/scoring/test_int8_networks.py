"""Whole networks in int8 against the same networks in float32."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from classifier.googlenet import GoogLeNet
from classifier.region_classifier import RegionClassifier
from classifier.scoring.description import NetworkDescription
from classifier.scoring.loaded_network import LoadedNetwork
from classifier.scoring.weights_file import save_weights
from classifier.warp.crop import upload, warp_regions
from classifier.whole_images.image_classifier import ImageClassifier
from detection.errors import InputError
from detection.runtime.int8 import QuantisedConvolution, activation_scale, runs_int8
from detection.runtime.weights_files.engine import Precision
from detection.structures.arrays import FloatArray, Image
from proposals.multibox import MultiBoxProposer
from tests.classifier.scoring.member_examples import refined

needs_int8 = pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")
SHIPPED = ("tiny_imagenet.safetensors", "tiny_imagenet_lead.safetensors")


def random_boxes(image: Image, count: int = 60) -> FloatArray:
    height, width = image.shape[:2]
    corners = np.random.default_rng(0).uniform(0, 1, (2, count, 2)) * [width, height]
    return np.concatenate([corners.min(axis=0), corners.max(axis=0) + 8], axis=1).astype(np.float32)


@needs_int8
@pytest.mark.parametrize("weights", SHIPPED)
def test_shipped_classifiers_hardly_change_in_int8(weights: str, photo_pixels: Image) -> None:
    image = photo_pixels.copy()  # which PyTorch may write to
    boxes = random_boxes(image)
    exact = RegionClassifier(weights, device="cpu", precision="float32")([image], [boxes])[0]
    rough = RegionClassifier(weights, device="cpu", precision="int8")([image], [boxes])[0]
    distance = np.abs(exact.probabilities - rough.probabilities).sum(axis=1)
    assert 0 < distance.mean() < 0.04
    assert (exact.probabilities.argmax(axis=1) == rough.probabilities.argmax(axis=1)).mean() > 0.95
    side = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
    moved = np.abs(refined(exact) - refined(rough)).max(axis=2) / side[:, None]
    assert moved.mean() < 0.01


@needs_int8
def test_regions_are_warped_to_bytes(photo_pixels: Image) -> None:
    image = photo_pixels.copy()
    boxes = random_boxes(image)
    network = LoadedNetwork(SHIPPED[0], device="cpu", precision="int8", batch_size=None)

    inputs = network.input_format.warp([upload(image, boxes, network.device)])

    assert inputs.dtype == torch.uint8
    warped = warp_regions(
        torch.from_numpy(image)[None], torch.from_numpy(boxes)[None], size=64, context=network.input_format.context
    )[0]
    actual = network.outputs(inputs).logits.softmax(dim=1)
    expected = network.outputs(network.input_format.convert(warped)).logits.softmax(dim=1)
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.01)


@needs_int8
@pytest.mark.parametrize(("torchvision_details", "precision"), [(True, "int8"), (False, "float32")])
def test_networks_that_cannot_read_bytes_read_float32(
    tmp_path: Path, torchvision_details: bool, precision: Precision
) -> None:
    details = {"batch_norm": True, "width_multiplier": 0.125, "torchvision_details": torchvision_details}
    description = NetworkDescription("classifier.googlenet.GoogLeNet", details, ("cat", "dog"), 32, 2)
    save_weights(tmp_path / "weights.safetensors", description.build(), description)
    network = LoadedNetwork(str(tmp_path / "weights.safetensors"), device="cpu", precision=precision, batch_size=None)
    image = np.zeros((40, 50, 3), np.uint8)

    assert network.input_format.quantisation is None
    inputs = network.input_format.warp([upload(image, random_boxes(image), network.device)])
    assert inputs.dtype == torch.float32


@needs_int8
@pytest.mark.parametrize("name", ["multibox.safetensors", "multibox_photographs.safetensors"])
def test_shipped_multibox_hardly_changes_in_int8(name: str, photo_pixels: Image) -> None:
    exact, rough = (
        MultiBoxProposer(name, device="cpu", precision=precision).predict(photo_pixels)
        for precision in ("float32", "int8")
    )
    assert 0 < np.abs(exact[0] - rough[0]).mean() < 0.003
    assert 0 < np.abs(exact[1] - rough[1]).mean() < 0.003


@needs_int8
@pytest.mark.parametrize("arguments", [{}, {"stem_stride": 4}, {"torchvision_details": True}])
@torch.no_grad()
def test_every_inception_module_in_int8_agrees_with_float32(arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    exact = GoogLeNet(5, batch_norm=True, width_multiplier=0.25, **arguments).train()
    images = torch.rand(32, 3, 63, 64) * 4 - 2
    for norm in exact.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0  # statistics are those of the images
    exact(images)
    rough = copy.deepcopy(exact.eval())
    scales = rough.quantise()
    assert sum(isinstance(module, QuantisedConvolution) for module in rough.modules()) == 3 + 9 * 6
    maps = rough.feature_maps(images)
    assert {features.dtype for features in maps.values()} == {torch.uint8}
    # Differences grow from module to module in an untrained network, so each one gets the output of the int8 module
    # before it.
    stem = rough.stem(rough.scale(images)).float() * activation_scale(exact.stem[4])
    assert_near(stem, exact.stem(exact.scale(images)))
    before = stem
    for name, block in exact.blocks.items():
        pool = {"4a": exact.pool, "5a": exact.last_pool}.get(name, nn.Identity())
        actual = maps[name].float() * scales[name]
        assert_near(actual, block(pool(before)))
        before = actual
    torch.testing.assert_close(rough.features(images), before.mean(dim=(2, 3)))


def assert_near(actual: Tensor, expected: Tensor) -> None:
    assert actual.shape == expected.shape
    assert expected.std() > 0.1
    assert (actual - expected).abs().mean() < 0.04 * expected.mean()


def test_int8_needs_batch_normalisation(tmp_path: Path) -> None:
    network = GoogLeNet(4, width_multiplier=0.125)
    assert not network.can_quantise
    with pytest.raises(ValueError, match="expected a convolution, batch normalisation and ReLU"):
        network.quantise()
    description = NetworkDescription(
        "classifier.googlenet.GoogLeNet", {"width_multiplier": 0.125}, ("a", "b", "c"), 32, 2
    )
    path = tmp_path / "a.safetensors"
    save_weights(path, description.build(), description)
    assert RegionClassifier(str(path), device="cpu").precision == "float32"
    for build in (RegionClassifier, ImageClassifier):
        with pytest.raises(InputError, match=f"^{path}: precision int8 needs a network with batch normalisation"):
            build(str(path), device="cpu", precision="int8")


@needs_int8
def test_int8_is_the_default_on_a_cpu() -> None:
    assert RegionClassifier(SHIPPED[1], device="cpu").precision == "int8"
    assert ImageClassifier(SHIPPED[1], device="cpu").precision == "int8"
    assert MultiBoxProposer("multibox.safetensors", device="cpu").precision == "int8"
    network = LoadedNetwork(SHIPPED[1], device="cpu", precision=None, batch_size=None, execution="plain")
    assert network.precision == "float32"
