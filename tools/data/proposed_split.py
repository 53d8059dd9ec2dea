"""The images of a split with their proposals, as `detect-propose` computes them in this process or in others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch.utils.data import Dataset

from detection.errors import InputError
from detection.runtime.file_fingerprint import FileFingerprint, fingerprint_file
from detection.structures.contracts import Proposals, Proposer
from detection.structures.ground_truth import GroundTruth
from tools.command.image_proposals import propose_file


class ProposalOutcome(NamedTuple):
    """The proposals of an image of `size` (height, width) from a `file`, or the error that prevented them."""

    record: GroundTruth
    size: tuple[int, int]
    proposals: Proposals | InputError
    file: FileFingerprint | None = None


class ProposedSplit(Dataset[ProposalOutcome]):
    """The images of a split; reading an item computes its proposals, in a process of the loader or of a cluster."""

    def __init__(self, records: Sequence[GroundTruth], propose: Proposer) -> None:
        self.records = records
        self.propose = propose

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, index: int) -> ProposalOutcome:
        record = self.records[index]
        try:
            file = fingerprint_file(record.path)
            return ProposalOutcome(record, *propose_file(record, self.propose), file)
        except InputError as error:
            return ProposalOutcome(record, (0, 0), error)
