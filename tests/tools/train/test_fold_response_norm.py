"""Tests of the command that gives the published network batch normalisation, with few steps on one photograph."""

from pathlib import Path

import pytest
import torch

from classifier.googlenet import GoogLeNet
from classifier.scoring.weights_file import load_weights
from tools.train import fold_response_norm
from tools.train.fold_response_norm import relative_distance, stem_distance


def fold(source: Path, images: Path, weights: Path) -> int:
    options = ["--input_size", "32", "--batch_size", "8", "--stem_steps", "1", "--steps", "1"]
    files = ["--source", str(source), "--images", str(images), "--weights", str(weights)]
    return fold_response_norm.main([*files, *options])


def test_writes_a_network_with_batch_normalisation(caffe_file: Path, photo: Path, tmp_path: Path) -> None:
    weights = tmp_path / "folded.safetensors"
    assert fold(caffe_file, photo.parent, weights) == 0
    network, description = load_weights(weights)
    assert isinstance(network, GoogLeNet)
    assert network.can_quantise
    assert (description.input_size, len(description.class_names), description.background) == (32, 1000, False)
    assert description.training["origin"] == caffe_file.name


def test_folder_without_images(caffe_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fold(caffe_file, tmp_path, tmp_path / "folded.safetensors") == 1
    assert "got a folder without any" in capsys.readouterr().err


def test_distance_has_no_scale() -> None:
    generator = torch.Generator().manual_seed(0)
    expected = torch.rand(2, 3, 4, 4, generator=generator)
    assert relative_distance(7 * expected, expected).item() == pytest.approx(0, abs=1e-6)
    assert relative_distance(torch.zeros_like(expected) + 1e-6, expected).item() > 0.1


def test_stem_of_the_published_network_is_at_no_distance() -> None:
    torch.manual_seed(0)
    published = GoogLeNet(5, caffe_details=True).eval()
    images = torch.randn(2, 3, 32, 32)

    class PublishedStem(torch.nn.Module):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            features: torch.Tensor = published.stem(published.scale(images))
            return features

    assert stem_distance(PublishedStem(), published, images).item() == pytest.approx(0, abs=1e-6)
