"""No command replaces a file that it did not write, or writes to a file that it reads: all options of outputs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detection.errors import InputError
from tests.tools.command.all_commands import all_commands, required
from tools.measure.evaluate.kept_results import write_once

OUTPUTS = {
    "detect": ["coco", "crops", "csv", "gallery", "json", "voc", "yolo"],
    "detect-benchmark photos": ["json"],
    "detect-benchmark proposals": ["json"],
    "detect-benchmark scoring": ["json"],
    "detect-benchmark dataset": ["json"],
    "detect-benchmark growth": ["json"],
    "detect-benchmark service": ["json"],
    "detect-benchmark tiles": ["json"],
    "detect-calibrate-cascade": ["json"],
    "detect-calibrate-scores": ["json"],
    "detect-coverage": ["csv", "plot"],
    "detect-dataset": ["coco"],
    "detect-evaluate run": ["json", "html"],
    "detect-env": ["json"],
    "detect-evaluate score": ["json", "html"],
    "detect-evaluate compare": ["json"],
    "detect-evaluate convert": ["output"],
    "detect-evaluate-classifier": ["json", "plot"],
    "detect-evaluate-members": ["json"],
    "detect-evaluate-photos": ["json", "sheet"],
    "detect-experiments": ["csv", "json"],
    "detect-fold-response-norm": ["weights"],
    "detect-import-caffe": ["weights"],
    "detect-import-torchvision": ["weights"],
    "detect-picture-network filters": ["output"],
    "detect-picture-network predictions": ["output"],
    "detect-picture-network neighbours": ["output"],
    "detect-plot-training": ["save"],
    "detect-propose": ["output"],
    "detect-start-from-classes": ["weights"],
    "detect-train": ["weights"],
    "detect-train-box-grid": ["save"],
    "detect-train-multibox": ["weights"],
    "detect-train-rcnn-heads": ["save"],
}
"""The options of each command that name a file or folder to write, but for `WRITING_SEVERAL`."""

WRITING_SEVERAL = ("detect-export", "detect-split-dataset")
"""Commands that write several files to a folder, and have tests of their own for it."""

CASES = [(name, option) for name, options in OUTPUTS.items() for option in options]

WITHOUT = {"detect", "detect-propose", "detect-benchmark scoring"}
"""Commands that have a test of their own for this, that continue a file which they read, and that read no files."""

SUFFIXES = {"csv": ".csv", "plot": ".png", "sheet": ".png", "save": ".png", "output": ".png"}


def suffix_of(name: str, option: str) -> str:
    """Return the suffix that the name of the file must have."""
    return ".proposals" if name == "detect-propose" else SUFFIXES.get(option, ".out")


def test_all_outputs_are_listed() -> None:
    """A new option that names an output has to come into the list above."""
    files = {"json", "gallery", "html", "csv", "plot", "sheet", "save"}
    for name, command in all_commands().items():
        options = {action.dest for action in command.parser._actions}
        assert options & files <= set(OUTPUTS.get(name, [])), name
        replaces = (name in OUTPUTS and name != "detect-propose") or name in WRITING_SEVERAL
        assert ("overwrite" in options) == replaces, name


@pytest.mark.parametrize(("name", "option"), CASES)
def test_a_file_of_others_stays(
    name: str, option: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / f"precious{suffix_of(name, option)}"
    target.write_bytes(b"precious")
    status = all_commands()[name].run(*required(name, data), f"--{option}", target)
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert f"{target}: expected " in err
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize(("name", "option"), [case for case in CASES if case[0] not in WITHOUT])
@pytest.mark.parametrize("link", [True, False])
def test_an_input_stays(  # noqa: PLR0917
    name: str, option: str, link: bool, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is one that the command knows as its own, and it may overwrite others, but here it is an input."""
    target = source = tmp_path / f"read{suffix_of(name, option)}"
    source.touch()
    if link:
        target = tmp_path / f"link{suffix_of(name, option)}"
        os.link(source, target)
    arguments = [str(source) if argument == str(data / "missing") else argument for argument in required(name, data)]
    if str(source) not in arguments:
        reads_file = {action.dest for action in all_commands()[name].parser._actions} & {"proposals", "config"}
        arguments += ["--proposals", str(source)] if "proposals" in reads_file else ["--data", str(source)]
    status = all_commands()[name].run(*arguments, f"--{option}", target, "--overwrite")
    out, err = capsys.readouterr()
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert f"{target}: expected another file than " in err
    assert source.read_bytes() == b""


@pytest.mark.parametrize("action", ["score", "run"])
def test_two_outputs_are_two_files(action: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"detect-evaluate {action}"
    both = ["--json", tmp_path / "a", "--html", tmp_path / "b" / ".." / "a"]
    assert all_commands()[name].run(*required(name, data), *both) == 1
    assert "expected another file for --html" in capsys.readouterr().err


def test_a_ground_truth_of_others_stays(tmp_path: Path) -> None:
    path = tmp_path / "ground_truth.json"
    for _ in range(2):
        write_once(path, b"of this run")
    with pytest.raises(InputError, match="ground truth of this run"):
        write_once(path, b"of another run")
    assert path.read_bytes() == b"of this run"


def test_files_of_voc_stay(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    precious = tmp_path / "comp4_det_val_cat.txt"
    precious.write_text("precious")
    arguments = required("detect-evaluate convert", data)
    arguments[arguments.index("--to") :] = ["--to", "voc", "--output", str(tmp_path)]
    assert all_commands()["detect-evaluate convert"].run(*arguments) == 1
    assert capsys.readouterr().err.startswith(f"detect-evaluate: {precious}: expected a new file")
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", ["other", "link to the list that is read"])
def test_lists_of_others_stay(kind: str, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [*required("detect-split-dataset", data), "--output", str(tmp_path)]
    read, precious = tmp_path / "val.txt", tmp_path / "val2.txt"
    read.write_text("precious")
    if kind == "other":
        precious.write_text("precious")
    else:
        precious.symlink_to(read)
        arguments.append("--overwrite")
    assert all_commands()["detect-split-dataset"].run(*arguments) == 1
    assert capsys.readouterr().err.startswith(f"detect-split-dataset: {precious}: expected ")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"precious"}


def test_a_decoded_file_without_an_index_stays(
    experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"precious")
    options = ["--decoded_images", photo, "--output", tmp_path / "run"]
    assert all_commands()["detect-train"].run("fit", *experiment, *options) == 1
    assert capsys.readouterr().err.startswith(f"detect-train: {photo}: expected its index")
    assert photo.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
@pytest.mark.parametrize("resumes", [True, False])
def test_checkpoints_of_another_run_stay(
    name: str, resumes: bool, experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    precious = tmp_path / name
    precious.write_bytes(b"precious")
    options = ["--output", tmp_path, *(["--ckpt_path", tmp_path / "other" / "last.ckpt"] if resumes else [])]
    assert all_commands()["detect-train"].run("fit", *experiment, *options) == 1
    assert capsys.readouterr().err.startswith(f"detect-train: {precious}: expected no earlier run there")
    assert precious.read_bytes() == b"precious"
