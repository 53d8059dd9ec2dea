"""Make the first weights of a region classifier from a network of other classes, some of which are kinds of its own.

detect-start-from-classes --source imagenet.safetensors --classes coco_to_imagenet.tsv --data FOLDER \
    --dataset detection.datasets.COCO --weights start.safetensors

In the last layer, each class begins with the mean of the rows of its kinds, so the network knows classes that are rare
in the training data from the first step. A class without kinds begins at zero, which is the mean of all rows.
`detect-train` reads the file as `--initial_weights`.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import torch
from jsonargparse.typing import NonNegativeInt
from torch import Tensor, nn

from classifier.region_network import Trunk
from classifier.scoring.description import find_weights
from classifier.scoring.weights_file import load_weights, save_weights
from detection.configuration import find_config
from detection.datasets.category_kinds import read_kinds_by_index
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser, as_input_errors
from tools.command.options import add_dataset_options
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output

ROW_SCALE = 0.3
"""Factor on the rows, because the source was trained to be surer of its classes."""

BACKGROUND_BIAS = 4.0
"""First bias of background, to which most regions of an image belong."""


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-start-from-classes", description="Start from a network of other classes.")
    parser.add_argument("--source", type=str, required=True, help="weights of the network of other classes")
    parser.add_argument("--classes", type=str, required=True, help="file with the outputs that are kinds of each class")
    parser.add_argument("--weights", type=str, required=True, help="safetensors file to write")
    parser.add_argument("--context", type=NonNegativeInt, default=0, help="pixels of the input around a region")
    add_dataset_options(parser)
    add_overwrite_option(parser)
    return parser


@command("detect-start-from-classes")
def main(arguments: Sequence[str]) -> None:
    """Read the network, give it the classes of the data set, and write it."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    weights = prepare_output(settings, "weights", WEIGHTS, parser.prog)
    class_names = parser.instantiate(settings).dataset.class_names
    network, description = load_weights(find_weights(settings.source))
    kinds = read_kinds_by_index(find_config(settings.classes), class_names, outputs=description.num_outputs)
    replace_classes(network, kinds, count=len(class_names))
    origin = {"made_by": weights.made_by, "classes_from": Path(settings.classes).name}
    with as_input_errors("--context"):
        changed = replace(
            description,
            class_names=tuple(class_names),
            background=True,
            box_regression=False,
            head="softmax",
            context=settings.context,
            training=description.training | origin,
        )
    save_weights(weights.path, network, changed)
    print(weights.summary)


def replace_classes(network: nn.Module, kinds: Mapping[int, Sequence[int]], *, count: int) -> None:
    """Replace the last layer of a network by one for background and `count` classes, made from the rows of `kinds`."""
    trunk = cast(Trunk, network)
    linear = nn.Linear(trunk.linear.in_features, count + 1)
    with torch.no_grad():
        linear.weight.copy_(ROW_SCALE * mean_rows(trunk.linear.weight, kinds, count=count))
        linear.bias.copy_(ROW_SCALE * mean_rows(trunk.linear.bias, kinds, count=count))
        linear.bias[0] = BACKGROUND_BIAS
    trunk.linear = linear


def mean_rows(rows: Tensor, kinds: Mapping[int, Sequence[int]], *, count: int) -> Tensor:
    """Return rows [1 + count, ...] of background and the classes, less the mean of all `rows` [N, ...]."""
    centred = rows - rows.mean(dim=0)
    means = rows.new_zeros((count + 1, *rows.shape[1:]))
    for label, indices in kinds.items():
        means[label + 1] = centred[list(indices)].mean(dim=0)
    return means


if __name__ == "__main__":
    sys.exit(main())
