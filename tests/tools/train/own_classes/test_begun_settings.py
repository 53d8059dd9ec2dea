"""A change of training.yaml is refused after files were made with it, and the message names these files."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from detection.errors import InputError
from tools.train.own_classes.begun_settings import require_unchanged
from tools.train.own_classes.folder import DetectorFolder

SETTINGS: dict[str, Any] = {
    "learning_rate": 0.01,
    "workers": 1,
    "trainer": {"max_steps": 300, "max_time": "00:00:10:00"},
    "detector": {"propose": {"init_args": {"budget": 500}}, "max_detections": 100},
}


def changed(*names: str, value: Any) -> dict[str, Any]:
    """Return `SETTINGS` with another value for the key with these nested names."""
    settings = copy.deepcopy(SETTINGS)
    inner = settings
    for name in names[:-1]:
        inner = inner[name]
    inner[names[-1]] = value
    return settings


@pytest.fixture(name="folder")
def begun_folder(tmp_path: Path) -> DetectorFolder:
    """A folder that was begun with `SETTINGS`, without any file that was made with them."""
    folder = DetectorFolder(tmp_path / "detector")
    folder.claim({"time": "10m"}, "data")
    require_unchanged(folder, SETTINGS, members=2)
    return folder


def make(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_all_settings_may_change_before_files_are_made(folder: DetectorFolder) -> None:
    require_unchanged(folder, changed("learning_rate", value=0.02), members=2)
    assert folder.begun_settings() == changed("learning_rate", value=0.02)


def test_settings_of_the_training_stay_when_weights_are_there(folder: DetectorFolder) -> None:
    make(folder.proposals, folder.root / "member_1.safetensors", folder.run_folder(2) / "last.ckpt")
    require_unchanged(folder, SETTINGS, members=2)
    expected = (
        f"{folder.training_file}: learning_rate was 0.01 when the training began, now it is 0.02; change it back, or "
        "delete work/member_2, member_1.safetensors in this folder and run the command again"
    )
    with pytest.raises(InputError) as caught:
        require_unchanged(folder, changed("learning_rate", value=0.02), members=2)
    assert str(caught.value) == expected
    assert folder.begun_settings() == SETTINGS
    with pytest.raises(InputError, match=r"trainer\.max_steps was 300 when the training began, now it is 40"):
        require_unchanged(folder, changed("trainer", "max_steps", value=40), members=2)


def test_after_the_named_files_are_deleted_the_new_settings_count(folder: DetectorFolder) -> None:
    weights = folder.root / "member_1.safetensors"
    make(folder.proposals, weights)
    weights.unlink()
    require_unchanged(folder, changed("learning_rate", value=0.02), members=2)
    make(weights)
    with pytest.raises(InputError, match=r"learning_rate was 0\.02"):
        require_unchanged(folder, SETTINGS, members=2)


def test_settings_of_the_proposals_stay_when_proposals_are_there(folder: DetectorFolder) -> None:
    make(folder.proposals)
    other = changed("detector", "propose", "init_args", "budget", value=300)
    with pytest.raises(InputError, match=r"budget was 500 .* delete work/train\.proposals in this folder"):
        require_unchanged(folder, other, members=2)


def test_settings_of_the_suppression_may_change_until_the_detector_is_finished(folder: DetectorFolder) -> None:
    make(folder.root / "member_1.safetensors")
    other = changed("detector", "max_detections", value=50)
    require_unchanged(folder, other, members=2)
    make(folder.detector_file)
    with pytest.raises(InputError, match=r"detector\.max_detections was 50 .* delete detector\.yaml in this folder"):
        require_unchanged(folder, SETTINGS, members=2)


@pytest.mark.parametrize("names", [("workers",), ("trainer", "max_time")])
def test_what_does_not_change_the_weights_may_change(folder: DetectorFolder, names: tuple[str, ...]) -> None:
    make(folder.root / "member_1.safetensors", folder.detector_file)
    require_unchanged(folder, changed(*names, value=None), members=2)


def test_a_folder_of_an_earlier_version_has_no_settings_to_compare(tmp_path: Path) -> None:
    folder = DetectorFolder(tmp_path / "detector")
    folder.claim({"time": "10m"}, "data")
    make(folder.root / "member_1.safetensors")
    assert folder.begun_settings() is None
    require_unchanged(folder, SETTINGS, members=1)
    assert folder.begun_settings() == SETTINGS
