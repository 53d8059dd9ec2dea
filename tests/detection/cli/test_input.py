"""The images that `detect` finds and reads, and its errors for those that it cannot read."""

from __future__ import annotations

import json
import os
import sys
import threading
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest

from detection.image import read_image
from detection.structures.arrays import Image
from tests.detection.conftest import Detect, assert_one_line_each, images_done, names_in, read_json, save_image


@pytest.mark.parametrize("source", ["", "*", "?.*", "[ab].*"])
def test_folder_and_glob(detect: Detect, folder: Path, source: str) -> None:
    status, out, err = detect(folder / source, "--no-image")
    assert (status, err) == (0, "")
    assert images_done(out) == ["a.JPG", "b.png"]


def test_what_a_folder_passes_over_is_told_in_a_line(detect: Detect, folder: Path) -> None:
    for name in ("x.heic", "y.heic", "z.gif", "._b.png"):
        (folder / name).write_text("no image")
    status, out, err = detect(folder, "--no-image")
    assert (status, err) == (0, f"detect: {folder}: passed over .gif (1), .heic (2)\n")
    assert images_done(out) == ["a.JPG", "b.png"]
    assert detect(folder, "--no-image", "--quiet").err == ""


def test_picture_of_a_pipe_is_written_into_the_working_folder(
    detect: Detect, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    os.mkfifo(tmp_path / "63")
    writer = threading.Thread(target=(tmp_path / "63").write_bytes, args=(photo.read_bytes(),))
    writer.start()
    status, out, err = detect(tmp_path / "63")
    writer.join()
    assert (status, err) == (0, "")
    assert images_done(out) == ["63"]
    assert names_in(tmp_path / "work") == ["63.detections.png"]


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


def broken_sources(folder: Path, pixels: Image) -> dict[str, Path]:
    """Create a source of each kind that cannot be read in `folder`; return their paths by name."""
    save_image(folder / "whole.jpg", pixels)
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


def test_the_good_images_of_a_batch_are_done_and_the_bad_ones_listed(
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
    missing, unreadable = ["missing.jpg", "empty folder"], ["truncated.jpg", "text.jpg", "empty.jpg"]
    failed = missing + unreadable
    assert_one_line_each("\n".join(out.splitlines()[:2]), *(bad[name] for name in missing))  # before the work
    assert_one_line_each("\n".join(out.splitlines()[-3:]), *(bad[name] for name in unreadable))
    assert names_in(tmp_path / "found") == ["a.detections.png", "b.detections.png", "photo.detections.png"]
    done = {record["image"]: record for record in read_json(target)}
    assert set(done) == set(map(str, sources))
    assert {Path(image).name for image, record in done.items() if "error" in record} == set(failed)
    assert all(("detections" in record) != ("error" in record) for record in done.values())


@pytest.mark.parametrize(
    ("height", "width"), [(1, 1), (40, 20_000), (1, 1000), (1000, 1), (3000, 3), (120, 160)], ids=str
)
def test_odd_but_readable_images(detect: Detect, tmp_path: Path, height: int, width: int) -> None:
    """These images also have only one colour."""
    path = save_image(tmp_path / "odd.png", np.full((height, width, 3), (30, 120, 200), np.uint8))
    status, out, err = detect(path, "--json", "-")
    (record,) = json.loads(out)
    assert (status, err) == (0, "")
    assert (record["width"], record["height"]) == (width, height)
    assert [found["box"] for found in record["detections"]] == [[0, 0, width, height]] * 3  # one a class
    assert read_image(tmp_path / "odd.detections.png").shape == (height, width, 3)


def test_a_name_that_cannot_be_printed(detect: Detect, tmp_path: Path, photo_pixels: Image) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.png")
    try:
        save_image(path, photo_pixels)
    except OSError:
        pytest.skip("this file system takes only names in UTF-8")
    status, out, err = detect(path, "--json", tmp_path / "found.json")
    assert (status, err) == (0, "")
    assert r"caf\udce9.png: " in out
    assert read_json(tmp_path / "found.json")[0]["image"] == str(path)


def test_a_name_of_two_lines_makes_one_line(detect: Detect, tmp_path: Path) -> None:
    assert_one_line_each(detect(tmp_path / "a\nb.jpg").err, f"{tmp_path}/a b.jpg")
