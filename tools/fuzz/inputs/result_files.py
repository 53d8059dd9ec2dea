"""Damaged files of detections, results of runs, ground truth and caches of proposals."""

import json
import zlib
from pathlib import Path

import numpy as np
from numpy.random import Generator

from detection.evaluation.scoring import score
from detection.formats.detections import FORMATS, read_detections, write_detections
from detection.formats.ground_truth import coco_ground_truth, read_coco_ground_truth
from detection.formats.run_results import NAME, ResultsWriter, StoredResult
from detection.runtime.file_fingerprint import FileFingerprint
from detection.structures.contracts import Proposals
from detection.structures.detections import Detections
from detection.structures.ground_truth import GroundTruth
from detection.structures.split_columns import SplitDetections, SplitObjects, split_index, split_objects
from proposals.cache.index import index_path
from proposals.cache.reader import ProposalCache
from proposals.cache.writer import CacheWriter
from tools.fuzz.inputs.mutations.byte_changes import change_bytes, pick
from tools.fuzz.inputs.mutations.text_changes import change_text
from tools.fuzz.inputs.mutations.tree_changes import change_json

IMAGES = ("12", "3", "40")
CLASSES = ("cat", "baby bed")
RULES = ("voc2007", "voc", "coco", "ilsvrc")


def _objects() -> SplitObjects:
    """Return the ground truth of three pictures with two objects each."""
    boxes = np.array([[10, 10, 60, 50], [20, 5, 90, 80]], np.float32)
    records = [
        GroundTruth(name, Path(f"{name}.jpg"), boxes, np.array([0, 1]), np.array([False, name == "3"]))
        for name in IMAGES
    ]
    index = split_index(
        IMAGES, CLASSES, file_names=[f"{name}.jpg" for name in IMAGES], sizes=[(100, 200)] * 3, category_ids=[3, 90]
    )
    return split_objects(index, records)


def _detections(objects: SplitObjects) -> SplitDetections:
    boxes_xywh = np.array([[10, 20, 30, 40], [0, 0, 199.5, 100], [1.25, 2.5, 3, 4.75], [5, 5, 20, 20]])
    scores = np.array([0.5, 0.123456789, 1, 0])
    return SplitDetections(objects.index, np.array([1, 0, 1, 0]), np.array([1, 0, 0, 1]), boxes_xywh, scores)


class DetectionFiles:
    """Damaged detections in every format, and damaged ground truth, which are read and scored."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.objects = _objects()
        self.truth = folder / "truth.json"
        self.truth_content = coco_ground_truth(self.objects)
        suffixes = {"ilsvrc": "found.txt", "coco": "coco.json", "voc": "voc", "detect": "detect.json"}
        for file_format in FORMATS:
            path = folder / suffixes[file_format]
            write_detections(path, _detections(self.objects), file_format=file_format, split="val")
        self.contents = {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
        self.damaged = next(iter(self.contents))
        for rule in RULES:  # compiles loops, which is not to count as the time of an input
            score(self.objects, _detections(self.objects), rule)

    def write(self, random: Generator) -> None:
        """Write one of the files after changes, and the ground truth as it was."""
        self.damaged.write_bytes(self.contents.get(self.damaged, b""))
        self.truth.write_bytes(self.truth_content)
        self.damaged = self.truth if random.random() < 0.2 else pick(tuple(self.contents), random)
        content = self.damaged.read_bytes()
        is_json = self.damaged.suffix == ".json" and random.random() < 0.8
        changed = change_json(json.loads(content), random) if is_json else change_text(content.decode(), random)
        self.damaged.write_bytes(changed)
        self.rule = pick(RULES, random)

    def read(self) -> None:
        """Read the ground truth and the detections, and score them by a rule."""
        objects = read_coco_ground_truth(self.truth)
        path = self.folder / "voc" if self.damaged.parent.name == "voc" else self.damaged
        detections = _detections(objects) if path == self.truth else read_detections(path, objects)
        score(objects, detections, self.rule)


class RunResults:
    """Damaged results of `detect-evaluate run`, whose lines have checksums that mostly fit again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self.objects = _objects()
        boxes = np.array([[10.5, 10, 60, 50]], np.float32)
        detections = Detections(boxes, np.array([0.5], np.float32), np.array([1]), CLASSES)
        with ResultsWriter(self.path, {"split": "val", "detector": {"width": 500}}, CLASSES) as writer:
            for name in IMAGES:
                writer.add(StoredResult(name, (100, 200), 7, detections, 1, FileFingerprint(1, 2, 3, 4)))
        self.lines = [json.loads(line.partition(b" ")[2]) for line in self.path.read_bytes().splitlines()]
        self.whole = self.path.read_bytes()

    def write(self, random: Generator) -> None:
        """Write the file after changes of one line, or of its bytes."""
        if random.random() < 0.2:
            self.path.write_bytes(change_bytes(self.whole, random))
            return
        place = int(random.integers(len(self.lines)))
        lines = [json.dumps(line).encode() for line in self.lines]
        lines[place] = change_json(self.lines[place], random)
        self.path.write_bytes(b"".join(b"%08x %s\n" % (zlib.crc32(line), line) for line in lines))

    def read(self) -> None:
        """Read the results as the evaluation does, and continue them as an interrupted run does."""
        with ResultsWriter(self.path, {"split": "val", "detector": {"width": 500}}, CLASSES) as writer:
            left_out = [name for name in IMAGES if name not in writer.images]
        if not left_out:
            read_detections(self.path, self.objects)


class ProposalCaches:
    """Damaged caches of proposals: the index, or the file of boxes."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "train.proposals"
        boxes = np.array([[0, 0, 200, 100], [10, 10.5, 60, 50]], np.float32)
        with CacheWriter(self.path, {"width": 500}) as writer:
            for name in IMAGES:
                image = folder / f"{name}.jpg"
                image.write_bytes(name.encode())
                nothing = np.zeros(0, np.int64)
                record = GroundTruth(name, image, np.zeros((0, 4), np.float32), nothing, nothing.astype(bool))
                writer.add(record, (100, 200), Proposals(boxes, np.array([0.9, 0.5], np.float32)))
            writer.finish()
        self.index = index_path(self.path)
        self.boxes, self.lines = self.path.read_bytes(), self.index.read_bytes().splitlines()

    def write(self, random: Generator) -> None:
        """Write the file of boxes or the index after changes, and the other one as it was."""
        self.path.write_bytes(change_bytes(self.boxes, random) if random.random() < 0.2 else self.boxes)
        lines = list(self.lines)
        place = int(random.integers(len(lines)))
        lines[place] = change_json(json.loads(lines[place]), random)
        content = b"\n".join([*lines, b""])
        self.index.write_bytes(
            change_text(content.decode("utf-8", "replace"), random) if random.random() < 0.2 else content
        )

    def read(self) -> None:
        """Read the proposals of all images, and then continue the cache."""
        cache = ProposalCache(self.path)
        for name in IMAGES:
            if name in cache:
                _ = cache[name]
        cache.checksum()
        CacheWriter(self.path, {"width": 500})
