"""detector.yaml of a detector of own classes: its text, and the stages that it describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import yaml

from detection.calibration import BetaCalibration
from detection.configuration import build_detector
from detection.detector import Detector

GOES_ON = 0.1
"""The confidence with which a region is scored again: at a low one, time is the only thing to lose."""

SUPPRESSION = ("score_threshold", "nms_iou_threshold", "voting_iou", "max_detections")
"""The arguments of a detector that are written beside its stages."""

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
    content |= {name: getattr(chosen, name) for name in SUPPRESSION}
    return HEADER + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def classify(weights: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the classifier: the likeliest regions are scored again, as the boxes that were refined.

    A single network scores them twice; of several networks, all but the first see refined boxes only.
    """
    members = list(weights) if len(weights) > 1 else [*weights, *weights]
    arguments = {"members": members, "cascade_thresholds": [GOES_ON], "follow_boxes": True}
    return {"class_path": "classifier.ensemble.Ensemble", "init_args": arguments}
