"""Readers of public data sets. Each turns its files into `GroundTruth` records, once."""

from detection.datasets.dataset import DataSet
from detection.datasets.tiny_imagenet import TinyImageNet

__all__ = ["DataSet", "TinyImageNet"]
