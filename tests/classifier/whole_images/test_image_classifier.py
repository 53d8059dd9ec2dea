"""Networks as classifiers of whole images: the background is left out, and batches do not change the result."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
import torch
from torch import nn

from classifier.scoring.description import NetworkDescription, find_weights
from classifier.scoring.weights_file import load_weights, save_weights
from classifier.whole_images.image_classifier import ImageClassifier
from detection.errors import InputError
from detection.runtime.pixels import SCALE
from detection.structures.class_choice import require_same_classes


class Large(nn.Module):
    """A network that does not fit into the memory."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError(f"{len(images)} are too many")

    features = forward


def exact(path: Path, batch_size: int = 64) -> ImageClassifier:
    return ImageClassifier(str(path), device="cpu", precision="float32", batch_size=batch_size)


@pytest.fixture(name="crops")
def random_crops() -> torch.Tensor:
    return torch.randn(5, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 58


@pytest.fixture(name="whole_image_weights", scope="module")
def whole_image_weights_file(tiny_description: NetworkDescription, tmp_path_factory: pytest.TempPathFactory) -> Path:
    description = dataclasses.replace(tiny_description, background=False)
    path = tmp_path_factory.mktemp("weights") / "whole.safetensors"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        save_weights(path, description.build(), description)
    return path


def test_softmax_of_a_network_for_whole_images(whole_image_weights: Path, crops: torch.Tensor) -> None:
    network, _ = load_weights(whole_image_weights)
    with torch.inference_mode():
        expected = network(crops * SCALE).softmax(1)
    classify = exact(whole_image_weights, batch_size=2)
    torch.testing.assert_close(classify.probabilities(crops), expected, atol=1e-5, rtol=1e-4)
    assert classify.class_names == ("cat", "cup", "rocket")
    assert classify.input_size == 32


def test_background_is_left_out(tiny_weights: Path, crops: torch.Tensor) -> None:
    network, _ = load_weights(tiny_weights)
    with torch.inference_mode():
        with_background = network(crops * SCALE).softmax(1)
    expected = with_background[:, 1:] / (1 - with_background[:, :1])  # renormalised: what is known not to be background
    probabilities = exact(tiny_weights).probabilities(crops)
    assert probabilities.shape == (5, 3)
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-4)


def test_features_are_what_the_linear_layer_reads(tiny_weights: Path, crops: torch.Tensor) -> None:
    network, _ = load_weights(tiny_weights)
    features = exact(tiny_weights, batch_size=3).features(crops)
    with torch.inference_mode():
        logits = network(crops * SCALE)
        torch.testing.assert_close(network.linear(features), logits, atol=1e-4, rtol=1e-4)  # type: ignore[operator]


def test_margins_of_svms_have_no_background(
    tmp_path: Path, tiny_description: NetworkDescription, crops: torch.Tensor
) -> None:
    description = dataclasses.replace(tiny_description, head="svm")
    save_weights(tmp_path / "svm.safetensors", description.build(), description)
    network, _ = load_weights(tmp_path / "svm.safetensors")
    with torch.inference_mode():
        expected = network(crops * SCALE).softmax(1)
    probabilities = exact(tmp_path / "svm.safetensors").probabilities(crops)
    torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=1e-4)


def test_a_full_memory_names_the_device(tiny_weights: Path, crops: torch.Tensor) -> None:
    classify = exact(tiny_weights)
    classify.network = Large()
    for compute in (classify.probabilities, classify.features):
        with pytest.raises(InputError, match=r"^device cpu: expected enough memory, got: 5 are too many$"):
            compute(crops)


def test_no_crops(tiny_weights: Path) -> None:
    assert ImageClassifier(str(tiny_weights), device="cpu").probabilities(torch.zeros(0, 3, 32, 32)).shape == (0, 3)


def test_bfloat16_is_close(tiny_weights: Path, crops: torch.Tensor) -> None:
    expected = exact(tiny_weights).probabilities(crops)
    rough = ImageClassifier(str(tiny_weights), device="cpu", precision="bfloat16").probabilities(crops)
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, expected, atol=0.05, rtol=0)


def test_bad_batch_size(tiny_weights: Path) -> None:
    with pytest.raises(ValueError, match="batch_size must be positive, got 0"):
        ImageClassifier(str(tiny_weights), batch_size=0)


def test_a_file_comes_before_the_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shipped = find_weights("tiny_imagenet.safetensors")
    assert shipped.is_absolute()
    assert shipped.is_file()
    Path("tiny_imagenet.safetensors").touch()
    assert find_weights("tiny_imagenet.safetensors") == Path("tiny_imagenet.safetensors")


def test_missing_weights_are_named_as_given() -> None:
    with pytest.raises(InputError, match=r"^none\.safetensors: no such weights file"):
        ImageClassifier("none.safetensors")


def test_same_classes() -> None:
    require_same_classes("a", ("cat", "dog"), "b", ("cat", "dog"))


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("cat", "cow", "pig"), "a: expected the classes of b, class 1 is 'cow', not 'dog'"),
        (("dog", "cat"), "a: expected the classes of b, class 0 is 'dog', not 'cat'"),
        (("cat",), "a: expected the 2 classes of b, got 1"),
        (("cat", "dog", "cow"), "a: expected the 2 classes of b, got 3"),
    ],
)
def test_other_classes(names: tuple[str, ...], reason: str) -> None:
    with pytest.raises(InputError, match=re.escape(reason)):
        require_same_classes("a", names, "b", ("cat", "dog"))
