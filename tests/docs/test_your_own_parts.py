"""Every part of `docs/your-own-parts.md` works: its files are written to a folder, and its commands run there."""

from __future__ import annotations

import importlib
import runpy
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from classifier.region_network import RegionNetwork
from detection import Detector, load_detector, read_image
from detection.structures.split_columns import SplitDetections, split_index
from tests.docs.markdown import ROOT, code_blocks, shell_commands

PAGE = (ROOT / "docs" / "your-own-parts.md").read_text(encoding="utf-8")
FILES = {block.file: block.text for block in code_blocks(PAGE) if block.file}
COMMANDS = [words for words in shell_commands(PAGE) if words[0].startswith("detect")]
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder: the files of the page, with a small random network for the shipped one, a photo, and data."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text.replace("tiny_imagenet.safetensors", str(tiny_weights)), encoding="utf-8")
    data = tmp_path / "my_photos"
    (data / "images").mkdir(parents=True)
    (data / "classes.txt").write_text("red\ngreen\nblue\n", encoding="utf-8")
    (data / "val.csv").write_text(
        "a.png,red,20,30,80,90\nb.png,green,20,30,80,90\nc.png,blue,20,30,80,90\n", encoding="utf-8"
    )
    for name, colour in (("a.png", RED), ("b.png", GREEN), ("c.png", BLUE)):
        write_square(data / "images" / name, colour)
    write_square(tmp_path / "photo.jpg", RED)
    (tmp_path / "detections.tsv").write_text("a.png\tred\t0.9\t20\t30\t60\t60\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for name in FILES:
        sys.modules.pop(name.removesuffix(".py"), None)  # the next test has a folder of its own


def write_square(path: Path, colour: tuple[int, int, int]) -> None:
    pixels = np.full((120, 160, 3), 128, np.uint8)
    pixels[30:90, 20:80] = colour
    PIL.Image.fromarray(pixels).save(path)


def part(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


def test_there_is_a_file_for_each_kind_of_part() -> None:
    assert {"my_proposer.py", "my_classifier.py", "my_data.py", "my_format.py", "my_metric.py"} <= FILES.keys()
    assert len(COMMANDS) >= 3


def test_proposer() -> None:
    propose = part("my_proposer", "SlidingWindow")(side=60)
    image = read_image("photo.jpg")
    proposals = propose(image)
    assert proposals.boxes[:2].tolist() == [[0, 0, 60, 60], [30, 0, 90, 60]]
    assert (proposals.boxes[:, 2:] <= [160, 120]).all()
    assert len(load_detector("windows.yaml")("photo.jpg").class_names) == 3


def test_classifier() -> None:
    detections = load_detector("colours.yaml")("photo.jpg")
    assert detections[0].names == ["red"]
    np.testing.assert_allclose(detections[0].boxes, [[20, 30, 80, 90]], atol=6)


def test_data_set(folder: Path) -> None:
    dataset = part("my_data", "BoxesFromCSV")(folder / "my_photos")
    first, _, third = dataset.read("val")
    assert (first.image_id, first.boxes.tolist(), first.labels.tolist()) == ("a.png", [[20, 30, 80, 90]], [0])
    assert third.labels.tolist() == [2]
    with (folder / "my_photos" / "val.csv").open("a", encoding="utf-8") as file:
        file.write("c.png,pink,0,0,1,1\n")
    assert any("val.csv:4: expected a class" in str(fault) for fault in dataset.check("val").faults)


@pytest.mark.parametrize(
    "line",
    ["a.png", "a.png,red,20,30,80", "a.png,red,20,30,80,x", "a.png,red,80,30,20,90", "a.png,red,1,1,nan,4", ""],
)
def test_faults_of_a_data_set_are_listed(folder: Path, line: str) -> None:
    with (folder / "my_photos" / "val.csv").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    faults = part("my_data", "BoxesFromCSV")(folder / "my_photos").check("val").faults
    assert [str(fault).partition(": expected ")[0] for fault in faults] == [f"{folder}/my_photos/val.csv:4"]


def test_stages_without_a_file(folder: Path) -> None:
    detector = Detector(part("my_proposer", "SlidingWindow")(60), part("my_classifier", "MeanColour")())
    (folder / "function.py").write_text(
        "from detection.structures.arrays import Image\n"
        "from detection.structures.contracts import Proposals\n"
        "from my_proposer import SlidingWindow\n"
        "def propose(image: Image) -> Proposals:\n"
        "    return SlidingWindow(60)(image)\n"
    )
    settings = yaml.safe_load(FILES["colours.yaml"]) | {"propose": "function.propose", "score_threshold": 0.5}
    settings["classify"].pop("init_args")
    (folder / "function.yaml").write_text(yaml.safe_dump(settings))
    assert len(detector("photo.jpg")) > 0
    assert load_detector("function.yaml")("photo.jpg").to_dict() == detector("photo.jpg").to_dict()


def test_network() -> None:
    network = RegionNetwork(part("small", "Small")(4, width=8), box_classes=3)
    logits, deltas = network(torch.zeros(2, 3, 32, 32))
    assert logits.shape == (2, 4)
    assert deltas is not None
    assert deltas.shape == (2, 3, 4)


def test_class_of_two_words(folder: Path) -> None:
    (folder / "my_photos" / "classes.txt").write_text("traffic light\nred\n", encoding="utf-8")
    (folder / "my_photos" / "val.csv").write_text("a.png,traffic light,20,30,80,90\n", encoding="utf-8")
    dataset = part("my_data", "BoxesFromCSV")(folder / "my_photos")
    assert dataset.class_names == ("traffic light", "red")
    assert dataset.read("val")[0].labels.tolist() == [0]


def test_file_format(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    index = split_index(["a.png", "b.png"], ["red", "blue"])
    images, boxes, scores = np.array([1, 0]), np.array([[1.5, 2, 3, 4], [0, 0, 7, 8]]), np.array([0.75, 0.1])
    table = SplitDetections(index, images, np.array([0, 1]), boxes, scores)
    part("my_format", "write_tsv")(folder / "written.tsv", table)
    read = part("my_format", "read_tsv")(folder / "written.tsv", index)
    for column, expected in vars(table).items():
        if column != "index":
            np.testing.assert_array_equal(getattr(read, column), expected)

    runpy.run_path("score_my_format.py")
    assert "mAP: 0.333" in capsys.readouterr().out  # the red object is found, the others are not
    assert (folder / "results.json").is_file()


def test_scripts_run_one_after_the_other(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "detections.tsv").unlink()
    scripts = [words[1] for words in shell_commands(PAGE) if words[0] == "python"]
    assert scripts == ["write_my_format.py", "score_my_format.py", "measure.py"]
    for script in scripts[:2]:
        runpy.run_path(script)
    assert len((folder / "detections.tsv").read_text(encoding="utf-8").splitlines()) >= 3
    assert "mAP: 1.000" in capsys.readouterr().out


def test_metric(capsys: pytest.CaptureFixture[str]) -> None:
    results = runpy.run_path("measure.py")
    printed = capsys.readouterr().out
    assert "mAP at IoU 0.75: 1.000" in printed
    assert "precision at a score of 0.7:" in printed
    metrics = results["metrics"]
    best = float(metrics.detections.scores.max())
    assert results["precision"](metrics, best) == 1
    assert np.isnan(results["precision"](metrics, 1.1))


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_command_runs(command: list[str]) -> None:
    script, *arguments = command
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    module, _, function = scripts[script].partition(":")
    function = "main" if script == "detect" else function  # `run` would end this process
    assert part(module, function)(arguments) == 0
