"""The start of a network for other classes: `start_for_classes` gives a trained network the classes of your data.

The trained network already knows what background is, and how far a region must move to enclose an object. Both help a
data set with few objects: a box head that starts at zero learns little from a thousand regions.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from classifier.region_network import RegionNetwork
from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import load_region_network
from detection.datasets.layouts.class_names import spelling_key
from detection.errors import InputError


def start_for_classes(path: Path, class_names: Sequence[str]) -> tuple[RegionNetwork, NetworkDescription]:
    """Return the network of a weights file, with a class layer and a box head for other classes, and its description.

    A class whose name the trained network also has, whatever its case and spaces, keeps its rows of both layers. Any
    other class starts with the mean of the rows of all trained classes, so all such classes score alike until they are
    trained. Background keeps its row.

    Args:
        path: weights file of a network of regions with softmax and box regression.
        class_names: the C classes of the new network.

    Raises:
        InputError: naming the file, if it cannot be read or holds another kind of network.
    """
    source, old = load_region_network(path)
    if not (old.background and old.box_regression and old.head == "softmax"):
        raise InputError(f"{path}: expected a network with background, softmax and refined boxes, got another kind")
    description = replace(old, class_names=tuple(class_names), training={"started_from": path.name})
    network = description.build_region_network()
    state = source.state_dict()
    known = {spelling_key(name): label for label, name in enumerate(old.class_names)}
    labels = [known.get(spelling_key(name)) for name in class_names]
    box_layer = "box_head" if old.box_grid is None else "box_grid.last"
    for part in ("weight", "bias"):
        classes = state[f"trunk.linear.{part}"]
        state[f"trunk.linear.{part}"] = torch.cat([classes[:1], _rows_for(classes[1:], labels)])
        # The layer that gives deltas has four rows for each class: [4 C, ...] -> [C, 4, ...].
        rows = state[f"{box_layer}.{part}"].unflatten(0, (-1, 4))
        state[f"{box_layer}.{part}"] = _rows_for(rows, labels).flatten(0, 1)
    network.load_state_dict(state)
    return network, description


def _rows_for(rows: Tensor, labels: Sequence[int | None]) -> Tensor:
    """Return the rows [C, ...] of the trained classes `labels`, with the mean of all `rows` where a label is None."""
    mean = rows.mean(dim=0)
    return torch.stack([mean if label is None else rows[label] for label in labels])
