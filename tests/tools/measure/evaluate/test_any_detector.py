"""`detect-evaluate DATA --config DETECTOR` for a detector that `detect-train DATA` did not make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
import yaml

from tools.measure.evaluate import command
from tools.measure.evaluate.command import main as evaluate


@pytest.fixture(name="pictures")
def folder_in_the_layout_of_coco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with boxes of two of the three classes of `tiny_weights`, and of one that it does not know.

    It lies in the current folder.
    """
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "pictures"
    folder.mkdir()
    categories = [{"id": 7, "name": "rocket"}, {"id": 9, "name": "cat"}, {"id": 30, "name": "spoon"}]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, 4):
        PIL.Image.new("RGB", (64, 48), (80 * number, 0, 0)).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 64, "height": 48})
        for category in categories:
            box = {"bbox": [4, 4, 40, 30], "area": 1200, "iscrowd": 0}
            annotations.append({"id": len(annotations) + 1, "image_id": number, "category_id": category["id"], **box})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return folder


def test_a_file_or_folder_of_a_detector(
    pictures: Path,
    detector_settings: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = detector_settings | {"propose": {"class_path": "proposals.whole_image.WholeImage"}}
    (tmp_path / "mine").mkdir()
    for path in (tmp_path / "mine" / "detector.yaml", tmp_path / "other.yaml"):
        path.write_text(yaml.safe_dump(settings))
    for config in ("mine", "other.yaml"):
        assert evaluate([str(pictures), "--config", config, "--json", "report.json", "--overwrite"]) == 0
        assert "3 images, 6 objects" in capsys.readouterr().out
        assert "left out 1 boxes, pictures or files" in caplog.text
    report = json.loads(Path("report.json").read_text())
    assert report["objects_by_class"] == {"cat": 3, "cup": 0, "rocket": 3}


def test_options_of_the_data_and_of_the_shipped_detector(
    pictures: Path,
    detector_settings: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shipped = tmp_path / "shipped.yaml"
    shipped.write_text(
        yaml.safe_dump(detector_settings | {"propose": {"class_path": "proposals.whole_image.WholeImage"}})
    )
    monkeypatch.setattr("detection.configuration.DEFAULT_CONFIG", shipped)
    (pictures / "all.csv").write_text("filename,width,height,class,xmin,ymin,xmax,ymax\n1.png,64,48,cat,4,4,44,34\n")
    assert evaluate([str(pictures)]) == 1
    assert "choose with --layout coco or --layout csv" in capsys.readouterr().err
    assert evaluate([str(pictures), "--layout", "coco", "--device", "cuda:999"]) == 1
    assert "cuda:999" in capsys.readouterr().err
    assert evaluate([str(pictures), "--layout", "coco", "--device", "cpu", "--workers", "2"]) == 0
    assert "3 images, 6 objects" in capsys.readouterr().out


def test_what_is_no_detector(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate([str(pictures), "--config", str(tmp_path)]) == 1
    assert f"{tmp_path / 'detector.yaml'}: expected a YAML file: No such file" in capsys.readouterr().err


def test_a_folder_that_the_reader_of_the_rule_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["score", "--rule", "coco", "--ground-truth", str(tmp_path), "--detections", "found.json"]) == 1
    expected = f"{tmp_path}/annotations/instances_{{split}}.json: expected a json file in the format of COCO, got none"
    assert capsys.readouterr().err == f"detect-evaluate: {expected}\n"
