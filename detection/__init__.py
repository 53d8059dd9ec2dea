"""Object detection: the detector, its command `detect`, and all that does not depend on how boxes are found and scored.

    from detection import load_detector

    detections = load_detector()("photo.jpg")

`Proposals` and `RegionScores` are what your own stages return; see `detection.structures.contracts`.
"""

import os

# With this, threads of PyTorch that wait for other threads leave their core to other programs. By default they keep it
# busy for a while, so that a photo takes several times as long while other programs use all cores. PyTorch reads this
# once, when it is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

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
