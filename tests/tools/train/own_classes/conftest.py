"""A folder of drawn pictures in the layout of PASCAL VOC, as an annotation program exports it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from PIL import ImageDraw

COUNT = 10
CLASSES = {"ball": (230, 60, 40), "box": (40, 90, 220)}


def draw_picture(folder: Path, number: int) -> None:
    """Draw a ball and a box on a grey ground, and write the picture and its annotation."""
    generator = np.random.default_rng(number)
    image = PIL.Image.new("RGB", (120, 90), (int(generator.integers(100, 160)),) * 3)
    drawing = ImageDraw.Draw(image)
    objects = []
    for place, (name, colour) in enumerate(CLASSES.items()):
        side = int(generator.integers(24, 40))
        x, y = place * 60 + int(generator.integers(0, 18)), int(generator.integers(0, 48))
        corners = (x, y, x + side, y + side)
        drawing.ellipse(corners, fill=colour) if name == "ball" else drawing.rectangle(corners, fill=colour)
        bounds = "".join(
            f"<{key}>{value + 1}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        )
        objects.append(f"<object><name>{name}</name><bndbox>{bounds}</bndbox></object>")
    image.save(folder / f"{number:03}.png")
    size = "<size><width>120</width><height>90</height><depth>3</depth></size>"
    content = f"<annotation><filename>{number:03}.png</filename>{size}{''.join(objects)}</annotation>"
    (folder / f"{number:03}.xml").write_text(content)


@pytest.fixture(name="shapes", scope="session")
def folder_of_shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "shapes"
    folder.mkdir()
    for number in range(COUNT):
        draw_picture(folder, number)
    return folder
