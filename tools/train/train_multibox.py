"""Train MultiBox, which proposes boxes, with Lightning, and export its weights.

python -m tools.train_multibox fit --config configs/multibox.yaml --data FOLDER
python -m tools.train_multibox fit --config ... --data FOLDER --ckpt_path runs/multibox/last.ckpt   # resume
python -m tools.train_multibox validate --config ... --data FOLDER --ckpt_path runs/multibox/last.ckpt
python -m tools.train_multibox export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from detection.errors import InputError
from detection.training.checkpoints import read_checkpoint
from proposals.multibox.weights_file import save_multibox
from tools.command.killed_loaders import naming_killed_loaders
from tools.train.runs.classifier_run import build_trainer, go_on_from, require_startable
from tools.train.runs.multibox_run import add_multibox_options, build_data, build_training, describe

ACTIONS = ("fit", "validate", "export")


def build_parser() -> ArgumentParser:
    """The options of all actions; every one but the action can stand in the YAML file of `--config`."""
    parser = ArgumentParser(prog="python -m tools.train_multibox", description="Train MultiBox.")
    parser.add_argument("action", choices=ACTIONS)
    add_multibox_options(parser)
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to go on from, or to measure")
    parser.add_argument("--weights", type=str | None, default=None, help="safetensors file that export writes")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one action; returns the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        built = parser.instantiate(settings)
        if settings.action == "export":
            export(settings, built)
        else:
            with naming_killed_loaders(settings.workers, go_on_from(settings)):
                run(settings, built)
    except InputError as error:
        print(f"train_multibox: {error.line}", file=sys.stderr)
        return 1
    return 0


def run(settings: Namespace, built: Namespace) -> None:
    """Train, or measure a checkpoint."""
    require_startable(settings)
    describe(settings)  # before the work, not after it, see whether its weights could be exported
    module = build_training(settings, built)
    data = build_data(settings, built, module)
    trainer = build_trainer(settings, vars(built.trainer), metric="val_recall")
    getattr(trainer, settings.action)(module, datamodule=data, ckpt_path=settings.ckpt_path)


def export(settings: Namespace, built: Namespace) -> None:
    """Write the averaged weights of a checkpoint as safetensors."""
    if settings.ckpt_path is None or settings.weights is None:
        raise InputError("export: expected --ckpt_path, the checkpoint, and --weights, the file to write")
    module = build_training(settings, built)
    checkpoint = read_checkpoint(Path(settings.ckpt_path))
    description = describe(
        settings,
        dataset=settings.dataset.class_path,
        split=settings.train_split,
        layout=settings.layout.as_dict(),
        initial_weights=settings.initial_weights,
        initial_seed=settings.initial_seed,
        seed=settings.seed,
        steps=checkpoint["global_step"],
        torch=torch.__version__,
    )
    module.load_state_dict(checkpoint["state_dict"])
    save_multibox(Path(settings.weights), module.network, description)


if __name__ == "__main__":
    sys.exit(main())
