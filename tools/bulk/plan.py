"""The plan of a run: the images in partitions, and the versions and settings that decide what their rows are."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, NamedTuple

from detection import __version__
from detection.configuration import DETECTOR_FILE, find_config, load_detector, read_yaml
from detection.detector import Detector
from detection.formats.dataset_results.manifest import Manifest
from detection.runtime.parallel.many_images import MAX_BATCH
from tools.bulk.inputs.item import Columns, Item
from tools.command.image_proposals import relevant_settings


class DetectorChoice(NamedTuple):
    """The detector of a run, as a worker on any machine can load it.

    Attributes:
        config: YAML file or folder of a detector, or the name of a shipped one; None for the default.
        overrides: attributes of the detector that options have set, such as `score_threshold`.
        device: where the networks compute; None for a GPU if there is one.
    """

    config: str | None
    overrides: Mapping[str, Any]
    device: str | None = None

    def load(self) -> Detector:
        """Return the detector; raises an `InputError` as `load_detector` does."""
        return replace(load_detector(self.config, self.device), **self.overrides)

    @property
    def settings(self) -> dict[str, Any]:
        """The content of the YAML file, with the CRC-32 of each file that it names, which decide what is found."""
        content = read_yaml(find_config(self.config, DETECTOR_FILE))
        described: dict[str, Any] = relevant_settings(content, folders=False)
        return described | dict(self.overrides)

    @property
    def versions(self) -> dict[str, str]:
        """The versions of the software on this machine, and the checksum of the detector's settings."""
        stated = json.dumps(self.settings, sort_keys=True, default=str)
        detector = f"{zlib.crc32(stated.encode()):08x}"
        return software_versions() | {"detector": detector}


def software_versions() -> dict[str, str]:
    """Return the versions of this package and of the engines that compute networks on this machine."""
    return {"inception_rcnn": __version__} | {name: version(name) for name in ("torch", "onnxruntime")}


@dataclass(frozen=True)
class Plan:
    """The images of a run in partitions, with the detector.

    Attributes:
        items: all images.
        columns: the names of the columns in parquet files.
        partition_size: the number of images of a partition; the last one may have fewer.
        choice: the detector.
    """

    items: Sequence[Item]
    columns: Columns
    partition_size: int
    choice: DetectorChoice

    @property
    def partitions(self) -> int:
        """The number of partitions."""
        return -(-len(self.items) // self.partition_size)

    def partition(self, number: int) -> Sequence[Item]:
        """Return the images of a partition."""
        return self.items[number * self.partition_size : (number + 1) * self.partition_size]

    def groups(self, number: int) -> Iterator[tuple[int, Sequence[Item]]]:
        """Yield the place of the first image, and the images, of each group of a partition.

        The groups are the same at each run and with each engine, because the last bits of a score may depend on which
        images share a batch.
        """
        items = self.partition(number)
        for first in range(0, len(items), MAX_BATCH):
            yield first, items[first : first + MAX_BATCH]

    def manifest(self, class_names: Sequence[str] = ()) -> Manifest:
        """Return the manifest of a run that begins, which has no finished partitions."""
        settings = {
            "detector": self.choice.settings,
            "images": len(self.items),
            "images_crc32": self.checksum,
            "partition_size": self.partition_size,
        }
        return Manifest(self.choice.versions, settings, tuple(class_names), self.partitions)

    @property
    def checksum(self) -> str:
        """The CRC-32 of the list of images: of their keys, places and sizes, but not of the folders they lie in."""
        value = 0
        for item in self.items:
            value = zlib.crc32(f"{item.key}\0{item.place}\0{item.size}\0{bool(item.error)}\n".encode(), value)
        return f"{value:08x}"
