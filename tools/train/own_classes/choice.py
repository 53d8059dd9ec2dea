"""Chooses the suppression, the calibration and the score threshold of a detector on a scored split."""

from __future__ import annotations

import math
from dataclasses import replace

from detection.calibration import BetaCalibration
from detection.detector import Detector
from detection.evaluation import DetectionMetrics, score
from detection.evaluation.analysis.curves import best_f1_overall
from detection.evaluation.analysis.reliability import fit_calibration, image_shares, judge
from tools.train.own_classes.scored_split import ScoredSplit, all_detections

NMS_THRESHOLDS = (0.3, 0.4, 0.5)
AREAS = (0.0, 0.15, 0.3, 0.45)
"""Preferences for larger boxes (`BetaCalibration.area`)."""

FEWEST_RIGHT = 30
"""The fewest right detections by which scores are calibrated: ten for each of the three numbers that are fitted. In a
simulation with scores like those of the shipped detector, a calibration fitted to 20 of them is worse than none."""

USUAL_THRESHOLD = 0.3
"""The score threshold if the detector finds no object."""


def choose_settings(detector: Detector, split: ScoredSplit, rule: str) -> Detector:
    """Return a detector with the settings that give the highest mAP on a split, and the threshold of the best F1.

    Of equally good settings, the first is taken: the lowest overlap and the least preference for larger boxes.
    """
    chosen, best = detector, float("-inf")
    for nms_iou_threshold in NMS_THRESHOLDS:
        plain = replace(detector, nms_iou_threshold=nms_iou_threshold, calibrate=None)
        metrics = split.measure(all_detections(plain), rule)
        for area in AREAS:
            calibration = calibrate(metrics, area)
            precision = recalibrated(metrics, calibration).mean_average_precision
            if precision > best:
                chosen, best = replace(plain, calibrate=calibration), precision
    return with_threshold(chosen, split, rule)


def calibrate(metrics: DetectionMetrics, area: float) -> BetaCalibration | None:
    """Return the calibration of detections, or None if too few are right, or scores do not tell which ones."""
    judged = judge(metrics)
    if judged.right.sum() < FEWEST_RIGHT:
        return None
    try:
        return fit_calibration(judged, area=area)
    except ValueError:
        return None


def calibration_warnings(detector: Detector) -> list[str]:
    """Return a line that says that the scores are not calibrated and why, if they are not."""
    if detector.calibrate is not None:
        return []
    return [
        f"the scores are not calibrated, and figures and threshold are unsure: on val, fewer than {FEWEST_RIGHT} "
        "detections are right, or their scores are not higher; more labelled pictures help"
    ]


def recalibrated(metrics: DetectionMetrics, calibration: BetaCalibration | None) -> DetectionMetrics:
    """Return the figures of the same detections with calibrated scores."""
    if calibration is None:
        return metrics
    shares = calibration(metrics.detections.scores, image_shares(metrics.detections)).astype("float64")
    return score(metrics.objects, replace(metrics.detections, scores=shares), metrics.rule)


def with_threshold(detector: Detector, split: ScoredSplit, rule: str) -> Detector:
    """Return the detector with the score threshold that gives the best F1 on a split."""
    best = best_f1_overall(split.measure(all_detections(detector), rule))
    threshold = best.score_threshold if best.f1 > 0 else USUAL_THRESHOLD
    # Rounded down, because the threshold is the score of a detection that has to be shown.
    return replace(detector, score_threshold=math.floor(float(threshold) * 1e4) / 1e4)
