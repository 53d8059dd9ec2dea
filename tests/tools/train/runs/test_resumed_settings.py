"""A run is resumed with the settings that it began with, or is refused with both values of the first that differs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from detection.errors import InputError
from detection.training.module import RUN_SETTINGS_KEY
from tests.tools.conftest import Options
from tools.train import train_classifier
from tools.train.runs.resumed_run import _contents, require_same_run

# Lightning's own remarks on small runs.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")

STORED = {"batch_size": 4, "world_size": 1, "training_images": {"count": 13, "objects_crc32": "0badc0de"}, "seed": 1}


def resume(last: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Try to resume, and return the line with which it is refused."""
    capsys.readouterr()
    assert train_classifier.main([*options, "--ckpt_path", str(last)]) == 1
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith(f"detect-train: {last}: ")
    return line


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        (["--batch_size", "4"], "batch_size 8 as in the run that wrote it, got 4"),
        (
            ["--trainer.accumulate_grad_batches", "2"],
            "trainer.accumulate_grad_batches 1 as in the run that wrote it, got 2",
        ),
        (["--trainer.max_epochs", "4"], "trainer.max_epochs 3 as in the run that wrote it, got 4"),
        (["--trainer.max_steps", "20"], "trainer.max_steps -1 as in the run that wrote it, got 20"),
        (["--trainer.gradient_clip_val", "1"], "trainer.gradient_clip_val None as in the run that wrote it, got 1"),
        (
            ["--schedule.warmup_fraction", "0.2"],
            "schedule.init_args.warmup_fraction 0.1 as in the run that wrote it, got 0.2",
        ),
        (
            ["--schedule", "detection.training.schedules.ExponentialSchedule"],
            "schedule.class_path detection.training.sched",
        ),
        (["--learning_rate", "0.01"], "learning_rate 0.05 as in the run that wrote it, got 0.01"),
        (["--momentum", "0.8"], "momentum 0.9 as in the run that wrote it, got 0.8"),
        (["--seed", "2"], "seed 1 as in the run that wrote it, got 2"),
        (["--training_sizes", "[24, 32]"], "training_sizes None as in the run that wrote it, got [24, 32]"),
        (["--task.per_image", "2"], "task.init_args.per_image 1 as in the run that wrote it, got 2"),
        (["--augmentation.mirror", "0.1"], "augmentation.mirror 0.5 as in the run that wrote it, got 0.1"),
        (["--train_split", "val"], "train_split train as in the run that wrote it, got val"),
        (["--average_decay", "0.9"], "average_decay 0.98 as in the run that wrote it, got 0.9"),
    ],
)
def test_other_settings_are_refused(
    options: list[str],
    difference: str,
    *,
    uninterrupted: Path,
    three_epochs: Options,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert f"expected {difference}" in resume(uninterrupted / "last.ckpt", [*three_epochs(tmp_path), *options], capsys)
    assert not list(tmp_path.glob("*.ckpt"))


def remove_a_picture(root: Path) -> None:
    boxes = root / "train" / "n01" / "n01_boxes.txt"
    boxes.write_text("".join(boxes.read_text().splitlines(keepends=True)[1:]))


def move_a_box(root: Path) -> None:
    boxes = root / "train" / "n01" / "n01_boxes.txt"
    name, *corners = boxes.read_text().splitlines()[0].split("\t")
    first = "\t".join([name, "0", *corners[1:]])
    boxes.write_text("\n".join([first, *boxes.read_text().splitlines()[1:]]) + "\n")


def rename_a_class(root: Path) -> None:
    words = root / "words.txt"
    words.write_text(words.read_text().replace("blue square", "green square"))


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        (remove_a_picture, "expected training_images.count 80 as in the run that wrote it, got 79"),
        (move_a_box, "expected training_images.objects_crc32 "),
        (rename_a_class, "class 1 is 'blue square', not 'green square'"),
    ],
)
def test_other_data_is_refused(
    change: Any,
    difference: str,
    *,
    data: Path,
    uninterrupted: Path,
    three_epochs: Options,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    change(copy / "tiny-imagenet-200")
    options = [*three_epochs(tmp_path / "run"), "--data", str(copy)]
    assert difference in resume(uninterrupted / "last.ckpt", options, capsys)


def test_moved_data_and_more_loaders_make_no_difference(
    data: Path, uninterrupted: Path, three_epochs: Options, tmp_path: Path
) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    options = [*three_epochs(tmp_path / "run"), "--data", str(copy), "--initial_seed", "5", "--checkpoint_steps", "9"]
    assert train_classifier.main([*options, "--ckpt_path", str(uninterrupted / "last.ckpt")]) == 0


def test_a_checkpoint_of_an_older_version_is_resumed_with_a_word(
    uninterrupted: Path, three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = tmp_path / "older.ckpt"
    content = torch.load(uninterrupted / "last.ckpt", weights_only=True)
    del content[RUN_SETTINGS_KEY]
    torch.save(content, older)
    assert train_classifier.main([*three_epochs(tmp_path / "run"), "--ckpt_path", str(older)]) == 0
    assert f"{older}: this checkpoint of an older version does not store its settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("batch_size", "world_size", "difference"),
    [
        (4, 1, None),
        (2, 2, None),  # the same samples in each batch of all processes
        (1, 4, None),
        (4, 2, "world_size 1 as in the run that wrote it, got 2"),
        (2, 1, "batch_size 4 as in the run that wrote it, got 2"),
    ],
)
def test_batches_may_be_shared_out(batch_size: int, world_size: int, difference: str | None) -> None:
    current = STORED | {"batch_size": batch_size, "world_size": world_size}
    if difference is None:
        require_same_run("last.ckpt", STORED, current)
        return
    with pytest.raises(
        InputError, match=f"^last.ckpt: expected {difference}; go on with the same settings, or start a"
    ):
        require_same_run("last.ckpt", STORED, current)


def test_options_of_later_versions_are_not_compared() -> None:
    require_same_run("last.ckpt", STORED, STORED | {"new_option": 1})


def test_a_data_set_that_is_smaller_than_a_batch() -> None:
    """13 images are one batch of 13 in one process, but of 12 in two."""
    large = STORED | {"batch_size": 100}
    require_same_run("last.ckpt", large, large | {"batch_size": 200})
    with pytest.raises(InputError, match="expected batch_size 100 as in the run that wrote it, got 50"):
        require_same_run("last.ckpt", large, large | {"batch_size": 50, "world_size": 2})


def test_files_of_a_second_task_may_be_moved_but_not_changed(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.pth", "moved.pth", "other.pth")]
    for path, content in zip(files, (b"1", b"1", b"2"), strict=True):
        path.write_bytes(content)
    stored = [_contents({"network": {"init_args": {"files": [str(path), 3]}}, "share": 0.5}) for path in files]
    assert stored[0] == stored[1] != stored[2]
    assert stored[0]["share"] == 0.5
