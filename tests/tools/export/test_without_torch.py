"""Detection where PyTorch and the other packages of the whole installation are missing."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from classifier.ensemble import Ensemble
from detection.configuration import find_config, load_detector, read_yaml
from detection.errors import InputError
from detection.runtime.int8 import runs_int8
from detection.runtime.weights_files.engine import Cpu
from detection.structures.detections import Detections
from tests.tools.command.all_commands import SCRIPTS
from tests.tools.export.conftest import MEMBERS
from tools.export.command import main
from tools.export.detector_networks import find_networks

ROOT = Path(__file__).resolve().parents[3]

MISSING = ("torch", "torchvision", "lightning", "pycocotools", "scipy", "skimage", "sklearn", "pandas", "onnx")
"""The packages of the whole installation that the light one does not have."""

needs_int8 = pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")


@pytest.fixture(name="light")
def environment_without_packages(tmp_path: Path) -> dict[str, str]:
    """The variables of a process, and of the processes that it starts, in which importing these packages fails."""
    folder = tmp_path / "light"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({MISSING!r}))\n")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}


@pytest.fixture(name="beside", scope="module")
def detector_with_onnx_files(config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small detector in a folder where ONNX files lie beside its weights files."""
    folder = tmp_path_factory.mktemp("beside") / "small"
    shutil.copytree(config.parent, folder)
    assert main(["--config", str(folder / config.name), "--beside"]) == 0
    return folder / config.name


def detect(light: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from detection.cli import run; run()", "--quiet", *map(str, arguments)]
    return subprocess.run(command, env=light, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)


def require_same(found: list[dict[str, Any]], expected: Detections) -> None:
    """Check that JSON lists the expected detections with the same scores."""
    assert len(expected) > 1
    assert [each["class"] for each in found] == list(expected.names)
    np.testing.assert_allclose([each["score"] for each in found], expected.scores, atol=1e-4)
    np.testing.assert_allclose([each["box"] for each in found], expected.boxes, atol=0.1)


@needs_int8
def test_the_shipped_detector_finds_the_same(light: dict[str, str]) -> None:
    photo = ROOT / "detection" / "cli" / "sample" / "cat.jpg"
    run = detect(light, photo, "--json", "-", "--no-image", "--score-threshold", "0.05")
    assert (run.returncode, run.stderr) == (0, "")
    detector = load_detector(device="cpu")
    detector.score_threshold = 0.05  # below that of the configuration, so that there is more than one detection
    expected = detector(photo)
    require_same(json.loads(run.stdout)[0]["detections"], expected)


@pytest.mark.parametrize("name", ["detector.yaml", "tiny_imagenet_detector.yaml", "ensemble.yaml"])
def test_shipped_weights_have_an_onnx_file_that_was_made_for_them(name: str) -> None:
    files = [use.path for use in find_networks(read_yaml(find_config(name)), source=name)]
    assert len(files) > 2
    for path in files:
        properties = onnx.load(path.with_suffix(".onnx"), load_external_data=False).metadata_props
        (made_for,) = (json.loads(entry.value) for entry in properties if entry.key == "weights")
        assert made_for == {"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


@needs_int8
def test_weights_are_stored_once(beside: Path, fast: Path) -> None:
    """Small files beside the weights files compute what the large ones compute that hold their weights."""
    for name in MEMBERS:
        small, large = beside.with_name(f"{name}.onnx"), fast / f"{name}.onnx"
        assert small.stat().st_size < large.stat().st_size
        stored = list(onnx.load(small, load_external_data=False).graph.initializer)
        assert {entry.value for tensor in stored for entry in tensor.external_data if entry.key == "location"} == {
            f"{name}.safetensors"
        }
        images = [np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)]
        boxes = [np.array([[0, 0, 120, 90], [20, 10, 70, 60]], np.float32)]
        (actual,), (expected,) = (Ensemble([str(path)])(images, boxes) for path in (small, large))
        np.testing.assert_array_equal(actual.probabilities, expected.probabilities)


def test_a_detector_with_files_beside_its_weights(beside: Path, photo: Path, light: dict[str, str]) -> None:
    run = detect(light, photo, "--config", beside, "--json", "-", "--no-image", "--max-detections", 3)
    assert (run.returncode, run.stderr) == (0, "")
    assert len(json.loads(run.stdout)[0]["detections"]) == 3


def test_what_needs_pytorch_is_told(light: dict[str, str], config: Path, photo: Path) -> None:
    run = detect(light, photo, "--config", config)
    assert run.returncode == 1
    expected = "boxes.safetensors: expected PyTorch to compute it with, or an ONNX file beside it; pip install torch"
    assert expected in run.stderr
    run = detect(light, photo, "--device", "cuda")
    assert run.stderr == "detect: device cuda: expected cpu, because PyTorch is not installed; pip install torch\n"


@pytest.mark.parametrize(
    ("name", "module", "arguments"),
    [
        ("detect-train", "tools.train.train_classifier", ["data"]),  # fails while it is imported
        ("detect-evaluate", "tools.measure.evaluate.command", ["run", "--help"]),  # fails while it runs
    ],
)
def test_a_command_that_needs_more_names_it(
    light: dict[str, str], name: str, module: str, arguments: list[str]
) -> None:
    code = f"import sys; sys.argv = ['bin/{name}', *{arguments}]; from {module} import main; main()"
    run = subprocess.run([sys.executable, "-c", code], env=light, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (1, "")
    expected = rf"{name}: expected the package \w+, which is not installed; pip install 'inception-rcnn' adds it\n"
    assert re.fullmatch(expected, run.stderr)


def test_no_command_that_needs_more_ends_with_a_traceback(light: dict[str, str]) -> None:
    """The module of each command is imported, as its console script does first."""
    code = f"""
import importlib, sys
for module in {sorted(target.partition(":")[0] for target in SCRIPTS.values())}:
    try:
        importlib.import_module(module)
    except ImportError as error:
        sys.argv[0] = module
        sys.excepthook(type(error), error, error.__traceback__)
"""
    run = subprocess.run([sys.executable, "-c", code], env=light, capture_output=True, text=True, check=True)
    lines = run.stderr.splitlines()
    assert len(lines) > 10
    for line in lines:
        assert re.fullmatch(r"tools\.[\w.]+: expected the package \w+, .* pip install 'inception-rcnn.*' adds it", line)


def test_other_weights_beside_an_onnx_file(beside: Path, tmp_path: Path) -> None:
    shutil.copytree(beside.parent, tmp_path / "copy")
    first = tmp_path / "copy" / "first.safetensors"
    first.write_bytes(first.read_bytes()[:-1] + b"\1")
    with pytest.raises(InputError, match=r"first\.onnx: expected the file first\.safetensors for which it was made"):
        Ensemble([str(first.with_suffix(".onnx"))])
    first.unlink()
    with pytest.raises(InputError, match=r"first\.onnx: expected an ONNX file that ONNX Runtime can read, got: .*"):
        Ensemble([str(first.with_suffix(".onnx"))])


@pytest.mark.parametrize("suffix", ["safetensors", "onnx"])
def test_a_file_with_its_own_weights_is_computed_only_if_it_is_named(
    config: Path, fast: Path, tmp_path: Path, suffix: str
) -> None:
    """The weights beside it may have been trained since it was written."""
    for path in (config.with_name("first.safetensors"), fast / "first.onnx"):
        shutil.copy(path, tmp_path)
    (network,) = Ensemble([str(tmp_path / f"first.{suffix}")], device="cpu").networks
    assert isinstance(network.device, Cpu) == (suffix == "onnx")
