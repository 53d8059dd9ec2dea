"""The choice of classes, the best guesses where nothing is found, the examples of the help, and completion."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from detection.cli import main
from detection.cli.options import parse_options
from detection.cli.records import format_table
from detection.configuration import DEFAULT_CONFIG, load_detector, read_class_names, read_yaml
from detection.structures.detections import Detections
from tests.detection.conftest import Detect, Settings, assert_one_line_each, write_config


def test_list_of_classes(detect: Detect) -> None:
    assert detect("--list-classes") == (0, "cat\ncup\nrocket\n", "")


def test_chosen_classes(detect: Detect, photo: Path) -> None:
    (everything,) = json.loads(detect(photo, "--no-image", "--json", "-").out)
    chosen = [record for record in everything["detections"] if record["class"] in ("cat", "rocket")]
    assert 0 < len(chosen) < len(everything["detections"])
    (record,) = json.loads(detect(photo, "--no-image", "--json", "-", "--classes", "rocket", "Cat").out)
    assert record["detections"] == chosen
    (best,) = json.loads(detect(photo, "--no-image", "--json", "-", "--max-detections", 2, "--classes", "rocket").out)
    assert [record["class"] for record in best["detections"]] == ["rocket", "rocket"]


def test_classes_may_be_given_one_by_one() -> None:
    assert parse_options(["a.jpg", "--classes", "cat", "dog", "--classes", "cup"]).classes == ["cat", "dog", "cup"]


def test_a_wrong_class_gets_a_suggestion(detect: Detect, photo: Path) -> None:
    status, out, err = detect(photo, "--classes", "cat", "rockett")
    assert (status, out) == (1, "")
    expected = "expected a class of the detector, such as 'rocket', got 'rockett'"
    assert err == f"detect: --classes: {expected}; detect --list-classes prints all names\n"


@pytest.fixture(name="no_networks")
def detector_that_must_not_be_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the networks are loaded")

    for module in ("command", "class_options"):
        monkeypatch.setattr(f"detection.cli.{module}.load_detector", refuse)


@pytest.mark.usefixtures("no_networks")
def test_classes_are_known_before_the_networks_are_loaded(detect: Detect, photo: Path) -> None:
    assert detect("--list-classes").out == "cat\ncup\nrocket\n"
    assert "got 'rockett'" in detect(photo, "--classes", "rockett").err
    assert "got 'hat'" in detect(photo, "--classes", "hat", config=DEFAULT_CONFIG).err


@pytest.mark.usefixtures("no_networks")
@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_folder_that_cannot_be_written_is_told_before_the_networks_are_loaded(
    detect: Detect, photo: Path, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("no folder")
    assert_one_line_each(detect(photo, "--output", tmp_path / place).err, tmp_path / place)


@pytest.mark.parametrize(
    "classify",
    [
        {"class_path": "classifier.ensemble.Ensemble", "init_args": {"members": ["nothing.safetensors"]}},
        {"class_path": "classifier.ensemble.Ensemble", "init_args": {"members": []}},
        {"class_path": "no_such_package.Classifier"},
        "classifier.ensemble.Ensemble",
    ],
)
def test_classes_that_only_the_detector_knows(tmp_path: Path, classify: object) -> None:
    assert read_class_names(write_config(tmp_path, {"propose": "anything", "classify": classify})) is None


def test_images_behind_the_classes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--classes", "cat", "photo.jpg"])
    assert caught.value.code == 2
    expected = "expected images before --classes, got none; --classes takes all words behind it: cat photo.jpg"
    assert capsys.readouterr().err == f"detect: {expected}; detect --help lists the options\n"


def test_an_image_among_the_classes(detect: Detect, photo: Path) -> None:
    err = detect(photo, "--classes", "cat", photo).err
    assert err.endswith(f"got '{photo}'; detect --list-classes prints all names; write images before --classes\n")


def test_best_guesses_where_nothing_is_found(
    detect: Detect, photo: Path, tmp_path: Path, detector_settings: Settings
) -> None:
    strict = write_config(tmp_path, detector_settings | {"score_threshold": 1.0})
    out = detect(photo, "--no-image", config=strict).out
    heading, guesses = out.splitlines()
    assert ": 0 objects (" in heading
    match = re.fullmatch(r"  best guesses: (.*) \(--score-threshold (\S+) shows them\)", guesses)
    assert match
    detections = load_detector(strict)(photo)
    assert detections.guesses is not None
    assert match[1] == ", ".join(
        f"{name} {score:.3f}" for name, score in zip(detections.guesses.names, detections.guesses.scores, strict=True)
    )
    (shown,) = json.loads(detect(photo, "--no-image", "--json", "-", "--score-threshold", match[2], config=strict).out)
    assert {record["class"] for record in shown["detections"]} >= set(detections.guesses.names)


@pytest.mark.parametrize(
    ("score", "threshold"), [(0.0781, "0.07"), (0.3, "0.3"), (0.15, "0.1"), (0.00012, "0.0001"), (1, "1")]
)
def test_the_option_that_shows_the_guesses(score: float, threshold: str) -> None:
    guesses = Detections([[0, 0, 9, 9]], [score], [0], ("cat",))  # type: ignore[arg-type]
    record = {"image": "a.jpg", "width": 9, "height": 9, "seconds": 0.1, "detections": []}
    assert format_table(record, guesses).endswith(f"cat {score:.3f} (--score-threshold {threshold} shows them)")


def test_help_states_the_default_threshold_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    out = capsys.readouterr().out
    assert f"{read_yaml(DEFAULT_CONFIG)['score_threshold']} in the shipped detector.yaml" in " ".join(out.split())
    assert "detect photo.jpg --classes person dog" in out


def test_an_abbreviated_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["photo.jpg", "--conf", "0.3"])
    assert "unrecognized arguments: --conf 0.3" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", shell])
    out, err = capsys.readouterr()
    assert (caught.value.code, err) == (0, "")
    assert "score-threshold" in out
    assert "{threshold}" not in out


def test_bash_completes_options_and_files(tmp_path: Path) -> None:
    script = subprocess.run(
        [sys.executable, "-c", "from detection.cli import main; main(['--print-completion', 'bash'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "completion.sh").write_text(script)
    (tmp_path / "photo.jpg").touch()
    code = """
source completion.sh
function=$(complete -p detect | sed 's/.*-F \\([^ ]*\\).*/\\1/')
complete_word() {
    COMP_WORDS=(detect "$1") COMP_CWORD=1 COMPREPLY=()
    $function detect "$1" detect
    echo "${COMPREPLY[*]}"
}
complete_word --score
complete_word pho
"""
    output = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert output.splitlines() == ["--score-threshold", "photo.jpg"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which is always full")
def test_completion_onto_a_full_disk() -> None:
    command = [sys.executable, "-c", "from detection.cli import run; run()", "--print-completion", "bash"]
    with open("/dev/full", "w") as disk:  # noqa: PTH123
        result = subprocess.run(command, stdout=disk, stderr=subprocess.PIPE, text=True, check=False)
    assert (result.returncode, result.stderr) == (
        1,
        "detect: output: expected to read or write it, got: No space left on device\n",
    )


def test_completion_without_shtab(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    with pytest.raises(SystemExit) as caught:
        main(["--print-completion", "bash"])
    assert caught.value.code == 2
    assert "`pip install shtab`" in capsys.readouterr().err
