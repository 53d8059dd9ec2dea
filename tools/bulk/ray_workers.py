"""The two kinds of workers of a cluster: one reads images and proposes boxes, the other scores them.

A row of their tables is a group of images, whose regions share the batches of the networks. Between the workers, a
group travels as a pickle through the object store of Ray, which moves all its data that way.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.runtime.parallel.many_images import ImageResult, ProposedPicture, propose_boxes, score_batch
from detection.sources.picture import Picture
from tools.bulk.inputs.item import Columns, Item
from tools.bulk.inputs.pictures import item_pictures
from tools.bulk.plan import DetectorChoice
from tools.bulk.stages import TolerantStages, result_row


class WorkerSetup(NamedTuple):
    """What a worker needs to know.

    Attributes:
        choice: the detector, which the worker loads from the files of its machine.
        versions: those of the machine that leads the run; the worker must have the same.
        columns: of parquet files.
    """

    choice: DetectorChoice
    versions: Mapping[str, str]
    columns: Columns


class ProposingWorker:
    """Reads the images of a group and proposes boxes in them, on a CPU.

    Raises:
        InputError: if the worker has other software or another detector than the machine that leads the run.
    """

    def __init__(self, setup: WorkerSetup) -> None:
        self._stages = load_stages(setup, device="cpu")
        self._columns = setup.columns

    def __call__(self, groups: Any) -> Any:
        """Return a table of groups with their images and proposals in place of the items."""
        return map_payloads(groups, self._propose)

    def _propose(self, items: list[Item]) -> list[ProposedPicture | ImageResult]:
        try:
            proposed = propose_boxes(self._stages, list(item_pictures(items, self._columns)))
        except OSError as error:
            raise InputError(f"{error.filename}: {error.strerror}") from error
        return [travelling(result, item.key) for result, item in zip(proposed, items, strict=True)]


class ScoringWorker:
    """Scores the regions of the images of a group, on a GPU or a CPU."""

    def __init__(self, setup: WorkerSetup) -> None:
        self._stages = load_stages(setup, device=setup.choice.device)

    def __call__(self, groups: Any) -> Any:
        """Return a table of groups with a list of `ImageRow` in place of the images and proposals."""
        return map_payloads(groups, self._score)

    def _score(self, proposed: list[ProposedPicture | ImageResult]) -> Any:
        return [result_row(result.name, result) for result in score_batch(self._stages, proposed)]


def load_stages(setup: WorkerSetup, *, device: str | None) -> TolerantStages:
    """Load the detector; raises an `InputError` if this machine has other software or files than the leading one."""
    versions = setup.choice.versions
    for name, version in setup.versions.items():
        if versions[name] != version:
            raise InputError(
                f"worker: expected {name} {version}, as the machine has that leads the run, got {versions[name]}"
            )
    return TolerantStages(setup.choice._replace(device=device).load())


def map_payloads(groups: Any, function: Any) -> Any:
    """Return a table of groups with `function` applied to the payload of each."""
    import pyarrow as pa  # noqa: PLC0415  optional

    payloads = [pickle.dumps(function(pickle.loads(payload.as_py())), protocol=5) for payload in groups["payload"]]
    column = pa.array(payloads, pa.large_binary())  # the images of a group may be larger than 2 GB
    return groups.set_column(groups.schema.get_field_index("payload"), "payload", column)


def travelling(result: ProposedPicture | ImageResult, key: str) -> ProposedPicture | ImageResult:
    """Return a result whose picture has only its name, since its content was read on this machine."""
    picture = Picture(key, no_content, stem="")
    return replace(result, picture=picture) if isinstance(result, ImageResult) else result._replace(picture=picture)


def no_content() -> Any:
    """Stand for the content of a picture that another worker has read."""
    raise ValueError("the picture was read by another worker")
