from __future__ import annotations

from pathlib import Path

import pytest

from detection.errors import InputError
from detection.runtime.output_file import require_writable


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"photo")
    with pytest.raises(InputError, match=rf": expected a place to write to, got: {tmp_path}/photo\.jpg is a file$"):
        require_writable(tmp_path / "photo.jpg" / "network.onnx")
    assert (tmp_path / "photo.jpg").read_bytes() == b"photo"


def test_a_new_folder_is_created(tmp_path: Path) -> None:
    require_writable(tmp_path / "new" / "network.onnx")
    assert list((tmp_path / "new").iterdir()) == []
