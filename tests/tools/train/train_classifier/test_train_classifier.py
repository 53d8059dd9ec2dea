"""Tests of training, export, detection and evaluation on a data set of a few pictures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from classifier.region_classifier import RegionClassifier
from classifier.region_network import RegionNetwork
from classifier.scoring.weights_file import load_region_network, load_weights
from classifier.training.module import ClassifierTraining
from classifier.training.samples.region_batch import RegionBatch
from detection.configuration import load_detector
from detection.datasets import TinyImageNet
from detection.image import read_image
from detection.structures.boxes import box_iou
from detection.training.checkpoints import read_checkpoint
from detection.training.memory_use import STATM
from tests.tools.conftest import Logged, Options
from tools.measure.evaluate import command as evaluate
from tools.train import train_classifier
from tools.train.runs.classifier_run import ClassifierRun

# Lightning's own remarks on small runs: no loader processes, steps fewer than the logging interval, and the like.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


def test_learns_to_tell_two_colours(logged: Logged, trained: Path, config: Path) -> None:
    assert trained.exists()
    assert logged(config.parent / "run", "val_top1")[-1] == 1


@pytest.mark.skipif(not STATM.exists(), reason="only Linux tells the memory that a process takes now")
def test_memory_is_logged_with_each_loss(uninterrupted: Path, logged: Logged) -> None:
    memory, peaks = (logged(uninterrupted, name) for name in ("memory_gib", "memory_peak_gib"))
    assert len(memory) == len(peaks) == len(logged(uninterrupted, "train_loss")) == 30
    assert min(memory) > 0.05
    assert peaks == sorted(peaks)


def test_learns_from_a_teacher(
    trained: Path, three_epochs: Options, logged: Logged, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def taught_by(path: Path) -> list[str]:
        teacher = ["--teacher", "classifier.training.teacher.Teacher", "--teacher.members", json.dumps([str(path)])]
        teacher += ["--teacher.share", "1"]  # the labels have no part in the loss
        return [*three_epochs(tmp_path), *teacher, "--trainer.max_epochs", "10"]

    assert train_classifier.main(taught_by(trained)) == 0
    assert logged(tmp_path, "val_top1")[-1] > 0.9

    last, moved, other = (tmp_path / name for name in ("last.ckpt", "moved.safetensors", "other.safetensors"))
    shutil.copy(trained, moved)
    assert train_classifier.main([*taught_by(moved), "--ckpt_path", str(last)]) == 0
    content = trained.read_bytes()
    other.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert train_classifier.main([*taught_by(other), "--ckpt_path", str(last)]) == 1
    assert "last.ckpt: expected teacher.init_args.members" in capsys.readouterr().err


def dark_and_light() -> nn.Module:
    """Return a network of 2 classes, whose first logit is the mean of a picture; it stands for a trained one."""
    linear = nn.Linear(3, 2)
    nn.init.constant_(linear.weight, 1)
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), linear)


def test_learns_a_second_task(three_epochs: Options, trained: Path, tmp_path: Path) -> None:
    options = ["--second_task", "classifier.training.second_task.SecondTask"]
    options += ["--second_task.network", f"{__name__}.dark_and_light", "--second_task.input_size", "16"]
    arguments = [*three_epochs(tmp_path), *options]
    assert train_classifier.main(arguments) == 0
    last, target = tmp_path / "last.ckpt", tmp_path / "own.safetensors"
    assert train_classifier.main([*arguments, "--ckpt_path", str(last)]) == 0
    state = read_checkpoint(last)["state_dict"]
    assert state["second_head.weight"].shape[0] == 2
    export = ["export", *arguments[1:], "--ckpt_path", str(last), "--weights", str(target)]
    assert train_classifier.main(export) == 0
    network, description = load_region_network(target)
    assert network.state_dict().keys() == load_region_network(trained)[0].state_dict().keys()
    assert description.training["second_task"] == f"{__name__}.dark_and_light"


def test_a_second_task_without_logits(
    three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--second_task", "classifier.training.second_task.SecondTask", "--second_task.network"]
    assert train_classifier.main([*three_epochs(tmp_path), *options, "torch.nn.Identity"]) == 1
    assert "expected a network that returns logits [2, K] for two pictures" in capsys.readouterr().err


def test_a_teacher_of_other_classes(three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    teacher = ["--teacher", "classifier.training.teacher.Teacher", "--teacher.members", '["everyday.safetensors"]']
    assert train_classifier.main([*three_epochs(tmp_path), *teacher]) == 1
    assert "everyday.safetensors: expected the classes of the data set" in capsys.readouterr().err


def test_exported_weights_say_where_they_come_from(trained: Path) -> None:
    _, description = load_weights(trained)
    assert description.class_names == ("red square", "blue square")
    assert description.input_size == 32
    assert description.training["seed"] == 1
    assert description.training["steps"] == 10 * 80 // 8


def test_exported_weights_are_the_averaged_ones(
    trained: Path, config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.exists()
    best, weights = config.parent / "run" / "best.ckpt", tmp_path / "best.safetensors"  # saved in mid-training
    options = ["--config", str(config), "--data", str(data), "--ckpt_path", str(best), "--weights", str(weights)]
    assert train_classifier.main(["export", *options]) == 0
    assert capsys.readouterr().out == f"{weights}: {weights.stat().st_size:,} bytes\n"
    checkpoint = torch.load(best, weights_only=True)
    exported = load_weights(weights)[0].state_dict()["stem.0.0.weight"]
    averaged = checkpoint["state_dict"]["network.trunk.stem.0.0.weight"]
    last = checkpoint["current_model_state"]["network.trunk.stem.0.0.weight"]
    assert torch.equal(exported, averaged.half().float())
    assert not torch.equal(exported, last.half().float())


def test_measures_the_test_split_and_no_other(
    logged: Logged, uninterrupted: Path, experiment: list[str], tmp_path: Path
) -> None:
    options = [*experiment, "--ckpt_path", str(uninterrupted / "last.ckpt")]
    of_test = ["--test_split", "train", "--validation_split", "nowhere", "--output", str(tmp_path / "test")]
    assert train_classifier.main(["test", *options, *of_test]) == 0
    of_validation = ["--validation_split", "train", "--output", str(tmp_path / "validation")]
    assert train_classifier.main(["validate", *options, *of_validation]) == 0
    for name in ("loss", "top1", "top5"):
        assert logged(tmp_path / "test", f"test_{name}") == logged(tmp_path / "validation", f"val_{name}") != []
    assert logged(tmp_path / "test", "test_loss") != logged(uninterrupted, "val_loss")[-1:]


def test_measures_the_whole_pipeline(trained: Path, config: Path, data: Path, tmp_path: Path) -> None:
    assert trained.exists()
    report = tmp_path / "report.json"
    options = ["--config", str(config), "--data", str(data), "--json", str(report)]
    assert evaluate.main(["run", *options, "--limit", "4"]) == 0
    result = json.loads(report.read_text())
    assert result["images"] == 4
    assert result["proposals_per_image"] > 1
    assert result["rule"] == "voc"
    assert set(result["AP"]) == {"red square", "blue square"}
    assert result["mAP"] > 0.3  # at random over boxes and classes it is next to nothing


def test_trained_weights_detect(trained: Path, data: Path, config: Path, tmp_path: Path) -> None:
    assert trained.exists()
    detector_config = tmp_path / "detector.yaml"
    detector_config.write_text(yaml.safe_dump(yaml.safe_load(config.read_text())["detector"]))
    picture = next((data / "tiny-imagenet-200" / "val" / "images").glob("val_n02*"))
    detections = load_detector(detector_config, "cpu")(picture)
    assert detections.names[0] == "blue square"


def test_loss_that_is_not_finite(
    three_epochs: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = ClassifierTraining.distorted_regions
    seen: list[str] = []

    def broken_at_step_12(self: ClassifierTraining, batch: RegionBatch) -> torch.Tensor:
        seen.append(batch.files)
        return original(self, batch) * (float("nan") if self.global_step == 12 else 1)

    monkeypatch.setattr(ClassifierTraining, "distorted_regions", broken_at_step_12)
    options = [*three_epochs(tmp_path), "--checkpoint_steps", "13"]  # the broken step must not be saved
    assert train_classifier.main(options) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "expected a finite loss, got nan" in message
    assert message.endswith(f" {seen[12]}")
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 10


class ValuesRead(TorchDispatchMode):
    """Counts how often the value of a tensor is read; on a GPU, the host would wait for it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(
        self, operation: Any, types: Any, arguments: tuple[Any, ...] = (), options: dict[str, Any] | None = None
    ) -> Any:
        self.count += operation is torch.ops.aten._local_scalar_dense.default
        return operation(*arguments, **(options or {}))


def test_steps_that_are_not_logged_read_no_values(
    three_epochs: Options, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, reads = ClassifierTraining.on_train_batch_start, ValuesRead()
    seen: list[int] = []

    def counting(self: ClassifierTraining, batch: RegionBatch, batch_idx: int) -> None:
        if self.global_step == 1:
            reads.__enter__()  # type: ignore[no-untyped-call]
        elif self.global_step == 8:
            seen.append(reads.count)
            float(torch.ones(1))  # is counted
            seen.append(reads.count)
            reads.__exit__(None, None, None)  # type: ignore[no-untyped-call]
        original(self, batch, batch_idx)

    monkeypatch.setattr(ClassifierTraining, "on_train_batch_start", counting)
    options = [*three_epochs(tmp_path), "--trainer.max_epochs", "1", "--trainer.log_every_n_steps", "50"]
    assert train_classifier.main([*options, "--checkpoint_steps", "50", "--trainer.enable_progress_bar", "true"]) == 0
    assert seen == [0, 1]


def test_starts_from_other_weights(
    logged: Logged, trained: Path, three_epochs: Options, uninterrupted: Path, tmp_path: Path
) -> None:
    options = three_epochs(tmp_path)
    assert train_classifier.main([*options, "--initial_weights", str(trained)]) == 0
    assert logged(tmp_path, "train_loss")[0] < 0.7 * logged(uninterrupted, "train_loss")[0]


def test_decoded_images_give_the_same_run(
    logged: Logged, three_epochs: Options, uninterrupted: Path, tmp_path: Path
) -> None:
    decoded = tmp_path / "train.decoded"
    assert train_classifier.main([*three_epochs(tmp_path), "--decoded_images", str(decoded)]) == 0
    assert decoded.stat().st_size > 0
    assert logged(tmp_path, "train_loss") == logged(uninterrupted, "train_loss")


def test_whole_images_then_regions(three_epochs: Options, tmp_path: Path) -> None:
    options = three_epochs(tmp_path / "whole")
    whole = [*options[1:], "--task", "classifier.training.tasks.WholeImages"]
    assert train_classifier.main(["fit", *whole]) == 0
    weights = tmp_path / "whole.safetensors"
    last = str(tmp_path / "whole" / "last.ckpt")
    assert train_classifier.main(["export", *whole, "--ckpt_path", last, "--weights", str(weights)]) == 0
    network, description = load_weights(weights)
    assert not description.background
    assert network.get_parameter("linear.weight").shape[0] == 2

    regions = three_epochs(tmp_path / "regions")
    parser = train_classifier.build_parser()
    module = ClassifierRun(parser, parser.parse_args([*regions, "--initial_weights", str(weights)])).module()
    assert isinstance(module.network, RegionNetwork)
    assert module.new_layers == {"trunk.linear.weight", "trunk.linear.bias"}
    assert torch.equal(module.network.get_parameter("trunk.stem.0.0.weight"), network.get_parameter("stem.0.0.weight"))
    groups = {group["lr"] for group in module._parameter_groups()}
    assert groups == {0.05, 0.5}


@pytest.mark.parametrize(("grid", "gain"), [([], 0.05), (["--box_grid", "2"], 0.01)])
def test_boxes_are_refined(three_epochs: Options, data: Path, grid: list[str], gain: float, tmp_path: Path) -> None:
    options = [*three_epochs(tmp_path), "--box_regression", "true", "--trainer.max_epochs", "32", *grid]
    assert train_classifier.main(options) == 0
    weights = tmp_path / "boxes.safetensors"
    export = ["--ckpt_path", str(tmp_path / "last.ckpt"), "--weights", str(weights)]
    assert train_classifier.main(["export", *options[1:], *export]) == 0
    records = TinyImageNet(data).read("val")
    shifted = [record.boxes + np.array([[6, -5, 6, -5]], np.float32) for record in records]
    scores = RegionClassifier(str(weights), device="cpu")([read_image(record.path) for record in records], shifted)
    before = [box_iou(boxes, record.boxes)[0, 0] for boxes, record in zip(shifted, records, strict=True)]
    after = []
    for record, score in zip(records, scores, strict=True):
        assert score.boxes is not None
        after.append(box_iou(score.boxes[:, record.labels[0]], record.boxes)[0, 0])
    assert np.mean(after) > np.mean(before) + gain


def test_early_stop(three_epochs: Options, tmp_path: Path) -> None:
    options = three_epochs(tmp_path)
    frozen = ["--learning_rate", "0", "--early_stopping", "1", "--trainer.max_epochs", "9"]
    assert train_classifier.main([*options, *frozen]) == 0
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 20
