"""The Lightning module that trains MultiBox: loss, recall and optimiser around the network."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from detection.structures.ranges import require_range
from detection.training.module import SupervisedTraining
from detection.training.options import TrainingOptions
from proposals.coverage import AVERAGED_THRESHOLDS, best_overlaps
from proposals.multibox.network import MultiBox, MultiBoxOutputs, as_input, encode_residuals
from proposals.multibox.proposer import MAX_BOXES, NMS_IOU_THRESHOLD, select_boxes
from proposals.multibox.training.batch import MosaicBatch


class MultiBoxTraining(SupervisedTraining):
    """Trains MultiBox on mosaics, and measures the recall of its best boxes after suppression.

    Args:
        network: MultiBox with its priors.
        options: see `SupervisedTraining`.
        alpha: the weight of the loss of the boxes, relative to that of the confidences.
        max_boxes: the number of best boxes per image that count for the recall.
        nms_iou_threshold: the IoU threshold of the suppression before the recall is measured.

    Raises:
        ValueError: for numbers out of range.
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
        require_range(0, 1e6, alpha=alpha)
        require_range(1, 1e6, max_boxes=max_boxes)
        require_range(0, 1, nms_iou_threshold=nms_iou_threshold)
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
        """Shrink the images [B, 3, S, S] to the size of this step."""
        size = self.training_size(self.progress) if self.training_sizes else inputs.shape[2]
        if size == inputs.shape[2]:
            return inputs
        smaller = functional.interpolate(inputs, (size, size), mode="bilinear", antialias=True, align_corners=False)
        return smaller.contiguous(memory_format=torch.channels_last)

    def loss(self, outputs: MultiBoxOutputs, batch: MosaicBatch) -> Tensor:
        """Return the mean of the paper's F over the images, see `multibox_loss`."""
        return multibox_loss(
            *outputs,
            matched=batch.matched,
            targets=encode_residuals(self.network.priors[batch.matched[:, 1]], batch.boxes),
            counted=batch.counted,
            alpha=self.alpha,
        )

    def validation_step(self, batch: MosaicBatch) -> None:
        """Add up the losses of the images, and the numbers of objects that are found at each IoU."""
        outputs = self.network(as_input(batch.images))
        overlaps = torch.from_numpy(self._best_overlaps(outputs, batch))  # [P]
        found_counts = (overlaps[:, None] >= torch.tensor(AVERAGED_THRESHOLDS, dtype=torch.float64)).sum(0)
        loss = self.loss(outputs, batch) * len(batch.images)
        counts = torch.tensor([batch.counted.any(1).sum(), len(overlaps)])
        self._totals.append(torch.cat([loss.reshape(1).cpu(), counts, found_counts]).double().to(loss.device))

    def on_validation_epoch_end(self) -> None:
        """Log the loss, the recall and the average recall over the images of all processes."""
        totals, self._totals = torch.stack(self._totals).sum(0), []
        loss, images, objects, *found_counts = self.trainer.strategy.reduce(totals, reduce_op="sum").tolist()
        measures = {
            "val_loss": loss / max(1, images),
            "val_recall": found_counts[0] / max(1, objects),
            "val_average_recall": float(np.mean(found_counts)) / max(1, objects),
        }
        self.log_dict(measures, prog_bar=True)
        super().on_validation_epoch_end()

    def _best_overlaps(self, outputs: MultiBoxOutputs, batch: MosaicBatch) -> NDArray[np.float64]:
        """Return the largest IoU of each object [P] with one of the best boxes of its image."""
        boxes, confidences = (each.cpu().numpy() for each in self.network.predictions(outputs))
        images, objects = batch.matched[:, 0].cpu().numpy(), batch.boxes.cpu().numpy()
        best = np.zeros(len(objects))
        for image in np.unique(images):
            kept = select_boxes(
                boxes[image], confidences[image], max_boxes=self.max_boxes, nms_iou_threshold=self.nms_iou_threshold
            )
            in_image = images == image
            best[in_image] = best_overlaps(boxes[image][kept], objects[in_image], ())[:, -1]
        return best


def multibox_loss(
    residuals: Tensor, logits: Tensor, *, matched: Tensor, targets: Tensor, counted: Tensor, alpha: float
) -> Tensor:
    """Return the mean over the images of a batch of F = alpha F_match + F_conf (arXiv 1312.2249, section 3).

    F_match is half the squared distance of each matched prediction to its object, in the unit of the residuals. F_conf
    is -log c over the matched predictions and -log(1 - c) over the others, where c is the logistic function of a logit.

    Args:
        residuals: [B, K, 4] of the predictions.
        logits: [B, K] of the confidences.
        matched: [P, 2], the image and the prior of each matched prediction, without duplicates.
        targets: [P, 4], the residuals of their objects.
        counted: [B, K] bool, True if a prediction that is not matched counts as wrong.
        alpha: the weight of F_match.
    """
    images, priors = matched.unbind(1)
    distances = (residuals[images, priors].float() - targets).square().sum()
    is_object = torch.zeros_like(counted)
    is_object[images, priors] = True
    logits = logits.float()
    confidences = functional.binary_cross_entropy_with_logits(logits, is_object.to(logits.dtype), reduction="none")
    total = alpha * distances / 2 + (confidences * (counted | is_object)).sum()
    return total / len(residuals)
