"""Fixtures of the command `detect-dataset`: small pictures, also in archives, tables and stores."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from tools.bulk import command
from tools.bulk.inputs.item import Columns

COLUMNS = Columns("key", "image")

Content = Mapping[str, bytes]
"""The content of picture files by their names."""


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """Seven small pictures, each of its own colours and size, by names such as "sub/3.png"."""
    generator = np.random.default_rng(0)
    made = {}
    for number in range(7):
        coarse = generator.integers(0, 256, (5, 6, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(coarse).resize((96 + number, 72)).save(buffer, "png")
        made[f"sub/{number}.png" if number > 4 else f"{number}.png"] = buffer.getvalue()
    return made


def write_folder(path: Path, content: Content) -> str:
    for name, data in content.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return str(path)


def write_tar(path: Path, content: Content, mode: Any = "w") -> str:
    with tarfile.open(path, mode) as archive:
        for name, data in content.items():
            for member, text in ((name, data), (f"{Path(name).with_suffix('')}.json", b"{}")):  # as WebDataset has them
                info = tarfile.TarInfo(member)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text))
    return str(path)


def write_zip(path: Path, content: Content) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return str(path)


def write_parquet(path: Path, content: Content, **columns: Any) -> str:
    table = pa.table(columns or {"key": list(content), "image": list(content.values())})
    pa.parquet.write_table(table, path, row_group_size=3)
    return str(path)


def write_memory(path: Path, content: Content) -> str:
    for name, data in content.items():
        fsspec.filesystem("memory").pipe(f"/{path.name}/{name}", data)
    return f"memory://{path.name}"


WRITERS: dict[str, Callable[[Path, Content], str]] = {
    "folder": write_folder,
    "data.tar": write_tar,
    "data.tar.gz": lambda path, content: write_tar(path, content, "w:gz"),
    "data.zip": write_zip,
    "data.parquet": write_parquet,
    "store": write_memory,
}
"""Functions that write pictures to a path, by its name, and return the input that names it."""


class RefusingFile(io.BytesIO):
    """A file of `RefusingStore`."""

    def __init__(self, content: bytes, failures: list[Exception]) -> None:
        super().__init__(content)
        self._failures = failures

    def read(self, size: int | None = -1, /) -> bytes:
        if self._failures:
            super().read(size)  # a store may have read on when it fails
            raise self._failures.pop()
        return super().read(size)


class RefusingStore(MemoryFileSystem):  # type: ignore[misc]
    """A store that answers some requests with an error.

    `failures` has the errors that are still to come, and `forbidden` the paths of files that are never given.
    """

    protocol = "refusing"
    store: dict[str, Any] = {}  # noqa: RUF012  as in the base class
    pseudo_dirs = [""]  # noqa: RUF012
    failures: list[Exception] = []  # noqa: RUF012
    forbidden: set[str] = set()  # noqa: RUF012

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        return MemoryFileSystem._strip_protocol(path.removeprefix("refusing://"))

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **options: Any) -> Any:
        if self.failures:
            raise self.failures.pop()
        if path in self.forbidden:
            raise PermissionError("access denied")
        return super().cat_file(path, start, end, **options)

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        return RefusingFile(super()._open(path, *arguments, **options).getvalue(), self.failures)

    def find(self, path: str, *arguments: Any, **options: Any) -> Any:
        if self.failures:
            raise self.failures.pop()
        return super().find(path, *arguments, **options)


@pytest.fixture
def refusing(pictures: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[type[RefusingStore]]:
    """The class of the store `refusing://`, which has the pictures in the folder `photos`."""
    monkeypatch.setattr("tools.bulk.inputs.stores.PAUSES", (0.0, 0.0))
    fsspec.register_implementation("refusing", RefusingStore, clobber=True)
    for name, data in pictures.items():
        RefusingStore().pipe(f"/photos/{name}", data)
    yield RefusingStore
    for left in (RefusingStore.failures, RefusingStore.forbidden, RefusingStore.store):
        left.clear()


Run = Callable[..., int]


@pytest.fixture
def photos(pictures: dict[str, bytes], tmp_path: Path) -> str:
    """A folder with seven pictures and one that cannot be read."""
    return write_folder(tmp_path / "photos", pictures | {"4b.jpg": b"nonsense"})


@pytest.fixture
def run(detector_config: Path) -> Run:
    """Return a function that runs the command on an input, with three images in a partition."""

    def function(address: str, output: Path, *more: object) -> int:
        options = ["--input", address, "--output", output, "--config", detector_config, "--partition-size", 3, *more]
        return command.main([str(option) for option in options])

    return function
