"""The command `detect-export`: its files, and the input that it refuses."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from detection.cli import command as detect
from tests.tools.export.conftest import INPUT_SIZE, MEMBERS, export
from tools.export import command, onnx_writer
from tools.export.command import main
from tools.export.detector_networks import NetworkUse, find_networks, with_onnx_files


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    status = main([*map(str, arguments)])
    return status, capsys.readouterr().err


def test_files(fast: Path) -> None:
    assert {path.name for path in fast.iterdir()} == {"boxes.onnx", "first.onnx", "second.onnx", "detector.yaml"}
    settings = yaml.safe_load((fast / "detector.yaml").read_text())
    assert settings == {
        "propose": {"class_path": "proposals.multibox.MultiBoxProposer", "init_args": {"weights": "boxes.onnx"}},
        "classify": {
            "class_path": "classifier.ensemble.Ensemble",
            "init_args": {"members": ["first.onnx", "second.onnx"], "cascade_thresholds": [0.3]},
        },
        "score_threshold": 0.0,
    }


def test_the_folder_can_be_moved_and_detected_with(
    fast: Path, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    moved = shutil.copytree(fast, tmp_path / "moved")
    assert detect.main([str(photo), "--config", str(moved), "--no-image"]) == 0
    assert "photo.jpg" in capsys.readouterr().out


def test_its_own_files_are_replaced_and_changed_ones_stay(
    config: Path, fast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files of `fast` stand for those that PyTorch's exporter would write again, which takes long."""
    monkeypatch.setattr(command, "write_onnx", lambda path, *_, **__: shutil.copy(fast / path.name, path))
    folder = shutil.copytree(fast, tmp_path / "again")
    (folder / "second.onnx").write_bytes(b"")
    export(config, folder)
    assert (folder / "second.onnx").stat().st_size == (fast / "second.onnx").stat().st_size
    with (folder / "detector.yaml").open("a") as file:
        file.write("max_detections: 7\n")
    status, error = run(capsys, "--config", config, "--output", folder)
    assert status == 1
    assert "detector.yaml: expected a new file, but this file exists and was not written by this command" in error
    (folder / "detector.yaml").unlink()
    (folder / "first.onnx").write_bytes(b"somebody else's")
    status, error = run(capsys, "--config", config, "--output", folder)
    assert (status, error.count("\n")) == (1, 1)
    assert "first.onnx: expected a new file, but this file exists" in error
    assert (folder / "first.onnx").read_bytes() == b"somebody else's"


def test_the_detector_itself_stays(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = shutil.copytree(config.parent, tmp_path / "own")
    (folder / "small.yaml").rename(folder / "detector.yaml")
    before = (folder / "detector.yaml").read_bytes()
    status, error = run(capsys, "--config", folder, "--output", folder, "--overwrite")
    assert (status, error.count("\n")) == (1, 1)
    assert "expected another file than" in error
    assert (folder / "detector.yaml").read_bytes() == before


def test_files_beside_shipped_weights_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are written again only for a shipped detector, whose file is in the folder of the default one."""
    own, shipped = tmp_path / "own", tmp_path / "shipped"
    own.mkdir()
    (shipped / "more").mkdir(parents=True)
    uses = [
        NetworkUse(own / "first.safetensors", None, None),
        NetworkUse(shipped / "more" / "b.safetensors", None, None),
    ]
    monkeypatch.setattr(command, "SHIPPED_WEIGHTS", (shipped,))

    def written() -> list[str]:
        return [path.name for path in command.targets_beside(uses, config=own / "small.yaml").values()]

    assert written() == ["first.onnx", "b.onnx"]
    (own / "first.onnx").touch()
    (shipped / "more" / "b.onnx").touch()
    assert written() == ["first.onnx"]
    monkeypatch.setattr(command, "DEFAULT_CONFIG", own / "detector.yaml")
    assert written() == ["first.onnx", "b.onnx"]


def change(settings: Any, **arguments: Any) -> Any:
    settings["classify"]["init_args"].update(arguments)
    return settings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"members": ["missing.safetensors"] * 2}, "missing.safetensors: no such weights file; expected safetensors"),
        ({"members": ["boxes.safetensors"] * 2}, "boxes.safetensors: expected weights of a region classifier, found"),
        ({"views": 2}, "small.yaml: expected the settings of a detector: "),
    ],
)
def test_unusable_detector(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: dict[str, Any], message: str
) -> None:
    folder = shutil.copytree(config.parent, tmp_path / "changed")
    settings = change(yaml.safe_load(config.read_text()), **arguments)
    (folder / "small.yaml").write_text(yaml.safe_dump(settings))
    status, error = run(capsys, "--config", folder / "small.yaml", "--output", tmp_path / "exported")
    assert (status, error.count("\n")) == (1, 1)
    assert message in error
    assert not list((tmp_path / "exported").iterdir())


def test_nothing_to_export(fast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, error = run(capsys, "--config", fast, "--output", tmp_path / "exported")
    assert (status, error.count("\n")) == (1, 1)
    assert "detector.yaml: expected a detector that names weights files (*.safetensors), found none" in error


def test_an_exported_network_among_others(
    config: Path, fast: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would stay where it is, so the new folder could not be moved."""
    mixed = shutil.copytree(config.parent, tmp_path / "mixed") / config.name
    shutil.copy(fast / "second.onnx", mixed.parent)
    mixed.write_text(mixed.read_text().replace("second.safetensors", "second.onnx"))
    status, error = run(capsys, "--config", mixed, "--output", tmp_path / "exported")
    assert (status, error.count("\n")) == (1, 1)
    onnx = mixed.with_name("second.onnx")
    assert f"networks are all safetensors files (*.safetensors), got {onnx}, which is an ONNX file already" in error
    assert not (tmp_path / "exported").exists()


def test_without_the_packages(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_writer, "find_spec", lambda name: None if "onnx" in name else find_spec(name))
    status, error = run(capsys, "--config", config, "--output", tmp_path / "exported")
    assert status == 1
    assert "expected onnx and onnxscript to write it with; pip install 'inception-rcnn[onnx]'" in error
    assert not (tmp_path / "exported").exists()


def test_networks_of_equal_names_and_other_settings_get_files_of_their_own(config: Path, tmp_path: Path) -> None:
    other = shutil.copytree(config.parent, tmp_path / "other") / "first.safetensors"
    first = str(config.with_name("first.safetensors"))
    boxes = str(config.with_name("boxes.safetensors"))
    settings = {
        "members": [first, str(other), first],
        "more": [{"weights": boxes, "input_size": size, "precision": "bfloat16"} for size in (64, INPUT_SIZE)],
        "scales": [1.0],
    }
    files = find_networks(settings, source="small.yaml")
    assert with_onnx_files(settings, files) == {
        "members": ["first.onnx", "first_2.onnx", "first.onnx"],
        "more": [{"weights": "boxes.onnx"}, {"weights": "boxes_2.onnx"}],
        "scales": [1.0],
    }
    assert [use.precision for use in files] == [None, None, "float32", "float32"]
    assert [use.input_size for use in files] == [None, None, 64, INPUT_SIZE]
    assert settings["members"] == [first, str(other), first]
    assert MEMBERS[0] in files[next(iter(files))]
