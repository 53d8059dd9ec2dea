"""Pictures that commands draw, and their PNG files, which hold the name of the command."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image

from detection.runtime.atomic_write import atomic_path
from detection.runtime.output_file import png_mark
from detection.structures.arrays import Image
from detection.structures.detections import Detections
from detection.structures.results.drawing import draw_detections
from tools.command.output_file import OutputFile

DOTS_PER_INCH = 150
"""The resolution of figures of matplotlib."""


def draw_fitted(image: Image, detections: Detections, size: tuple[int, int]) -> Image:
    """Fit an image into `size` (width, height), then draw detections, so that all pictures have text of one size."""
    factor = min(size[0] / image.shape[1], size[1] / image.shape[0])
    width, height = (max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
    fitted = np.array(PIL.Image.fromarray(image).resize((width, height), PIL.Image.Resampling.BICUBIC))
    scale = np.array([fitted.shape[1] / image.shape[1], fitted.shape[0] / image.shape[0]] * 2, np.float32)
    moved = Detections(detections.boxes * scale, detections.scores, detections.labels, detections.class_names)
    return draw_detections(fitted, moved)


def save_figure(figure: Any, file: OutputFile) -> None:
    """Write a figure of matplotlib; raises an `InputError` that names the file if this fails."""
    with atomic_path(file.path) as temporary:
        figure.savefig(temporary, dpi=DOTS_PER_INCH, metadata={"Software": file.made_by})


def save_picture(picture: PIL.Image.Image, file: OutputFile) -> None:
    """Write a picture of Pillow; raises an `InputError` that names the file if this fails."""
    with atomic_path(file.path) as temporary:
        picture.save(temporary, pnginfo=png_mark(file.command))
