"""Tests of data, options, weights and classes that training and evaluation refuse with a one-line message."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from classifier.scoring.weights_file import load_region_network, save_weights
from tests.tools.conftest import Options
from tools.measure.evaluate import command as evaluate
from tools.train import train_classifier

# Lightning's own remarks on small runs: no loader processes, steps fewer than the logging interval, and the like.
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning")


def run_train(*arguments: str) -> int:
    return train_classifier.main(list(arguments))


def run_evaluate(*arguments: str) -> int:
    return evaluate.main(list(arguments))


def test_test_needs_a_split(uninterrupted: Path, experiment: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert train_classifier.main(["test", *experiment, "--ckpt_path", str(uninterrupted / "last.ckpt")]) == 1
    assert capsys.readouterr().err.strip().startswith("detect-train: test: expected --test_split")


@pytest.mark.parametrize(
    ("run", "arguments", "reason"),
    [
        (run_train, ["fit"], "wnids.txt: expected a text file"),
        (run_train, ["validate"], "wnids.txt: expected a text file"),
        (run_evaluate, ["run"], "wnids.txt: expected a text file"),
    ],
)
def test_data_that_is_not_there(
    run: Callable[..., int], arguments: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "--config", "configs/tiny_imagenet/tiny_imagenet.yaml", "--data", str(tmp_path)) == 1
    message = capsys.readouterr().err.strip()
    assert reason in message
    assert str(tmp_path) in message
    assert "\n" not in message


@pytest.mark.usefixtures("trained")
def test_broken_picture_is_named(config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    broken = next((copy / "tiny-imagenet-200" / "val" / "images").iterdir())
    broken.write_bytes(b"nothing that shows")
    assert run_evaluate("run", "--config", str(config), "--data", str(copy), "--results", str(tmp_path / "kept")) == 1
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith(f"detect-evaluate: {broken}: expected a readable image")


@pytest.mark.parametrize(("action", "option"), [("validate", "--ckpt_path"), ("export", "--weights")])
def test_actions_that_need_a_checkpoint(
    action: str, option: str, config: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_train(action, "--config", str(config), "--data", str(data)) == 1
    message = capsys.readouterr().err
    assert f"{action}: expected" in message
    assert option in message


def test_network_from_elsewhere(three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*three_epochs(tmp_path), "--network", "torchvision.models.resnet18"]
    assert train_classifier.main(options) == 1
    assert "expected a network of the package classifier" in capsys.readouterr().err


def test_initial_weights_of_another_network(
    trained: Path, three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = three_epochs(tmp_path)
    options += ["--initial_weights", str(trained), "--network.init_args.width_multiplier", "0.25"]
    assert train_classifier.main(options) == 1
    message = capsys.readouterr().err.strip()
    assert f"{trained}: expected weights of the network that is configured" in message
    assert "\n" not in message


def test_whole_images_have_no_boxes(three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [*three_epochs(tmp_path), "--task", "classifier.training.tasks.WholeImages"]
    assert train_classifier.main([*options, "--box_regression", "true"]) == 1
    assert "box_regression: expected a task with regions" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "box_grid: expected box_regression as well"),
        (
            ["--box_regression", "true", "--network.init_args.auxiliary_heads", "true"],
            "box_grid: expected a network without auxiliary_heads",
        ),
    ],
)
def test_grid_that_does_not_suit(
    options: list[str], message: str, three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train_classifier.main([*three_epochs(tmp_path), "--box_grid", "2", *options]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("options", [[], ["--box_grid", "3"]])
def test_initial_weights_with_another_grid(
    options: list[str], trained: Path, three_epochs: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = replace(load_region_network(trained)[1], box_regression=True, box_grid=2)
    weights = tmp_path / "grid.safetensors"
    save_weights(weights, description.build_region_network(), description)
    options = [*three_epochs(tmp_path), "--box_regression", "true", "--initial_weights", str(weights), *options]
    assert train_classifier.main(options) == 1
    assert f"{weights}: expected --box_grid 2, as these weights have it" in capsys.readouterr().err


def test_class_without_objects(
    three_epochs: Options, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = shutil.copytree(data, tmp_path / "data")
    (copy / "tiny-imagenet-200" / "train" / "n02" / "n02_boxes.txt").write_text("")
    assert train_classifier.main([*three_epochs(tmp_path), "--data", str(copy)]) == 1
    message = capsys.readouterr().err.strip()
    assert "expected objects of every class in split 'train', got none of blue square" in message


@pytest.fixture(name="unmeasurable")
def data_without_objects_to_measure_with(data: Path, tmp_path: Path) -> str:
    copy = shutil.copytree(data, tmp_path / "data")
    (copy / "tiny-imagenet-200" / "val" / "val_annotations.txt").write_text("")
    return str(copy)


NOTHING_MEASURED = "detect-train: validation_split: expected objects in split 'val', found none to measure with"


def test_training_without_objects_to_measure_with(
    three_epochs: Options, unmeasurable: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*three_epochs(tmp_path / "run"), "--data", unmeasurable]
    assert train_classifier.main(options) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == NOTHING_MEASURED
    assert train_classifier.main([*options, "--trainer.limit_val_batches", "0", "--trainer.max_epochs", "1"]) == 0
    assert (tmp_path / "run" / "last.ckpt").exists()


def test_measuring_without_objects(
    experiment: list[str], uninterrupted: Path, unmeasurable: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["validate", *experiment, "--data", unmeasurable, "--ckpt_path", str(uninterrupted / "last.ckpt")]
    assert train_classifier.main(options) == 1
    assert capsys.readouterr().err.strip().splitlines()[-1] == NOTHING_MEASURED


def test_detector_with_other_classes(
    trained: Path, config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert trained.exists()
    copy = shutil.copytree(data, tmp_path / "data")
    words = copy / "tiny-imagenet-200" / "words.txt"
    words.write_text(words.read_text().replace("blue square", "azure square"))
    assert run_evaluate("run", "--config", str(config), "--data", str(copy)) == 1
    message = capsys.readouterr().err.strip()
    assert "class 1 is 'blue square', not 'azure square'" in message


def test_unknown_key_is_an_error(config: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(config.read_text() + "\nnonsense: 1\n")
    with pytest.raises(SystemExit, match="2"):
        run_train("fit", "--config", str(broken), "--data", str(data))
    assert "nonsense" in capsys.readouterr().err
