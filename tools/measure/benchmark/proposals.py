"""How long both engines of selective search take on the same images, and how many of their boxes are the same.

Beside them one pass of MultiBox.

python -m tools.benchmark proposals
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from detection.configuration import DEFAULT_CONFIG, read_yaml
from detection.errors import InputError
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.contracts import Proposals, Proposer
from proposals.multibox import MultiBoxProposer
from proposals.selective_search import SelectiveSearch
from proposals.selective_search.proposer import ENGINES
from tools.command.output_file import prepare_output

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
"""Of scikit-image, so that anyone can measure the same."""

TILE = 300, 427
"""Height and width that all of them have."""


def build_parser() -> argparse.ArgumentParser:
    """The options of the tool."""
    parser = argparse.ArgumentParser(
        prog="python -m tools.benchmark proposals",
        description="Time the engines of selective search in turn.",
    )
    parser.add_argument("--images", nargs="*", metavar="IMAGE", help="default: four photos of scikit-image")
    parser.add_argument("--width", type=int, default=500, help="at which the images are searched")
    parser.add_argument(
        "--sizes", nargs="*", type=int, default=[1500], metavar="N", help="NxN pixels of the photos side by side"
    )
    parser.add_argument("--scales", nargs="+", type=int, default=[100, 200], help="k of the superpixels")
    parser.add_argument("--repeat", type=int, default=3, help="rounds, in each of which both engines have a turn")
    parser.add_argument("--json", help="file for all times")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print a table for each image."""
    options = build_parser().parse_args(arguments)
    try:
        json_file = prepare_output(options.json, suffix=".json") if options.json is not None else None
        cases = [(name, image, options.width) for name, image in read_images(options.images).items()]
        cases += [(f"{size}x{size}", mosaic(size), size) for size in options.sizes]
        print(f"{cv2.getNumThreads()} threads, OpenCV {cv2.__version__}, scales {options.scales}")
        shipped = read_yaml(DEFAULT_CONFIG)["propose"]["init_args"]["proposers"][0]["init_args"]
        multibox = MultiBoxProposer(**{**shipped, "device": "cpu"})
        print(f"first compiled search in this process: {time_first_search():.1f} s")
        results = []
        for name, image, width in cases:
            proposers: dict[str, Proposer] = {
                engine: SelectiveSearch(tuple(options.scales), width, 0, engine) for engine in ENGINES
            }
            proposers["multibox"] = multibox
            results.append({"name": name, "width": width, **compare(image, proposers, options.repeat)})
            print(format_result(results[-1]), flush=True)
    except InputError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    if json_file is not None:
        json_file.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return 0


def read_images(paths: Sequence[str] | None) -> dict[str, Image]:
    """Images of files, by their paths, or those of scikit-image, by their names."""
    if paths is None:
        return {name: getattr(skimage.data, name)() for name in PHOTOS}
    return {path: read_image(Path(path)) for path in paths}


def mosaic(size: int) -> Image:
    """Pieces of scikit-image's photos, in their own resolution, side by side: RGB [size, size, 3]."""
    height, width = TILE
    tiles = [photo[:height, :width] for photo in read_images(None).values()]
    rows = [np.concatenate(tiles[shift:] + tiles[:shift], axis=1) for shift in range(len(tiles))]
    whole = np.concatenate(rows)
    times = -(-size // np.array(whole.shape[:2]))
    return np.ascontiguousarray(np.tile(whole, (*times, 1))[:size, :size])


def time_first_search() -> float:
    """Seconds for what only the first search of a process does: compiling, or reading machine code from disk."""
    return timed(SelectiveSearch(width=64), mosaic(64))[0]


def compare(image: Image, proposers: dict[str, Proposer], rounds: int) -> dict[str, Any]:
    """Seconds of each round and numbers of boxes by proposer, and the share of boxes that both engines have."""
    seconds: dict[str, list[float]] = {name: [] for name in proposers}
    boxes: dict[str, set[tuple[float, ...]]] = {}
    for _ in range(rounds):
        for name, propose in proposers.items():
            taken, proposals = timed(propose, image)
            seconds[name].append(taken)
            boxes[name] = set(map(tuple, proposals.boxes.tolist()))
    counts = {name: len(found) for name, found in boxes.items()}
    both = set.intersection(*(boxes[engine] for engine in ENGINES))
    identical = len(both) / max(counts[engine] for engine in ENGINES)
    return {"seconds": seconds, "boxes": counts, "identical": identical}


def format_result(result: dict[str, Any]) -> str:
    """A table of an image."""
    lines = [f"{result['name']}, searched at width {result['width']}, {result['identical']:.1%} of the boxes identical"]
    lines.append(f"  {'engine':10} {'median':>8} {'min':>8} {'max':>8}   boxes")
    medians = {}
    for engine, seconds in result["seconds"].items():
        medians[engine] = statistics.median(seconds)
        times = " ".join(f"{each:7.3f}s" for each in (medians[engine], min(seconds), max(seconds)))
        lines.append(f"  {engine:10} {times} {result['boxes'][engine]:7}")
    lines.append(f"  compiled is {medians['opencv'] / medians['compiled']:.1f} times as fast")
    return "\n".join(lines)


def timed(propose: Proposer, image: Image) -> tuple[float, Proposals]:
    """Seconds, and the proposals."""
    start = time.perf_counter()
    proposals = propose(image)
    return time.perf_counter() - start, proposals
