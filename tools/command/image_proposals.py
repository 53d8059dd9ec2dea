"""Where commands take the proposals of an image from: a proposer, or a cache that `detect-propose` has filled."""

from __future__ import annotations

import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import cv2
from jsonargparse import Namespace
from torch.utils.data import DataLoader, Dataset

from classifier.scoring import description as region_networks
from detection.datasets.annotated_images import read_annotated_image
from detection.errors import InputError
from detection.runtime.file_fingerprint import FileFingerprint, fingerprint_file
from detection.runtime.parallel.ordered_map import map_ahead
from detection.runtime.weights_files.engine import find_file
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals, Proposer, find_proposals
from detection.structures.ground_truth import GroundTruth
from proposals.cache.reader import ProposalCache
from proposals.multibox import description as multibox
from tools.command.killed_loaders import naming_killed_loaders

Item = TypeVar("Item")

SHIPPED_WEIGHTS = (region_networks.SHIPPED, multibox.SHIPPED)
"""The folders in which a weights file is looked for by its bare name."""

EXECUTION_SETTINGS = {"device", "batch_size"}
"""Settings of a detector that may change in the middle of a run, and differ between its machines."""

IMAGES_AT_ONCE = 16
"""Number of images whose regions share the batches of the classifier."""

PREFETCHED = 16
"""Number of images that each loader process may be ahead, so that none waits for another that has a large image."""


class ProposedImage(NamedTuple):
    """An image of a data set with its proposals, and the fingerprint of its `file`."""

    record: GroundTruth
    image: Image
    proposals: Proposals
    file: FileFingerprint


class ImageProposals:
    """The proposals of the images of a data set.

    Args:
        propose: the proposer; it runs if there is no cache.
        cache: the cache that has the proposals of all images.
    """

    def __init__(self, propose: Proposer, cache: ProposalCache | None = None) -> None:
        self.propose = propose
        self.cache = cache

    def __call__(self, record: GroundTruth, image: Image) -> Proposals:
        """Return the proposals of `record`, whose pixels are `image`.

        Raises:
            InputError: naming the cache, if its proposals were made from an image of another size.
        """
        if self.cache is None:
            return find_proposals(self.propose, image)
        (height, width), (cached_height, cached_width) = image.shape[:2], self.cache.size(record.image_id)
        if (height, width) != (cached_height, cached_width):
            raise InputError(
                f"{self.cache.path}: expected proposals of {record.path}, {width}x{height} px, got those of an image "
                f"of {cached_width}x{cached_height} px"
            )
        return self.cache[record.image_id]


def propose_ahead(
    records: Sequence[GroundTruth], proposals: ImageProposals, *, threads: int
) -> Iterator[list[ProposedImage]]:
    """Yield all images in order, in groups of `IMAGES_AT_ONCE`; meanwhile threads prepare the next group.

    Raises:
        InputError: naming the image or cache that cannot be used.
    """
    prepare = partial(_read_and_propose, proposals=proposals)
    images = map_ahead(prepare, records, threads=threads, ahead=IMAGES_AT_ONCE)
    with closing(images):
        while group := list(islice(images, IMAGES_AT_ONCE)):
            yield group


def _read_and_propose(record: GroundTruth, proposals: ImageProposals) -> ProposedImage:
    file = fingerprint_file(record.path)
    image = read_annotated_image(record)
    return ProposedImage(record, image, proposals(record, image), file)


def propose_file(record: GroundTruth, propose: Proposer) -> tuple[tuple[int, int], Proposals]:
    """Read an image, and return its size (height, width) and its proposals.

    Raises:
        InputError: naming the file, if it cannot be read or `propose` fails in any way. One image in a thousand on
            which a proposer fails must not end the run over all of them.
    """
    image = read_annotated_image(record)
    try:
        proposals = find_proposals(propose, image)
    except Exception as error:
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        reason = " ".join(f"{kind}{error}".split())
        raise InputError(f"{record.path}: expected proposals, got {reason}") from error
    height, width = image.shape[:2]
    return (height, width), proposals


def open_cache(settings: Namespace, propose: Namespace | None) -> ProposalCache | None:
    """Open the cache that the option `--proposals` names; return None without that option.

    Raises:
        InputError: naming the file, if it cannot be used, belongs to another data set, or was filled by another
            proposer than the settings `propose` describe.
    """
    if settings.proposals is None:
        return None
    cache = ProposalCache(settings.proposals)
    expected = cache_settings(settings, propose)
    cache.require_settings(expected if propose is not None else {"dataset": expected["dataset"]})
    return cache


def cache_settings(settings: Namespace, propose: Namespace | None) -> dict[str, Any]:
    """Return the settings that identify proposals; the folder of the data set is left out, as it may be moved."""
    dataset = settings.dataset.as_dict()
    dataset["init_args"].pop("root")
    proposer = propose.as_dict() if propose is not None else None
    weights = weights_checksums(proposer)
    return {"propose": proposer, "dataset": dataset} | ({"weights": weights} if weights else {})


def weights_checksums(settings: Any) -> dict[str, str]:
    """Return the CRC-32 of each file that settings name, by its name there."""
    if isinstance(settings, str):
        files = [path for shipped in SHIPPED_WEIGHTS if (path := find_file(settings, shipped)).is_file()]
        return {settings: f"{zlib.crc32(files[0].read_bytes()):08x}"} if files else {}
    inner = settings.values() if isinstance(settings, dict) else settings if isinstance(settings, list) else ()
    return {name: checksum for value in inner for name, checksum in weights_checksums(value).items()}


def relevant_settings(settings: Any, *, folders: bool = True) -> Any:
    """Return settings of a detector that decide what it finds, with the CRC-32 of each file beside its name.

    Without `folders`, only the last part of a file's name is returned, because machines have files in other folders.
    """
    if isinstance(settings, dict):
        kept = {key: value for key, value in settings.items() if key not in EXECUTION_SETTINGS}
        return {key: relevant_settings(value, folders=folders) for key, value in kept.items()}
    if isinstance(settings, list):
        return [relevant_settings(value, folders=folders) for value in settings]
    checksum = weights_checksums(settings).get(settings) if isinstance(settings, str) else None
    return settings if checksum is None else f"{settings if folders else Path(settings).name} (CRC-32 {checksum})"


def one_by_one(items: Dataset[Item], *, workers: int) -> Generator[Item, None, None]:
    """Yield all items in order, made in `workers` loader processes, or in this process if that is 0.

    Raises:
        InputError: if one of the processes is killed.
    """
    loader = DataLoader(
        items,
        batch_size=1,
        collate_fn=list,
        num_workers=workers,
        worker_init_fn=use_one_thread,
        prefetch_factor=PREFETCHED if workers else None,
    )
    with naming_killed_loaders(workers, "run the command again"):
        with single_threaded_opencv():
            batches = iter(loader)  # starts the processes
        for (item,) in batches:
            yield item


@contextmanager
def single_threaded_opencv() -> Iterator[None]:
    """End OpenCV's threads during a block: a process that is forked while they exist waits for them for ever."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)


def use_one_thread(_: int) -> None:
    """Let OpenCV use one thread in a loader process, as the processes share the cores of the machine."""
    cv2.setNumThreads(1)
