"""No value of any option of any command leads to a traceback: it is used, or refused in one line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from detection.errors import InputError
from tests.tools.command.all_commands import Command, all_commands, options

pytestmark = [
    pytest.mark.filterwarnings("ignore:::lightning", "ignore:isinstance.treespec:FutureWarning"),
    pytest.mark.usefixtures("parsers_built_once"),
]

WRONG = ("nonsense", "-1", "nan", "9" * 25, "", "[", "{}")
"""Values that are of the wrong type, negative, no number, huge, empty, or no YAML."""

Case = tuple[Command, str]


def distinct_options() -> Iterator[Case]:
    """Yield each option once, though several commands may have it; these differ in nothing."""
    seen = set()
    smallest_first = sorted(all_commands().values(), key=lambda command: len(command.parser._actions))
    for command in smallest_first:  # whose parsers are the fastest
        for action in options(command):
            kind = (action.option_strings[0], str(getattr(action, "_typehint", action.type)), str(action.choices))
            if kind not in seen:
                seen.add(kind)
                yield command, action.option_strings[0]


def test_wrong_values_are_refused_by_the_parser_in_one_line_or_taken(capsys: pytest.CaptureFixture[str]) -> None:
    tried = 0
    for command, option in distinct_options():
        for value in WRONG:
            tried += 1
            try:
                command.parser.parse_args([f"{option}={value}"])
            except SystemExit as stopped:
                assert stopped.code == 2, (command.name, option, value)  # noqa: PT017
            except InputError as error:
                assert error.line == str(error), (command.name, option, value)  # noqa: PT017
            except BaseException as error:
                pytest.fail(f"{command.name} {option}={value}: {error!r}")
            assert capsys.readouterr().err.count("\n") <= 1, (command.name, option, value)
    assert tried > 1000


@pytest.mark.parametrize("name", [*all_commands()])
def test_no_command_takes_abbreviated_options(name: str) -> None:
    assert not all_commands()[name].parser.allow_abbrev


@pytest.mark.parametrize("name", [*all_commands()])
def test_help_describes_values_in_words(name: str) -> None:
    text = all_commands()[name].parser.format_help()
    assert not re.search(r"type:|lambda|_and_le|<class|<function|Literal\[", text)


TRAINING = [
    *("--batch_size 0", "--batch_size -3", "--workers -1", "--workers 2.5", "--seed -1", f"--seed {9**30}"),
    *("--trainer.accelerator gpu", "--trainer.accelerator mps", "--trainer.accelerator cuda", "--trainer.devices 0"),
    *("--trainer.accelerator nonsense", "--trainer.devices -5", "--trainer.devices nonsense", "--trainer.devices []"),
    *("--trainer.strategy nonsense", "--trainer.strategy deepspeed", "--trainer.max_steps 0", "--trainer.max_epochs 0"),
    *("--trainer.max_steps -7", "--trainer.max_epochs -7", "--trainer.val_check_interval 2.5"),
    *("--trainer.val_check_interval 99999", "--trainer.limit_val_batches -1", "--trainer.limit_val_batches 1.5"),
    *("--trainer.precision transformer-engine", "--trainer.profiler nonsense", "--trainer.barebones true"),
    *("--trainer.gradient_clip_algorithm nonsense", "--trainer.accumulate_grad_batches 0"),
    *("--trainer.accumulate_grad_batches -1", "--trainer.check_val_every_n_epoch 0", "--trainer.num_nodes 0"),
    *("--trainer.max_time nonsense", "--trainer.plugins nonsense", "--trainer.log_every_n_steps -1"),
    *("--learning_rate nan", "--learning_rate -1", "--momentum 2", "--weight_decay inf", "--new_layer_factor -1"),
    *("--training_sizes [0]", "--training_sizes [-3, 5]", "--average_decay 2", "--early_stopping -1", "--input_size 0"),
    *("--input_size 1", "--input_size -9", "--context -1", "--context 99", "--label_smoothing 2", "--box_weight nan"),
    *("--schedule.warmup_fraction 2", "--schedule nonsense", "--checkpoint_steps 0", "--frozen [nonsense]"),
    *("--train_split nonsense", "--validation_split nonsense", "--output /dev/null/below", "--ckpt_path nowhere"),
    *(
        "--network.init_args.width_multiplier 0",
        "--network.init_args.width_multiplier nan",
        "--network torch.nn.Linear",
    ),
    *("--network.init_args.dropout 7", "--augmentation.mirror nan", "--augmentation.interpolations []"),
    *("--augmentation.photometric -5", "--task.per_image 0", "--task.foreground_fraction 3"),
]
"""Options of training that were taken, and led to a traceback later or to a run that learns nothing."""


@pytest.mark.parametrize("option", TRAINING)
def test_options_of_training(
    option: str, experiment: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, _, value = option.partition(" ")
    status = all_commands()["detect-train"].run("fit", *experiment, "--output", tmp_path / "run", name, value)
    err = [line for line in capsys.readouterr().err.splitlines() if " expected " in line or "--help lists" in line]
    assert status in (1, 2)
    assert len(err) == 1
    assert not (tmp_path / "run" / "last.ckpt").exists()
