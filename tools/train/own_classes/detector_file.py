"""detector.yaml of a detector of own classes: its text, and the stages that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from detection.calibration import BetaCalibration
from detection.configuration import build_detector
from detection.detector import Detector

HEADER = """\
# A detector of your own classes, made by detect-train. The weights lie beside this file.
#   detect --config THIS_FOLDER photo.jpg
# In Python: load_detector("THIS_FOLDER")
"""


def build_stages(settings: dict[str, Any], weights: Sequence[str]) -> Detector:
    """Return a detector with the proposer of a training's settings and these weights, without calibration."""
    stages = dict(settings.get("detector") or {}) | {"classify": classify(weights)}
    return build_detector(stages, source="training.yaml")


def detector_yaml(settings: dict[str, Any], weights: Sequence[str], chosen: Detector) -> str:
    """Return the text of detector.yaml, whose weights are file names beside it."""
    content: dict[str, Any] = {"propose": settings["detector"]["propose"], "classify": classify(weights)}
    if isinstance(chosen.calibrate, BetaCalibration):
        path = f"{BetaCalibration.__module__}.{BetaCalibration.__qualname__}"
        content["calibrate"] = {"class_path": path, "init_args": asdict(chosen.calibrate)}
    content |= {name: getattr(chosen, name) for name in ("score_threshold", "nms_iou_threshold", "max_detections")}
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def classify(weights: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the classifier: one network, or an ensemble of several."""
    if len(weights) == 1:
        return {"class_path": "classifier.region_classifier.RegionClassifier", "init_args": {"weights": weights[0]}}
    return {"class_path": "classifier.ensemble.Ensemble", "init_args": {"members": list(weights)}}
