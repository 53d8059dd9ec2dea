"""The settings that a checkpoint keeps of its run, so that the run is resumed with the same samples or not at all.

The order of the samples and the learning rate follow from the number of steps that are done. With another batch size,
data set or schedule, a step would stand for other samples, and a new learning rate would be replaced by that of the
checkpoint. So all settings are compared, but for those that `MAKES_NO_DIFFERENCE` names.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Trainer

from detection.errors import InputError
from detection.formats.settings import first_difference
from detection.training.data_module import TrainingSamples
from detection.training.schedules import CosineSchedule
from proposals.cache.reader import ProposalCache
from tools.command.image_proposals import weights_checksums

MAKES_NO_DIFFERENCE = {
    "action",
    "checkpoint_steps",
    "ckpt_path",
    "config",
    "cuda_graphs",
    "data",
    "decoded_images",
    "early_stopping",
    "initial_seed",  # the checkpoint has the weights
    "initial_weights",
    "loggers",
    "output",
    "proposals",
    "stored_as",
    "test_split",
    "weights",
    "workers",
}
"""Options that may change when a run is resumed. Files and folders may be moved; what is in them is compared."""

PLACES = {"root", "path", "__path__"}
"""Arguments of data sets and caches within other options that say where these lie, and where an option was read."""

TRAINER_OPTIONS = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm")
"""Options of Lightning's trainer that decide what a step is."""

LENGTH_OPTIONS = ("max_epochs", "max_steps")
"""Options of Lightning's trainer that decide how long the run is."""


def settings_of_run(
    built: Namespace, settings: Namespace, trainer: Trainer, samples: TrainingSamples
) -> dict[str, Any]:
    """Return the settings of a run that have to stay when it is resumed, as values for JSON.

    The length of the run is left out if neither the learning rate nor the size of the inputs depends on it.

    Args:
        built: the options with their classes instantiated.
        settings: the options as the parser has read them.
        trainer: the trainer, which knows the number of processes.
        samples: the samples to train on.
    """
    options = settings.as_dict()
    follows_length = (built.schedule or CosineSchedule()).follows_length or len(options["training_sizes"] or ()) > 1
    names = TRAINER_OPTIONS + (LENGTH_OPTIONS if follows_length else ())
    kept = {name: value for name, value in options.items() if name not in MAKES_NO_DIFFERENCE}
    kept |= {
        "class_names": {str(label): name for label, name in enumerate(built.dataset.class_names)},
        "training_images": {"count": len(samples), "objects_crc32": f"{samples.checksum():08x}"},
        "proposals": ProposalCache(options["proposals"]).checksum() if options.get("proposals") else None,
        **{name: _contents(options.get(name)) for name in ("teacher", "second_task")},
        "trainer": {name: options["trainer"][name] for name in names},
        "world_size": trainer.world_size,
    }
    stored: dict[str, Any] = json.loads(json.dumps(_without_places(kept), default=str))
    return stored


def _contents(options: Any) -> Any:
    """Return options with the CRC-32 of each file in place of its name."""
    if isinstance(options, dict):
        return {name: _contents(value) for name, value in options.items()}
    if isinstance(options, list):
        return [_contents(value) for value in options]
    return weights_checksums(options).get(options, options) if isinstance(options, str) else options


def require_same_run(path: str, stored: dict[str, Any], current: dict[str, Any]) -> None:
    """Check that a run is resumed with the settings that it began with, which its checkpoint has stored.

    The number of processes may change if the total batch size stays the same. Checkpoints of older versions have no
    settings; a line on standard error says so.

    Raises:
        InputError: naming the checkpoint, and the first setting that differs with both values.
    """
    if not stored:
        print(
            f"{path}: this checkpoint of an older version does not store its settings, so they are not checked; "
            "make sure that they are unchanged",
            file=sys.stderr,
        )
        return
    if _samples_at_once(stored) == _samples_at_once(current):
        current = current | {name: stored[name] for name in ("batch_size", "world_size")}
    known = {name: value for name, value in current.items() if name in stored}  # later versions may have more options
    if difference := first_difference(known, stored):
        name, before, now = difference
        raise InputError(
            f"{path}: expected {name} {before} as in the run that wrote it, got {now}; go on with the same settings, "
            "or start a new run"
        )


def _samples_at_once(settings: dict[str, Any]) -> int:
    """Return the number of samples in a batch of all processes, see `ResumableBatches`."""
    processes: int = settings["world_size"]
    batch_size: int = min(settings["batch_size"], settings["training_images"]["count"] // processes)
    return batch_size * processes


def _without_places(settings: Any) -> Any:
    if isinstance(settings, dict):
        return {name: _without_places(value) for name, value in settings.items() if name not in PLACES}
    return [_without_places(value) for value in settings] if isinstance(settings, list) else settings
