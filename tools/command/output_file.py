"""Output files: the options that name them, and checks that each may be written, made before the work starts.

`detection.runtime.output_file` has the rule: which files a command may replace.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

from jsonargparse import ArgumentParser, Namespace

from detection.errors import InputError
from detection.formats.run_results import NAME
from detection.runtime.output_file import (
    OVERWRITE_HELP,
    Inputs,
    are_marked_weights,
    identify,
    is_marked_page,
    is_marked_png,
    made_by,
    named_files,
    require_replaceable,
    require_writable,
)


class IsWrittenBy(Protocol):
    """A function that returns True if a file with this beginning was written by the command of this name."""

    def __call__(self, beginning: bytes, command: str) -> bool: ...


class Kind(NamedTuple):
    """A kind of output file: how a command recognises its own files, their suffix, and the help of the option.

    `recognise` is None for a format that has no place for the name of the command.
    """

    recognise: IsWrittenBy | None
    suffix: str = ""
    help: str = ""


class OutputFile(NamedTuple):
    """A file that a command writes at its end, and the name of the command, which the file is to hold."""

    path: Path
    command: str

    @property
    def made_by(self) -> str:
        """The text by which the command knows the file the next time."""
        return made_by(self.command)

    @property
    def summary(self) -> str:
        """The line that a command prints once it has written the file."""
        return f"{self.path}: {self.path.stat().st_size:,} bytes"


def add_output_options(parser: ArgumentParser, *names: str) -> None:
    """Add the options `names` out of `KINDS`; each names a file that the command writes at its end."""
    for name in names:
        parser.add_argument(f"--{name}", type=str | None, help=KINDS[name].help)
    add_overwrite_option(parser)


def add_overwrite_option(parser: ArgumentParser) -> None:
    """Add `--overwrite`, without which a command replaces only its own files."""
    parser.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)


def prepare_outputs(
    parser: ArgumentParser, settings: Namespace, *names: str, columns: Sequence[str] = ()
) -> list[OutputFile | None]:
    """Return the file that each of the options `names` gives, or None where the option was not used.

    `columns` are the first line of the CSV file of the command.

    Raises:
        InputError: as `prepare_output` does, or if two options name the same file.
    """
    inputs = read_files(settings, outputs=names)
    files: dict[Path, OutputFile] = {}
    for name in filter(settings.get, names):
        kind = table_kind(columns) if name == "csv" else KINDS[name]
        path = _checked(Path(settings[name]), kind, parser.prog, inputs=inputs, overwrite=settings.overwrite)
        if path.resolve() in files:
            raise InputError(f"{path}: expected another file for --{name}, got that of another option")
        files[path.resolve()] = OutputFile(path, parser.prog)
    return [files[Path(settings[name]).resolve()] if settings[name] else None for name in names]


def prepare_output(settings: Namespace, option: str, kind: Kind, command: str) -> OutputFile:
    """Return the file that an option names, which is written later, and create its folder if necessary.

    Args:
        settings: the options of the command, with `overwrite`.
        option: the name of the option.
        kind: the kind of the file, one of `KINDS`.
        command: the name of the command, such as "detect-evaluate score".

    Raises:
        InputError: if the name has not the suffix of the kind, the file must not be replaced or cannot be written, or
            it is a plot and matplotlib is not installed.
    """
    inputs = read_files(settings, outputs=[option])
    path = _checked(Path(settings[option]), kind, command, inputs=inputs, overwrite=settings.overwrite)
    return OutputFile(path, command)


def read_files(settings: Namespace, *, outputs: Collection[str]) -> Inputs:
    """Return the files and folders that the options of a command name, but for the options `outputs`.

    The folder `--output` is not among them, since the command itself writes there, but results that it keeps are.
    """
    read = {name: value for name, value in settings.as_dict().items() if name not in {*outputs, "output"}}
    kept = Path(settings.output).rglob(NAME) if "output" in settings and "output" not in outputs else ()
    return identify([*named_files(read), *kept])


def _checked(path: Path, kind: Kind, command: str, *, inputs: Inputs, overwrite: bool) -> Path:
    if kind is KINDS["plot"] and importlib.util.find_spec("matplotlib") is None:
        raise InputError(f"{path}: expected matplotlib to draw it with; install inception-rcnn[train]")
    if not path.name.lower().endswith(kind.suffix):
        raise InputError(f"{path}: expected a name that ends in {kind.suffix}")
    recognise = None if kind.recognise is None else partial(kind.recognise, command=command)
    require_replaceable(path, recognise, inputs=inputs, overwrite=overwrite)
    require_writable(path)
    return path


def _is_marked_json(beginning: bytes, command: str) -> bool:
    return re.match(rb'\{\s*"made_by": "%b"' % re.escape(made_by(command)).encode(), beginning) is not None


def _has_columns(beginning: bytes, command: str, columns: Sequence[str] = ()) -> bool:  # noqa: ARG001
    """Return True for a table that begins with `columns`; a table has no place for the name of the command."""
    return beginning.partition(b"\n")[0].rstrip() == ",".join(columns).encode()


KINDS = {
    "json": Kind(_is_marked_json, help="write all figures to this JSON file"),
    "html": Kind(is_marked_page, help="write the report to this file as a page for a browser"),
    "csv": Kind(_has_columns, ".csv", "write the table to this CSV file"),
    "plot": Kind(is_marked_png, ".png", "draw the figures in this PNG file"),
    "sheet": Kind(is_marked_png, ".png", "draw photos with right and wrong answers in this PNG file"),
}
"""The kind of the file that each option of `add_output_options` names."""


def table_kind(columns: Sequence[str]) -> Kind:
    """Return the kind of a CSV file that begins with `columns`."""
    return KINDS["csv"]._replace(recognise=partial(_has_columns, columns=columns))


PICTURE, WEIGHTS = KINDS["sheet"], Kind(are_marked_weights)

TEXT = Kind(None)
"""Files of detections in other formats, which have no place for the name of the command."""
