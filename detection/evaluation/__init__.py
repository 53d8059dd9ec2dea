"""How good detections are: matching with the ground truth, precision and recall, mean average precision.

from detection.evaluation import evaluate
print(evaluate(ground_truths, detections, class_names).mean_average_precision)
"""

from detection.evaluation.average_precision import DetectionMetrics, evaluate

__all__ = ["DetectionMetrics", "evaluate"]
