"""Readers of public data sets. Each turns its files into `GroundTruth` records, once."""

from detection.datasets.coco import COCO
from detection.datasets.dataset import DataSet, LabelledImage
from detection.datasets.ilsvrc_detection import ILSVRCDetection
from detection.datasets.image_folder import ImageFolder
from detection.datasets.pascal_voc import PascalVOC
from detection.datasets.tiny_imagenet import TinyImageNet

__all__ = ["COCO", "DataSet", "ILSVRCDetection", "ImageFolder", "LabelledImage", "PascalVOC", "TinyImageNet"]
