"""`detect-train DATA`, from a folder of drawn pictures to a detector, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detection.configuration import load_detector
from detection.errors import InputError
from tools.measure.evaluate.command import main as evaluate
from tools.train.own_classes import plan
from tools.train.own_classes.command import seconds_of
from tools.train.own_classes.summary import result_line
from tools.train.train_classifier import main

SHORT = {
    "max_steps: ": "max_steps: 3",
    "batch_size: ": "batch_size: 2",
    "input_size: 96": "input_size: 48",
    "workers: ": "workers: 0",
    "      budget: ": "      budget: 20",
    "log_every_n_steps: ": "log_every_n_steps: 1",
}
"""Lines of training.yaml, by their beginnings, that make the training of a test short."""


def shorten(path: Path) -> None:
    """Change the settings as a user does after `--dry-run`."""
    lines = path.read_text().splitlines()
    for start, line in SHORT.items():
        indents = {
            row: len(text) - len(text.lstrip())
            for row, text in enumerate(lines)
            if text.strip().startswith(start.strip())
        }
        row = min(indents, key=lambda row: indents[row])
        lines[row] = " " * indents[row] + line.strip()
    path.write_text("\n".join(lines) + "\n")


@pytest.fixture(name="detector", scope="module")
def trained_detector(shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("detectors") / "shapes-detector"
    arguments = [str(shapes), "--output", str(folder), "--size", "small"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "REGIONS", 4)
        patch.setattr(plan, "TRIED_REGIONS", 2)
        assert main([*arguments, "--dry-run"]) == 0
    assert not (folder / "detector.yaml").exists()
    shorten(folder / "training.yaml")
    assert main(arguments) == 0
    return folder


def test_writes_a_folder_that_is_a_detector(detector: Path) -> None:
    names = {path.name for path in detector.iterdir()}
    written = {"detector.yaml", "training.yaml", "member_1.safetensors", "classes.txt", "README.md"}
    assert names >= written | {"report.html", "figures.json", "pictures.png", "curves.png", "work"}
    assert (detector / "classes.txt").read_text() == "ball\nbox\n"
    figures = json.loads((detector / "figures.json").read_text())
    assert figures["val"]["images"] == 2
    assert figures["val"]["objects"] == 4
    (warning,) = figures["val"]["warnings"]  # four objects are too few
    assert "the scores are not calibrated" in warning
    assert warning[1:] in (detector / "README.md").read_text()
    assert "calibrate" not in (detector / "detector.yaml").read_text()


def test_works_after_it_was_moved(detector: Path, shapes: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(detector, moved, ignore=shutil.ignore_patterns("work"))
    loaded = load_detector(moved)
    assert loaded.class_names == ("ball", "box")
    assert loaded(shapes / "000.png").class_names == ("ball", "box")


def test_a_finished_training_is_not_repeated(detector: Path, shapes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = detector / "member_1.safetensors"
    before = weights.stat().st_mtime_ns
    assert main([str(shapes), "--output", str(detector), "--size", "small"]) == 0
    assert weights.stat().st_mtime_ns == before
    assert f"{detector}: this detector is finished" in capsys.readouterr().out


def test_other_options_are_refused(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(shapes), "--output", str(detector), "--size", "large"]) == 1
    start = f"detect-train: {detector}: this detector is finished, and was trained with --size small; "
    assert f"{start}choose another --output to train one with --size large\n" in capsys.readouterr().err
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(detector / "options.json", begun)
    assert main([str(shapes), "--output", str(begun), "--size", "large"]) == 1
    expected = f"detect-train: {begun}: this detector was begun with --size small, now it is large; give the same"
    assert expected in capsys.readouterr().err


def test_values_of_options_are_no_actions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only the first argument names an action: here `export` is the folder of the detector."""
    assert main(["--output", "export", str(tmp_path / "nothing"), "--dry-run"]) == 1
    assert capsys.readouterr().err.startswith(f"detect-train: {tmp_path / 'nothing'}: expected a folder")


def test_a_time_that_is_too_short_is_told(
    shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speed = plan.Speed(step=6.4, propose=1.0, score=1.0, precision="32-true")  # 100 steps of 8 pictures take 160 s
    monkeypatch.setattr("tools.train.own_classes.command.measure_speed", lambda *_: speed)
    for seconds, expected in (("1m", "about 4 minutes"), ("10m", "")):
        assert main([str(shapes), "--output", str(tmp_path / seconds), "--time", seconds, "--dry-run"]) == 0
        output = capsys.readouterr().out
        assert (f"--time {seconds} is too short: the command makes at least 100 steps" in output) == bool(expected)
        assert expected in output
        assert "; a step takes 1.60 s; the settings are in" in output


def test_the_figures_name_their_rule_and_their_interval(detector: Path) -> None:
    report = json.loads((detector / "figures.json").read_text())["val"] | {"mAP": 0.5, "mAP_interval": [0.25, 0.75]}
    expected = "mAP (voc, IoU 0.5) 0.5000, 95% interval [0.2500, 0.7500], on the 2 pictures of val"
    assert result_line(report, "val") == expected


def test_a_folder_of_something_else_is_refused(
    shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("Dear reader")
    assert main([str(shapes), "--output", str(tmp_path)]) == 1
    assert f"{tmp_path}: this folder is not empty and not of detect-train" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_changed_settings_of_a_finished_detector_are_refused(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(detector, copy)
    settings = copy / "training.yaml"
    settings.write_text(settings.read_text().replace("learning_rate: 0.01", "learning_rate: 0.02"))
    assert main([str(shapes), "--output", str(copy), "--size", "small"]) == 1
    expected = f"detect-train: {settings}: learning_rate was 0.01 when the training began, now it is 0.02; change it"
    assert expected in capsys.readouterr().err


def test_changed_data_are_refused(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "shapes"
    shutil.copytree(shapes, data)
    assert main([str(data), "--output", str(detector), "--size", "small"]) == 0  # the same data in another folder
    (data / "000.xml").write_text((data / "000.xml").read_text().replace("ball", "box"))
    assert main([str(data), "--output", str(detector), "--size", "small"]) == 1
    expected = f"{detector}: the pictures, boxes or classes have changed since this detector was begun"
    assert expected in capsys.readouterr().err


def test_interrupted_training_goes_on(
    detector: Path, shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The detector's file is the last that is written; without it, the command measures again and writes it."""
    copy = tmp_path / "copy"
    shutil.copytree(detector, copy)
    (copy / "detector.yaml").unlink()
    before = (copy / "member_1.safetensors").read_bytes()
    assert main([str(shapes), "--output", str(copy), "--size", "small"]) == 0
    assert "2/5 settings: those in" in capsys.readouterr().out
    assert (copy / "member_1.safetensors").read_bytes() == before
    assert (copy / "detector.yaml").read_text() == (detector / "detector.yaml").read_text()


def test_is_measured_without_further_options(
    detector: Path, shapes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert evaluate([str(shapes), "--config", str(detector)]) == 0
    figures = json.loads((detector / "figures.json").read_text())
    assert f"mAP (voc): {figures['val']['mAP']:.4f}" in capsys.readouterr().out
    assert evaluate([str(shapes), "--config", str(detector), "--split", "all"]) == 0
    assert "10 images, 20 objects" in capsys.readouterr().out
    assert evaluate([str(shapes), "--config", str(detector), "--split", "all", "--limit", "3"]) == 0
    assert "3 images, 6 objects" in capsys.readouterr().out


def test_a_single_picture_cannot_be_divided(shapes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "one"
    data.mkdir()
    for name in ("000.png", "000.xml"):
        shutil.copy(shapes / name, data)
    assert main([str(data), "--output", str(tmp_path / "detector")]) == 1
    assert "expected pictures to train on and to measure on, got none in split 'val'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90.0), ("10m", 600.0), ("1h30m", 5400.0), ("45", 45.0), ("0.5h", 1800.0)]
)
def test_duration(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "ten minutes", "-5m", "0s", "5 m 3 h"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match="--time: expected a time above 0, such as 90s, 10m or 1h30m"):
        seconds_of(text)


def test_a_time_beyond_a_year() -> None:
    with pytest.raises(InputError, match=r"--time: expected at most a year \(8760h\), got '99999999999h'"):
        seconds_of("99999999999h")
