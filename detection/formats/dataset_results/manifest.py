"""The manifest of a folder of results: what made its rows, and which of its partitions are finished.

A partition that the manifest does not list does not count, even if its file exists.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import made_by

FORMAT = "inception-rcnn detections of a data set"
VERSION = 1
MANIFEST = "manifest.json"
COMMAND = "detect-dataset"


@dataclass(frozen=True)
class FinishedPartition:
    """The number of `rows` of a partition, how many have an error, and the length of its file in bytes."""

    rows: int
    errors: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """The versions, settings and classes that the rows of a folder depend on, and the finished partitions.

    Attributes:
        versions: the versions of the software and of the detector, with the keys `VERSION_NAMES`.
        settings: the detector and the images; the rows are a function of these and of the versions.
        class_names: the names of the classes.
        partitions: the number of partitions when all are finished.
        finished: the finished ones, by their number.
    """

    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    class_names: tuple[str, ...]
    partitions: int
    finished: Mapping[int, FinishedPartition] = field(default_factory=dict)

    @property
    def missing(self) -> list[int]:
        """The numbers of the partitions that are not finished."""
        return [number for number in range(self.partitions) if number not in self.finished]

    def to_json(self) -> str:
        """Return the text of the file; it does not depend on the order in which partitions were finished."""
        finished = [{"partition": number, **asdict(part)} for number, part in sorted(self.finished.items())]
        head = {"made_by": made_by(COMMAND), "format": FORMAT, "version": VERSION}
        return json.dumps(head | asdict(self) | {"finished": finished}, indent=1)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a folder of results.

    Raises:
        InputError: naming the file, if it is missing, damaged, or of another version of the format.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_bytes())
        if (content["format"], content["version"]) != (FORMAT, VERSION):
            raise InputError(f"{path}: expected version {VERSION} of the format, got {content['version']}")
        finished = {part.pop("partition"): FinishedPartition(**part) for part in content["finished"]}
        names = tuple(content["class_names"])
        if type(content["partitions"]) is not int or content["partitions"] < 0:
            raise ValueError("a wrong number of partitions")
        if not all(isinstance(content[key], dict) for key in ("versions", "settings")):
            raise ValueError("no settings")
        return Manifest(content["versions"], content["settings"], names, content["partitions"], finished)
    except OSError as error:
        raise InputError(f"{path}: expected the manifest of {COMMAND}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: expected the manifest of {COMMAND}, got a damaged or other file: {error}") from None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest of a folder; raises an `InputError` that names the file, if it cannot be written."""
    write_atomically(folder / MANIFEST, f"{manifest.to_json()}\n".encode())
