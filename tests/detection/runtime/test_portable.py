"""A detector can be pickled and copied, and works in processes that are spawned or forked."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import detection
from classifier.scoring.cuda_graphs import BatchGraphs
from classifier.whole_images.image_classifier import ImageClassifier
from detection import Detections, Detector, load_detector
from detection.errors import InputError
from detection.runtime import device
from detection.runtime.device import prepare_forked
from detection.runtime.int8 import QuantisedConvolution, runs_int8
from detection.structures.arrays import Image
from proposals.merge import MergedProposer

COPIES: list[Callable[[Any], Any]] = [lambda whole: pickle.loads(pickle.dumps(whole)), copy.deepcopy, copy.copy]


def detect(detector: Detector, image: Image) -> Detections:
    return detector(image)


def assert_equal(detections: Detections, expected: Detections) -> None:
    assert detections.class_names == expected.class_names
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(detections, name), getattr(expected, name))


@pytest.fixture(scope="module")
def shipped() -> Detector:
    detector = load_detector(device="cpu")
    assert isinstance(detector.propose, MergedProposer)
    detector.propose.budget = 40
    detector.max_detections = 7
    detector.score_threshold = 0.0
    return detector


@pytest.mark.parametrize("copied", COPIES)
def test_copy_finds_the_same(shipped: Detector, copied: Callable[[Any], Any], photo_pixels: Image) -> None:
    again = copied(shipped)
    assert (again.max_detections, again.class_names) == (7, shipped.class_names)
    assert_equal(again(photo_pixels), shipped(photo_pixels))


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_detector_is_sent_to_another_process(shipped: Detector, method: str, photo_pixels: Image) -> None:
    with multiprocessing.get_context(method).Pool(1) as processes:
        detections = processes.apply(detect, (shipped, photo_pixels))
    assert_equal(detections, shipped(photo_pixels))


@pytest.mark.parametrize("copied", COPIES)
def test_copy_of_a_classifier_of_images(tiny_weights: Path, copied: Callable[[Any], Any]) -> None:
    classifier = ImageClassifier(str(tiny_weights), device="cpu")
    crops = torch.rand(2, 3, 32, 32) * 255 - 128
    torch.testing.assert_close(copied(classifier).probabilities(crops), classifier.probabilities(crops), rtol=0, atol=0)


@pytest.mark.skipif(not runs_int8(), reason="needs convolutions of bytes")
def test_copy_of_a_convolution_of_bytes() -> None:
    layer = nn.Conv2d(8, 6, 3).requires_grad_(requires_grad=False)
    quantised = QuantisedConvolution(layer, input_scale=0.5, output_scale=None)
    inputs = torch.randint(0, 256, (1, 8, 9, 9), dtype=torch.uint8)
    torch.testing.assert_close(copy.deepcopy(quantised)(inputs), quantised(inputs), rtol=0, atol=0)


def test_copy_of_graphs_captures_its_own() -> None:
    graphs = BatchGraphs()
    graphs.captured[("outputs", torch.Size([1]))] = None
    assert copy.deepcopy(graphs).captured == {}


FORK = """
import os, signal, sys
from concurrent.futures import ThreadPoolExecutor
import torch
from detection import load_detector
detector = load_detector(sys.argv[1])
before = detector(sys.argv[2]).scores.tolist()
assert torch.get_num_threads() == 2
if os.fork():  # the fork ends by itself if it hangs
    sys.exit(os.waitstatus_to_exitcode(os.wait()[1]))
signal.alarm(250)
after = [detector(sys.argv[2]).scores.tolist()]
with ThreadPoolExecutor(2) as threads:
    after += list(threads.map(lambda _: detector(sys.argv[2]).scores.tolist(), range(4)))
own = load_detector(sys.argv[1])(sys.argv[2]).scores.tolist()
os._exit(0 if after == [before] * 5 and own == before else 1)
"""


def test_detector_works_in_a_fork(detector_config: Path, photo: Path) -> None:
    """Without `prepare_forked`, the fork waits for threads of PyTorch that it does not have."""
    root = Path(detection.__file__).parents[1]
    command = [sys.executable, "-c", FORK, str(detector_config), str(photo)]
    subprocess.run(
        command,
        cwd=root,
        env=os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "PASSIVE"},
        timeout=300,
        check=True,
    )


def test_fork_uses_one_thread_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    prepare_forked(torch.device("cuda"))
    assert threads == []
    monkeypatch.setattr(device, "_PROCESS", -1)
    prepare_forked(torch.device("cpu"))
    assert threads == [1]
    with pytest.raises(InputError, match=r"^device cuda: expected a process that loads its own detector"):
        prepare_forked(torch.device("cuda"))
