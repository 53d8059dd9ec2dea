"""A `detect` that was stopped goes on with the results in `found.json.unfinished`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from detection.detector import Detector
from detection.image import read_image
from detection.runtime.parallel.many_images import ONE_BY_ONE
from detection.sources import picture
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals
from detection.structures.detections import Detections
from tests.detection.conftest import Detect, assert_one_line_each, images_done, read_json, save_image

NAMES = ["a.png", "b.png", "c.png", "d.png"]
KEPT = "found.json.unfinished"


@pytest.fixture(name="photos")
def folder_of_different_photos(tmp_path: Path, photo_pixels: Image, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("detection.detector.find_parallelism", lambda _: ONE_BY_ONE)
    for number, name in enumerate(NAMES):
        save_image(tmp_path / "photos" / name, photo_pixels[8 * number :])
    return tmp_path / "photos"


@pytest.fixture(name="scored")
def heights_of_scored_images(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The heights of the images that a detector has scored."""
    heights: list[int] = []
    score = Detector.score

    def count(self: Detector, images: Sequence[Image], proposals: Sequence[Proposals]) -> list[Detections]:
        heights.extend(len(image) for image in images)
        return score(self, images, proposals)

    monkeypatch.setattr(Detector, "score", count)
    return heights


def stop_at(name: str, detect: Callable[[], Any], reason: BaseException) -> None:
    """Call a function which is stopped when it reads an image of this name."""

    def read_until_stopped(path: Path) -> Image:
        if path.name == name:
            raise reason
        return read_image(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(picture, "read_image", read_until_stopped)
        detect()


def without_times(path: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in record.items() if key != "seconds"} for record in read_json(path)]


def test_goes_on_where_it_was_stopped(detect: Detect, photos: Path, tmp_path: Path, scored: list[int]) -> None:
    arguments = [photos, "--json", tmp_path / "found.json", "--coco", tmp_path / "coco.json"]
    assert detect(*arguments).status == 0
    whole, coco, heights = without_times(tmp_path / "found.json"), (tmp_path / "coco.json").read_bytes(), scored[:]
    assert len(whole) == len(heights) == len(NAMES)
    assert any(record["detections"] for record in whole)
    assert not (tmp_path / KEPT).exists()
    stop_at("c.png", lambda: detect(*arguments, "--overwrite"), KeyboardInterrupt())
    assert len(without_times(tmp_path / "found.json")) == 2
    scored.clear()
    status, out, err = detect(*arguments, "--overwrite")
    assert (status, err) == (0, f"detect: {tmp_path / KEPT}: 2 images are done already\n")
    assert images_done(out) == NAMES
    assert scored == heights[2:]
    assert without_times(tmp_path / "found.json") == whole
    assert (tmp_path / "coco.json").read_bytes() == coco
    assert not (tmp_path / KEPT).exists()


def test_keeps_the_order_of_the_images(detect: Detect, photos: Path, tmp_path: Path, scored: list[int]) -> None:
    target = tmp_path / "found.json"
    stop_at("d.png", lambda: detect(photos / "b.png", photos / "d.png", "--json", target), KeyboardInterrupt())
    scored.clear()
    assert detect(photos, "--no-image", "--json", target).status == 0
    assert [Path(record["image"]).name for record in read_json(target)] == NAMES
    assert len(scored) == 3
    assert [record["height"] for record in read_json(target)] == sorted([*scored, scored[0] - 8], reverse=True)


def exports(folder: Path) -> list[object]:
    files = {"--coco": "coco.json", "--csv": "found.csv", "--gallery": "found.html"}
    names = {"--json": "found.json"} | files | {option: option[2:] for option in ("--yolo", "--voc", "--crops")}
    return [part for option, name in names.items() for part in (option, folder / name)]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "found.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_the_same_command_writes_all_exports(detect: Detect, photos: Path, tmp_path: Path) -> None:
    assert detect(photos, "--no-image", *exports(tmp_path / "whole")).status == 0
    command = [photos, "--no-image", *exports(tmp_path / "found")]
    stop_at("c.png", lambda: detect(*command), KeyboardInterrupt())
    assert not {"coco.json", "found.csv"} & contents(tmp_path / "found").keys()
    assert detect(*command).status == 0
    assert contents(tmp_path / "found") == contents(tmp_path / "whole")


def test_an_edited_file_of_an_interrupted_export_stays(detect: Detect, photos: Path, tmp_path: Path) -> None:
    command = [photos, "--no-image", "--json", tmp_path / "found.json", "--yolo", tmp_path / "yolo"]
    stop_at("c.png", lambda: detect(*command), KeyboardInterrupt())
    edited = tmp_path / "yolo" / "labels" / "a.txt"
    edited.write_text("0 0.5 0.5 0.5 0.5\n")
    status, _, err = detect(*command)
    assert status == 1
    assert f"{edited}: expected a new file, but this file exists" in err
    assert edited.read_text() == "0 0.5 0.5 0.5 0.5\n"
    assert len(list((tmp_path / "yolo" / "labels").iterdir())) == len(NAMES)


def test_says_what_is_done_when_it_is_stopped(
    detect: Detect, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [photos, "--no-image", "--json", tmp_path / "found.json"]
    stop_at("b.png", lambda: detect(*command, "--quiet"), KeyboardInterrupt())
    assert "done" not in capsys.readouterr().err
    (tmp_path / KEPT).unlink()
    for count, name in (("1 image is", "b.png"), ("2 images are", "c.png")):
        result: list[str] = []
        stop_at(name, lambda: result.append(detect(*command).err), KeyboardInterrupt())  # noqa: B023
        assert f"detect: {tmp_path / KEPT}: {count} done; the same command goes on from there\n" in result[0]


@pytest.mark.parametrize("change", ["options", "configuration", "image", "half a line"])
def test_what_has_changed_is_done_anew(
    detect: Detect, photos: Path, tmp_path: Path, scored: list[int], change: str
) -> None:
    arguments = [photos, "--no-image", "--json", tmp_path / "found.json"]
    stop_at("c.png", lambda: detect(*arguments), KeyboardInterrupt())
    scored.clear()
    if change == "options":
        arguments += ["--max-detections", 1]
    elif change == "configuration":
        config = tmp_path / "detector.yaml"
        config.write_text(f"{config.read_text()}\nmax_detections: 1\n")
    elif change == "image":
        save_image(photos / "a.png", read_image(photos / "a.png")[::-1])
    else:
        kept = tmp_path / KEPT
        kept.write_bytes(kept.read_bytes()[:-2])
    assert detect(*arguments).status == 0
    assert len(scored) == (4 if change in ("options", "configuration") else 3)
    assert len(read_json(tmp_path / "found.json")) == 4


def test_a_file_of_others_stays(detect: Detect, photos: Path, tmp_path: Path) -> None:
    (tmp_path / KEPT).write_text("notes of a user")
    status, out, err = detect(photos, "--no-image", "--json", tmp_path / "found.json")
    assert (status, out) == (1, "")
    assert_one_line_each(err, f"{tmp_path / KEPT}:1")
    assert (tmp_path / KEPT).read_text() == "notes of a user"


def test_nothing_is_kept_where_nothing_is_done_or_asked_for(detect: Detect, photos: Path, tmp_path: Path) -> None:
    target = tmp_path / "found.json"
    stop_at("a.png", lambda: detect(photos, "--json", target), KeyboardInterrupt())
    stop_at("b.png", lambda: detect(photos, "--no-image"), KeyboardInterrupt())
    assert detect(photos, "--no-image", "--quiet", "--json", "/dev/null").status == 0
    assert not list(tmp_path.rglob("*.unfinished"))
    assert not Path("/dev/null.unfinished").exists()
