"""Train a region classifier with Lightning, and export its weights.

python -m tools.train_classifier fit --config configs/tiny_imagenet.yaml --data FOLDER
python -m tools.train_classifier fit --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt   # resume
python -m tools.train_classifier validate --config ... --data FOLDER --ckpt_path runs/tiny_imagenet/last.ckpt
python -m tools.train_classifier export --config ... --data FOLDER --ckpt_path ... --weights my.safetensors
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import torch
from jsonargparse import ArgumentParser, Namespace
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader

from classifier.region_data import GroundTruthRegions, RegionBatch, SampledRegions, collate_regions
from classifier.training import RegionTraining
from classifier.weights_file import NetworkDescription, save_weights
from detection.errors import InputError
from tools.experiment import add_experiment_options

CHECKPOINT_STEPS = 500
"""How often the state to resume from is saved."""

ACTIONS = ("fit", "validate", "test", "export")


class LastCheckpoint(Callback):
    """Keeps the state to resume from in one file: every so many steps, and at the end of each epoch."""

    def __init__(self, path: Path, *, every_n_steps: int) -> None:
        self.path = path
        self.every_n_steps = every_n_steps

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step % self.every_n_steps == 0:
            trainer.save_checkpoint(self.path)

    def on_train_epoch_end(self, trainer: Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path)


def build_parser() -> ArgumentParser:
    """The options of all actions; every one but the action can stand in the YAML file of `--config`."""
    parser = ArgumentParser(prog="python -m tools.train_classifier", description="Train a region classifier.")
    parser.add_argument("action", choices=ACTIONS)
    add_experiment_options(parser)
    parser.add_argument("--ckpt_path", type=str | None, default=None, help="checkpoint to go on from, or to measure")
    parser.add_argument("--weights", type=str | None, default=None, help="safetensors file that export writes")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run one action; returns the exit status."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    try:
        settings.pop("detector")  # it may name the weights that are only now being made
        built = parser.instantiate(settings)
        if settings.action == "export":
            export(settings, built)
        else:
            run(settings, built)
    except InputError as error:
        print(f"train_classifier: {error.line}", file=sys.stderr)
        return 1
    return 0


def run(settings: Namespace, built: Namespace) -> None:
    """Train, or measure a checkpoint."""
    seed_everything(settings.seed, workers=True)
    module = build_module(settings, built)
    trainer = build_trainer(settings)
    measured = DataLoader(
        GroundTruthRegions(built.dataset.read(settings.validation_split)),
        batch_size=settings.batch_size,
        collate_fn=collate_regions,
        num_workers=settings.workers,
    )
    if settings.action == "fit":
        regions = SampledRegions(
            built.dataset.read(settings.train_split),
            count=settings.regions_per_image,
            foreground_fraction=settings.foreground_fraction,
        )
        loader: DataLoader[RegionBatch] = DataLoader(
            regions,  # type: ignore[arg-type]  # the collation turns samples into batches
            batch_size=settings.batch_size,
            shuffle=True,
            drop_last=len(regions) > settings.batch_size,
            collate_fn=collate_regions,
            num_workers=settings.workers,
            persistent_workers=settings.workers > 0,
        )
        trainer.fit(module, loader, measured, ckpt_path=settings.ckpt_path)
    elif settings.ckpt_path is None:
        raise InputError(f"{settings.action}: expected --ckpt_path, the checkpoint to measure")
    else:
        getattr(trainer, settings.action)(module, measured, ckpt_path=settings.ckpt_path)


def build_module(settings: Namespace, built: Namespace) -> RegionTraining:
    """The network for the data set's classes and background, with its loss and optimiser."""
    names = inspect.signature(RegionTraining).parameters.keys() - {"network"}
    network = built.network(len(built.dataset.class_names) + 1)
    return RegionTraining(network, **{name: settings[name] for name in names})


def build_trainer(settings: Namespace) -> Trainer:
    """Lightning's trainer with checkpoints, the averaged weights, and a log in CSV."""
    output = Path(settings.output)
    callbacks = [
        EMAWeightAveraging(decay=settings.average_decay),
        LastCheckpoint(output / "last.ckpt", every_n_steps=CHECKPOINT_STEPS),
        ModelCheckpoint(output, filename="best", monitor="val_top1", mode="max"),
        LearningRateMonitor("step"),
    ]
    logger = CSVLogger(output, name="log")
    return Trainer(**settings.trainer, callbacks=callbacks, logger=logger, default_root_dir=output)


def export(settings: Namespace, built: Namespace) -> None:
    """Write the averaged weights of a checkpoint as safetensors."""
    if settings.ckpt_path is None or settings.weights is None:
        raise InputError("export: expected --ckpt_path, the checkpoint, and --weights, the file to write")
    checkpoint = torch.load(settings.ckpt_path, map_location="cpu", weights_only=True)
    description = NetworkDescription(
        class_path=settings.network.class_path,
        init_args=settings.network.init_args.as_dict(),
        class_names=built.dataset.class_names,
        input_size=settings.input_size,
        context=settings.context,
        training={
            "dataset": settings.dataset.class_path,
            "split": settings.train_split,
            "seed": settings.seed,
            "steps": checkpoint["global_step"],
            "torch": torch.__version__,
        },
    )
    network = description.build()
    prefix = "network."
    state = {name.removeprefix(prefix): value for name, value in checkpoint["state_dict"].items()}
    network.load_state_dict(state)
    save_weights(Path(settings.weights), network, description)


if __name__ == "__main__":
    sys.exit(main())
