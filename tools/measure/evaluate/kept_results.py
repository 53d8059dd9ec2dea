"""The detections of a detector in the images of a split, kept in a file that an interrupted run goes on with.

Each image adds its line to the file as soon as it is done. The file also holds the settings that it was made with; with
other settings it is refused. `detection.formats.run_results` describes the file.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jsonargparse import Namespace
from tqdm import tqdm

from detection.datasets.annotated_images import require_stated_sizes
from detection.detector import Detector
from detection.errors import InputError
from detection.formats.ground_truth import coco_ground_truth
from detection.formats.run_results import GROUND_TRUTH_NAME, NAME, ResultsWriter, StoredResult
from detection.runtime.atomic_write import write_atomically
from detection.structures.ground_truth import GroundTruth
from proposals.coverage import covered_count
from tools.command.image_proposals import ImageProposals, cache_settings, open_cache, propose_ahead, relevant_settings
from tools.measure.evaluate.measured_split import Split


def complete_results(settings: Namespace, split: Split, build: Callable[[], Detector]) -> ResultsWriter:
    """Return the results of the chosen images; `build` makes the detector if results are missing.

    They lie in the folder `settings.results`, or in one below `settings.output` whose name depends on the settings.

    Raises:
        InputError: naming what cannot be read, written or used, or a file with results of other settings.
    """
    cache = open_cache(settings, settings.detector.propose)
    made_with = {
        "dataset": cache_settings(settings, None)["dataset"],
        "detector": relevant_settings(settings.detector.as_dict()),
        "split": settings.split,
        "rule": split.dataset.scoring_rule,
        "cached_proposals": cache is not None,
        "ground_truth_crc32": zlib.crc32(coco_ground_truth(split.objects)),
    }
    folder = named_folder(Path(settings.output) / "evaluation", made_with)
    if settings.results is not None:
        folder = Path(settings.results)
    writer = ResultsWriter(folder / NAME, made_with, split.dataset.class_names)
    missing = missing_records(writer, split.records)
    if missing:
        detector = build()
        if cache is not None:
            cache.require(missing)
        write_once(folder / GROUND_TRUTH_NAME, coco_ground_truth(split.objects))
        add_results(writer, detector, missing, ImageProposals(detector.propose, cache), workers=settings.workers)
    return writer


def write_once(path: Path, content: bytes) -> None:
    """Write a file, unless it is there with this content already.

    Raises:
        InputError: naming the file, if it has another content, or cannot be read or written.
    """
    try:
        earlier = path.read_bytes()
    except FileNotFoundError:
        write_atomically(path, content)
        return
    except OSError as error:
        raise InputError(f"{path}: expected to read it, got: {error.strerror}") from None
    if earlier not in (content, b""):
        raise InputError(f"{path}: expected the ground truth of this run, or no file, got another one; move it away")


def named_folder(parent: Path, made_with: dict[str, Any]) -> Path:
    """Return the folder in `parent` for results of these settings, named by the split and a checksum of them."""
    stated = json.dumps(made_with, sort_keys=True, default=str)
    return parent / f"{made_with['split']}-{zlib.crc32(stated.encode()):08x}"


def missing_records(writer: ResultsWriter, records: Sequence[GroundTruth]) -> list[GroundTruth]:
    """Return the ground truth of the images that have no results yet, or results of an earlier file.

    Results of an earlier file are dropped. Older results do not tell which file they are of; a line says so, and they
    are used if the names are the same.

    Raises:
        InputError: naming an image without results that has another size than its annotation.
    """
    kept = [(record, writer.images[record.image_id]) for record in records if record.image_id in writer.images]
    replaced = {record.image_id for record, result in kept if _is_of_another_file(record, result)}
    unknown = sum(result.file is None for _, result in kept)
    for count, reason in (
        (len(replaced), "are done anew, because their files have changed"),
        (unknown, "are of an older version and do not tell their files; delete the folder if these have changed"),
    ):
        if count:
            print(f"{writer.path.parent}: results of {count} of {len(kept)} images {reason}", file=sys.stderr)
    writer.drop(replaced)
    missing = [record for record in records if record.image_id not in writer.images]
    require_stated_sizes(missing)
    return missing


def _is_of_another_file(record: GroundTruth, result: StoredResult) -> bool:
    """Return True if a result is certainly of another file than the image has now; older results only have a size."""
    if result.file is not None:
        return not result.file.matches(record.path)
    return record.stated_size is not None and record.stated_size[:2] != result.size


def add_results(
    writer: ResultsWriter,
    detector: Detector,
    missing: Sequence[GroundTruth],
    proposals: ImageProposals,
    *,
    workers: int,
) -> None:
    """Detect in the images that have no results yet, and write the result of each image at once.

    Raises:
        InputError: naming the image or file that cannot be read or written.
    """
    done = len(writer.images)
    progress = tqdm(total=done + len(missing), initial=done, unit="image", disable=None)
    with writer, progress:
        for result in detect_each(detector, missing, proposals, workers=workers):
            writer.add(result)
            progress.update()


def detect_each(
    detector: Detector, records: Sequence[GroundTruth], proposals: ImageProposals, *, workers: int
) -> Iterator[StoredResult]:
    """Yield the result of each image in order, while `workers` threads read and propose the next images."""
    for group in propose_ahead(records, proposals, threads=workers):
        group_detections = detector.score([item.image for item in group], [item.proposals for item in group])
        for (record, image, proposed, file), detections in zip(group, group_detections, strict=True):
            covered = covered_count(proposed.boxes, record.boxes[~record.ignored])
            size = (image.shape[0], image.shape[1])
            yield StoredResult(record.image_id, size, len(proposed), detections, covered, file)
