"""Object detection: the detector, its command `detect`, and all that does not depend on how boxes are found and scored.

    from detection import load_detector

    detections = load_detector()("photo.jpg")

`Proposals` and `RegionScores` are what your own stages return; see `detection.structures.contracts`.
"""

import os

# Threads of PyTorch that wait for other threads keep their core busy for milliseconds, so that a photo takes several
# times as long while other programs use all cores. With this they wait for microseconds, and then leave the core to
# other programs; that is as fast on idle cores. PyTorch reads both when it is imported.
if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
    os.environ |= {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000"}

from detection.configuration import load_detector
from detection.detector import Detector
from detection.errors import InputError
from detection.image import read_image
from detection.runtime.parallel.many_images import ImageResult
from detection.structures.contracts import Proposals, RegionScores
from detection.structures.detections import Detections

__version__ = "0.1.0"

__all__ = [
    "Detections",
    "Detector",
    "ImageResult",
    "InputError",
    "Proposals",
    "RegionScores",
    "__version__",
    "load_detector",
    "read_image",
]
