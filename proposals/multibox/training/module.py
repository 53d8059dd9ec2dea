"""Training of MultiBox: loss, recall and optimiser around a plain network."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detection.training.module import SupervisedTraining
from detection.training.options import TrainingOptions
from proposals.coverage import AVERAGED_THRESHOLDS, best_overlaps
from proposals.multibox.network import MultiBox, MultiBoxOutputs, as_input, encode_residuals
from proposals.multibox.proposer import MAX_BOXES, NMS_IOU_THRESHOLD, select_boxes
from proposals.multibox.training.batch import MosaicBatch
from proposals.multibox.training.loss import multibox_loss


class MultiBoxTraining(SupervisedTraining):
    """MultiBox on pictures with several objects; measured by the recall of its best boxes after suppression.

    Args:
        network: with its priors.
        options: see `SupervisedTraining`.
        alpha: weight of the boxes beside the confidences.
        max_boxes: best boxes an image, for the recall.
        nms_iou_threshold: of the suppression before it.
    """

    def __init__(
        self,
        network: MultiBox,
        options: TrainingOptions,
        *,
        alpha: float = 0.3,
        max_boxes: int = MAX_BOXES,
        nms_iou_threshold: float = NMS_IOU_THRESHOLD,
    ) -> None:
        super().__init__(network, options)
        self.network: MultiBox
        self.alpha = alpha
        self.max_boxes = max_boxes
        self.nms_iou_threshold = nms_iou_threshold
        self._totals: list[Tensor] = []

    def training_step(self, batch: MosaicBatch) -> Tensor:
        loss = self.loss(self.replay(self._shrunk(as_input(batch.images))), batch)
        self.watch(loss, batch.files)
        return loss

    def _shrunk(self, inputs: Tensor) -> Tensor:
        """The pictures [B, 3, S, S] at the size of this step."""
        size = self.training_size(self.progress) if self.training_sizes else inputs.shape[2]
        if size == inputs.shape[2]:
            return inputs
        smaller = functional.interpolate(inputs, (size, size), mode="bilinear", antialias=True, align_corners=False)
        return smaller.contiguous(memory_format=torch.channels_last)

    def loss(self, outputs: MultiBoxOutputs, batch: MosaicBatch) -> Tensor:
        """Mean of the paper's F over the images."""
        return multibox_loss(
            *outputs,
            matched=batch.matched,
            targets=encode_residuals(self.network.priors[batch.matched[:, 1]], batch.boxes),
            counted=batch.counted,
            alpha=self.alpha,
        )

    def validation_step(self, batch: MosaicBatch) -> None:
        """Add up the losses of the images, and the objects that are found at each overlap."""
        outputs = self.network(as_input(batch.images))
        overlaps = torch.from_numpy(self._best_overlaps(outputs, batch))  # [P]
        found = (overlaps[:, None] >= torch.tensor(AVERAGED_THRESHOLDS, dtype=torch.float64)).sum(0)
        loss = self.loss(outputs, batch) * len(batch.images)
        counts = torch.tensor([batch.counted.any(1).sum(), len(overlaps)])
        self._totals.append(torch.cat([loss.reshape(1).cpu(), counts, found]).double().to(loss.device))

    def on_validation_epoch_end(self) -> None:
        """Loss, recall and average recall over the images of all processes."""
        totals, self._totals = torch.stack(self._totals).sum(0), []
        loss, images, objects, *found = self.trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        measures = {
            "val_loss": loss / max(1, images),
            "val_recall": found[0] / max(1, objects),
            "val_average_recall": float(np.mean(found)) / max(1, objects),
        }
        self.log_dict(measures, prog_bar=True)
        super().on_validation_epoch_end()

    def _best_overlaps(self, outputs: MultiBoxOutputs, batch: MosaicBatch) -> NDArray[np.float64]:
        """The largest overlap of each object [P] with one of the best boxes of its image."""
        boxes, confidences = (each.cpu().numpy() for each in self.network.predictions(outputs))
        of_image, objects = batch.matched[:, 0].cpu().numpy(), batch.boxes.cpu().numpy()
        best = np.zeros(len(objects))
        for image in np.unique(of_image):
            kept = select_boxes(
                boxes[image],
                confidences[image],
                max_boxes=self.max_boxes,
                nms_iou_threshold=self.nms_iou_threshold,
            )
            own = of_image == image
            best[own] = best_overlaps(boxes[image][kept], objects[own], ())[:, -1]
        return best
