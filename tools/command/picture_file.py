"""PNG files of commands, which hold the name of the command that drew them."""

from __future__ import annotations

from typing import Any

import PIL.Image

from detection.runtime.atomic_write import atomic_path
from detection.runtime.output_file import png_mark
from tools.command.output_file import OutputFile


def save_figure(figure: Any, file: OutputFile) -> None:
    """Write a figure of matplotlib; raises an `InputError` that names the file if this fails."""
    with atomic_path(file.path) as temporary:
        figure.savefig(temporary, metadata={"Software": file.made_by})


def save_picture(picture: PIL.Image.Image, file: OutputFile) -> None:
    """Write a picture of Pillow; raises an `InputError` that names the file if this fails."""
    with atomic_path(file.path) as temporary:
        picture.save(temporary, pnginfo=png_mark(file.command))
