"""`detect` with addresses, archives, lists, standard input and videos."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest

from detection.cli import command, main
from detection.configuration import load_detector
from detection.errors import InputError
from detection.image import read_image
from tests.detection.conftest import Detect, assert_one_line_each, images_done, names_in, read_json
from tests.detection.sources.conftest import Server, answer, server  # noqa: F401  a fixture
from tests.detection.sources.test_archives import write_tar, write_zip
from tests.detection.sources.video_files import write_video


@pytest.fixture(name="work")
def working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_an_archive(detect: Detect, photo: Path, work: Path) -> None:
    content = photo.read_bytes()
    files = [("a.jpg", content), ("../evil.jpg", content), ("b/a.jpg", content), ("a.jpg", content), ("bad.jpg", b"x")]
    write_zip(work / "album.zip", files)
    before = (work / "album.zip").read_bytes()
    status, _, err = detect("album.zip", "--json", "found.json", "--max-detections", 1)
    assert status == 1
    assert_one_line_each(err, "album.zip/../evil.jpg", "album.zip/bad.jpg")
    names = [
        "album.zip/a.jpg",
        "album.zip/../evil.jpg",
        "album.zip/b/a.jpg",
        "album.zip/a.jpg (2)",
        "album.zip/bad.jpg",
    ]
    records = read_json(work / "found.json")
    assert [record["image"] for record in records] == names
    pictures = ["album_a.detections.png", "album_a_2.detections.png", "album_a_3.detections.png"]
    assert [record["picture"] for record in records if "picture" in record] == pictures
    assert names_in(work) == sorted([*pictures, "album.zip", "found.json"])
    assert (work / "album.zip").read_bytes() == before
    assert names_in(work.parent) == ["detector.yaml", "photos", "work"]  # nothing left the folder


def test_an_archive_is_no_output(detect: Detect, photo: Path, work: Path) -> None:
    write_tar(work / "a.tar", [("a.jpg", photo.read_bytes())])
    (work / "list.txt").write_text(str(photo))
    for source in ("a.tar", "list.txt"):
        before = (work / source).read_bytes()
        status, _, err = detect(source, "--json", source, "--overwrite", "--no-image")
        assert status == 1
        assert_one_line_each(err, source)
        assert (work / source).read_bytes() == before


def test_a_list_with_a_missing_line(detect: Detect, photo: Path, work: Path) -> None:
    (work / "list.txt").write_text(f"{photo}\nmissing.jpg\n")
    status, out, err = detect("list.txt", "--no-image", "--json", "found.json")
    assert status == 1
    assert images_done(out) == ["photo.jpg"]
    assert_one_line_each(err, "list.txt:2: missing.jpg")
    assert [record["image"] for record in read_json(work / "found.json")] == ["list.txt", str(photo)]


def test_standard_input(detect: Detect, photo: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(buffer=io.BytesIO(photo.read_bytes()), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stream)
    status, out, err = detect("-", "--max-detections", 1)
    assert (status, err) == (0, "")
    assert out.startswith("standard input: 1 object (160x120 px")
    assert names_in(work) == ["stdin.detections.png"]


def test_an_address(detect: Detect, photo: Path, work: Path, server: Server) -> None:  # noqa: F811
    server.answers["/..%2F..%2Fb.jpg"] = answer(photo.read_bytes())
    server.answers["/page"] = answer(b"<!DOCTYPE html>")
    good, bad = server.address("/..%2F..%2Fb.jpg"), server.address("/page")
    status, _, err = detect(good, bad, "--json", "found.json", "--output", "found")
    assert status == 1
    assert_one_line_each(err, bad)
    assert [record["image"] for record in read_json(work / "found.json")] == [good, bad]
    assert names_in(work / "found") == ["b.detections.png"]


def test_frames_of_a_video(detect: Detect, work: Path) -> None:
    write_video(work / "film.mp4", frames=5)
    status, _, err = detect("film.mp4", "--every", 2, "--json", "found.json", "--quiet")
    assert (status, err) == (0, "")
    records = read_json(work / "found.json")
    assert [record["image"] for record in records] == [f"film.mp4/frame_{number:06}" for number in (0, 2, 4)]
    assert [(record["frame"], record["time"]) for record in records] == [(0, 0), (2, 0.2), (4, 0.4)]
    assert names_in(work) == sorted(["film.mp4", "found.json", *(record["picture"] for record in records)])


@pytest.mark.parametrize("suffix", [".mp4", ".avi"])
def test_an_annotated_clip(detect: Detect, work: Path, detector_config: Path, suffix: str) -> None:
    write_video(work / "film.mp4", frames=10, size=(96, 128))
    target = work / "new" / f"clip{suffix}"
    status, out, err = detect("film.mp4", "--every", 3, "--video-output", target)
    assert (status, err) == (0, "")
    assert len(images_done(out)) == 4
    assert names_in(work) == ["film.mp4", "new"]  # no pictures
    assert names_in(work / "new") == [target.name]
    clip = cv2.VideoCapture(str(target))
    assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == 4
    assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(10 / 3, rel=0.01)
    assert (clip.get(cv2.CAP_PROP_FRAME_WIDTH), clip.get(cv2.CAP_PROP_FRAME_HEIGHT)) == (128, 96)
    good, frame = clip.read()
    assert good
    assert len({tuple(pixel) for pixel in (frame // 64).reshape(-1, 3).tolist()}) > 3  # boxes are drawn
    assert load_detector(detector_config).class_names


def test_a_clip_of_a_video_at_an_address(detect: Detect, work: Path, server: Server) -> None:  # noqa: F811
    server.answers["/film.avi"] = answer(write_video(work / "film#1.avi", frames=2).read_bytes())
    for source, target in ((server.address("/film.avi"), "a.mp4"), ("film#1.avi", "b.mp4")):
        assert detect(source, "--video-output", target)[::2] == (0, "")
        clip = cv2.VideoCapture(target)
        assert (clip.get(cv2.CAP_PROP_FRAME_COUNT), clip.get(cv2.CAP_PROP_FPS)) == (2, 10)


def test_a_clip_is_replaced_only_if_the_user_says_so(detect: Detect, work: Path) -> None:
    write_video(work / "film.mp4", frames=2)
    before = (work / "film.mp4").read_bytes()
    (work / "clip.mp4").write_text("mine")
    status, out, err = detect("film.mp4", "--video-output", "clip.mp4")
    assert (status, out) == (1, "")
    assert err == (
        "detect: clip.mp4: expected a new file, but this file exists; choose another name or use --overwrite\n"
    )
    assert (work / "clip.mp4").read_text() == "mine"
    assert detect("film.mp4", "--video-output", "clip.mp4", "--overwrite").status == 0
    assert (work / "clip.mp4").stat().st_size > 1000
    status, _, err = detect("film.mp4", "--video-output", "film.mp4", "--overwrite")
    assert status == 1
    assert_one_line_each(err, "film.mp4")
    assert (work / "film.mp4").read_bytes() == before


def test_a_clip_needs_a_single_video(detect: Detect, photo: Path, work: Path) -> None:
    write_video(work / "film.mp4", frames=2)
    for sources in ([photo], ["film.mp4", photo]):
        status, out, err = detect(*sources, "--video-output", "clip.mp4")
        assert (status, out) == (1, "")
        assert_one_line_each(err, "clip.mp4")
    assert names_in(work) == ["film.mp4"]


def test_a_video_that_is_cut_short_keeps_what_it_has(detect: Detect, work: Path) -> None:
    content = write_video(work / "film.avi").read_bytes()
    (work / "film.avi").write_bytes(content[: len(content) * 2 // 3])
    status, out, err = detect("film.avi", "--every", 4, "--video-output", "clip.mp4", "--json", "found.json")
    assert status == 1
    assert_one_line_each(err, "film.avi")
    assert "cut short" in err
    assert len(images_done(out)) == len(read_json(work / "found.json")) - 1 >= 2
    assert names_in(work) == ["clip.mp4", "film.avi", "found.json"]


def test_what_is_no_video_makes_no_clip(detect: Detect, work: Path) -> None:
    (work / "film.mp4").write_text("no video")
    status, out, err = detect("film.mp4", "--video-output", "clip.mp4")
    assert (status, out) == (1, "")
    assert_one_line_each(err, "film.mp4")
    assert names_in(work) == ["film.mp4"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--every", "0"], "expected a whole number of at least 1, got '0'"),
        (["--every", "1.5"], "expected a whole number"),
        (["--video-output", "clip.gif"], "expected a file that ends with .avi or .mp4, got 'clip.gif'"),
    ],
)
def test_unusable_options(options: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["film.mp4", *options])
    assert caught.value.code == 2
    assert expected in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["missing", "damaged", "empty list", "missing device", "missing configuration"])
def test_bad_input_is_told_before_the_networks_are_loaded(
    photo: Path, work: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the networks are loaded")

    monkeypatch.setattr("classifier.scoring.tensor_network.load_region_network", refuse)
    monkeypatch.setattr("proposals.multibox.proposer.load_multibox", refuse, raising=False)
    (work / "bad.jpg").write_bytes(photo.read_bytes()[:500])
    (work / "list.txt").touch()
    arguments = {
        "missing": ["nowhere.jpg"],
        "damaged": ["bad.jpg"],
        "empty list": ["list.txt"],
        "missing device": [str(photo), "--device", "cuda:99"],
        "missing configuration": [str(photo), "--config", "nowhere.yaml"],
    }[kind]
    status = main([*arguments, "--json", "-"])
    out, err = capsys.readouterr()
    assert status == 1
    assert len(err.splitlines()) == 1
    assert ": expected " in err
    assert len(json.loads(out or "[]")) == (0 if kind.startswith("missing ") else 1)


def test_a_missing_file_of_many_is_told_before_the_detector_is_loaded(
    photo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = []

    def stop(*_: object, **__: object) -> None:
        told.append(capsys.readouterr().err)
        raise InputError("enough")

    monkeypatch.setattr(command, "load_detector", stop)
    assert main([str(photo), "nowhere.jpg", "--no-image"]) == 1
    assert told[0].startswith("detect: nowhere.jpg: expected ")
    assert capsys.readouterr().err == "detect: enough\n"
    assert read_image(photo).shape == (120, 160, 3)
