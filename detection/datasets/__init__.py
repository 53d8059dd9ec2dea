"""Readers of public data sets and of one's own, which yield a `GroundTruth` for each image.

`dataset.DataSet` is the base of all readers, and `files` has the file formats that they share. `layouts` recognises
the layout of a folder. `category_kinds` maps the categories of one data set to the classes of another.
`balanced_split` splits a data set into halves, and `stratified_split` into a larger and a smaller part.
"""

from detection.datasets.coco import COCO
from detection.datasets.csv_table import CSVTable
from detection.datasets.dataset import DataSet, LabelledImage
from detection.datasets.ilsvrc_detection import ILSVRCDetection
from detection.datasets.image_folder import ImageFolder
from detection.datasets.layouts import LabelledFolder
from detection.datasets.pascal_voc import PascalVOC
from detection.datasets.tiny_imagenet import TinyImageNet
from detection.datasets.yolo import YOLO

__all__ = [
    "COCO",
    "YOLO",
    "CSVTable",
    "DataSet",
    "ILSVRCDetection",
    "ImageFolder",
    "LabelledFolder",
    "LabelledImage",
    "PascalVOC",
    "TinyImageNet",
]
