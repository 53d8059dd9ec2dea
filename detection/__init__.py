"""The detection task: boxes, images, data sets, suppression, metrics, drawing, the detector and its command.

from detection import load_detector
detections = load_detector()("photo.jpg")
"""

from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import read_image
from detection.structures.detections import Detections

__version__ = "0.1.0"

__all__ = ["Detections", "Detector", "InputError", "__version__", "load_detector", "read_image"]
