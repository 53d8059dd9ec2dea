"""The output of the command: keys in COCO's format, a folder in the input, and runs that differ."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.tools.bulk.conftest import Run, write_folder, write_parquet
from tests.tools.bulk.test_command import files


def test_coco_file_has_keys_that_are_no_paths(
    run: Run, pictures: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key may be the name of a file in the working folder, or longer than any name of a file."""
    write_folder(tmp_path / "other", {"a": b"not of this data set"})
    monkeypatch.chdir(tmp_path / "other")
    keys = ["a", 300 * "k"]
    table = write_parquet(tmp_path / "a.parquet", {}, key=keys, image=list(pictures.values())[:2])
    assert run(table, tmp_path / "found", "--coco", tmp_path / "found.json") == 0
    content = json.loads((tmp_path / "found.json").read_text())
    assert [image["file_name"] for image in content["images"]] == keys
    assert content["info"]["description"] == "inception-rcnn (detect-dataset)"


@pytest.mark.parametrize("place", ["found", "../photos/found", "../link/found"])
def test_the_output_may_be_in_the_input(place: str, run: Run, photos: str, capsys: pytest.CaptureFixture[str]) -> None:
    (Path(photos).parent / "link").symlink_to(photos)
    output = Path(photos) / place
    run(photos, output)
    first = files(output)
    capsys.readouterr()
    run(photos, output)
    assert files(output) == first
    assert capsys.readouterr().out == f"{output}: 8 images in 3 partitions\n"


def test_another_option_is_named(run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(photos, tmp_path / "found")
    capsys.readouterr()
    assert run(photos, tmp_path / "found", "--max-detections", 7) == 1
    assert "another run: detector.max_detections was none, and is 7 now" in capsys.readouterr().err


def test_estimate_of_a_finished_run(run: Run, photos: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(photos, tmp_path / "found")
    capsys.readouterr()
    assert run(photos, tmp_path / "found", "--dry-run") == 0
    assert capsys.readouterr().out == "to do: nothing, because all partitions are finished\n"


def test_an_empty_input(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("", tmp_path / "found") == 1
    expected = "--input: expected a path, a pattern or an address, got an empty text"
    assert capsys.readouterr().err == f"detect-dataset: {expected}\n"
