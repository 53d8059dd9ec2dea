"""Readers of public data sets, which yield a `GroundTruth` for each image.

`dataset.DataSet` is the base of all readers, and `files` has the file formats that they share. `category_kinds` maps
the categories of one data set to the classes of another, and `balanced_split` splits a data set into halves.
"""

from detection.datasets.coco import COCO
from detection.datasets.dataset import DataSet, LabelledImage
from detection.datasets.ilsvrc_detection import ILSVRCDetection
from detection.datasets.image_folder import ImageFolder
from detection.datasets.pascal_voc import PascalVOC
from detection.datasets.tiny_imagenet import TinyImageNet

__all__ = ["COCO", "DataSet", "ILSVRCDetection", "ImageFolder", "LabelledImage", "PascalVOC", "TinyImageNet"]
