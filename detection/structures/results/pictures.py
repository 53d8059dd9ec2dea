"""Pictures of detections: with boxes drawn, as files and in notebooks, and the objects cut out."""

import base64
import html
import io
import os
from pathlib import Path

import PIL.Image

from detection.errors import InputError
from detection.runtime.atomic_write import atomic_path
from detection.runtime.output_file import identify, made_by, png_mark, require_replaceable
from detection.sources.conversion import as_image
from detection.structures.arrays import Image
from detection.structures.results.detected_objects import DetectedObjects
from detection.structures.results.drawing import draw_detections, pixel_boxes

MAKER = "Detections.save"
"""The name by which a picture is known as one that `save_picture` wrote."""

NOTEBOOK_SIDE = 800
"""The longest side in pixels of the picture in a notebook, which stores it as text."""


def read_picture(detections: DetectedObjects) -> Image:
    """Return the image in which objects were detected, RGB uint8 [H, W, 3].

    Raises:
        ValueError: if it is not known.
        InputError: naming the file, if it cannot be read any more.
    """
    if detections.picture is None:
        raise ValueError("these detections do not know their picture; give it as `picture=` to Detections")
    return as_image(detections.picture)


def plot(detections: DetectedObjects) -> PIL.Image.Image:
    """Return the image with boxes and labels."""
    return PIL.Image.fromarray(draw_detections(read_picture(detections), detections))


def save_picture(detections: DetectedObjects, path: str | os.PathLike[str], *, overwrite: bool) -> None:
    """Write the image with boxes and labels to a file, whose suffix is one of Pillow's: .png, .jpg, .webp, ...

    An existing file is replaced if this function wrote it, which PNG and JPEG files tell, or if
    `overwrite` is True; the image itself never is.

    Raises:
        InputError: naming the file, if it exists or cannot be written, or if its suffix is unknown.
    """
    target = Path(path)
    kind = PIL.Image.registered_extensions().get(target.suffix.lower())
    if kind not in PIL.Image.SAVE:
        raise InputError(f"{target}: expected a name with the suffix of a picture, such as .png or .jpg")
    source = detections.picture
    inputs = identify([Path(source)]) if isinstance(source, str | os.PathLike) else {}
    require_replaceable(target, _is_own, inputs=inputs, overwrite=overwrite, permission="overwrite=True")
    annotated = plot(detections)
    with atomic_path(target) as temporary:
        try:
            annotated.save(temporary, kind, pnginfo=png_mark(MAKER), comment=made_by(MAKER))
        except ValueError as error:  # the format does not allow this size
            raise InputError(f"{target}: expected a picture that {target.suffix} can hold, got: {error}") from None


def cut_out(detections: DetectedObjects) -> list[Image]:
    """Return the pixels of each box, rounded to whole pixels and cut off at the borders of the image.

    Each is a copy of at least one pixel, RGB uint8 [h, w, 3].
    """
    image = read_picture(detections)
    boxes = pixel_boxes(detections.boxes, (image.shape[0], image.shape[1])).tolist()
    return [image[y1:y2, x1:x2].copy() for x1, y1, x2, y2 in boxes]


def notebook_html(detections: DetectedObjects, summary: str) -> str:
    """Return what a notebook shows: the image with boxes, at most `NOTEBOOK_SIDE` pixels long, and a line of text.

    If there is no image, or it cannot be read any more, only the line is shown.
    """
    text = html.escape(summary)
    if detections.picture is None:
        return f"<p>{text}</p>"
    try:
        annotated = plot(detections)
    except InputError as error:
        return f"<p>{text}<br>{html.escape(error.line)}</p>"
    annotated.thumbnail((NOTEBOOK_SIDE, NOTEBOOK_SIDE))
    file = io.BytesIO()
    annotated.save(file, "JPEG", quality=90)
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return f'<p>{text}</p><img alt="{text}" src="data:image/jpeg;base64,{data}">'


def _is_own(beginning: bytes) -> bool:
    return made_by(MAKER).encode() in beginning[:4096]
