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
    """

    root: Path

    @property
    def training(self) -> Path:
        """The settings of the training, which the user may change."""
        return self.root / "training.yaml"

    @property
    def detector(self) -> Path:
        """The settings of the finished detector, written last."""
        return self.root / "detector.yaml"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def start(self) -> Path:
        """The weights that every member starts from."""
        return self.work / "start.safetensors"

    def member_name(self, member: int) -> str:
        """Return the file name of the weights of member 1, 2, ..."""
        return f"member_{member}.safetensors"

    def run(self, member: int) -> Path:
        """Return the folder of the checkpoints and logs of a member."""
        return self.work / f"member_{member}"

    @property
    def proposals(self) -> Path:
        """The cache of the proposals of the training pictures."""
        return self.work / "train.proposals"

    def claim(self, options: dict[str, Any]) -> None:
        """Record the options of a new detector, or check that they are those of the detector that is there.

        Raises:
            InputError: naming the option that differs, or if the folder holds something else.
        """
        path = self.work / "options.json"
        if not path.exists():
            if self.root.is_dir() and any(self.root.iterdir()):
                raise InputError(f"{self.root}: expected a new folder, or one of an earlier detect-train; got another")
            write_atomically(path, json.dumps(options, indent=2).encode())
            return
        earlier = json.loads(path.read_text(encoding="utf-8"))
        for name, value in options.items():
            if earlier.get(name) != value:
                raise InputError(
                    f"{self.root}: was begun with {name} {earlier.get(name)}, got {value}; "
                    "give the same options to go on, or choose another --output"
                )
