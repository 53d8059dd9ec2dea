"""Detections drawn onto a picture: a box in the colour of its class, and a label beside what it names."""

from bisect import bisect_right
from itertools import product
from math import ceil
from typing import NamedTuple

import numpy as np
import PIL.Image
from PIL import ImageDraw, ImageFont

from detection.structures.arrays import FloatArray, Image, IntArray
from detection.structures.boxes import clip_boxes, intersection
from detection.structures.results.detected_objects import DetectedObjects
from detection.structures.results.fonts import drawable_name, load_font

Colour = tuple[int, int, int]
"""Red, green, blue in 0-255."""
Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

PURE_COLOURS = np.frombuffer(
    bytes.fromhex("""
    ff40a0 c0e080 8060c0 60a060 80a0ff ff6060 c08040 ffc080 ffe000 606000 ffa0c0 ff80ff c02060 0040ff a0a000 80ffe0
    80c080 e020ff a060a0 c06080 e000a0 ff0040 a020a0 e08080 00ff00 ffe080 a04000 ff8000 a08020 00a080 608020 80c020
    e0a000 0060a0 8080e0 a000ff a04040 ff8060 00ffff 20c0ff ff2000 00ffa0 20c0c0 808000 00c040 ffc000 c0e000 a06000
    2080e0 008040 8040c0 6060a0 8060ff ffa060 c06040 c0a0ff a0ffc0 00e0ff 40c0a0 80a040 ffc0ff e080a0 208000 c0a040
    806000 2060e0 00a0ff e06000 c06060 c040c0 a04080 ff40e0 ffa0a0 80e060 c02000 20a000 c0c060 ffa020 ff6080 c080c0
    """),
    np.uint8,
).reshape(-1, 3)
"""The colours of the classes 0 to 79. They were chosen one after the other, each with the largest CIEDE2000 difference
to those before it, without dark, pale and grey ones. Then they were ordered so that the classes of COCO differ most
from "person", the first one, and from similar classes, which have near labels."""

COLOURS = np.rint([*PURE_COLOURS, *(0.55 * PURE_COLOURS), *(255 - 0.45 * (255 - PURE_COLOURS))]).astype(np.uint8)
"""The colours of classes by their label: the pure ones, darker and paler ones. Class 240 has the first one again."""

# The left edge of a label is `x1 + a * box width + b * label width` for the pair (a, b), and its top edge is
# `y1 + c * box height + d * label height` for the pair (c, d).
LEFT, RIGHT, AFTER, BEFORE = (0, 0), (1, -1), (1, 0), (0, -1)
ABOVE, BELOW, TOP, BOTTOM, SECOND_ROW = (0, -1), (1, 0), (0, 0), (1, -1), (0, 1)
PLACES = {
    0.0: [
        *product((ABOVE, BELOW), (LEFT, RIGHT)),
        *product((TOP, BOTTOM), (AFTER, BEFORE)),
        *product((TOP, BOTTOM), (LEFT, RIGHT)),
    ],
    1.5: [*product(((0, -2), (1, 1)), (LEFT, RIGHT)), *product([SECOND_ROW], (AFTER, BEFORE, LEFT, RIGHT))],
    3.0: [((0, -3), LEFT), ((1, 2), LEFT), *product([(0, 2)], (AFTER, BEFORE, LEFT))],
}
"""The places (vertical, horizontal) for a label, best first: near the box, a row away, and two rows away. The keys are
the costs of the first places. Each place costs 0.05 more than the one before it, and the overlaps are added to it."""
PLACE_TABLE = np.array(
    [(*x, *y, first + 0.05 * rank) for first, places in PLACES.items() for rank, (y, x) in enumerate(places)]
)
LABEL_OVERLAP_COST = 1000.0
"""The cost of covering another label. It is high, so a label covers another one only if every place does."""


def draw_detections(image: Image, detections: DetectedObjects) -> Image:
    """Return a copy of an image with boxes and labels drawn on it; higher scores lie on top of lower ones.

    Boxes are cut off at the borders of the image, and the line of a box lies on its outermost pixels. Lines and letters
    grow with the image. An image that is too small for text only gets boxes.

    Raises:
        ValueError: if `image` is not uint8 [H, W, 3].
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
    if len(detections) == 0:
        return image.copy()
    height, width = image.shape[:2]
    order = np.argsort(-detections.scores, kind="stable")
    boxes = pixel_boxes(detections.boxes[order], (height, width))
    names = np.array(detections.names, object)[order].tolist()
    labels = detections.labels[order].tolist()
    colours = list(map(class_colour, labels))
    font_size = max(9, round(7 + (height * width) ** 0.5 / 70))
    canvas = PIL.Image.fromarray(image)
    draw = ImageDraw.Draw(canvas, "RGBA")  # in this mode a fill with alpha is blended
    _draw_frames(draw, boxes, colours, font_size // 6)
    named = map(drawable_name, names, labels)
    scores = detections.scores[order].tolist()
    texts = [_make_label(*name, score, font_size, (height, width)) for name, score in zip(named, scores, strict=True)]
    _draw_labels(draw, texts, boxes, colours, font_size)
    return np.array(canvas)


def class_colour(label: int) -> Colour:
    """Return the colour of a class. It only depends on the label, so it is the same in all images of a detector."""
    red, green, blue = COLOURS[label % len(COLOURS)].tolist()
    return red, green, blue


def text_colour(background: Colour) -> Colour:
    """Return black or white, whichever has the higher contrast to the background (WCAG 2.2); it is at least 4.58."""
    channels = np.array(background) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ (0.2126, 0.7152, 0.0722))
    black_ratio, white_ratio = (luminance + 0.05) / 0.05, 1.05 / (luminance + 0.05)
    return (0, 0, 0) if black_ratio >= white_ratio else (255, 255, 255)


def pixel_boxes(boxes: FloatArray, size: tuple[int, int]) -> IntArray:
    """Round boxes [N, 4] to whole pixels in an image of `size` (height, width), each at least one pixel large."""
    height, width = size
    rounded = np.rint(clip_boxes(boxes, size)).astype(np.int64)
    left_top = np.minimum(rounded[:, :2], (width - 1, height - 1))
    return np.hstack([left_top, np.maximum(rounded[:, 2:], left_top + 1)])


def place_labels(boxes: IntArray, label_sizes: IntArray, size: tuple[int, int]) -> IntArray:
    """Return rectangles [N, 4] xyxy for the labels of boxes [N, 4], one label after the other.

    A label is placed above its box if that is free, or else below it, beside it, or inside it at a corner: where it
    covers least of the earlier labels, and then least of all boxes.

    Args:
        boxes: int64 [N, 4].
        label_sizes: width and height of each label, int64 [N, 2]. They fit into the image; (0, 0) stands for no label.
        size: height and width of the image.
    """
    placed = np.zeros((len(boxes), 4), np.int64)
    box_areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for index, (box, label_size) in enumerate(zip(boxes, label_sizes, strict=True)):
        wanted = box[:2] + PLACE_TABLE[:, 0:4:2] * (box[2:] - box[:2]) + PLACE_TABLE[:, 1:4:2] * label_size
        left_top = np.clip(wanted, 0, (size[1], size[0]) - label_size)  # [K, 2]
        places = np.hstack([left_top, left_top + label_size]).astype(np.int64)  # [K, 4]
        # A label that is pushed away from the border of the image would cover the line of its box.
        pushed = np.abs(left_top - wanted) / np.maximum(label_size, 1)
        label_area = max(1, np.prod(label_size))
        on_boxes = intersection(places, boxes)  # [K, N]
        cost = PLACE_TABLE[:, 4] + pushed.sum(axis=1) + (on_boxes / label_area + on_boxes / box_areas).sum(axis=1)
        cost += LABEL_OVERLAP_COST * intersection(places, placed[:index]).sum(axis=1) / label_area
        placed[index] = places[cost.argmin()]
    return placed


def _draw_frames(draw: ImageDraw.ImageDraw, boxes: IntArray, colours: list[Colour], line: int) -> None:
    """Draw the lines of boxes, with a dark or white rim that makes them visible on a background of the same colour."""
    rim = max(1, line // 4)
    for (x1, y1, x2, y2), colour in zip(boxes.tolist(), colours, strict=True):
        shade = (*text_colour(colour), 110)
        draw.rectangle((x1 - rim, y1 - rim, x2 + rim - 1, y2 + rim - 1), outline=shade, width=rim)
        if min(x2 - x1, y2 - y1) > 2 * (line + rim):
            draw.rectangle((x1 + line, y1 + line, x2 - line - 1, y2 - line - 1), outline=shade, width=rim)
    for (x1, y1, x2, y2), colour in zip(reversed(boxes.tolist()), reversed(colours), strict=True):
        draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=colour, width=min(line, (min(x2 - x1, y2 - y1) + 1) // 2))


class _Label(NamedTuple):
    """The text of a label, empty if there is no room for one; `top` is the distance from its origin to its letters."""

    text: str
    font: Font
    top: int
    size: tuple[int, int]


def _draw_labels(
    draw: ImageDraw.ImageDraw, labels: list[_Label], boxes: IntArray, colours: list[Colour], font_size: int
) -> None:
    """Draw the label of each box, best first."""
    width, height = draw.im.size
    padding = font_size // 5
    places = place_labels(boxes, np.array([label.size for label in labels]), (height, width)).tolist()
    for label, (x1, y1, x2, y2), colour in reversed(list(zip(labels, places, colours, strict=True))):
        if label.text:
            ink = text_colour(colour)
            draw.rectangle((x1, y1, x2 - 1, y2 - 1), fill=colour)
            draw.rectangle((x1, y1, x2 - 1, y2 - 1), outline=(*ink, 90))  # separates neighbours of the same class
            draw.text((x1 + padding + 1, y1 + padding - label.top), label.text, fill=ink, font=label.font)


def _make_label(name: str, font_file: str | None, score: float, font_size: int, size: tuple[int, int]) -> _Label:
    """Return the label of a detection in an image of `size` (height, width), without text if four do not fit in."""
    font = load_font(font_file, font_size)
    padding = font_size // 5
    margin = padding + 1
    top, bottom = _vertical_extent(name, font)
    height = bottom - top + padding + (padding + 1) // 2  # less padding below, since few letters reach down
    room = min(size[1] - 2 * margin, 20 * font_size) if 4 * height <= size[0] else 0
    text = label_text(name, score, font, room)
    return _Label(text, font, top, (ceil(font.getlength(text)) + 2 * margin, height) if text else (0, 0))


def _vertical_extent(name: str, font: Font) -> tuple[int, int]:
    """Return the top and bottom in pixels of a label's letters, at least those of the highest and lowest of ASCII."""
    _, top, _, bottom = font.getbbox("dgjpqy")
    if not name.isascii():
        _, own_top, _, own_bottom = font.getbbox(name)
        top, bottom = min(top, own_top), max(bottom, own_bottom)
    return int(top), int(bottom)


def label_text(name: str, score: float, font: Font, width: float) -> str:
    """Return name and score. The name is cut to fit `width` pixels; the text is empty if not even three letters fit."""
    text = f"{name} {score:.2f}".strip()
    if font.getlength(text) <= width:
        return text
    cuts = [f"{name[:length].rstrip()}… {score:.2f}" for length in range(3, min(len(name), 100))]
    fitting = bisect_right(cuts, width, key=font.getlength)
    return cuts[fitting - 1] if fitting else ""
