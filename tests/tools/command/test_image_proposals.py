"""Commands that read a cache of proposals give the same results as with the proposer, and refuse a wrong cache."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from detection.configuration import build_detector
from detection.datasets import TinyImageNet
from detection.errors import InputError
from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.contracts import Proposals
from proposals.cache.reader import ProposalCache
from proposals.selective_search import SelectiveSearch
from tests.tools.conftest import fill, message
from tools.command.image_proposals import ImageProposals
from tools.data import propose
from tools.measure.evaluate import command as evaluate
from tools.measure.evaluate.kept_results import detect_each
from tools.train import train_classifier

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


def measure(options: list[str], report: Path, *more: str) -> int:
    return evaluate.main(["run", *options, "--json", str(report), *more])


def test_cached_proposals_measure_the_same(
    search_options: list[str], filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "report.json"
    assert measure(search_options, report) == 0
    made = json.loads(report.read_text())

    def unexpected(self: SelectiveSearch, image: Image) -> Proposals:  # noqa: ARG001
        pytest.fail("expected the cached proposals to be taken")

    monkeypatch.setattr(SelectiveSearch, "__call__", unexpected)
    assert measure(search_options, report, "--proposals", str(filled)) == 0
    cached = json.loads(report.read_text())
    assert cached["proposals_per_image"] == made["proposals_per_image"] > 1
    assert cached["mAP"] == pytest.approx(made["mAP"], abs=0.01)
    assert cached["recall"] == made["recall"]


def test_cached_proposals_detect_the_same(search_config: Path, filled: Path, tiny_images: Path) -> None:
    settings = yaml.safe_load(search_config.read_text())["detector"]
    settings["classify"]["init_args"]["precision"] = "float32"  # int8 makes more of boxes that are rounded
    detector = build_detector(settings, source=str(search_config))
    records = TinyImageNet(tiny_images).read("val")
    made, cached = (
        list(detect_each(detector, records, ImageProposals(detector.propose, cache), workers=0))
        for cache in (None, ProposalCache(filled))
    )
    for expected, result in zip(made, cached, strict=True):
        assert len(result.detections) == len(expected.detections) > 0
        np.testing.assert_allclose(np.sort(result.detections.scores), np.sort(expected.detections.scores), atol=5e-3)


def run_evaluate(options: list[str]) -> int:
    return evaluate.main(["run", *options])


def run_training(options: list[str]) -> int:
    return train_classifier.main(["fit", *options])


BOTH = pytest.mark.parametrize(("run", "name"), [(run_evaluate, "detect-evaluate"), (run_training, "detect-train")])


@BOTH
def test_image_without_proposals(
    run: Callable[[list[str]], int],
    name: str,
    search_options: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "few.proposals"
    assert fill(search_options, path, "--limit", "3") == 0
    assert run([*search_options, "--proposals", str(path), "--output", str(tmp_path)]) == 1
    assert message(capsys) == (
        f"{name}: {path}: expected proposals of image '1' and 8 more, got none; add them with detect-propose"
    )


@BOTH
def test_cache_that_is_not_there_or_of_another_proposer(
    run: Callable[[list[str]], int],
    name: str,
    search_options: list[str],
    filled: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    missing = filled.with_name("missing.proposals")
    assert run([*search_options, "--proposals", str(missing)]) == 1
    assert message(capsys) == f"{name}: {missing}: no such cache of proposals; make it with detect-propose"
    other = ["--detector.propose.init_args.min_side", "9"]
    assert run([*search_options, "--proposals", str(filled), *other]) == 1
    assert "expected a cache made with propose.init_args.min_side 9, got one with 8" in message(capsys)


def fill_again(options: list[str]) -> int:
    return propose.main([*options[:-2], "--split", "val", "--output", options[-1]])


@pytest.mark.parametrize(
    ("run", "name"), [(run_evaluate, "detect-evaluate"), (run_training, "detect-train"), (fill_again, "detect-propose")]
)
def test_cache_of_another_data_set(
    *,
    run: Callable[[list[str]], int],
    name: str,
    search_options: list[str],
    filled: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The other data set has the same reader, and images of the same names."""
    data = shutil.copytree(search_options[-1], tmp_path / "data")
    picture = data / "tiny-imagenet-200" / "val" / "images" / "5.png"
    length = picture.stat().st_size
    picture.write_bytes(picture.read_bytes() + b"0")
    fresh = ["--results", str(tmp_path / "results")] if run is run_evaluate else []
    assert run([*search_options[:-1], str(data), "--proposals", str(filled), *fresh]) == 1
    assert message(capsys) == (
        f"{name}: {filled}: expected proposals of {picture}, {length + 1} bytes, got those of an image '5' of {length} "
        "bytes; the cache is of another data set, or the image has changed"
    )


def test_picture_of_another_size(filled: Path, tiny_images: Path) -> None:
    """The file of an image may change after the cache was opened."""
    record = TinyImageNet(tiny_images).read("val")[5]
    proposals = ImageProposals(SelectiveSearch(), ProposalCache(filled))
    assert len(proposals(record, np.zeros((64, 64, 3), np.uint8))) > 1
    with pytest.raises(InputError) as error:
        proposals(record, np.zeros((30, 64, 3), np.uint8))
    assert error.value.line == (
        f"{filled}: expected proposals of {record.path}, 64x30 px, got those of an image of 64x64 px"
    )


def test_training_draws_from_the_cache(
    search_options: list[str], filled: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    read: list[str] = []
    original = ProposalCache.boxes_of

    def noted(self: ProposalCache, image_ids: Sequence[str]) -> tuple[FloatArray, IntArray]:
        read.extend(image_ids)
        return original(self, image_ids)

    monkeypatch.setattr(ProposalCache, "boxes_of", noted)
    assert run_training([*search_options, "--proposals", str(filled), "--output", str(tmp_path)]) == 0
    assert sorted(read) == sorted(str(index) for index in range(12))


def test_whole_images_have_no_use_for_proposals(
    search_options: list[str], filled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_images = ["--task", "classifier.training.tasks.WholeImages", "--output", str(tmp_path)]
    assert run_training([*search_options, "--proposals", str(filled), *whole_images]) == 1
    assert message(capsys) == "detect-train: proposals: expected a task with regions, got one with whole images"


AFTER_THREADS = """
import cv2
import numpy as np
from tools.command.image_proposals import one_by_one

cv2.setNumThreads(2)
cv2.GaussianBlur(np.zeros((3000, 3000, 3), np.uint8), (31, 31), 5)  # starts OpenCV's threads
print(list(one_by_one([1, 2, 3], workers=1)), cv2.getNumThreads())
"""


def test_loaders_start_after_opencv_has_used_its_threads() -> None:
    command = [sys.executable, "-c", AFTER_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[1, 2, 3] 2\n"
