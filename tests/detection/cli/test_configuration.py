"""Weights, configurations and devices that `detect` cannot use."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
import yaml
from safetensors.torch import save_file

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from detection.cli import main
from detection.configuration import load_detector
from detection.errors import InputError
from tests.detection.conftest import Detect, Settings, assert_one_line_each, names_in, write_config


@pytest.fixture(
    name="broken_weights",
    params=["truncated", "text", "empty", "foreign", "unfit", "other classes", "other package", "missing", "folder"],
)
def weights_that_cannot_be_used(
    request: pytest.FixtureRequest, tmp_path: Path, tiny_weights: Path, tiny_description: NetworkDescription
) -> Path:
    path: Path = tmp_path / request.param
    network = tiny_description.build()
    match request.param:
        case "truncated":
            path.write_bytes(tiny_weights.read_bytes()[:1000])
        case "text":
            path.write_text("I am not a network.\n" * 20)
        case "empty":
            path.touch()
        case "foreign":
            save_file({"weight": torch.zeros(3)}, path)
        case "unfit":
            arguments = tiny_description.init_args | {"width_multiplier": 0.25}
            save_weights(path, network, replace(tiny_description, init_args=arguments))
        case "other classes":
            save_weights(path, network, replace(tiny_description, class_names=("cat",)))
        case "other package":
            save_weights(path, network, replace(tiny_description, class_path="torch.nn.Linear"))
        case "folder":
            path.mkdir()
    return path


def test_unusable_weights(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings, broken_weights: Path
) -> None:
    detector_settings["classify"]["init_args"]["weights"] = str(broken_weights)
    status, out, err = detect(photo, config=write_config(tmp_path, detector_settings))
    assert (status, out) == (1, "")
    assert err.startswith(f"detect: {broken_weights}: ")
    assert "expected" in err
    assert len(err.splitlines()) == 1
    assert names_in(photo.parent) == ["photo.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("colour: red\n", id="unknown key alone"),
        pytest.param("{text}colour: red\n", id="unknown key"),
        pytest.param("{text}score_threshold: high\n", id="wrong type"),
        pytest.param("a: [b\nc: {{", id="not YAML"),
        pytest.param("just text", id="not a mapping"),
        pytest.param("", id="empty"),
    ],
)
def test_unusable_configuration(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings, content: str
) -> None:
    del detector_settings["score_threshold"]
    config = tmp_path / "other.yaml"
    config.write_text(content.format(text=yaml.safe_dump(detector_settings)), encoding="utf-8")
    status, out, err = detect(photo, config=config)
    assert (status, out) == (1, "")
    assert_one_line_each(err, config)


def test_missing_configuration(detect: Detect, photo: Path, tmp_path: Path) -> None:
    status, out, err = detect(photo, config=tmp_path / "nowhere.yaml")
    assert (status, out) == (1, "")
    assert_one_line_each(err, tmp_path / "nowhere.yaml")


def test_a_broken_configuration_leaves_earlier_results_alone(detect: Detect, photo: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    target.write_text("[]")
    detect(photo, "--json", target, "--output", tmp_path / "found", config=tmp_path / "nowhere.yaml")
    assert target.read_text() == "[]"
    assert not (tmp_path / "found").exists()


def test_missing_images_and_a_broken_configuration_are_both_told(detect: Detect, photo: Path, tmp_path: Path) -> None:
    _, _, err = detect(photo, tmp_path / "missing.jpg", config=tmp_path / "nowhere.yaml")
    assert_one_line_each(err, tmp_path / "missing.jpg", tmp_path / "nowhere.yaml")


def test_device_that_is_not_there(detect: Detect, photo: Path) -> None:
    status, out, err = detect(photo, "--device", "cuda:99")
    assert (status, out) == (1, "")
    assert_one_line_each(err, "device cuda:99")


def test_device_is_passed_on(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    detector_settings["classify"]["init_args"]["device"] = "cuda:99"
    config = write_config(tmp_path, detector_settings)
    assert detect(photo, "--device", "cpu", "--quiet", config=config) == (0, "", "")
    assert capsys.readouterr() == ("", "")


def test_opencv_without_contributed_modules(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "ximgproc")
    assert detect(photo)[0] == 0  # the compiled engine does without
    detector_settings["propose"]["init_args"]["engine"] = "opencv"
    status, out, err = detect(photo, config=write_config(tmp_path, detector_settings))
    assert (status, out) == (1, "")
    assert_one_line_each(err, cv2.__file__)
    assert "ximgproc" in err
    assert "opencv-contrib-python" in err


def test_tiles_show_more_regions(photo: Path, detector_config: Path, tmp_path: Path) -> None:
    counts = []
    for number, more in enumerate(([], ["--tile", "64"], ["--tile", "64", "--overlap", "0.5"])):
        target = tmp_path / f"{number}.json"
        options = ["--config", str(detector_config), "--score-threshold", "0", "--max-detections", "100000"]
        assert main([str(photo), *options, "--no-image", "--json", str(target), *more]) == 0
        (record,) = json.loads(target.read_text())
        counts.append(len(record["detections"]))
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize(
    "options", [["--tile", "0"], ["--tile", "63"], ["--tile", "x"], ["--overlap", "1"], ["--overlap", "-0.1"]]
)
def test_wrong_tiles(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["photo.jpg", *options])
    assert ended.value.code == 2
    assert f"argument {options[0]}: expected a" in capsys.readouterr().err


@pytest.mark.parametrize("more", [["--no-image"], ["--video-output", "clip.mp4"]])
def test_a_folder_for_pictures_that_are_not_written(more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["photo.jpg", "--output", "found", *more])
    assert "argument --output: expected no --no-image or --video-output too" in capsys.readouterr().err


def test_an_empty_configuration_is_not_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"detector\.yaml: expected a YAML file"):
        load_detector("")


def test_overlap_without_tiles(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["photo.jpg", "--overlap", "0.5"])
    assert "argument --overlap: expected --tile too" in capsys.readouterr().err
