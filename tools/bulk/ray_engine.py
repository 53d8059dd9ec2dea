"""Detection on the machines of a Ray cluster: some workers propose boxes, others score them, and none waits for others.

The driver lists groups of images. Ray Data sends them to the proposing workers, and what these make to the scoring
workers, as far as its limits of memory allow. A worker or machine that is lost is replaced, and what it had in work is
done again. The rows come back to the driver, which writes the partitions, so that there is a single writer.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from detection.errors import InputError
from detection.formats.dataset_results.partition import ImageRow
from tools.bulk.plan import Plan
from tools.bulk.ray_workers import ProposingWorker, ScoringWorker, WorkerSetup

GROUPS_PER_TASK = 4
"""The number of groups that a worker gets at once. It opens their archives once, and loses them if it is lost."""

SHARE_OF_CORE = 0.5
"""The share of a core that a worker of either kind reserves if both compute on CPUs. With as many workers of each kind
as there are cores, the operating system divides each core as the work comes."""


class ClusterOptions(NamedTuple):
    """The options of the cluster.

    Attributes:
        address: the address of a cluster that runs, or "auto" for the one of this machine; None starts a cluster here.
        workers: the number of workers of each kind on CPUs; None for one on each core.
        memory: bytes of the object store that the images between the workers may take; None for Ray's default.
    """

    address: str | None
    workers: int | None = None
    memory: int | None = None


class Stage(NamedTuple):
    """The workers of one kind.

    Attributes:
        worker: their class, which is called with a table and returns one, or yields several.
        setup: the argument that a worker is made with.
        pool_size: the number of workers.
        needs: what each of them reserves: `num_cpus`, `num_gpus`.
    """

    worker: type
    setup: object
    pool_size: int
    needs: Mapping[str, float]


def require_ray(option: str = "--engine ray") -> Any:
    """Return the package ray, which an option needs; raises an `InputError` with the command that installs it."""
    try:
        import ray.data  # noqa: PLC0415  optional
    except ModuleNotFoundError:
        raise InputError(f"{option}: expected the package ray; pip install 'inception-rcnn[ray]'") from None
    return ray


def detect_on_cluster(
    plan: Plan, partitions: Sequence[int], options: ClusterOptions
) -> Generator[tuple[int, int, ImageRow], None, None]:
    """Yield the number of the partition, the place in it, and the row of each image of some partitions, in any order.

    Raises:
        InputError: if there is no such cluster, a worker has other software than this machine, a store does not answer,
            or the cluster is lost.
    """
    ray = require_ray()
    setup = WorkerSetup(plan.choice, plan.choice.versions, plan.columns, str(Path.cwd()))
    with connected(ray, options), naming_failures(ray):
        for block in staged(ray, group_tables(plan, partitions), detecting_stages(ray, setup, options)):
            columns = (block[name].to_pylist() for name in ("partition", "first", "payload"))
            for number, first, payload in zip(*columns, strict=True):
                rows: list[ImageRow] = pickle.loads(payload)
                for place, row in enumerate(rows, start=first):
                    yield number, place, row


def group_tables(plan: Plan, partitions: Sequence[int]) -> list[Any]:
    """Return tables of a few groups each: the `partition`, the `first` place in it, and the items as `payload`."""
    import pyarrow as pa  # noqa: PLC0415  optional

    groups = [
        {"partition": number, "first": first, "payload": pickle.dumps(list(items), protocol=5)}
        for number in partitions
        for first, items in plan.groups(number)
    ]
    schema = pa.schema([("partition", pa.int64()), ("first", pa.int64()), ("payload", pa.large_binary())])
    return [pa.Table.from_pylist(list(part), schema) for part in _parts(groups, GROUPS_PER_TASK)]


def detecting_stages(ray: Any, setup: WorkerSetup, options: ClusterOptions) -> list[Stage]:
    """Return the workers that propose and those that score; the latter take the GPUs, if the cluster has some."""
    cores, gpus = cluster_cores(ray), int(ray.cluster_resources().get("GPU", 0))
    on_gpus = gpus > 0 and setup.choice.device != "cpu"
    workers = options.workers or cores
    proposing = {"num_cpus": 1.0 if on_gpus else SHARE_OF_CORE}
    scoring = {"num_gpus": 1.0, "num_cpus": 0.0} if on_gpus else {"num_cpus": SHARE_OF_CORE}
    return [
        Stage(ProposingWorker, setup, workers, proposing),
        Stage(ScoringWorker, setup, gpus if on_gpus else workers, scoring),
    ]


def cluster_cores(ray: Any) -> int:
    """Return the number of cores of the cluster."""
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def staged(ray: Any, tables: Sequence[Any], stages: Sequence[Stage]) -> Iterator[Any]:
    """Yield the tables of the last stage while further ones are in work."""
    dataset = ray.data.from_arrow(list(tables))
    for worker, setup, size, needs in stages:
        pool = ray.data.ActorPoolStrategy(min_size=1, max_size=size, initial_size=size)
        dataset = dataset.map_batches(
            worker, batch_size=None, batch_format="pyarrow", compute=pool, fn_constructor_args=(setup,), **needs
        )
    yield from dataset.iter_batches(batch_size=None, batch_format="pyarrow")


@contextmanager
def connected(ray: Any, options: ClusterOptions, *, ordered: bool = False) -> Iterator[None]:
    """Connect to the cluster, or start one on this machine, and leave it at the end of the block.

    Ray's own messages are not printed, but for those of lost machines; its logs have them. With `ordered`, tables leave
    `staged` in the order in which they were given.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    start = {"address": options.address} if options.address else {"address": "local", "include_dashboard": False}
    try:
        ray.init(**start, **quiet)
    except Exception as error:  # a node that does not start in time raises one without a type of its own
        reason = " ".join(str(error).split())
        raise InputError(f"--address {options.address or 'local'}: expected a Ray cluster, got: {reason}") from None
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = ordered
    if options.memory is not None:
        context.execution_options.resource_limits.object_store_memory = options.memory
    try:
        yield
    finally:
        ray.shutdown()


@contextmanager
def naming_failures(ray: Any) -> Iterator[None]:
    """Turn what Ray raises into one line: the `InputError` of a worker, or the failure of the cluster."""
    try:
        yield
    except ray.exceptions.RayError as error:
        worker_error = re.search(rf"{InputError.__module__}\.InputError: (.*)", str(error))
        reason = (
            worker_error[1]
            if worker_error
            else f"cluster: expected it to do the work, got: {' '.join(str(error).split())[-300:]}"
        )
        raise InputError(reason) from error


def _parts(groups: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for first in range(0, len(groups), size):
        yield groups[first : first + size]
