"""Fixtures of the tests of `detect-evaluate run`: a small experiment, and a copy of its data that a test may change."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from detection.detector import Detector
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals
from detection.structures.detections import Detections
from tools.measure.evaluate import command as evaluate


class KilledError(Exception):
    """Stands for an event that ends the process at once."""


@pytest.fixture(name="config", scope="module")
def small_experiment(tmp_path_factory: pytest.TempPathFactory, tiny_weights: Path) -> Path:
    folder = tmp_path_factory.mktemp("experiment")
    settings = yaml.safe_load(Path("configs/tiny_imagenet/tiny_imagenet.yaml").read_text())
    settings |= {"workers": 0, "output": str(folder / "run")}
    settings["detector"] |= {"propose": {"class_path": "proposals.whole_image.WholeImage"}, "score_threshold": 0.0}
    settings["detector"]["classify"]["init_args"] |= {"weights": str(tiny_weights), "device": "cpu"}
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


@pytest.fixture(name="options")
def options_of_a_run(config: Path, tiny_images: Path, tmp_path: Path) -> list[str]:
    """Return options with folders that only this test uses."""
    return ["run", "--config", str(config), "--data", str(tiny_images), "--output", str(tmp_path), "--resamples", "20"]


@pytest.fixture(name="detected")
def images_detected_in(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which each call of the detector adds its number of images."""
    calls: list[int] = []
    original = Detector.score

    def recording(self: Detector, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        calls.append(len(images))
        return original(self, images, proposals)

    monkeypatch.setattr(Detector, "score", recording)
    return calls


@pytest.fixture(name="copy")
def copy_of_the_data(tiny_images: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_images, tmp_path / "data")


def report_of(options: list[str], path: Path, *more: str) -> dict[str, Any]:
    assert evaluate.main([*options, "--json", str(path), *more]) == 0
    report: dict[str, Any] = json.loads(path.read_text(), parse_constant=pytest.fail)
    return report
