"""The average of the weights over the last steps (Polyak and Juditsky 1992), which is what is measured and kept."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EMAWeightAveraging

EVERY_STEPS = 4
"""The weights enter the average every so many steps; with every step it would be nearly the same, but slower."""


class AveragedWeights(EMAWeightAveraging):
    """An exponential average that lies on the device of the network.

    Args:
        decay: share of the average that is left after a step, 0-1.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(decay=decay**EVERY_STEPS, update_every_n_steps=EVERY_STEPS)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make room for the average on the device where the network is going to be; it is not there yet."""
        self._device = trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)
