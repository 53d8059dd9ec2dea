"""Detections in the data types of other libraries. Each library is imported by the function that needs it."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

import numpy as np

from detection.errors import InputError
from detection.structures.results.detected_objects import DetectedObjects

CORNERS = ("x1", "y1", "x2", "y2")


def to_pandas(detections: DetectedObjects) -> Any:
    """Return a `pandas.DataFrame` with the columns `class`, `label`, `score`, `x1`, `y1`, `x2` and `y2`."""
    pandas = _import_optional("pandas")
    columns: dict[str, Sequence[Any] | np.ndarray[Any, Any]] = {
        "class": pandas.Series(detections.names, dtype=str),
        "label": detections.labels,
        "score": detections.scores,
        **dict(zip(CORNERS, detections.boxes.T, strict=True)),
    }
    return pandas.DataFrame(columns)


def to_supervision(detections: DetectedObjects) -> Any:
    """Return `supervision.Detections`, with the names of the classes as `data["class_name"]`."""
    supervision = _import_optional("supervision")
    return supervision.Detections(
        xyxy=detections.boxes.copy(),
        confidence=detections.scores.copy(),
        class_id=detections.labels.copy(),
        data={"class_name": np.array(detections.names, str)},
    )


def to_torchmetrics(detections: DetectedObjects) -> dict[str, Any]:
    """Return the tensors `boxes`, `scores` and `labels`, a prediction for torchmetrics' `MeanAveragePrecision`."""
    import torch  # noqa: PLC0415  slow to import

    return {
        "boxes": torch.from_numpy(detections.boxes.copy()),
        "scores": torch.from_numpy(detections.scores.copy()),
        "labels": torch.from_numpy(detections.labels.copy()),
    }


def _import_optional(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:  # the library is there, but lacks a part of its own
            raise
        raise InputError(f"{name}: expected this optional package, which `pip install {name}` adds") from None
