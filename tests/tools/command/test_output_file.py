"""A command knows the files that it wrote, of every kind, and no others."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import PIL.Image
import pytest
from jsonargparse import ArgumentParser, Namespace
from matplotlib.figure import Figure

from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from detection.errors import InputError
from detection.runtime.output_file import identify, made_by, named_files, require_replaceable
from tools.command.output_file import (
    KINDS,
    PICTURE,
    TEXT,
    WEIGHTS,
    Kind,
    OutputFile,
    add_output_options,
    prepare_outputs,
    table_kind,
)
from tools.command.picture_file import save_figure, save_picture
from tools.report.json_values import write_json

NAME = "detect-evaluate score"


def prepare(path: Path, kind: Kind, command: str = NAME, *, read: Path | None = None, overwrite: bool = False) -> None:
    recognise = None if kind.recognise is None else partial(kind.recognise, command=command)
    require_replaceable(path, recognise, inputs=identify([read] if read else []), overwrite=overwrite)


def test_reports_name_their_command(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(OutputFile(path, NAME), {"mAP": 0.5})
    prepare(path, KINDS["json"])
    with pytest.raises(InputError, match="this file exists and was not written by this command"):
        prepare(path, KINDS["json"], "detect-evaluate")
    path.write_text(f"[{path.read_text()}]")  # the user collects reports in a file
    with pytest.raises(InputError, match="--overwrite"):
        prepare(path, KINDS["json"])


def test_pictures_name_their_command(tmp_path: Path) -> None:
    drawn, plotted = tmp_path / "drawn.png", tmp_path / "plotted.png"
    picture = PIL.Image.new("RGB", (8, 8))
    save_picture(picture, OutputFile(drawn, NAME))
    save_figure(Figure(), OutputFile(plotted, NAME))
    for path in (drawn, plotted):
        prepare(path, PICTURE)
        with pytest.raises(InputError):
            prepare(path, PICTURE, "detect")
        prepare(path, PICTURE, "detect", overwrite=True)
    picture.save(drawn)
    with pytest.raises(InputError):
        prepare(drawn, PICTURE)


def test_weights_name_their_command(tmp_path: Path, tiny_description: NetworkDescription) -> None:
    path = tmp_path / "trained.safetensors"
    save_weights(path, tiny_description.build(), tiny_description)
    with pytest.raises(InputError):
        prepare(path, WEIGHTS)
    tiny_description.training["made_by"] = made_by(NAME)
    save_weights(path, tiny_description.build(), tiny_description)
    prepare(path, WEIGHTS)
    with pytest.raises(InputError):
        prepare(path, WEIGHTS, "detect-train")


def test_pages_and_tables_are_known(tmp_path: Path) -> None:
    page, table = tmp_path / "page.html", tmp_path / "table.csv"
    page.write_text(f'<!doctype html>\n<meta name="generator" content="{made_by(NAME)}">')
    table.write_text("a,b\r\n1,2\r\n")
    prepare(page, KINDS["html"])
    prepare(table, table_kind(["a", "b"]))
    for path, kind, name in ((page, KINDS["html"], "detect"), (table, table_kind(["a"]), NAME)):
        with pytest.raises(InputError):
            prepare(path, kind, name)


def test_text_is_never_known(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    prepare(path, TEXT)
    path.touch()
    prepare(path, TEXT)
    path.write_text("a")
    with pytest.raises(InputError, match="but this file exists; choose another name or use --overwrite"):
        prepare(path, TEXT)


def test_a_file_in_a_folder_that_is_read_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "data" / "images").mkdir(parents=True)
    target = tmp_path / "report.json"
    target.write_text("a")
    prepare(target, KINDS["json"], read=tmp_path / "data", overwrite=True)
    (tmp_path / "data" / "images" / "a.jpg").symlink_to(target)
    with pytest.raises(InputError, match=f"in {tmp_path / 'data'}, which the command reads"):
        prepare(target, KINDS["json"], read=tmp_path / "data", overwrite=True)


def test_devices_are_written_to(tmp_path: Path) -> None:
    prepare(Path("/dev/null"), KINDS["json"])
    with pytest.raises(InputError, match="got a folder"):
        prepare(tmp_path, KINDS["json"])


def test_files_that_settings_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").touch()
    settings = {
        "weights": ["a.yaml", "", "missing", "x" * 5000],
        "inner": {"path": tmp_path, "number": 3, "none": None},
    }
    assert list(named_files(settings)) == [Path("a.yaml"), tmp_path]


@pytest.mark.parametrize(
    ("name", "expected"), [("a.txt", "ends in .png"), ("file/a.png", "place to write"), ("a.png", "")]
)
def test_files_that_cannot_be_written(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / "file").touch()
    parser = ArgumentParser(prog=NAME)
    add_output_options(parser, "plot", "json")
    settings: Namespace = parser.parse_args(["--plot", str(tmp_path / name)])
    if expected:
        with pytest.raises(InputError, match=expected):
            prepare_outputs(parser, settings, "plot", "json")
    else:
        assert prepare_outputs(parser, settings, "plot", "json") == [OutputFile(tmp_path / name, NAME), None]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
