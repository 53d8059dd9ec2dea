"""How good detections are: matching with the ground truth, precision and recall, mean average precision.

from detection.evaluation import evaluate
print(evaluate(ground_truths, detections, class_names, rule="voc").mean_average_precision)
"""

from detection.evaluation.metrics import DetectionMetrics
from detection.evaluation.scoring import RULES, evaluate, score

__all__ = ["RULES", "DetectionMetrics", "evaluate", "score"]
