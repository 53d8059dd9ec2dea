"""Readers and writers of detections for all formats; the reader recognises the format by the content of the file."""

from collections.abc import Callable, Mapping
from itertools import chain
from pathlib import Path

from detection.datasets.files.text_file import BEGINNING, find_encoding
from detection.errors import InputError
from detection.formats.coco_results import read_coco_results, read_plain_coco_results, write_coco_results
from detection.formats.dataset_results.manifest import MANIFEST
from detection.formats.dataset_results.reader import read_dataset_results
from detection.formats.detect_json import read_detect_json, write_detect_json
from detection.formats.ilsvrc_submission import read_ilsvrc_submission, write_ilsvrc_submission
from detection.formats.parts.json_list import read_json_list
from detection.formats.run_results import FORMAT, NAME, read_results, select_results
from detection.formats.voc_results import read_voc_results, write_voc_results
from detection.structures.split_columns import SplitDetections, SplitObjects

FORMATS: Mapping[str, Callable[[Path, SplitDetections, str], None]] = {
    "ilsvrc": lambda path, detections, _: write_ilsvrc_submission(path, detections),
    "coco": lambda path, detections, _: write_coco_results(path, detections),
    "voc": lambda path, detections, split: write_voc_results(path, detections, split=split),
    "detect": lambda path, detections, _: write_detect_json(path, detections),
}
"""The formats that `write_detections` can write, each with a function of the path, the detections and the split."""


def read_detections(path: Path, objects: SplitObjects, *, any_score: bool = False) -> SplitDetections:
    """Read the detections in a file or folder.

    A folder contains VOC's comp4 files, the results of a run, or those of `detect-dataset`. A JSON list is COCO's
    results or the output of `detect --json`. Any other file is a submission to ILSVRC. If a format lists the images
    that were processed, all images of the ground truth must be listed.

    Args:
        path: the file or folder.
        objects: the ground truth, whose images and classes the detections refer to.
        any_score: also accept scores outside 0-1; the scores of a run always lie in 0-1.

    Raises:
        InputError: naming the file, and the line if possible, for anything that cannot be scored.
    """
    if path.is_dir() and (path / MANIFEST).exists():
        return read_dataset_results(path, objects.index, any_score=any_score)
    if path.is_dir() and not (path / NAME).exists():
        return read_voc_results(path, objects.index, any_score=any_score)
    file = path / NAME if path.is_dir() else path
    start = _beginning(file)
    if not start.strip():
        raise InputError(f"{file}: expected detections, got an empty file")
    if FORMAT in start.partition("\n")[0]:
        return _read_run(file, objects)
    if start.lstrip().startswith("{"):
        advice = "score the file of detect --json, which names the images, in place of that of --coco"
        raise InputError(f"{file}: expected a json list, as COCO's results or detect --json, got an object; {advice}")
    if start.lstrip().startswith("["):
        return _read_json(file, objects, any_score=any_score)
    return read_ilsvrc_submission(file, objects.index, any_score=any_score)


def write_detections(path: Path, detections: SplitDetections, *, file_format: str, split: str) -> None:
    """Write detections in one of `FORMATS`.

    Args:
        path: the file, or the folder for the files of VOC.
        detections: the detections.
        file_format: the name of the format.
        split: the name of the split, which is part of the names of VOC's files.

    Raises:
        InputError: naming the file, if it cannot be written.
        ValueError: if there is no such format.
    """
    if file_format not in FORMATS:
        raise ValueError(f"expected a format of {', '.join(FORMATS)}, got '{file_format}'")
    FORMATS[file_format](path, detections, split)


def _beginning(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: expected a file of detections, which is read twice, got a pipe or device")
        with path.open("rb") as file:
            beginning = file.read(4000)
        return beginning.decode(find_encoding(beginning[:BEGINNING]), errors="replace")
    except OSError as error:
        raise InputError(f"{path}: expected a file of detections: {error.strerror}") from None


def _read_run(path: Path, objects: SplitObjects) -> SplitDetections:
    selected, detections = select_results(read_results(path), objects, path)
    done, expected = len(selected.index.image_ids), len(objects.index.image_ids)
    if done < expected:
        raise InputError(f"{path}: expected results for all {expected} images, got {done}; go on with the run")
    return detections


def _read_json(path: Path, objects: SplitObjects, *, any_score: bool) -> SplitDetections:
    """Read COCO's results, or the output of `detect --json` if the first item has a key `image`."""
    plain = read_plain_coco_results(path, objects.index, any_score=any_score)
    if plain is not None:
        return plain
    batches = read_json_list(path, expected="detections as COCO's results or detect --json have them")
    first = next(batches, None)
    has_images = first is not None and isinstance(first.values[0], dict) and "image" in first.values[0]
    read = read_detect_json if has_images else read_coco_results
    return read(chain(filter(None, [first]), batches), objects.index, any_score=any_score)
