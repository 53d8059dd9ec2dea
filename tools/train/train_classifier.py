"""Train a region classifier with Lightning, and export its weights.

python -m tools.train_classifier fit --config configs/tiny_imagenet/tiny_imagenet.yaml --data FOLDER
python -m tools.train_classifier fit --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt   # resume
python -m tools.train_classifier validate --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt
python -m tools.train_classifier test --config ... --data FOLDER --ckpt_path ... --test_split test
python -m tools.train_classifier export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from jsonargparse import ArgumentParser, Namespace

from classifier.scoring.weights_file import save_weights
from detection.errors import InputError
from detection.runtime.tensor_file import Storage
from detection.training.checkpoints import read_checkpoint
from proposals.cache.reader import ProposalCache
from tools.command.experiment import add_experiment_options
from tools.command.image_proposals import open_cache
from tools.command.killed_loaders import naming_killed_loaders
from tools.train.runs.classifier_run import (
    build_data,
    build_module,
    build_trainer,
    describe,
    fit_to_checkpoint,
    go_on_from,
    require_startable,
)

ACTIONS = ("fit", "validate", "test", "export")


def build_parser() -> ArgumentParser:
    """The options of all actions; every one but the action can stand in the YAML file of `--config`."""
    parser = ArgumentParser(prog="python -m tools.train_classifier", description="Train a region classifier.")
    parser.add_argument("action", choices=ACTIONS)
    add_experiment_options(parser, detector_required=False)
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to go on from, or to measure")
    parser.add_argument("--weights", type=str | None, default=None, help="safetensors file that export writes")
    parser.add_argument("--stored_as", type=Storage, default="float16", help="weights there; int8 is half as large")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one action; returns the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        propose = settings.pop("detector").propose  # the rest may name weights that are only now being made
        built = parser.instantiate(settings)
        if settings.action == "export":
            export(settings, built)
        else:
            with naming_killed_loaders(settings.workers, go_on_from(settings)):
                run(settings, built, open_cache(settings, propose))
    except InputError as error:
        print(f"train_classifier: {error.line}", file=sys.stderr)
        return 1
    return 0


def run(settings: Namespace, built: Namespace, proposals: ProposalCache | None) -> None:
    """Train, or measure a checkpoint."""
    require_startable(settings)
    if settings.action == "test" and settings.test_split is None:
        raise InputError("test: expected --test_split, the split to measure; validate measures --validation_split")
    check_exportable(settings, built)
    module = build_module(settings, built)
    if settings.ckpt_path is not None:
        fit_to_checkpoint(Path(settings.ckpt_path), module)
    data = build_data(settings, built, module, action=settings.action, proposals=proposals)
    trainer = build_trainer(settings, vars(built.trainer))
    getattr(trainer, settings.action)(module, datamodule=data, ckpt_path=settings.ckpt_path)


def check_exportable(settings: Namespace, built: Namespace) -> None:
    """See whether the weights file that is to come could be read again.

    Raises:
        InputError: if the network is not of this project, which alone is built from a weights file.
    """
    try:
        describe(settings, built).build()
    except ValueError as error:
        raise InputError(f"network: {error}") from None


def export(settings: Namespace, built: Namespace) -> None:
    """Write the averaged weights of a checkpoint as safetensors, without auxiliary heads."""
    if settings.ckpt_path is None or settings.weights is None:
        raise InputError("export: expected --ckpt_path, the checkpoint, and --weights, the file to write")
    fit_to_checkpoint(Path(settings.ckpt_path), build_module(settings, built))
    checkpoint = read_checkpoint(Path(settings.ckpt_path))
    description = describe(
        settings,
        built,
        dataset=settings.dataset.class_path,
        split=settings.train_split,
        task=settings.task.class_path,
        initial_weights=settings.initial_weights,
        initial_seed=settings.initial_seed,
        seed=settings.seed,
        steps=checkpoint["global_step"],
        torch=torch.__version__,
    )
    network = description.build_region_network()
    prefix = "network."
    state = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()}
    network.load_state_dict({name: value for name, value in state.items() if not name.startswith("trunk.auxiliary.")})
    save_weights(Path(settings.weights), network, description, stored_as=settings.stored_as)


if __name__ == "__main__":
    sys.exit(main())
