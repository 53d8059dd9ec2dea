"""The same picture gives the same detections, however it is computed: a matrix of ways and processors.

Batches, threads, folders and repeated runs change nothing at all, or the last bits of a score. Other processors
add numbers in another order, which moves scores by less than `TOLERANCE`, and boxes by less than `PIXELS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from detection.configuration import build_detector, load_detector
from detection.runtime.child_process import child_environment
from detection.structures.arrays import Image
from detection.structures.detections import Detections

TOLERANCE = 1e-4
"""The largest difference of a score, in 0-1, between processors."""

PIXELS = 1e-3
"""The largest difference of a corner of a box."""

REPORT = """
import json, sys
import torch
from detection import load_detector
found = load_detector(sys.argv[1])(sys.argv[2])
print(json.dumps([torch.backends.cpu.get_cpu_capability(), found.boxes.tolist(), found.scores.tolist(),
                  found.labels.tolist()]))
"""


@pytest.fixture(name="settings", params=["float32", "int8"])
def settings_of_a_precision(request: pytest.FixtureRequest, detector_settings: dict[str, Any]) -> dict[str, Any]:
    detector_settings["classify"]["init_args"]["precision"] = request.param
    return detector_settings


@pytest.fixture(name="expected")
def detections_one_by_one(settings: dict[str, Any], photo: Path) -> Detections:
    found = build_detector(settings, source="test")(photo)
    assert len(found) > 20
    return found


def require_same(found: Detections, expected: Detections, *, exact: bool = False) -> None:
    """Check that two pictures have the same detections; `exact` also compares the last bits of the scores."""
    assert len(found) == len(expected)
    if exact:
        np.testing.assert_array_equal(found.scores, expected.scores)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.labels, expected.labels)
        return
    np.testing.assert_allclose(np.sort(found.scores), np.sort(expected.scores), atol=TOLERANCE, rtol=0)
    # Scores that differ by less than the tolerance may change places.
    mine, others = by_place(found), by_place(expected)
    np.testing.assert_array_equal(found.labels[mine], expected.labels[others])
    np.testing.assert_allclose(found.boxes[mine], expected.boxes[others], atol=PIXELS, rtol=0)
    np.testing.assert_allclose(found.scores[mine], expected.scores[others], atol=TOLERANCE, rtol=0)


def by_place(detections: Detections) -> Any:
    """Return the order of the detections by their class and their box."""
    return np.lexsort([*np.round(detections.boxes, 2).T, detections.labels])


def test_runs(settings: dict[str, Any], photo: Path, expected: Detections) -> None:
    detector = build_detector(settings, source="test")
    for _ in range(2):
        require_same(detector(photo), expected, exact=True)


@pytest.mark.parametrize("batch_size", [1, 7, 500])
def test_batches(settings: dict[str, Any], photo: Path, expected: Detections, batch_size: int) -> None:
    settings["classify"]["init_args"]["batch_size"] = batch_size
    require_same(build_detector(settings, source="test")(photo), expected)


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_threads(settings: dict[str, Any], photo: Path, expected: Detections, count: int) -> None:
    with threads(count):
        require_same(build_detector(settings, source="test")(photo), expected)


def test_a_folder(settings: dict[str, Any], photo: Path, photo_pixels: Image, expected: Detections) -> None:
    """The picture stands among others of other sizes, whose regions share its batches."""
    for number, size in enumerate([(60, 90), (130, 50)]):
        PIL.Image.fromarray(photo_pixels).resize(size).save(photo.parent / f"{number}.png")
    results = list(build_detector(settings, source="test").stream(photo.parent))
    assert [Path(result.name).name for result in results] == ["0.png", "1.png", "photo.jpg"]
    require_same(results[2].detections, expected)


AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "NUMBA_CPU_NAME": "haswell"}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="these are kinds of x86 processors")
def test_processors(detector_settings: dict[str, Any], photo: Path, tmp_path: Path) -> None:
    """The machine code of PyTorch, oneDNN and Numba is that for processors without AVX-512."""
    detector_settings["classify"]["init_args"]["precision"] = "float32"
    config = tmp_path / "float32.yaml"
    config.write_text(yaml.safe_dump(detector_settings))
    environment = child_environment() | AVX2
    command = [sys.executable, "-c", REPORT, str(config), str(photo)]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=600).stdout
    capability, boxes, scores, labels = json.loads(output)
    assert capability == "AVX2"
    expected = load_detector(config)(photo)
    found = Detections(np.array(boxes), np.array(scores), np.array(labels), expected.class_names)
    require_same(found, expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu(detector_settings: dict[str, Any], photo: Path) -> None:
    """A GPU computes float32 as a CPU does, unless it may round to TensorFloat-32."""
    detector_settings["classify"]["init_args"]["precision"] = "float32"
    expected = build_detector(detector_settings, source="test")(photo)
    detector_settings["classify"]["init_args"]["device"] = "cuda"
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        require_same(build_detector(detector_settings, source="test")(photo), expected)
