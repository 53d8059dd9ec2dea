"""The settings that the files of a detector were made with: training.yaml may change only before they are made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from detection.errors import InputError
from detection.formats.settings import first_difference
from tools.train.own_classes.folder import DetectorFolder
from tools.train.runs.resumed_run import LENGTH_OPTIONS, MAKES_NO_DIFFERENCE, TRAINER_OPTIONS

DECISIVE_TRAINER_OPTIONS = (*TRAINER_OPTIONS, *LENGTH_OPTIONS, "precision")
"""Options of Lightning's trainer that decide what the weights are."""


def require_unchanged(folder: DetectorFolder, settings: dict[str, Any], *, members: int) -> None:
    """Check that the files made so far were made with the current settings, and record these for the others.

    Args:
        folder: folder of the detector.
        settings: content of training.yaml.
        members: number of networks.

    Raises:
        InputError: naming a setting that has changed, and the files to delete so that they are made with it.
    """
    begun = folder.begun_settings()
    for part, made in _parts(folder, members):
        files = [path for path in made if path.exists()]
        difference = None if begun is None else first_difference(_take(part, settings), _take(part, begun))
        if files and difference is not None:
            name, before, now = difference
            names = ", ".join(str(path.relative_to(folder.root)) for path in files)
            raise InputError(
                f"{folder.training_file}: {name} was {before} when the training began, now it is {now}; change it "
                f"back, or delete {names} in this folder and run the command again"
            )
    folder.record_settings(settings)


def _parts(folder: DetectorFolder, members: int) -> Iterator[tuple[str, list[Path]]]:
    """Yield the names of the parts of the settings, and the files that are made with each of them."""
    numbers = range(1, members + 1)
    weights = [folder.root / folder.member_name(member) for member in numbers]
    runs = [folder.run_folder(member) for member in numbers if (folder.run_folder(member) / "last.ckpt").exists()]
    yield "propose", [folder.proposals, *runs, *weights, folder.detector_file]
    yield "training", [*runs, *weights, folder.detector_file]
    yield "suppression", [folder.detector_file]


def _take(part: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a part, without those that do not change the result."""
    detector = dict(settings.get("detector") or {})
    propose = {"propose": detector.pop("propose", None)}
    if part != "training":
        return {"detector": propose if part == "propose" else detector}
    trainer = settings.get("trainer") or {}
    left_out = MAKES_NO_DIFFERENCE | {"detector"}
    kept = {name: value for name, value in settings.items() if name not in left_out}
    return kept | {"trainer": {name: trainer.get(name) for name in DECISIVE_TRAINER_OPTIONS}}
