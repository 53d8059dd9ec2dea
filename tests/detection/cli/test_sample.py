"""`detect --sample` shows what the program does, without a photo of the user."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from detection.cli import main
from detection.cli.image_sources import SAMPLE
from detection.image import read_image
from detection.runtime.child_process import child_environment
from tests.detection.conftest import Detect, images_done, names_in


def test_the_photo_ships_with_its_licence() -> None:
    assert read_image(SAMPLE).shape == (300, 451, 3)
    assert SAMPLE.stat().st_size < 60_000
    assert "CC0" in SAMPLE.with_suffix(".md").read_text(encoding="utf-8")


def test_its_picture_is_written_into_the_working_folder(
    detect: Detect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    shipped = names_in(SAMPLE.parent)
    status, out, _ = detect("--sample")
    assert (status, images_done(out)) == (0, ["cat.jpg"])
    assert names_in(tmp_path / "work") == ["cat.detections.png"]
    assert read_image(tmp_path / "work" / "cat.detections.png").shape == (300, 451, 3)
    assert names_in(SAMPLE.parent) == shipped


def test_it_is_one_of_several_images(detect: Detect, photo: Path) -> None:
    records = json.loads(detect("--sample", photo, SAMPLE, "--no-image", "--json", "-").out)
    assert [record["image"] for record in records] == [str(SAMPLE), str(photo)]


def test_the_message_without_images_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "--sample" in capsys.readouterr().err


@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_a_closed_output_changes_neither_the_work_nor_the_status(closed: str) -> None:
    code = "import sys; from detection.cli import run; sys.argv = ['detect', '--list-classes']; run()"
    shell = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-P", "-c", code]
    done = subprocess.run(shell, env=child_environment(), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("cat" in done.stdout) == (closed != ">&-")
