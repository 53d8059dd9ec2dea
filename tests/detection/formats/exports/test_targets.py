"""Where exports may be written, and what happens where they cannot."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.errors import InputError
from detection.formats.exports.coco_file import CocoFile
from detection.formats.exports.crops_folder import CropsFolder
from detection.formats.exports.csv_file import CsvFile
from detection.formats.exports.export import Export
from detection.formats.exports.picture_copies import UniqueNames
from detection.formats.exports.voc_folder import VocFolder
from detection.formats.exports.yolo_folder import YoloFolder
from detection.runtime.output_file import identify
from tests.detection.formats.exports.export_examples import export, saved

FILES: list[type[Export]] = [CocoFile, CsvFile]
FOLDERS: list[type[Export]] = [YoloFolder, VocFolder, CropsFolder]


@pytest.mark.parametrize("kind", FILES)
def test_a_file_is_replaced_only_with_overwrite(kind: type[Export], tmp_path: Path) -> None:
    """Somebody may have corrected it, so this holds for an earlier output of the command too."""
    target = tmp_path / "new" / "found"
    items = [saved(tmp_path / "a.png")]
    export(kind, target, items)
    before = target.read_bytes()
    with pytest.raises(InputError, match=r"found: expected a new file.*--overwrite"):
        export(kind, target, items * 2)
    assert target.read_bytes() == before
    export(kind, target, items * 2, overwrite=True)
    assert len(target.read_bytes()) > len(before)


@pytest.mark.parametrize("kind", FOLDERS)
def test_a_folder_must_be_new_or_empty(kind: type[Export], tmp_path: Path) -> None:
    target = tmp_path / "new" / "found"
    items = [saved(tmp_path / "a.png")]
    target.mkdir(parents=True)
    export(kind, target, items)
    (target / "own notes").write_text("kept")
    with pytest.raises(InputError, match=r"found: expected a new or empty folder, got one with files; .*--overwrite"):
        export(kind, target, items)
    files = {path: path.read_bytes() for path in target.rglob("*") if path.is_file()}
    export(kind, target, items, overwrite=True)
    assert {path: path.read_bytes() for path in target.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("kind", [*FILES, *FOLDERS])
def test_targets_that_cannot_be_used(kind: type[Export], tmp_path: Path) -> None:
    other = tmp_path / ("file" if kind in FOLDERS else "folder")
    if kind in FOLDERS:
        other.write_text("")
    else:
        other.mkdir()
    for target in (other, Path("/dev/null/below"), Path("/proc/nowhere/below")):
        with pytest.raises(InputError, match=f"^{target}"):
            kind(target, inputs={}, overwrite=True)


@pytest.mark.parametrize("kind", FILES)
def test_an_input_is_never_replaced(kind: type[Export], tmp_path: Path) -> None:
    item = saved(tmp_path / "a.png")
    with pytest.raises(InputError, match="which the command reads"):
        kind(Path(item.name), inputs=identify([Path(item.name)]), overwrite=True)


@pytest.mark.parametrize("kind", FILES)
def test_a_file_with_the_name_of_an_image_is_refused(kind: type[Export], tmp_path: Path) -> None:
    """The next run over the folder would take it for a broken image."""
    with pytest.raises(InputError, match=r"page\.PNG: expected another name than that of an image"):
        kind(tmp_path / "page.PNG", inputs={}, overwrite=True)


@pytest.mark.parametrize("kind", [YoloFolder, VocFolder])
def test_a_picture_in_the_folder_itself_is_never_replaced(kind: type[Export], tmp_path: Path) -> None:
    folder = tmp_path / "found" / ("images" if kind is YoloFolder else "JPEGImages")
    item = saved(folder / "a.png")
    before = Path(item.name).read_bytes()
    writer = kind(tmp_path / "found", inputs=identify([Path(item.name)]), overwrite=True)
    with pytest.raises(InputError, match="which the command reads"):
        writer.add(item)
    assert Path(item.name).read_bytes() == before


@pytest.mark.parametrize("kind", [*FILES, *FOLDERS])
def test_without_images_nothing_is_written(kind: type[Export], tmp_path: Path) -> None:
    export(kind, tmp_path / "found", [])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("kind", FOLDERS)
def test_an_image_whose_files_cannot_be_written_is_left_out(kind: type[Export], tmp_path: Path) -> None:
    items = [saved(tmp_path / "photos" / name) for name in ("a.png", "b.png")]
    writer = kind(tmp_path / "found", inputs={}, overwrite=False)
    writer.add(items[0])
    os.rename(tmp_path / "found", tmp_path / "moved")  # noqa: PTH104
    (tmp_path / "found").write_text("in the way")
    with pytest.raises(InputError, match="expected a place to write to"):
        writer.add(items[1])
    (tmp_path / "found").unlink()
    os.rename(tmp_path / "moved", tmp_path / "found")  # noqa: PTH104
    writer.finish()
    assert list((tmp_path / "found").rglob("b*")) == []
    assert [path for path in (tmp_path / "found").rglob("*a*") if path.is_file()]


def test_unique_names() -> None:
    names = UniqueNames()
    taken = [
        names.take(name)
        for name in ("x/a.jpg", "y/a.png", "y/A.png", "a_2.jpg", "b.detections.png", "?", "*", "a.b.jpg.png")
    ]
    assert taken == ["a", "a_2", "A_3", "a_2_2", "b", "_", "__2", "a_b_jpg"]


@pytest.mark.parametrize("kind", FILES)
def test_names_of_photos_in_a_file_below_a_link(kind: type[Export], tmp_path: Path) -> None:
    """The system follows links before it resolves "..", so the names count from the folder behind the link."""
    (tmp_path / "far" / "away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "away")
    export(kind, tmp_path / "link" / "found", [saved(tmp_path / "photos" / "a.png")])
    assert "../../photos/a.png" in (tmp_path / "link" / "found").read_text()
    assert (tmp_path / "link" / "../../photos/a.png").exists()
