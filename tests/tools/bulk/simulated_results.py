# ruff: noqa: T201  a program that prints
"""Measures the memory of `detect-evaluate score` on simulated results: `python -m tests.tools.bulk.simulated_results`.

It writes the ground truth and the detections of `--images` images, with `--objects` and `--boxes` in each, scores them
by the rule of VOC in another process, and prints the seconds and the largest memory of that process.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from detection.formats.dataset_results.manifest import Manifest, write_manifest
from detection.formats.dataset_results.partition import VERSION_NAMES, ImageRow, write_partition

CLASSES = 80
PARTITION = 1000
SIZE = (400, 600)


def simulated_boxes(count: int, generator: np.random.Generator) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Return random boxes x1, y1, x2, y2: float32 [count, 4]."""
    corner = generator.uniform(0, 300, (count, 2))
    return np.concatenate([corner, corner + generator.uniform(10, 100, (count, 2))], axis=1).astype(np.float32)


def write_results(folder: Path, images: int, boxes: int) -> None:
    """Write the partitions and the manifest of simulated detections."""
    generator = np.random.default_rng(0)
    versions = dict.fromkeys(VERSION_NAMES, "simulated")
    finished = {}
    for number, first in enumerate(range(0, images, PARTITION)):
        numbers = range(first, min(first + PARTITION, images))
        scores = np.sort(generator.uniform(0, 1, (len(numbers), boxes)).astype(np.float32))[:, ::-1]
        labels = generator.integers(0, CLASSES, (len(numbers), boxes))
        corners = simulated_boxes(len(numbers) * boxes, generator).reshape(-1, boxes, 4)
        rows = [
            ImageRow(f"{image:07d}.jpg", SIZE, *columns)
            for image, *columns in zip(numbers, corners, scores, labels, strict=True)
        ]
        finished[number] = write_partition(folder, number, rows, versions)
    names = tuple(f"class {label}" for label in range(CLASSES))
    write_manifest(folder, Manifest(versions, {}, names, len(finished), finished))


def write_ground_truth(path: Path, images: int, objects: int) -> None:
    """Write simulated ground truth in the format of COCO, an object a line."""
    generator = np.random.default_rng(1)
    height, width = SIZE
    with path.open("w") as file:
        categories = [{"id": label + 1, "name": f"class {label}"} for label in range(CLASSES)]
        file.write(f'{{"categories": {json.dumps(categories)},\n"images": [')
        entry = '{"id": %d, "file_name": "%07d.jpg", "height": %d, "width": %d}'
        file.write(",\n".join(entry % (image + 1, image, height, width) for image in range(images)))
        file.write('],\n"annotations": [')
        corners = simulated_boxes(images * objects, generator)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1).tolist()
        labels = generator.integers(1, CLASSES + 1, images * objects).tolist()
        for number, (box, label) in enumerate(zip(boxes, labels, strict=True), start=1):
            record = {"id": number, "image_id": (number - 1) // objects + 1, "category_id": label, "bbox": box}
            record |= {"iscrowd": 0, "area": box[2] * box[3]}
            file.write((",\n" if number > 1 else "") + json.dumps(record))
        file.write("]}\n")


def main() -> None:
    """Write the files, score them, and print the time and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=2)
    parser.add_argument("--boxes", type=int, default=10)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "found").mkdir()
        write_results(folder / "found", chosen.images, chosen.boxes)
        write_ground_truth(folder / "truth.json", chosen.images, chosen.objects)
        options = ["--ground-truth", f"{folder}/truth.json", "--detections", f"{folder}/found", "--rule", "voc"]
        start = time.perf_counter()
        command = [sys.executable, "-m", "tools.measure.evaluate", "score", *options, "--resamples", "0"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = time.perf_counter() - start
    print(
        f"{chosen.images} images, {chosen.boxes} boxes each: {seconds:.0f} s, of which {used.ru_utime:.0f} s on "
        f"a core; at most {used.ru_maxrss / 1e6:.2f} GB"
    )


if __name__ == "__main__":
    main()
