"""The options that every training run has, whatever network it trains: optimiser, input sizes, frozen layers.

`tools.command.experiment` reads them from an experiment file; `detection.training.module` follows them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from detection.structures.ranges import require_range
from detection.training.schedules import Schedule


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """The options of training by stochastic gradient descent (SGD).

    Args:
        learning_rate: highest learning rate of the schedule
        schedule: how the learning rate changes during the run; None for a `CosineSchedule`
        momentum: momentum of SGD, 0-1
        nesterov: use Nesterov's momentum
        weight_decay: decay of the weights of convolutions and linear layers; biases and normalisation do not decay
        new_layer_factor: factor on the learning rate of layers that start from random weights while the other layers
            are pre-trained (R-CNN uses 10)
        training_sizes: sides of the network's input in training, in pixels, each for an equal share of the steps; None
            for the input size of the network throughout. Random crops show objects larger than they appear when the
            network is measured, so a smaller input in training suits both, and is faster (Touvron et al., arXiv
            1906.06423); starting with a smaller input is faster too (Tan and Le, arXiv 2104.00298)
        frozen: names of modules, such as "trunk.stem" or "trunk.blocks.3a", that keep their weights and statistics. A
            pre-trained network can learn other classes without training its first layers, which are the slowest
        cuda_graphs: let a GPU replay the computation of a step as a graph, see `detection.training.graphs`. It does not
            where several processes train together or where the gradients of several batches are added up
    """

    learning_rate: float = 0.1
    schedule: Schedule | None = None
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    new_layer_factor: float = 10.0
    training_sizes: Sequence[int] | None = None
    frozen: Sequence[str] = ()
    cuda_graphs: bool = True

    def __post_init__(self) -> None:
        require_range(0, 1000, learning_rate=self.learning_rate, weight_decay=self.weight_decay)
        require_range(0, 1, momentum=self.momentum)
        require_range(0, 1e6, new_layer_factor=self.new_layer_factor)
        require_range(
            1, 10_000, **{f"training_sizes[{row}]": size for row, size in enumerate(self.training_sizes or ())}
        )
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov must come with a momentum above 0, got momentum 0")
