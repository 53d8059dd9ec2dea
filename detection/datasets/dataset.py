"""What every data set offers to training and evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from detection.ground_truth import GroundTruth


class DataSet(ABC):
    """Images with labelled boxes in named splits."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the C classes; labels are indices into them."""

    @abstractmethod
    def read(self, split: str) -> Sequence[GroundTruth]:
        """All images of `split` ("train", "val", ...) in a fixed order.

        Raises:
            InputError: naming the file and line, for anything that is missing or malformed.
        """
