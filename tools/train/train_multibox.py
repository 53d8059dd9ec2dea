"""Train MultiBox, which proposes boxes, with Lightning, and export its weights.

detect-train-multibox fit --config multibox.yaml --data FOLDER
detect-train-multibox fit --config ... --data FOLDER --ckpt_path runs/multibox/last.ckpt   # resume
detect-train-multibox validate --config ... --data FOLDER --ckpt_path runs/multibox/last.ckpt
detect-train-multibox export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors

The actions are in `tools.train.runs.training_run`, the network and its data in `tools.train.runs.multibox_run`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.train.runs.multibox_run import MultiBoxRun, add_multibox_options
from tools.train.runs.training_run import add_action_options


def build_parser() -> OptionParser:
    """Return the parser of all actions; every option but the action can stand in the YAML file of `--config`."""
    parser = OptionParser(prog="detect-train-multibox", description="Train MultiBox.")
    add_action_options(parser, "fit", "validate", "export")
    add_multibox_options(parser)
    return parser


@command("detect-train-multibox")
def main(arguments: Sequence[str]) -> None:
    """Run one action of a training run of MultiBox."""
    parser = build_parser()
    MultiBoxRun(parser, parser.parse_args(arguments)).act()


if __name__ == "__main__":
    sys.exit(main())
