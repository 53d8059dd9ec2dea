"""Output of `detect` that cannot be written, and work that is stopped before its end."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from detection.errors import DeviceError
from detection.image import read_image
from detection.sources import picture
from detection.structures.arrays import Image
from tests.detection.conftest import Detect, assert_one_line_each, images_done, names_in, read_json, run_python


@pytest.mark.parametrize("below", ["", "folder"])
def test_unwritable_output_folder(detect: Detect, photo: Path, tmp_path: Path, below: str) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / below
    status, out, err = detect(photo, "--output", folder)
    assert (status, out) == (1, "")  # found out before the work
    assert_one_line_each(err, folder)


@pytest.mark.parametrize("name", ["file/found.json", "photos"])
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

    monkeypatch.setattr(picture, "read_image", read_until_stopped)


def test_interruption_keeps_what_was_found(
    detect: Detect, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_at_the_second_image(monkeypatch, KeyboardInterrupt())
    status, out, err = detect(tmp_path / "missing.jpg", folder, "--json", tmp_path / "found.json")
    missing, kept, interrupted = err.splitlines()
    assert status == 130
    assert images_done(out) == ["a.JPG"]
    assert_one_line_each(missing, tmp_path / "missing.jpg")
    done = "1 image is done; the same command goes on from there"
    assert kept == f"detect: {tmp_path / 'found.json.unfinished'}: {done}"
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
    """A thread still works on the next image and would do so for a long time."""
    target = tmp_path / "found.json"
    code = f"""
import itertools, signal, sys, threading, time
import numpy as np
from detection import detector
from detection.cli import command as cli
from detection.structures.contracts import Proposals
from detection.runtime.parallel.many_images import Parallelism

class Endless(detector.Detector):
    class_names = ("cat",)

    def score(self, images, proposals):
        assert second_has_begun.wait(60)
        signal.raise_signal(signal.SIGINT)

def propose(image):
    if next(calls) == 1:
        second_has_begun.set()
        time.sleep(600)
    return Proposals(np.zeros((0, 4)), np.zeros(0))

calls, second_has_begun = itertools.count(), threading.Event()
cli.load_detector = lambda *_, **__: Endless(propose, None)
detector.find_parallelism = lambda count: Parallelism(threads=1, batch=1, threads_score=False)
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
        raise DeviceError("device cuda: the GPU stopped responding during the run: CUDA error")

    monkeypatch.setattr("detection.detector.Detector.score", lost)
    status, out, err = detect(folder, "--json", tmp_path / "found.json")
    assert (status, out, err) == (1, "", "detect: device cuda: the GPU stopped responding during the run: CUDA error\n")
    assert read_json(tmp_path / "found.json") == []
