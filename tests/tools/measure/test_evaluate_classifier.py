"""The command `detect-evaluate-classifier`, from its options to the files that it writes."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from classifier.whole_images.classification import average_probabilities
from classifier.whole_images.image_classifier import ImageClassifier
from detection.datasets import TinyImageNet
from detection.datasets.category_kinds import HEADER, Kinds
from detection.image import read_image
from detection.structures.arrays import Image, IntArray
from tools.measure import evaluate_classifier
from tools.measure.evaluate_classifier import as_categories, confusions, error_grid, format_report, rank_classes

Run = Callable[..., int]


@pytest.fixture(name="run")
def run_on_tiny_images(tiny_images: Path) -> Run:
    options = ["--dataset", "detection.datasets.TinyImageNet", "--data", str(tiny_images), "--device", "cpu"]
    return lambda *arguments: evaluate_classifier.main([*options, *arguments])


@pytest.fixture(name="random_weights")
def write_random_weights(tmp_path: Path, tiny_description: NetworkDescription) -> Callable[..., Path]:
    def write(**changes: object) -> Path:
        description = dataclasses.replace(tiny_description, background=False, **changes)  # type: ignore[arg-type]
        path = tmp_path / "other.safetensors"
        save_weights(path, description.build(), description)
        return path

    return write


def test_writes_the_grid(
    run: Run,
    tiny_weights: Path,
    random_weights: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    report, plot = tmp_path / "new" / "report.json", tmp_path / "new" / "plot.png"
    weights = [str(tiny_weights), str(random_weights())]
    assert run("--weights", *weights, "--crops", "10", "1", "--json", str(report), "--plot", str(plot)) == 0
    content = json.loads(report.read_text())
    assert content["weights"] == weights
    assert content["images"] == 12
    cells = [(row["models"], row["crops"]) for row in content["errors"]]
    assert cells == [(1, 1), (1, 10), (2, 1), (2, 10)]
    assert all(0 <= row["top1_error"] <= 1 for row in content["errors"])
    assert all(row["top5_error"] == 0 for row in content["errors"])  # there are only three classes
    assert read_image(plot).shape == (600, 1200, 3)
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["12 images of val", "input  models  crops  top-1 error  top-5 error"]
    size = str(content["errors"][0]["input_size"])
    assert printed[2].split()[:3] == [size, "1", "1"]
    assert printed[5].split() == [size, "2", "10", f"{content['errors'][3]['top1_error']:.2%}", "0.00%"]


def test_ranks_agree_with_averages_of_all_images_at_once(tiny_images: Path, tiny_weights: Path) -> None:
    classifier = ImageClassifier(str(tiny_weights), device="cpu")
    images = TinyImageNet(tiny_images).read_labels("val")
    best = rank_classes([classifier], images, [1, 10], batch_size=30)  # three images at a time
    expected = average_probabilities([classifier], [read_image(image.path) for image in images], [1, 10])
    assert np.array_equal(best, np.argsort(-expected, axis=-1))


def test_every_image_is_read_once(
    run: Run, tiny_images: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def counted(path: Path) -> Image:
        read.append(path)
        return read_image(path)

    monkeypatch.setattr(evaluate_classifier, "read_image", counted)
    assert run("--weights", str(tiny_weights), str(tiny_weights), "--crops", "1", "10") == 0
    assert read == [image.path for image in TinyImageNet(tiny_images).read_labels("val")]


def test_error_grid_by_hand() -> None:
    labels = np.array([0, 7])
    # The first model has the right class of the first image in first place, and of the second image in fourth place.
    # Both models together have both in first place.
    first = [[0, 1, 2, 3, 4], [1, 2, 3, 7, 5]]
    both = [[0, 1, 2, 3, 4], [7, 2, 3, 1, 5]]
    best = np.array([[first], [both]])
    assert error_grid(best, labels, [10], input_size=64) == [
        {"input_size": 64, "models": 1, "crops": 10, "top1_error": 0.5, "top5_error": 0.0},
        {"input_size": 64, "models": 2, "crops": 10, "top1_error": 0.0, "top5_error": 0.0},
    ]


def test_confusions_with_names_and_shares() -> None:
    labels: IntArray = np.array([0, 0, 0, 0, 1])
    predicted: IntArray = np.array([1, 1, 1, 0, 0])
    assert confusions(predicted, labels, ("cat", "dog"), limit=5) == [
        {"class": "cat", "taken_for": "dog", "images": 3, "class_images": 4, "share": 0.75},
        {"class": "dog", "taken_for": "cat", "images": 1, "class_images": 1, "share": 1.0},
    ]


def test_confusions_are_printed_with_how_many_images_they_are_a_share_of() -> None:
    found = confusions(np.array([1] * 75 + [0] * 26), np.array([0] * 100 + [1]), ("cat", "guinea pig"), limit=5)
    errors = [{"input_size": 64, "models": 1, "crops": 1, "top1_error": 0.75, "top5_error": 0.0}]
    text = format_report({"images": 101, "split": "val", "errors": errors, "confusions": found})
    assert text.splitlines()[3:] == [
        "",
        "most often confused          images  share",
        "cat taken for guinea pig  75 of 100    75%",
        "guinea pig taken for cat     1 of 1   100%",
    ]


def test_report_without_confusions() -> None:
    errors = [{"input_size": 64, "models": 1, "crops": 144, "top1_error": 0.125, "top5_error": 0.0}]
    text = format_report({"images": 8, "split": "val", "errors": errors, "confusions": []})
    assert text.splitlines() == [
        "8 images of val",
        "input  models  crops  top-1 error  top-5 error",
        "64          1    144       12.50%        0.00%",
    ]


def test_split_without_images(tiny_images: Path, tmp_path: Path, tiny_weights: Path) -> None:
    copy = shutil.copytree(tiny_images, tmp_path / "data")
    (copy / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("")
    options = ["--weights", str(tiny_weights), "--dataset", "detection.datasets.TinyImageNet", "--data", str(copy)]
    assert evaluate_classifier.main(options) == 1


def test_class_lists_that_disagree(
    run: Run, tiny_weights: Path, random_weights: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = random_weights(class_names=("cat", "jug", "rocket"))
    assert run("--weights", str(tiny_weights), str(other)) == 1
    reason = f"{other}: expected the classes of {tiny_weights}, class 1 is 'jug', not 'cup'"
    assert capsys.readouterr().err.strip() == f"detect-evaluate-classifier: {reason}"


def test_classes_that_are_not_the_data_sets(
    run: Run, random_weights: Callable[..., Path], tiny_images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = random_weights(class_names=("cat", "cup"))
    assert run("--weights", str(other)) == 1
    assert f"{other}: expected the 3 classes of {tiny_images}, got 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--plot", "plot.tiff"], "plot.tiff: expected a name that ends in .png"),
        (["--json", "."], ".: expected a file to write, got a folder"),
        (["--json", f"{__file__}/report.json"], f"{__file__}/report.json: expected a place to write to"),
        (["--split", "test"], "expected split 'train' or 'val', got 'test'"),
        (["--device", "cuda:999"], "device cuda:999: expected"),
        (["--weights", "none.safetensors"], "none.safetensors: no such weights file"),
    ],
)
def test_bad_input(
    arguments: list[str], reason: str, run: Run, tiny_weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--weights", str(tiny_weights), *arguments) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("detect-evaluate-classifier: ")
    assert reason in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "arguments", [["--crops", "12"], ["--batch_size", "0"], ["--limit", "0"], ["--device", "gpu"], ["--nonsense"]]
)
def test_bad_options(arguments: list[str], run: Run, tiny_weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        run("--weights", str(tiny_weights), *arguments)
    assert arguments[0].lstrip("-") in capsys.readouterr().err


def test_plot_needs_matplotlib(
    run: Run, tiny_weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert run("--weights", str(tiny_weights), "--plot", str(tmp_path / "plot.png")) == 1
    assert "expected matplotlib to draw it with; install inception-rcnn[train]" in capsys.readouterr().err


def test_sizes_of_the_input(run: Run, tiny_weights: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run("--weights", str(tiny_weights), "--json", str(report)) == 0
    own = json.loads(report.read_text())["errors"]
    size = own[0]["input_size"]
    report.unlink()
    assert run("--weights", str(tiny_weights), "--json", str(report), "--input_sizes", "48", str(size)) == 0
    errors = json.loads(report.read_text())["errors"]
    assert [row["input_size"] for row in errors] == [48, size]
    assert errors[1:] == own


def test_kinds_of_categories_are_right() -> None:
    best = np.array([[[[3, 1], [0, 4], [2, 4]]]])  # the two likeliest classes of three images
    kinds = {0: Kinds(frozenset([1, 3]), complete=True), 1: Kinds(frozenset([4]), complete=False)}
    found = as_categories(best, np.array([0, 1, 0]), kinds)
    assert found.tolist() == [[[[0, 0], [-1, 1], [-1, -1]]]]


@pytest.mark.parametrize("by_index", [False, True])
def test_categories_with_kinds_are_measured(run: Run, tiny_weights: Path, tmp_path: Path, *, by_index: bool) -> None:
    names = ImageClassifier(str(tiny_weights)).class_names
    table = tmp_path / "kinds.tsv"
    # Every class is a kind of the first one.
    by_name = f"{HEADER}\n{names[0]}\tall\t{', '.join(names)}\n"
    table.write_text(f"category\tindices\n{names[0]}\t0-{len(names) - 1}\n" if by_index else by_name)
    report = tmp_path / "report.json"
    assert run("--weights", str(tiny_weights), "--classes", str(table), "--json", str(report)) == 0
    content = json.loads(report.read_text())
    assert content["images"] == 4  # of the first class
    assert [(row["top1_error"], row["top5_error"]) for row in content["errors"]] == [(0, 0)]
    assert content["confusions"] == []
