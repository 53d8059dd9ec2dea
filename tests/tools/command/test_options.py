"""The options that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonargparse import ArgumentParser

from detection.configuration import build_detector
from detection.datasets import DataSet
from detection.errors import InputError
from tools.bulk import command as bulk
from tools.command.experiment import parse_experiment
from tools.command.option_parser import OptionParser, wrong_value
from tools.command.options import add_config_option, evenly_spaced
from tools.data import propose
from tools.measure.evaluate import run as evaluate_run
from tools.train import train_classifier


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (None, list(range(12))),
        (4, [0, 3, 6, 9]),
        (5, [0, 2, 4, 7, 9]),
        (7, [0, 1, 3, 5, 6, 8, 10]),
        (1, [0]),
        (100, list(range(12))),
    ],
)
def test_items_are_evenly_spaced(limit: int | None, expected: list[int]) -> None:
    assert evenly_spaced(list(range(12)), limit) == expected


@pytest.mark.parametrize("build_parser", [propose.build_parser, evaluate_run.build_parser])
def test_commands_without_training_need_and_show_no_options_of_training(
    build_parser: Callable[[], OptionParser],
) -> None:
    parser = build_parser()
    assert parse_experiment(parser, ["--data", "anywhere", "--detector", "detector.yaml"]).task is None
    assert not re.search(r"--(trainer|learning_rate|task|input_size)\b", parser.format_help())


def test_shipped_configurations_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = evaluate_run.build_parser().parse_args(["--config", "tiny_imagenet.yaml", "--data", "anywhere"])
    assert settings.network.init_args.width_multiplier == 0.5
    names = ("tiny_imagenet_member.yaml", "photograph_backgrounds.yaml", "photograph_objects.yaml")
    several = [word for name in names for word in ("--config", name)]
    settings = train_classifier.build_parser().parse_args(["fit", *several, "--data", "anywhere"])
    assert (settings.input_size, settings.learning_rate, settings.trainer.max_steps) == (64, 0.02, 60)


def test_an_abbreviated_option_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OptionParser(prog="detect-something")
    parser.add_argument("--config_file", type=str)
    with pytest.raises(SystemExit):
        parser.parse_args(["--conf", "0.3"])
    assert "--conf" in capsys.readouterr().err
    assert parser.parse_args(["--config_file", "0.3"]).config_file == "0.3"


def test_what_is_missing_is_named_as_it_is_typed(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OptionParser(prog="detect-something")
    parser.add_argument("folder", type=str)
    parser.add_argument("--count-all", type=int, required=True)
    with pytest.raises(SystemExit):
        parser.parse_args([])
    assert "the following arguments are required: folder, --count-all; detect-something" in capsys.readouterr().err
    message = "Parser key \"count_all\": Expected a <class 'str'>. Got value: None"  # within an action of a command
    assert wrong_value(message, parser) == "--count-all: expected a value, got none"


def test_a_module_that_python_does_not_find_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    parser = OptionParser(prog="detect-something")
    parser.add_argument("--dataset", type=DataSet)
    with pytest.raises(SystemExit):
        parser.parse_args(["--dataset", "my_data.BoxesFromCSV"])
    advice = "if it lies in the current folder, write PYTHONPATH=. before the command"
    expected = f"my_data.BoxesFromCSV: Python does not find the module my_data; {advice}"
    assert capsys.readouterr().err == f"detect-something: {expected}\n"
    with pytest.raises(
        InputError, match=r"^mine: my_proposer\.Windows: Python does not find the module my_proposer; if"
    ):
        build_detector({"propose": "my_proposer.Windows"}, source="mine")


def small_parser() -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False)
    add_config_option(parser)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--batch_size", type=int)
    return parser


def test_own_file_comes_before_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_imagenet.yaml").write_text("seed: 7\n")
    monkeypatch.chdir(tmp_path)
    assert small_parser().parse_args(["--config", "tiny_imagenet.yaml"]).seed == 7


def test_later_files_and_options_override(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("seed: 1\nbatch_size: 8\n")
    second.write_text("seed: 2\n")
    settings = small_parser().parse_args(["--config", str(first), "--config", str(second), "--batch_size", "9"])
    assert (settings.seed, settings.batch_size) == (2, 9)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_configuration_in_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("seed: 3  # 猫\n".encode(encoding))
    assert small_parser().parse_args(["--config", str(path)]).seed == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("seed: 1\nbatch_size: [", r"a\.yaml: expected YAML: .* line 2"),
        ("seed: 1\nbatch_size: " + "9" * 400, r"a\.yaml: expected YAML: .* line 2"),
        ("a: " + "[" * 100_000, r"a\.yaml: expected YAML: expected values that are nested less deeply at line 1"),
    ],
)
def test_broken_configuration_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=message):
        small_parser().parse_args(["--config", str(path)])


def test_weights_beside_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "everyday.safetensors").touch()
    path = tmp_path / "a.yaml"
    classify = "{class_path: classifier.region_classifier.RegionClassifier, init_args: {weights: everyday.safetensors}}"
    path.write_text(f"detector: {{classify: {classify}}}")
    settings = evaluate_run.build_parser().parse_args(
        ["--config", "tiny_imagenet.yaml", "--config", str(path), "--data", "anywhere"]
    )
    assert settings.detector.classify.init_args.weights == str(tmp_path / "everyday.safetensors")


def test_options_of_a_cluster_are_refused_without_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = str(tmp_path / "val.proposals")
    experiment = ["--config", "tiny_imagenet.yaml", "--data", "missing", "--output", output]
    dataset = ["--input", "missing", "--output", output]
    runs = [
        (propose.main, experiment, "address"),
        *((bulk.main, dataset, name) for name in ("address", "workers", "memory")),
    ]
    for main, arguments, name in runs:
        assert main([*arguments, f"--{name}", "3"]) == 1
        assert f"--{name}: expected --engine ray, got local" in capsys.readouterr().err
