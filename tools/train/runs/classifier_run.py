"""A training run of a region classifier: its network, its data and its weights file."""

from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from classifier.region_network import RegionNetwork
from classifier.scoring.description import NetworkDescription, find_weights
from classifier.scoring.weights_file import load_region_network, save_weights
from classifier.training.module import CLASS_NAMES_KEY, NEW_LAYERS_KEY, ClassifierTraining
from classifier.training.samples.region_batch import RegionCollation, uncounted
from classifier.training.samples.region_crops import OVERSAMPLING
from detection.errors import InputError
from detection.runtime.weights_files.tensor_file import Storage
from detection.structures.class_choice import require_same_classes
from detection.training.data_module import TrainingData
from detection.training.decoded_images import open_or_decode
from tools.command.experiment import SET_BY_THE_TOOL, add_experiment_options, training_options
from tools.command.image_proposals import open_cache
from tools.command.option_parser import OptionParser
from tools.train.runs.training_run import TrainingRun, add_action_options, require_no_difference

CLASS_LAYERS = ("trunk.linear.", "box_head.", "box_grid.last.")
"""First parts of the names of parameters that belong to the classes."""

HEADS = (*CLASS_LAYERS, "box_grid.", "trunk.auxiliary.")
"""First parts of the names of parameters that may start from random weights while the others are pre-trained."""


ACTIONS = ("export", "fit", "test", "validate")


def build_parser() -> OptionParser:
    """Return the parser of all actions; every option but the action can stand in the YAML file of `--config`."""
    parser = OptionParser(prog="detect-train", description="Train a region classifier.")
    add_action_options(parser, *ACTIONS)
    add_experiment_options(parser, detector_required=False)
    parser.add_argument(
        "--stored_as", type=Storage, default="float16", help="number type of the exported weights; int8 halves the file"
    )
    return parser


class ClassifierRun(TrainingRun):
    """One action of `detect-train`; see `TrainingRun`."""

    metric = "val_top1"
    network_option = "network"

    def __init__(self, parser: ArgumentParser, settings: Namespace) -> None:
        # The options of the detector are not instantiated: they may name weights that this run is about to make.
        self._propose = settings.pop("detector").propose
        super().__init__(parser, settings)

    def build_module(self) -> ClassifierTraining:
        settings, built = self.settings, self.built
        network = self._network()
        names = inspect.signature(ClassifierTraining).parameters.keys() - SET_BY_THE_TOOL
        module = ClassifierTraining(
            network,
            training_options(built),
            class_names=built.dataset.class_names,
            background=built.task.background,
            label_sets=built.task.label_sets(built.dataset.class_names),
            seed=settings.seed,
            **{name: built[name] for name in names},
        )
        if self.checkpoint is not None:
            module.new_layers = frozenset(self.checkpoint.get(NEW_LAYERS_KEY, ()))
            classes = self.checkpoint.get(CLASS_NAMES_KEY) or []
            require_same_classes(settings.ckpt_path, classes, "the data set", module.class_names)
        elif settings.initial_weights is not None:
            module.new_layers = take_weights(network, find_weights(settings.initial_weights), self.description)
        return module

    def data(self, module: ClassifierTraining) -> TrainingData:
        settings, built = self.settings, self.built
        if settings.action == "test" and settings.test_split is None:
            raise InputError("test: expected --test_split, the split to measure; validate measures --validation_split")
        training, proposals = None, open_cache(settings, self._propose)
        if settings.action == "fit":
            training = built.task.training_samples(
                built.dataset,
                settings.train_split,
                proposals=proposals,
                augmentation=built.augmentation,
                seed=settings.seed,
            )
            training.read_by(open_or_decode(settings.decoded_images, training.files(), workers=settings.workers))
        measured = settings.test_split if settings.action == "test" else settings.validation_split
        size = max(module.training_sizes)
        context = module.training_context(size)
        if module.teacher is not None and settings.action == "fit":
            size, context = module.teacher.crop_for(size, context, module.class_names)
        if module.second_task is not None and settings.action == "fit":
            # Regions keep the pixels that the second network needs as well.
            least = math.ceil(module.second_task.input_size / OVERSAMPLING)
            size, context = max(size, least), math.ceil(context * max(1.0, least / size))
        return TrainingData(
            training,
            built.task.validation_samples(built.dataset, measured),
            batch_size=settings.batch_size,
            workers=settings.workers,
            training_collation=RegionCollation(size=size, context=context),
            collation=RegionCollation(size=module.input_size, context=module.context),
            filler=uncounted,
        )

    def describe(self) -> NetworkDescription:
        configured, built = self.settings.network, self.built
        arguments = configured.as_dict().get("init_args", {}).items()
        description = NetworkDescription(
            class_path=configured.class_path,
            # Auxiliary heads help only in training.
            init_args={name: value for name, value in arguments if name != "auxiliary_heads"},
            class_names=built.dataset.class_names,
            input_size=self.settings.input_size,
            context=self.settings.context,
            background=built.task.background,
            box_regression=self.settings.box_regression,
            box_grid=self.settings.box_grid,
        )
        description.build()
        return description

    def origin(self) -> dict[str, Any]:
        teacher, second_task = self.built.teacher, self.settings.second_task
        origin: dict[str, Any] = {"task": self.settings.task.class_path}
        origin |= {} if teacher is None else {"teacher": list(teacher.members)}
        return origin | ({} if second_task is None else {"second_task": second_task.init_args.network.class_path})

    def save(self, module: ClassifierTraining, description: NetworkDescription) -> None:
        network = description.build_region_network()
        state = module.network.state_dict().items()
        network.load_state_dict({name: value for name, value in state if not name.startswith("trunk.auxiliary.")})
        save_weights(Path(self.settings.weights), network, description, stored_as=self.settings.stored_as)

    def _network(self) -> RegionNetwork:
        """Return the network with random weights and the heads that are configured.

        Raises:
            InputError: if boxes are to be refined where there are no regions, or from a grid that does not suit.
        """
        settings, description = self.settings, self.description
        if settings.box_regression and not self.built.task.background:
            raise InputError(f"box_regression: expected a task with regions, got {settings.task.class_path}")
        if settings.box_grid is not None and not settings.box_regression:
            raise InputError("box_grid: expected box_regression as well")
        trunk = self.built.network(description.num_outputs)
        if settings.box_grid is not None and len(getattr(trunk, "auxiliary", ())):
            raise InputError("box_grid: expected a network without auxiliary_heads")
        box_classes = len(description.class_names) if settings.box_regression else None
        return RegionNetwork(trunk, box_classes=box_classes, box_grid=settings.box_grid)


def take_weights(network: RegionNetwork, path: Path, wanted: NetworkDescription) -> frozenset[str]:
    """Copy the weights of a file into `network`; return the names of the parameters that keep their random weights.

    These are the heads that the file lacks, and the layers of the classes if the file has other classes than `wanted`.

    Raises:
        InputError: naming the file, if anything else does not fit. This includes a grid that refines boxes.
    """
    loaded, description = load_region_network(path)
    if wanted.box_regression and description.box_grid not in (None, wanted.box_grid):
        raise InputError(f"{path}: expected --box_grid {description.box_grid}, as these weights have it")
    source, target = loaded.state_dict(), network.state_dict()
    known = ("class_names", "background", "head")
    if any(getattr(description, name) != getattr(wanted, name) for name in known):
        source = {name: value for name, value in source.items() if not name.startswith(CLASS_LAYERS)}
    fresh = {name for name in target if name not in source or source[name].shape != target[name].shape}
    differing = sorted(name for name in fresh | (source.keys() - target.keys()) if not name.startswith(HEADS))
    require_no_difference(path, "weights of the network that is configured", differing)
    network.load_state_dict(target | {name: source[name] for name in target.keys() - fresh})
    return frozenset(fresh)
