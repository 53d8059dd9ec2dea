"""Pipes, which can be read only once and have no size."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from detection import image as image_module
from detection.errors import InputError
from detection.image import read_image
from detection.sources.files import expand
from tests.detection.image.image_files import PIXELS, encode, refusal


def test_pipe_is_read_like_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encode(PIL.Image.fromarray(PIXELS), "PNG")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def fill() -> threading.Thread:
        writer = threading.Thread(target=pipe.write_bytes, args=(content,))
        writer.start()
        return writer

    writer = fill()
    np.testing.assert_array_equal(read_image(pipe), PIXELS)
    writer.join()
    monkeypatch.setattr(image_module, "MAX_PIPE_BYTES", len(content) - 1)
    writer = fill()
    assert f"more than {len(content) - 1} bytes from a pipe" in refusal(pipe)
    writer.join()


def test_pipe_is_found_whatever_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "63")
    assert expand(str(tmp_path / "63")) == [tmp_path / "63"]
    with pytest.raises(InputError, match=r"got a device$"):
        expand(os.devnull)
