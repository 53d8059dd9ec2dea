"""Proposals on the machines of a Ray cluster: each core has a worker, and the images come back in their order."""

from __future__ import annotations

import pickle
from collections.abc import Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from detection.structures.ground_truth import GroundTruth
from tools.bulk.plan import software_versions
from tools.bulk.ray_engine import ClusterOptions, Stage, cluster_cores, connected, naming_failures, require_ray, staged
from tools.bulk.ray_workers import enter_folder, require_versions, with_payloads
from tools.command.image_proposals import use_one_thread, weights_checksums
from tools.data.proposed_split import ProposalOutcome, ProposedSplit
from tools.measure.coverage.sources import build_proposer

IMAGES_PER_TASK = 16
"""The number of images that a worker gets at once, and loses if it is lost."""


class ProposerSetup(NamedTuple):
    """The settings that a worker makes its proposer with.

    Attributes:
        propose: the `class_path` and `init_args` of the proposer.
        versions: the versions of the machine that leads the run; the worker must have the same.
        folder: the folder in which the command was started; relative paths count from it.
    """

    propose: dict[str, Any]
    versions: Mapping[str, str]
    folder: str

    @classmethod
    def on_this_machine(cls, propose: dict[str, Any]) -> ProposerSetup:
        """Return the setup with the versions of this machine, and the checksums of the files that the settings name."""
        return cls(propose, software_versions() | weights_checksums(propose), str(Path.cwd()))


class SplitWorker:
    """Reads images of a split, and proposes boxes in them, on a CPU.

    Raises:
        InputError: if the worker has other software or weights than the machine that leads the run.
    """

    def __init__(self, setup: ProposerSetup) -> None:
        enter_folder(setup.folder)
        require_versions(setup.versions, ProposerSetup.on_this_machine(setup.propose).versions)
        use_one_thread(0)
        self._propose = build_proposer(setup.propose)

    def __call__(self, table: Any) -> Any:
        """Return a table with lists of `ProposalOutcome` in place of the records."""
        splits = (ProposedSplit(pickle.loads(payload.as_py()), self._propose) for payload in table["payload"])
        return with_payloads(table, [[split[index] for index in range(len(split))] for split in splits])


def propose_on_cluster(
    records: Sequence[GroundTruth], propose: dict[str, Any], address: str | None
) -> Generator[ProposalOutcome, None, None]:
    """Yield the proposals of each record, in order.

    Args:
        records: images whose files all machines read by the same path.
        propose: the `class_path` and `init_args` of the proposer.
        address: the address of a Ray cluster; None starts one on this machine.

    Raises:
        InputError: if there is no such cluster, a worker has other software than this machine, or the cluster is lost.
    """
    ray = require_ray()
    setup = ProposerSetup.on_this_machine(propose)
    with connected(ray, ClusterOptions(address), ordered=True), naming_failures(ray):
        stage = Stage(SplitWorker, setup, cluster_cores(ray), {"num_cpus": 1.0})
        for table in staged(ray, list(record_tables(records)), [stage]):
            for payload in table["payload"]:
                yield from pickle.loads(payload.as_py())


def record_tables(records: Sequence[GroundTruth]) -> Iterator[Any]:
    """Yield tables of one row, whose `payload` has the records of a task."""
    import pyarrow as pa  # noqa: PLC0415  optional

    for first in range(0, len(records), IMAGES_PER_TASK):
        payload = pickle.dumps(list(records[first : first + IMAGES_PER_TASK]), protocol=5)
        yield pa.table({"payload": pa.array([payload], pa.large_binary())})
