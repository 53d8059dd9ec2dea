"""The two kinds of workers of a cluster: one reads images and proposes boxes, the other scores them.

A row of their tables is a group of images, whose regions share the batches of the networks. Between the workers, a
group travels as a pickle through the object store of Ray, which moves all its data that way.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain, islice
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.formats.dataset_results.partition import ImageRow
from detection.runtime.parallel.many_images import ImageResult, ProposedPicture, propose_boxes, score_batch
from detection.sources.picture import Picture
from tools.bulk.inputs.item import Columns, Item
from tools.bulk.inputs.pictures import item_pictures
from tools.bulk.plan import DetectorChoice
from tools.bulk.stages import TolerantStages, result_row


class WorkerSetup(NamedTuple):
    """The settings that a worker loads its stages with.

    Attributes:
        choice: the detector, which the worker loads from the files of its machine.
        versions: those of the machine that leads the run; the worker must have the same.
        columns: the names of the columns in parquet files.
        folder: the one in which the command was started, from which relative paths count.
    """

    choice: DetectorChoice
    versions: Mapping[str, str]
    columns: Columns
    folder: str = "."


class ProposingWorker:
    """Reads the images of a group and proposes boxes in them, on a CPU.

    Raises:
        InputError: if the worker has other software or another detector than the machine that leads the run.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._stages = load_stages(setup, device="cpu")
        self._columns = setup.columns

    def __call__(self, groups: Any) -> Iterator[Any]:
        """Yield a table of each group, with its images and proposals in place of the items."""
        payloads: list[list[Item]] = [pickle.loads(payload.as_py()) for payload in groups["payload"]]
        pictures = item_pictures(chain.from_iterable(payloads), self._columns)  # opens an archive once for all groups
        for row, items in enumerate(payloads):
            yield with_payloads(groups.slice(row, 1), [self._propose(items, pictures)])

    def _propose(self, items: list[Item], pictures: Iterator[Picture]) -> list[ProposedPicture | ImageResult]:
        try:
            proposed = propose_boxes(self._stages, list(islice(pictures, len(items))))
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}") from error
        return [travelling(result, item.key) for result, item in zip(proposed, items, strict=True)]


class ScoringWorker:
    """Scores the regions of the images of a group, on a GPU or a CPU."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._stages = load_stages(setup, device=setup.choice.device)

    def __call__(self, groups: Any) -> Any:
        """Return a table of groups with a list of `ImageRow` in place of the images and proposals."""
        return with_payloads(groups, [self._score(pickle.loads(payload.as_py())) for payload in groups["payload"]])

    def _score(self, proposed: list[ProposedPicture | ImageResult]) -> list[ImageRow]:
        return [result_row(result.picture.name, result) for result in score_batch(self._stages, proposed)]


def load_stages(setup: WorkerSetup, *, device: str | None) -> TolerantStages:
    """Load the detector; raises an `InputError` if this machine has other software or files than the leading one."""
    enter_folder(setup.folder)
    require_versions(setup.versions, setup.choice.versions)
    return TolerantStages(setup.choice._replace(device=device).load())


def enter_folder(folder: str) -> None:
    """Let relative paths of a worker count from a folder, if its machine has this folder."""
    with suppress(OSError):
        os.chdir(folder)


def require_versions(expected: Mapping[str, str], own: Mapping[str, str]) -> None:
    """Check the versions of a worker's machine; raises an `InputError` if the leading machine has others."""
    for name, version in expected.items():
        if own.get(name) != version:
            raise InputError(
                f"worker: expected {name} {version}, as the machine has that leads the run, got {own.get(name)}"
            )


def with_payloads(groups: Any, payloads: Sequence[object]) -> Any:
    """Return a table of groups with other payloads."""
    import pyarrow as pa  # noqa: PLC0415  optional

    pickles = [pickle.dumps(payload, protocol=5) for payload in payloads]
    column = pa.array(pickles, pa.large_binary())  # the images of a group may be larger than 2 GB
    return groups.set_column(groups.schema.get_field_index("payload"), "payload", column)


def travelling(result: ProposedPicture | ImageResult, key: str) -> ProposedPicture | ImageResult:
    """Return a result whose picture has only its name, since its content was read on this machine."""
    picture = Picture(key, no_content, stem="")
    return replace(result, picture=picture) if isinstance(result, ImageResult) else result._replace(picture=picture)


def no_content() -> Any:
    """Stand for the content of a picture that another worker has read."""
    raise ValueError("the picture was read by another worker")
