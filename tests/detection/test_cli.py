"""The command `detect`, called as a function: what it prints, what it writes, and how it fails."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from safetensors.torch import save_file

import detection
from classifier.weights_file import NetworkDescription, save_weights
from detection import cli
from detection.arrays import Image
from detection.cli import main
from detection.configuration import load_detector
from detection.drawing import draw_detections
from detection.errors import DeviceError
from detection.image import read_image


class Outcome(NamedTuple):
    status: int
    out: str
    err: str


Detect = Callable[..., Outcome]
Settings = dict[str, Any]


@pytest.fixture(name="detect")
def detect_with_the_tiny_network(detector_config: Path, capsys: pytest.CaptureFixture[str]) -> Detect:
    """`detect ARGUMENTS --config CONFIG`."""

    def run(*arguments: object, config: Path = detector_config) -> Outcome:
        status = main([*map(str, arguments), "--config", str(config)])
        return Outcome(status, *capsys.readouterr())

    return run


def save(path: Path, pixels: Image) -> Path:
    path.parent.mkdir(exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return path


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read_json(path: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return records


def assert_one_line_each(err: str, *starts: object) -> None:
    """`err` is a line for each problem, which begins with `detect: ` and the given text."""
    lines = err.splitlines()
    assert len(lines) == len(starts), err
    for line, start in zip(lines, starts, strict=True):
        assert line.startswith(f"detect: {start}: expected "), line


# --- What it does ---


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
    none = detect(photo, "--max-detections", 0, "--no-image").out
    assert ": 0 objects (" in none
    assert len(none.splitlines()) == 1


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
    paths = [save(tmp_path / name, photo_pixels) for name in ("a/x.jpg", "b/x.jpg", "c/x_2.jpg", "c/x.png", "c/y.png")]
    status, out, _ = detect(*paths, "--output", tmp_path / "found", "--max-detections", 1)
    expected = ["x", "x_2", "x_2_2", "x_3", "y"]
    assert status == 0
    assert re.findall(r"found/(.*)\.detections\.png$", out, re.MULTILINE) == expected
    assert names_in(tmp_path / "found") == sorted(f"{name}.detections.png" for name in expected)


def test_images_of_the_same_name_in_one_folder(detect: Detect, photo: Path, photo_pixels: Image) -> None:
    save(photo.with_suffix(".png"), photo_pixels)
    detect(photo.parent, "--quiet")
    assert names_in(photo.parent) == [
        "photo.detections.png",
        "photo.jpg",
        "photo.png",
        "photo_2.detections.png",
    ]


def test_never_overwrites_an_image_of_the_batch(detect: Detect, photo: Path, photo_pixels: Image) -> None:
    named_alike = save(photo.parent / "photo.detections.png", photo_pixels)
    before = named_alike.read_bytes()
    assert detect(photo, named_alike).status == 0
    assert named_alike.read_bytes() == before
    assert "photo_2.detections.png" in names_in(photo.parent)


def test_json_file(detect: Detect, photo: Path, detector_config: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    target.write_text("of an earlier run")
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


@pytest.mark.parametrize("quiet", [["--quiet"], []])
def test_json_on_standard_output_is_all_of_it(detect: Detect, photo: Path, quiet: list[str]) -> None:
    status, out, err = detect(photo, "--json", "-", "--no-image", *quiet)
    (record,) = json.loads(out)
    assert (status, err) == (0, "")
    assert record["image"] == str(photo)
    assert "picture" not in record


def test_no_image(detect: Detect, photo: Path, tmp_path: Path) -> None:
    status, out, _ = detect(photo, "--no-image", "--output", tmp_path / "found")
    assert status == 0
    assert "->" not in out
    assert names_in(photo.parent) == ["photo.jpg"]
    assert not (tmp_path / "found").exists()


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


def test_score_threshold_of_zero_and_max_detections_of_zero_are_not_taken_for_none(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings
) -> None:
    strict = write_config(tmp_path, detector_settings | {"score_threshold": 1.0})
    assert ": 0 objects " in detect(photo, "--no-image", config=strict).out
    assert ": 0 objects " not in detect(photo, "--no-image", "--score-threshold", 0, config=strict).out
    assert ": 0 objects " in detect(photo, "--no-image", "--max-detections", 0).out


@pytest.fixture(name="folder")
def folder_of_images(tmp_path: Path, photo_pixels: Image) -> Path:
    """Two images, and what is none."""
    folder = tmp_path / "folder"
    save(folder / "b.png", photo_pixels)
    save(folder / "a.JPG", photo_pixels)
    (folder / "notes.txt").write_text("no image")
    return folder


def images_done(out: str) -> list[str]:
    return [Path(heading).name for heading in re.findall(r"^(\S.*?): \d+ objects? \(", out, re.MULTILINE)]


@pytest.mark.parametrize("source", ["", "*", "?.*", "[ab].*"])
def test_folder_and_glob(detect: Detect, folder: Path, source: str) -> None:
    status, out, err = detect(folder / source, "--no-image")
    assert (status, err) == (0, "")
    assert images_done(out) == ["a.JPG", "b.png"]


def test_several_sources_keep_their_order_and_give_each_image_once(detect: Detect, folder: Path, photo: Path) -> None:
    out = detect(photo, folder / "b.png", folder, folder / "*.JPG", "--no-image").out
    assert images_done(out) == ["photo.jpg", "b.png", "a.JPG"]


@pytest.mark.parametrize("source", ["", "*"])
def test_pictures_of_an_earlier_run_are_no_input(detect: Detect, folder: Path, source: str) -> None:
    first, second = detect(folder / source), detect(folder / source)
    assert images_done(first.out) == images_done(second.out) == ["a.JPG", "b.png"]
    assert names_in(folder) == ["a.JPG", "a.detections.png", "b.detections.png", "b.png", "notes.txt"]


def test_a_picture_of_an_earlier_run_is_input_if_named(
    detect: Detect, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detect(folder)
    monkeypatch.chdir(folder)
    assert images_done(detect("./a.detections.png", "--no-image").out) == ["a.detections.png"]


def test_a_folder_with_nothing_but_annotated_pictures(detect: Detect, folder: Path) -> None:
    detect(folder)
    (folder / "a.JPG").unlink()
    (folder / "b.png").unlink()
    status, out, err = detect(folder)
    assert (status, out) == (1, "")
    assert_one_line_each(err, folder)


def test_progress_bar_for_several_images_on_a_terminal(
    detect: Detect, folder: Path, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "2/2" not in detect(folder, "--no-image").err
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    _, out, err = detect(folder, "--no-image", "--json", "-")
    assert "2/2" in err
    assert len(json.loads(out)) == 2
    assert detect(folder, "--no-image", "--quiet").err == ""
    assert detect(photo, "--no-image").err == ""


# --- The command line itself ---


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "IMAGE"),
        (["a.jpg", "--score-threshold", "1.5"], "expected a number in 0-1, got '1.5'"),
        (["a.jpg", "--score-threshold", "-0.1"], "expected a number in 0-1, got '-0.1'"),
        (["a.jpg", "--score-threshold", "nan"], "expected a number in 0-1, got 'nan'"),
        (["a.jpg", "--score-threshold", "high"], "expected a number in 0-1, got 'high'"),
        (["a.jpg", "--max-detections", "-1"], "expected a whole number of at least 0, got '-1'"),
        (["a.jpg", "--max-detections", "2.5"], "expected a whole number of at least 0, got '2.5'"),
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


def run_python(code: str, stdout: int = subprocess.PIPE) -> subprocess.Popen[str]:
    root = Path(detection.__file__).parents[1]
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code], cwd=root, stdout=stdout, stderr=subprocess.PIPE, text=True
    )


def test_help_imports_nothing_slow() -> None:
    code = """
import atexit, sys
from detection.cli import main
slow = {"cv2", "jsonargparse", "lightning", "matplotlib", "safetensors", "scipy", "skimage", "torch", "torchvision"}
atexit.register(lambda: print("slow:", sorted(slow & set(sys.modules)), file=sys.stderr))
main(["--help"])
"""
    process = run_python(code)
    out, err = process.communicate()
    assert (process.returncode, err) == (0, "slow: []\n")
    for option in ("--output", "--json", "--config", "--device", "--score-threshold", "--max-detections", "--no-image"):
        assert option in out


def test_a_reader_that_stops_reading_is_no_fault() -> None:
    """As in `detect ... | head`: no traceback, and no complaint of Python about standard output."""
    reading, writing = os.pipe()
    os.close(reading)
    process = run_python(
        "from detection.cli import main; raise SystemExit(main(['nowhere.jpg', '--json', '-']))", writing
    )
    os.close(writing)
    _, err = process.communicate()
    assert process.returncode == 1
    assert_one_line_each(err, "nowhere.jpg")


# --- Bad input: one line on standard error, exit status 1 ---


def broken_sources(folder: Path, pixels: Image) -> dict[str, Path]:
    """Each kind of source that cannot be read, in `folder`."""
    save(folder / "whole.jpg", pixels)
    encoded = (folder / "whole.jpg").read_bytes()
    (folder / "truncated.jpg").write_bytes(encoded[: len(encoded) // 2])
    (folder / "text.jpg").write_text("I am not a picture.\n" * 20)
    (folder / "empty.jpg").touch()
    (folder / "empty folder").mkdir()
    (folder / "folder of texts").mkdir()
    (folder / "folder of texts" / "notes.txt").touch()
    names = ("missing.jpg", "truncated.jpg", "text.jpg", "empty.jpg", "empty folder", "folder of texts", "*.gif")
    return {name: folder / name for name in names}


@pytest.mark.parametrize(
    "name", ["missing.jpg", "truncated.jpg", "text.jpg", "empty.jpg", "empty folder", "folder of texts", "*.gif"]
)
def test_unreadable_source(detect: Detect, tmp_path: Path, photo_pixels: Image, name: str) -> None:
    source = broken_sources(tmp_path, photo_pixels)[name]
    target = tmp_path / "found.json"
    status, out, err = detect(source, "--json", target)
    assert (status, out) == (1, "")
    assert_one_line_each(err, source)
    assert read_json(target) == [{"image": str(source), "error": err.removeprefix("detect: ").rstrip("\n")}]
    assert list(tmp_path.glob("*.detections.png")) == []


def test_the_good_images_of_a_batch_are_done_and_the_bad_ones_listed_at_the_end(
    detect: Detect, tmp_path: Path, folder: Path, photo: Path, photo_pixels: Image
) -> None:
    bad = broken_sources(tmp_path, photo_pixels)
    target = tmp_path / "found.json"
    sources = [folder / "a.JPG", bad["truncated.jpg"], bad["missing.jpg"], folder / "b.png", bad["empty folder"],
               bad["text.jpg"], bad["empty.jpg"], photo]  # fmt: skip
    with redirect_stderr(sys.stdout):
        status, out, _ = detect(*sources, "--json", target, "--output", tmp_path / "found", "--max-detections", 1)
    assert status == 1
    assert images_done(out) == ["a.JPG", "b.png", "photo.jpg"]
    failed = ["missing.jpg", "empty folder", "truncated.jpg", "text.jpg", "empty.jpg"]  # first what is not there
    assert_one_line_each("\n".join(out.splitlines()[-5:]), *(bad[name] for name in failed))
    assert names_in(tmp_path / "found") == ["a.detections.png", "b.detections.png", "photo.detections.png"]
    done = {record["image"]: record for record in read_json(target)}
    assert set(done) == set(map(str, sources))
    assert {Path(image).name for image, record in done.items() if "error" in record} == set(failed)
    assert all(("detections" in record) != ("error" in record) for record in done.values())


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (40, 20_000), (1, 1000), (1000, 1), (3000, 3), (120, 160)], ids=str
)
def test_odd_but_readable_images(detect: Detect, tmp_path: Path, height: int, width: int) -> None:
    """Each of one colour, too."""
    path = save(tmp_path / "odd.png", np.full((height, width, 3), (30, 120, 200), np.uint8))
    status, out, err = detect(path, "--json", "-")
    (record,) = json.loads(out)
    assert (status, err) == (0, "")
    assert (record["width"], record["height"]) == (width, height)
    assert [found["box"] for found in record["detections"]] == [[0, 0, width, height]] * 3  # one a class
    assert read_image(tmp_path / "odd.detections.png").shape == (height, width, 3)


def test_a_name_that_cannot_be_printed(detect: Detect, tmp_path: Path, photo_pixels: Image) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        save(path, photo_pixels)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    status, out, err = detect(path, "--json", tmp_path / "found.json")
    assert (status, err) == (0, "")
    assert r"caf\udce9.png: " in out
    assert read_json(tmp_path / "found.json")[0]["image"] == str(path)


def test_a_name_of_two_lines_makes_one_line(detect: Detect, tmp_path: Path) -> None:
    assert_one_line_each(detect(tmp_path / "a\nb.jpg").err, f"{tmp_path}/a b.jpg")


# --- Bad weights and configurations ---


def write_config(folder: Path, settings: Settings) -> Path:
    path = folder / "other.yaml"
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return path


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
    target.write_text("of an earlier run")
    detect(photo, "--json", target, "--output", tmp_path / "found", config=tmp_path / "nowhere.yaml")
    assert target.read_text() == "of an earlier run"
    assert not (tmp_path / "found").exists()


def test_missing_images_and_a_broken_configuration_are_both_told(detect: Detect, photo: Path, tmp_path: Path) -> None:
    _, _, err = detect(photo, tmp_path / "missing.jpg", config=tmp_path / "nowhere.yaml")
    assert_one_line_each(err, tmp_path / "missing.jpg", tmp_path / "nowhere.yaml")


@pytest.mark.parametrize("device", ["cuda:99", "abacus"])
def test_device_that_is_not_there(detect: Detect, photo: Path, device: str) -> None:
    status, out, err = detect(photo, "--device", device)
    assert (status, out) == (1, "")
    assert_one_line_each(err, f"device {device}")


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


# --- Output that cannot be written, and batches that are cut short ---


@pytest.mark.parametrize("below", ["", "folder"])
def test_unwritable_output_folder(detect: Detect, photo: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / below
    status, out, err = detect(photo, "--output", folder)
    assert (status, out) == (1, "")  # found out before the work
    assert_one_line_each(err, folder)


@pytest.mark.parametrize("name", ["file/found.json", "photos", "nowhere/found.json"])
def test_unwritable_json(detect: Detect, photo: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    status, out, err = detect(photo, "--json", tmp_path / name)
    assert (status, out) == (1, "")
    assert_one_line_each(err, tmp_path / name)
    assert names_in(photo.parent) == ["photo.jpg"]


def test_unwritable_json_where_no_image_is_found(detect: Detect, tmp_path: Path) -> None:
    status, _, err = detect(tmp_path / "missing.jpg", "--json", tmp_path)
    assert status == 1
    assert_one_line_each(err, tmp_path / "missing.jpg", tmp_path)


def test_a_picture_that_cannot_be_written_costs_the_picture_alone(detect: Detect, folder: Path, tmp_path: Path) -> None:
    blocked = folder / "a.detections.png"
    blocked.mkdir()
    target = tmp_path / "found.json"
    status, out, err = detect(folder, "--json", target)
    assert status == 1
    assert_one_line_each(err, blocked)
    assert images_done(out) == ["a.JPG", "b.png"]
    assert re.findall(r"-> (.*)$", out, re.MULTILINE) == [str(folder / "b.detections.png")]
    unwritten, written = read_json(target)
    assert len(unwritten["detections"]) > 0
    assert "picture" not in unwritten
    assert str(blocked) in unwritten["error"]
    assert written["picture"] == str(folder / "b.detections.png")


def stop_at_the_second_image(monkeypatch: pytest.MonkeyPatch, reason: BaseException) -> None:
    def read_until_stopped(path: Path) -> Image:
        if path.name == "b.png":
            raise reason
        return read_image(path)

    monkeypatch.setattr(cli, "read_image", read_until_stopped)


def test_interruption_keeps_what_was_found(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_the_second_image(monkeypatch, KeyboardInterrupt())
    status, out, err = detect(tmp_path / "missing.jpg", folder, "--json", tmp_path / "found.json")
    missing, interrupted = err.splitlines()
    assert status == 130
    assert images_done(out) == ["a.JPG"]
    assert_one_line_each(missing, tmp_path / "missing.jpg")
    assert interrupted == "detect: interrupted"
    assert [Path(record["image"]).name for record in read_json(tmp_path / "found.json")] == ["missing.jpg", "a.JPG"]
    assert (folder / "a.detections.png").exists()


def test_a_fault_of_the_program_is_not_hidden_and_keeps_what_was_found(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_the_second_image(monkeypatch, RuntimeError("a fault"))
    with pytest.raises(RuntimeError, match="a fault"):
        detect(folder, "--json", tmp_path / "found.json")
    assert [Path(record["image"]).name for record in read_json(tmp_path / "found.json")] == ["a.JPG"]


def test_ctrl_c_ends_at_once_and_leaves_nothing_running(folder: Path, tmp_path: Path) -> None:
    """With a thread that would read the next image for a long time yet."""
    target = tmp_path / "found.json"
    code = f"""
import itertools, signal, sys, threading, time
import numpy as np
from detection import cli
from detection.contracts import Proposals

class Endless:
    def propose(self, image):
        if next(calls) == 1:
            second_has_begun.set()
            time.sleep(600)
        return Proposals(np.zeros((0, 4)), np.zeros(0))

    def score(self, images, proposals):
        assert second_has_begun.wait(60)
        signal.raise_signal(signal.SIGINT)

calls, second_has_begun = itertools.count(), threading.Event()
cli.load_detector = lambda *_: Endless()
cli.proposing_threads = lambda: 1
signal.signal(signal.SIGINT, signal.default_int_handler)  # which Python leaves out in a background job of a shell
sys.argv = ["detect", {str(folder)!r}, "--no-image", "--json", {str(target)!r}]
cli.run()
"""
    process = run_python(code)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (130, "", "detect: interrupted\n")
    assert read_json(target) == []


def test_a_lost_device_ends_the_batch(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise DeviceError("device cuda: expected it to last, lost it: CUDA error")

    monkeypatch.setattr("detection.detector.Detector.score", lost)
    status, out, err = detect(folder, "--json", tmp_path / "found.json")
    assert (status, out, err) == (1, "", "detect: device cuda: expected it to last, lost it: CUDA error\n")
    assert read_json(tmp_path / "found.json") == []
