"""The folder that `detect-train DATA` writes: a detector that can be moved and copied, and the work files beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically


@dataclass(frozen=True)
class DetectorFolder:
    """The paths in the folder `root` of a detector.

    `work/` holds what only the training needs; it may be deleted when the detector is finished.

    All files in the folder belong to the command, which replaces them until the detector is finished.
    """

    root: Path

    @property
    def training_file(self) -> Path:
        """The settings of the training, which the user may change."""
        return self.root / "training.yaml"

    @property
    def detector_file(self) -> Path:
        """The settings of the finished detector, written last."""
        return self.root / "detector.yaml"

    @property
    def options_file(self) -> Path:
        """The options, data and settings that the detector was begun with."""
        return self.root / "options.json"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def start_weights(self) -> Path:
        """The weights that every member starts from."""
        return self.work / "start.safetensors"

    def member_name(self, member: int) -> str:
        """Return the file name of the weights of member 1, 2, ..."""
        return f"member_{member}.safetensors"

    def run_folder(self, member: int) -> Path:
        """Return the folder of the checkpoints and logs of a member."""
        return self.work / f"member_{member}"

    @property
    def proposals(self) -> Path:
        """The cache of the proposals of the training pictures."""
        return self.work / "train.proposals"

    def claim(self, options: dict[str, Any], data: str) -> None:
        """Record the options and the data of a new detector, or check that the detector that is there has the same.

        Args:
            options: the options of the command that must not change, as the user writes them.
            data: a text that differs between data of different pictures, boxes or classes.

        Raises:
            InputError: naming the option that differs, or if the data have changed, or if the folder holds something
                else.
        """
        path = self.options_file
        if not path.exists():
            if self.root.is_dir() and any(self.root.iterdir()):
                raise InputError(
                    f"{self.root}: this folder is not empty and not of detect-train; choose another --output"
                )
            write_claim(path, {"options": options, "data": data, "settings": None})
            return
        earlier = read_claim(path)
        for name, value in options.items():
            if (begun := earlier["options"].get(name)) != value:
                if self.detector_file.exists():
                    raise InputError(
                        f"{self.root}: this detector is finished, and was trained with --{name} {begun}; "
                        f"choose another --output to train one with --{name} {value}"
                    )
                raise InputError(
                    f"{self.root}: this detector was begun with --{name} {begun}, now it is {value}; "
                    "give the same options to go on, or choose another --output"
                )
        if earlier["data"] != data:
            raise InputError(
                f"{self.root}: the pictures, boxes or classes have changed since this detector was begun; "
                "choose another --output to train on them"
            )

    def begun_settings(self) -> dict[str, Any] | None:
        """Return the content of training.yaml that was recorded last, or None if there was none.

        Raises:
            InputError: naming the file, if it cannot be read.
        """
        settings: dict[str, Any] | None = read_claim(self.options_file)["settings"]
        return settings

    def record_settings(self, settings: dict[str, Any]) -> None:
        """Record the content of training.yaml."""
        write_claim(self.options_file, read_claim(self.options_file) | {"settings": settings})


def write_claim(path: Path, content: dict[str, Any]) -> None:
    """Write options.json."""
    write_atomically(path, json.dumps(content, indent=2).encode())


def read_claim(path: Path) -> dict[str, Any]:
    """Return the content of options.json.

    Raises:
        InputError: naming the file, if it cannot be read.
    """
    try:
        content = json.loads(path.read_bytes())
        settings = content.get("settings")  # earlier versions did not record them
        return {
            "options": dict(content["options"]),
            "data": str(content["data"]),
            "settings": None if settings is None else dict(settings),
        }
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path}: expected the options of detect-train, cannot read them: {error}") from None
