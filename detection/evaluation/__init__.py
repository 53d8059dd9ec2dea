"""Metrics of detections: `evaluate` computes the mean average precision by the rules of ILSVRC, PASCAL VOC and COCO.

from detection.evaluation import evaluate
print(evaluate(ground_truths, detections, class_names, rule="voc").mean_average_precision)

Read `scoring` first, then `matching` (which detection finds which object) and `average_precision`. `uncertainty`
computes intervals of the scores, and `analysis` finds where a detector fails.
"""

from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.scoring import RULES, evaluate, score

__all__ = ["RULES", "DetectionMetrics", "evaluate", "score"]
