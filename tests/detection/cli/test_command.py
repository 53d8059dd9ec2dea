"""The command `detect`: its options, what it prints, and what it writes."""

from __future__ import annotations

import json
import os
import re
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import detection
from detection.cli import command, main
from detection.configuration import load_detector
from detection.detector import Detector
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.results.drawing import draw_detections
from tests.detection.conftest import (
    Detect,
    Settings,
    assert_one_line_each,
    names_in,
    read_json,
    run_python,
    save_image,
    write_config,
)

ROOT = Path(__file__).parents[3]


def test_table_lists_what_the_detector_finds(detect: Detect, photo: Path, detector_config: Path) -> None:
    detections = load_detector(detector_config)(photo)[:3]
    status, out, err = detect(photo, "--max-detections", 3, "--no-image")
    heading, columns, *rows = out.splitlines()
    assert (status, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(photo))}: 3 objects \(160x120 px, \d+\.\d s\)", heading)
    assert columns.split() == ["class", "score", "x1", "y1", "x2", "y2"]
    expected = [
        [name, f"{score:.3f}", *(f"{corner:.0f}" for corner in box)]
        for name, score, box in zip(detections.names, detections.scores, detections.boxes, strict=True)
    ]
    assert [row.split() for row in rows] == expected
    assert {len(row) for row in rows} == {len(columns)}


def test_counts_in_words(detect: Detect, photo: Path) -> None:
    assert ": 1 object (" in detect(photo, "--max-detections", 1, "--no-image").out
    assert ": 0 objects (" in detect(photo, "--score-threshold", 1, "--no-image").out


def test_annotated_picture_beside_the_image(detect: Detect, photo: Path, detector_config: Path) -> None:
    status, out, err = detect(photo)
    target = photo.parent / "photo.detections.png"
    assert (status, err) == (0, "")
    assert out.splitlines()[0].endswith(f" -> {target}")
    assert names_in(photo.parent) == ["photo.detections.png", "photo.jpg"]
    image = read_image(photo)
    expected = draw_detections(image, load_detector(detector_config)(image))
    np.testing.assert_array_equal(read_image(target), expected)
    assert (expected != image).any()


def test_output_folder_is_made_and_used(detect: Detect, photo: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "found"
    assert detect(photo, "--output", folder).status == 0
    assert names_in(folder) == ["photo.detections.png"]
    assert names_in(photo.parent) == ["photo.jpg"]


def test_images_of_the_same_name_get_numbers(detect: Detect, tmp_path: Path, photo_pixels: Image) -> None:
    paths = [
        save_image(tmp_path / name, photo_pixels) for name in ("a/x.jpg", "b/x.jpg", "c/x_2.jpg", "c/x.png", "c/y.png")
    ]
    status, out, _ = detect(*paths, "--output", tmp_path / "found", "--max-detections", 1)
    expected = ["x", "x_2", "x_2_2", "x_3", "y"]
    assert status == 0
    assert re.findall(r"found/(.*)\.detections\.png$", out, re.MULTILINE) == expected
    assert names_in(tmp_path / "found") == sorted(f"{name}.detections.png" for name in expected)


def test_images_of_the_same_name_in_one_folder(detect: Detect, photo: Path, photo_pixels: Image) -> None:
    save_image(photo.with_suffix(".png"), photo_pixels)
    detect(photo.parent, "--quiet")
    assert names_in(photo.parent) == [
        "photo.detections.png",
        "photo.jpg",
        "photo.png",
        "photo_2.detections.png",
    ]


def test_never_overwrites_an_image_of_the_batch(detect: Detect, photo: Path, photo_pixels: Image) -> None:
    named_alike = save_image(photo.parent / "photo.detections.png", photo_pixels)
    before = named_alike.read_bytes()
    assert detect(photo, named_alike).status == 0
    assert named_alike.read_bytes() == before
    assert "photo_2.detections.png" in names_in(photo.parent)


def test_json_file(detect: Detect, photo: Path, detector_config: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    target.write_text('[{"image": "of an earlier run"}]')
    assert detect(photo, "--json", target).out.startswith(f"{photo}: ")
    (record,) = read_json(target)
    assert record.pop("seconds") > 0
    assert record == {
        "image": str(photo),
        "width": 160,
        "height": 120,
        "detections": load_detector(detector_config)(photo).to_dict(),
        "picture": str(photo.parent / "photo.detections.png"),
    }


def test_json_file_in_a_new_folder(detect: Detect, photo: Path, tmp_path: Path) -> None:
    assert detect(photo, "--json", tmp_path / "new" / "found.json").status == 0
    assert names_in(tmp_path / "new") == ["found.json"]


@pytest.mark.parametrize("quiet", [["--quiet"], []])
def test_json_on_standard_output_is_all_of_it(detect: Detect, photo: Path, quiet: list[str]) -> None:
    status, out, err = detect(photo, "--json", "-", "--no-image", *quiet)
    (record,) = json.loads(out)
    assert (status, err) == (0, "")
    assert record["image"] == str(photo)
    assert "picture" not in record


def test_no_image(detect: Detect, photo: Path) -> None:
    status, out, _ = detect(photo, "--no-image")
    assert status == 0
    assert "->" not in out
    assert names_in(photo.parent) == ["photo.jpg"]


def test_quiet_prints_errors_only(detect: Detect, photo: Path, tmp_path: Path) -> None:
    assert detect(photo, "--quiet") == (0, "", "")
    assert (photo.parent / "photo.detections.png").exists()
    status, out, err = detect(photo, tmp_path / "missing.jpg", "--quiet")
    assert (status, out) == (1, "")
    assert_one_line_each(err, tmp_path / "missing.jpg")


def test_max_detections_keeps_the_best(detect: Detect, photo: Path) -> None:
    (everything,) = json.loads(detect(photo, "--no-image", "--json", "-").out)
    (best,) = json.loads(detect(photo, "--no-image", "--json", "-", "--max-detections", 2).out)
    assert len(everything["detections"]) > 2
    assert best["detections"] == everything["detections"][:2]


def test_score_threshold_is_included(detect: Detect, photo: Path) -> None:
    (everything,) = json.loads(detect(photo, "--no-image", "--json", "-").out)
    scores = [found["score"] for found in everything["detections"]]
    threshold = scores[len(scores) // 2]
    assert scores[0] > threshold > scores[-1]
    out = detect(photo, "--no-image", "--json", "-", "--score-threshold", threshold).out
    (record,) = json.loads(out)
    assert [found["score"] for found in record["detections"]] == [score for score in scores if score >= threshold]


def test_score_threshold_of_zero_is_not_taken_for_none(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings
) -> None:
    strict = write_config(tmp_path, detector_settings | {"score_threshold": 1.0})
    assert ": 0 objects " in detect(photo, "--no-image", config=strict).out
    assert ": 0 objects " not in detect(photo, "--no-image", "--score-threshold", 0, config=strict).out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "IMAGE"),
        (["a.jpg", "--score-threshold", "1.5"], "expected a number in 0-1, got '1.5'"),
        (["a.jpg", "--score-threshold", "-0.1"], "expected a number in 0-1, got '-0.1'"),
        (["a.jpg", "--score-threshold", "nan"], "expected a number in 0-1, got 'nan'"),
        (["a.jpg", "--score-threshold", "high"], "expected a number in 0-1, got 'high'"),
        (["a.jpg", "--max-detections", "0"], "--max-detections: expected a whole number of at least 1, got '0'"),
        (["a.jpg", "--max-detections", "-1"], "expected a whole number of at least 1, got '-1'"),
        (["a.jpg", "--max-detections", "2.5"], "expected a whole number of at least 1, got '2.5'"),
        (["a.jpg", "--device", "foo"], "--device: expected cpu, cuda, or cuda:N for GPU number N, got 'foo'"),
        (["a.jpg", "--colour"], "--colour"),
    ],
)
def test_unusable_options(arguments: Sequence[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    out, err = capsys.readouterr()
    assert (caught.value.code, out) == (2, "")
    assert expected in err.splitlines()[-1]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"detect {detection.__version__}\n")


def test_help_imports_nothing_slow() -> None:
    code = """
import atexit, sys
from detection.cli import command, main
slow = {"cv2", "jsonargparse", "lightning", "matplotlib", "safetensors", "scipy", "skimage", "torch", "torchvision"}
atexit.register(lambda: print("slow:", sorted(slow & set(sys.modules)), file=sys.stderr))
main(["--help"])
"""
    process = run_python(code)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "slow: []\n")
    for option in ("--output", "--json", "--config", "--device", "--score-threshold", "--max-detections", "--no-image"):
        assert option in out


def test_help_lists_each_of_the_other_commands_once(capsys: pytest.CaptureFixture[str]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.findall(r"detect-[\w-]+", capsys.readouterr().out.partition("other commands")[2])
    assert sorted(listed) == sorted(scripts.keys() - {"detect"})


def test_nothing_is_collected_before_the_first_image_is_done(folder: Path) -> None:
    code = f"""
import gc, sys
from detection import detector
from detection.cli import command as cli
from detection.runtime.parallel.many_images import ONE_BY_ONE

class Watching(detector.Detector):
    class_names = ("cat",)

def propose(image):
    print(gc.isenabled(), file=sys.stderr)
    raise cli.InputError("enough")

cli.load_detector = lambda *_, **__: Watching(propose, None)
detector.find_parallelism = lambda count: ONE_BY_ONE
sys.argv = ["detect", {str(folder)!r}, "--quiet", "--json", {str(folder / "found.json")!r}]
cli.run()
"""
    _, err = run_python(code).communicate(timeout=120)
    assert err.splitlines()[:2] == ["False", "True"]


def test_a_reader_that_stops_reading_is_no_fault() -> None:
    """After `detect ... | head` there is no traceback, and Python prints no error about standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    process = run_python(
        "from detection.cli.command import main; raise SystemExit(main(['nowhere.jpg', '--json', '-']))", writing
    )
    os.close(writing)
    _, err = process.communicate()
    assert process.returncode == 1
    assert_one_line_each(err, "nowhere.jpg")


def test_a_slow_first_run_is_explained(detect: Detect, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = load_detector

    def loads_slowly(*arguments: Any, **options: Any) -> Detector:
        time.sleep(0.2)
        return slow(*arguments, **options)

    monkeypatch.setattr(command, "load_detector", loads_slowly)
    _, _, quick = detect(photo, "--no-image")
    monkeypatch.setattr(command, "PATIENCE", 0.01)
    _, _, quiet = detect(photo, "--no-image", "--quiet")
    assert quick == quiet == ""
    for compiled, note in ((False, command.FIRST_RUN), (True, command.SLOW_START)):
        monkeypatch.setattr(command, "find_compiled_modules", lambda _: ["a module"])
        monkeypatch.setattr(command, "has_machine_code", lambda _, compiled=compiled: compiled)
        _, _, err = detect(photo, "--no-image")
        assert err == f"detect: {note}\n"
