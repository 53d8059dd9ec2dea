"""No output of `detect` destroys a file that the user has."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from detection.cli import records
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import Image
from tests.detection.conftest import (
    Detect,
    assert_one_line_each,
    images_done,
    names_in,
    read_json,
    run_python,
    save_image,
)

CREATE_ML = '[{"image": "a.jpg", "annotations": [{"label": "cat", "coordinates": {"x": 1}}]}]'
COCO_RESULTS = '[{"image_id": 1, "category_id": 2, "bbox": [1, 2, 3, 4], "score": 0.5}]'
LISTED = '[{"image": "a.jpg", "width": 3, "height": 4, "label": "cat"}]'


def test_a_pattern_in_place_of_the_json_file(detect: Detect, folder: Path) -> None:
    """The shell turns `detect --json *.png` into this: the first photo is taken for the name of the JSON file."""
    before = (folder / "b.png").read_bytes()
    status, out, err = detect("--json", folder / "b.png", folder / "a.JPG")
    assert (status, out) == (1, "")
    assert_one_line_each(err, folder / "b.png")
    assert (folder / "b.png").read_bytes() == before
    assert names_in(folder) == ["a.JPG", "b.png", "notes.txt"]


@pytest.mark.parametrize("content", [CREATE_ML, COCO_RESULTS, LISTED, "notes", "{}", "\0"])
def test_a_json_file_of_others(detect: Detect, photo: Path, tmp_path: Path, content: str) -> None:
    target = tmp_path / "found.json"
    target.write_text(content)
    status, out, err = detect(photo, "--json", target)
    assert (status, out) == (1, "")
    assert_one_line_each(err, target)
    assert "--overwrite" in err
    assert target.read_text() == content
    assert detect(photo, "--json", target, "--overwrite").status == 0
    assert len(read_json(target)) == 1


@pytest.mark.parametrize("content", ["", "[]", '[\n  {\n    "image": "a \\"b.jpg",\n    "error": "half wri'])
def test_a_json_file_of_an_earlier_run(detect: Detect, photo: Path, tmp_path: Path, content: str) -> None:
    target = tmp_path / "found.json"
    target.write_text(content)
    for _ in range(2):
        assert detect(photo, "--no-image", "--json", target).status == 0
        assert len(read_json(target)) == 1


@pytest.mark.parametrize("name", ["photo.detections.png", "clip.MP4"])
def test_the_json_file_is_no_picture(detect: Detect, photo: Path, name: str) -> None:
    """It would replace the annotated picture, or a clip."""
    status, out, err = detect(photo, "--json", photo.with_name(name))
    assert (status, out) == (1, "")
    assert err == f"detect: {photo.with_name(name)}: expected another name than that of an image or a video\n"
    assert list(photo.parent.iterdir()) == [photo]


@pytest.mark.parametrize("kind", ["same", "symbolic", "hard", "other spelling"])
def test_the_json_file_is_an_input(detect: Detect, photo: Path, tmp_path: Path, kind: str) -> None:
    before, target = photo.read_bytes(), tmp_path / "found.json"
    match kind:
        case "symbolic":
            target.symlink_to(photo)
        case "hard":
            os.link(photo, target)
        case "other spelling":
            target = photo.parent / ".." / photo.parent.name / photo.name
        case _:
            target = photo
    status, out, err = detect(photo, "--json", target, "--overwrite")
    assert (status, out) == (1, "")
    assert_one_line_each(err, target)
    assert f"{photo}, which the command reads" in err
    assert photo.read_bytes() == before


def test_the_json_file_is_the_configuration_or_its_weights(
    detect: Detect, photo: Path, detector_config: Path, tiny_weights: Path
) -> None:
    for target in (detector_config, tiny_weights):
        before = target.read_bytes()
        status, _, err = detect(photo, "--json", target, "--overwrite")
        assert status == 1
        assert_one_line_each(err, target)
        assert target.read_bytes() == before


def test_a_disk_that_is_full_leaves_the_earlier_json(
    detect: Detect, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, content: bytes) -> None:  # noqa: ARG001
        raise InputError(f"{path}: expected a place to write to, got: No space left on device")

    target = tmp_path / "found.json"
    target.write_text('[{"image": "earlier"}]')
    monkeypatch.setattr(records, "write_atomically", fail)
    status, _, err = detect(photo, "--json", target)
    assert status == 1
    assert_one_line_each(err, target)
    assert read_json(target) == [{"image": "earlier"}]


def test_a_picture_of_others_is_left_alone(detect: Detect, folder: Path, photo_pixels: Image, tmp_path: Path) -> None:
    own = save_image(folder / "a.detections.png", photo_pixels)
    before = own.read_bytes()
    status, out, err = detect(folder, "--json", tmp_path / "found.json")
    assert status == 1
    assert images_done(out) == ["a.JPG", "b.png"]
    assert_one_line_each(err, own)
    assert own.read_bytes() == before
    assert "detections" in read_json(tmp_path / "found.json")[0]
    for _ in range(2):  # the second time, the command knows its own picture
        assert detect(folder, *["--overwrite"][: own.read_bytes() == before]).status == 0
    assert (read_image(own) != photo_pixels).any()


@pytest.mark.parametrize("kind", ["symbolic", "hard"])
def test_a_picture_that_is_a_link_to_an_input(detect: Detect, folder: Path, kind: str) -> None:
    before = (folder / "b.png").read_bytes()
    link = folder / "a.detections.png"
    if kind == "symbolic":
        link.symlink_to("b.png")
    else:
        os.link(folder / "b.png", link)
    status, _, _ = detect(folder, "--overwrite")
    assert status == 0
    assert (folder / "b.png").read_bytes() == before
    assert (folder / "a_2.detections.png").exists()


def test_an_input_that_is_named_in_another_way(
    detect: Detect, photo: Path, photo_pixels: Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    named = save_image(photo.parent / "photo.detections.png", photo_pixels)
    before = named.read_bytes()
    monkeypatch.chdir(photo.parent)
    assert detect(photo, "photo.detections.png", "--overwrite").status == 0
    assert named.read_bytes() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("done", [0, 1])
def test_a_signal_keeps_what_was_found(folder: Path, tmp_path: Path, number: signal.Signals, done: int) -> None:
    """The signal arrives twice while an image is scored, as SIGHUP does when a terminal is closed."""
    target, table = tmp_path / "found.json", tmp_path / "found.csv"
    target.write_text('[{"image": "earlier"}]')
    code = f"""
import signal, sys
import numpy as np
from detection import detector
from detection.cli import command as cli
from detection.runtime.parallel.many_images import ONE_BY_ONE
from detection.structures.contracts import Proposals
from detection.structures.detections import Detections

signal.signal({int(number)}, signal.SIG_DFL)  # nohup has tests ignore SIGHUP

class Stopping(detector.Detector):
    class_names = ("cat",)
    scored = 0

    def score(self, images, proposals):
        if self.scored == {done}:
            signal.raise_signal({int(number)})
        self.scored += 1
        return [Detections(np.zeros((0, 4)), np.zeros(0), np.zeros(0, int), ("cat",))]

def propose(image):
    return Proposals(np.zeros((0, 4)), np.zeros(0))

def write(target, records):
    signal.raise_signal({int(number)})
    write_records(target, records)

write_records, cli.write_records = cli.write_records, write
cli.load_detector = lambda *_, **__: Stopping(propose, None)
detector.find_parallelism = lambda count: ONE_BY_ONE
sys.argv = ["detect", {str(folder)!r}, "--no-image", "--quiet", "--json", {str(target)!r}]
sys.argv += ["--csv", {str(table)!r}]
cli.run()
"""
    process = run_python(code)
    _, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (128 + number, f"detect: stopped by {number.name}\n")
    assert [Path(record["image"]).name for record in read_json(target)] == [["earlier"], ["a.JPG"]][done]
    kept = ["found.json.unfinished"] * done
    assert names_in(tmp_path) == ["folder", "found.json", *kept]


def test_output_that_cannot_be_printed() -> None:
    with Path("/dev/full").open("w") as full:
        process = run_python(
            "from detection.cli.command import run; import sys; sys.argv[1:] = ['nowhere.jpg', '--json', '-']; run()",
            full.fileno(),
        )
        _, err = process.communicate()
    assert process.returncode == 1
    assert_one_line_each(err, "nowhere.jpg", "output")


def test_records_are_known_by_their_beginning() -> None:
    written = [{"image": 'a\\"b', "width": 3, "height": 2, "seconds": 0.1, "detections": []}]
    for indent in (None, 2):
        assert records.are_records(json.dumps(written, indent=indent).encode())
    assert records.are_records(b'[{"image": "a", "error": "b"}]')
    assert not records.are_records(b'[{"image": 3}]')
    assert not records.are_records(b'{"image": "a"}')
