"""The page that `detect --gallery` writes, as a file."""

from __future__ import annotations

import io
import json
import re
import signal
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detection.errors import InputError
from detection.formats.exports.export import DetectedImage
from detection.formats.exports.gallery.writer import Gallery
from detection.runtime.output_file import is_marked_page
from detection.structures.arrays import Image
from detection.structures.detections import Detections
from tests.detection.conftest import Detect, assert_one_line_each, read_json, run_python, save_image


def data_in(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    data: dict[str, Any] = json.loads(text.partition('id="data">')[2].partition("</script>")[0])
    return data


def places_of_pictures(page: Path) -> list[int]:
    element = r'<script type="text/plain" id="picture-(\d+)">data:image/jpeg;base64,[\w+/=]+</script>'
    return list(map(int, re.findall(element, page.read_text(encoding="utf-8"))))


def test_page_has_all_photos_and_names_the_others(detect: Detect, folder: Path, tmp_path: Path) -> None:
    (folder / "broken.png").write_bytes(b"no picture")
    page = tmp_path / "new" / "out.html"
    status, _, err = detect("missing.jpg", folder, "--gallery", page, "--no-image", "--json", tmp_path / "found.json")
    assert status == 1
    assert_one_line_each(err, "missing.jpg", folder / "broken.png")
    records, data = read_json(tmp_path / "found.json"), data_in(page)
    assert [photo["image"] for photo in data["photos"]] == [str(folder / "a.JPG"), str(folder / "b.png")]
    assert places_of_pictures(page) == [0, 1]
    assert [len(photo["detections"]) for photo in data["photos"]] == [
        len(record["detections"]) for record in records[1:3]
    ]
    assert data["warnings"] == [records[0]["error"], records[3]["error"]]
    assert is_marked_page(page.read_bytes(), "detect")


def new_gallery(target: Path) -> Gallery:
    return Gallery(target, inputs={}, overwrite=False)


def detected(pixels: Image, *rows: tuple[int, float, list[float]]) -> DetectedImage:
    """The detections of an image by label, score and corners."""
    labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    found = Detections(corners, np.array(scores), np.array(labels, int), ("cat", "cup", "dog"))
    return DetectedImage("a.jpg", pixels, found)


def test_boxes_and_colours_of_the_page(photo_pixels: Image, tmp_path: Path) -> None:
    gallery = new_gallery(tmp_path / "out.html")
    gallery.add_failure("x: expected y")
    gallery.add(detected(photo_pixels, (0, 0.987654, [1.04, 2.0, 11.5, 22.25]), (2, 0.5, [0, 0, 3, 4])))
    gallery.add(detected(photo_pixels))
    gallery.finish()
    data = data_in(tmp_path / "out.html")
    assert data["photos"] == [
        {
            "image": "a.jpg",
            "size": [120, 160],
            "detections": [
                {"class": "cat", "score": 0.9877, "box": [1.0, 2.0, 10.5, 20.2]},
                {"class": "dog", "score": 0.5, "box": [0.0, 0.0, 3.0, 4.0]},
            ],
        },
        {"image": "a.jpg", "size": [120, 160], "detections": []},
    ]
    assert [name for name, _, _ in data["classes"]] == ["cat", "dog"]
    assert all(re.fullmatch("#[0-9a-f]{6}", colour) for _, *colours in data["classes"] for colour in colours)
    assert data["warnings"] == ["x: expected y"]


def test_no_photo_at_all(detect: Detect, photo: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    assert detect("missing.jpg", "--gallery", page).status == 1
    assert not page.exists()
    photo.write_bytes(b"no photo")
    assert detect(photo, "--gallery", page).status == 1
    assert not page.exists()


def test_own_page_is_replaced_and_that_of_others_is_not(detect: Detect, photo: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    for _ in range(2):
        assert detect(photo, "--gallery", page, "--no-image").status == 0
    page.write_text("<html>precious</html>")
    status, out, err = detect(photo, "--gallery", page)
    assert (status, out) == (1, "")
    assert_one_line_each(err, page)
    assert page.read_text() == "<html>precious</html>"
    assert detect(photo, "--gallery", page, "--no-image", "--overwrite").status == 0
    assert places_of_pictures(page) == [0]


def test_two_outputs_are_two_files(detect: Detect, photo: Path, tmp_path: Path) -> None:
    status, out, err = detect(photo, "--json", tmp_path / "a", "--gallery", tmp_path / "b" / ".." / "a")
    assert (status, out) == (1, "")
    assert "expected another target for --gallery than for --json" in err
    assert not (tmp_path / "a").exists()


def test_a_photo_is_not_replaced(detect: Detect, folder: Path) -> None:
    """The shell turns `detect --gallery *.png` into this."""
    before = (folder / "b.png").read_bytes()
    status, _, err = detect("--gallery", folder / "b.png", folder, "--overwrite")
    assert status == 1
    assert_one_line_each(err, folder / "b.png")
    assert (folder / "b.png").read_bytes() == before


class FullDisk(io.BytesIO):
    """A temporary file on a disk without space."""

    def __init__(self, **_: object) -> None:
        super().__init__()

    def write(self, _: object) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_stops_no_detection(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "TemporaryFile", FullDisk)
    page = tmp_path / "out.html"
    page.touch()
    monkeypatch.setattr("detection.formats.exports.export.require_writable", lambda _: None)
    monkeypatch.setattr("detection.cli.records.require_writable", lambda _: None)
    status, _, err = detect(folder, "--gallery", page, "--no-image", "--json", tmp_path / "found.json")
    assert status == 1
    assert err.endswith(f"detect: {page}: expected a place to write to, got: No space left on device\n")
    assert len(read_json(tmp_path / "found.json")) == 2
    assert page.read_bytes() == b""


def test_pictures_wait_beside_the_page(photo_pixels: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The temporary folder of the system may be in memory, and too small for the pictures of thousands of photos."""
    folders = []
    original = tempfile.TemporaryFile

    def record_folder(**options: Any) -> Any:
        folders.append(options["dir"])
        return original(**options)

    monkeypatch.setattr(tempfile, "TemporaryFile", record_folder)
    for page in (tmp_path / "out.html", Path("/dev/null")):
        gallery = new_gallery(page)
        gallery.add(detected(photo_pixels))
        gallery.finish()
    assert folders == [tmp_path, tmp_path, None]


def test_stopped_run_keeps_the_photos_so_far(folder: Path, detector_config: Path, tmp_path: Path) -> None:
    page = tmp_path / "out.html"
    process = run_python(f"""
import os, signal, sys
from detection.cli import command as cli
original, done = cli._record, []

def record(*arguments):
    if done:
        signal.raise_signal(signal.SIGTERM)
    done.append(1)
    return original(*arguments)

cli._record = record
sys.argv = ["detect", {str(folder)!r}, "--no-image", "--quiet", "--gallery", {str(page)!r}]
sys.argv += ["--config", {str(detector_config)!r}]
cli.run()
""")
    _, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (128 + signal.SIGTERM, "detect: stopped by SIGTERM\n")
    assert places_of_pictures(page) == [0]


def test_memory_holds_no_pictures(tmp_path: Path, photo_pixels: Image) -> None:
    gallery = new_gallery(tmp_path / "out.html")
    for _ in range(3):
        gallery.add(detected(np.tile(photo_pixels, (5, 5, 1))))
    assert gallery._photos == [{"image": "a.jpg", "size": [600, 800], "detections": []}] * 3
    held = {name: value for name, value in vars(gallery).items() if isinstance(value, bytes | str | list)}
    assert held == {"_photos": gallery._photos, "_failures": []}
    gallery.finish()
    assert places_of_pictures(tmp_path / "out.html") == [0, 1, 2]


def test_page_that_cannot_be_written(tmp_path: Path) -> None:
    target = save_image(tmp_path / "file" / "a.png", np.zeros((4, 4, 3), np.uint8)) / "out.html"
    with pytest.raises(InputError, match=r"out\.html: expected a place to write to"):
        new_gallery(target)
