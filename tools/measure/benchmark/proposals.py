"""The benchmark of proposals: both engines of selective search on the same images, and one pass of MultiBox.

It also tells which share of the boxes both engines have in common.

detect-benchmark proposals
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage.data

from detection.configuration import DEFAULT_CONFIG, read_yaml
from detection.image import read_image
from detection.structures.arrays import Image
from detection.structures.contracts import Proposer
from proposals.multibox import MultiBoxProposer
from proposals.selective_search import SelectiveSearch
from proposals.selective_search.proposer import ENGINES
from tools.command.option_parser import OptionParser
from tools.command.options import Count, Side
from tools.command.output_file import add_output_options, prepare_outputs
from tools.measure.benchmark.timing import HEADER, format_row, time_run
from tools.report.json_values import write_json

PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
"""Photos of scikit-image, so that anyone can measure the same."""

TILE = 300, 427
"""The height and width of the piece that is cut from each photo."""


def build_parser() -> OptionParser:
    """Return the parser of the options."""
    parser = OptionParser(prog="detect-benchmark proposals", description="Time the engines of selective search.")
    parser.add_argument("--images", nargs="*", metavar="IMAGE", help="photos to search; default: four of scikit-image")
    parser.add_argument("--width", type=Side, default=500, help="width at which the images are searched")
    parser.add_argument(
        "--sizes", nargs="*", type=Side, default=[1500], help="sides of square images made of photos side by side"
    )
    parser.add_argument("--scales", nargs="+", type=Count, default=[100, 200], help="values of k of the superpixels")
    parser.add_argument("--repeat", type=Count, default=3, help="rounds, in each of which every proposer has a turn")
    add_output_options(parser, "json")
    return parser


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table for each image."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    (json_file,) = prepare_outputs(parser, options, "json")
    cases = [(name, image, options.width) for name, image in read_images(options.images).items()]
    cases += [(f"{size}x{size}", mosaic(size), size) for size in options.sizes]
    print(f"{cv2.getNumThreads()} threads, OpenCV {cv2.__version__}, scales {options.scales}")
    shipped = read_yaml(DEFAULT_CONFIG)["propose"]["init_args"]["proposers"][0]["init_args"]
    multibox = MultiBoxProposer(**{**shipped, "device": "cpu"})
    first_seconds, _ = time_run(lambda: SelectiveSearch(width=64)(mosaic(64)))  # compiles, or reads machine code
    print(f"first compiled search in this process: {first_seconds:.1f} s")
    results = []
    for name, image, width in cases:
        proposers: dict[str, Proposer] = {
            engine: SelectiveSearch(tuple(options.scales), width, 0, engine) for engine in ENGINES
        }
        proposers["multibox"] = multibox
        results.append({"name": name, "width": width, **compare(image, proposers, options.repeat)})
        print(format_result(results[-1]), flush=True)
    write_json(json_file, {"images": results})


def read_images(paths: Sequence[str] | None) -> dict[str, Image]:
    """Return images of files by their paths, or those of scikit-image by their names."""
    if paths is None:
        return {name: getattr(skimage.data, name)() for name in PHOTOS}
    return {path: read_image(Path(path)) for path in paths}


def mosaic(size: int) -> Image:
    """Return an image [size, size, 3] of pieces of scikit-image's photos, in their own resolution, side by side."""
    height, width = TILE
    tiles = [photo[:height, :width] for photo in read_images(None).values()]
    rows = [np.concatenate(tiles[shift:] + tiles[:shift], axis=1) for shift in range(len(tiles))]
    whole = np.concatenate(rows)
    times = -(-size // np.array(whole.shape[:2]))
    return np.ascontiguousarray(np.tile(whole, (*times, 1))[:size, :size])


def compare(image: Image, proposers: dict[str, Proposer], rounds: int) -> dict[str, Any]:
    """Return the seconds of each round, the numbers of boxes, and the share of the boxes that both engines have."""
    seconds: dict[str, list[float]] = {name: [] for name in proposers}
    boxes: dict[str, set[tuple[float, ...]]] = {}
    for _ in range(rounds):
        for name, propose in proposers.items():
            taken, proposals = time_run(partial(propose, image))
            seconds[name].append(taken)
            boxes[name] = set(map(tuple, proposals.boxes.tolist()))
    counts = {name: len(proposer_boxes) for name, proposer_boxes in boxes.items()}
    both = set.intersection(*(boxes[engine] for engine in ENGINES))
    identical = len(both) / max(counts[engine] for engine in ENGINES)
    return {"seconds": seconds, "boxes": counts, "identical": identical}


def format_result(result: dict[str, Any]) -> str:
    """Return the table of an image."""
    title = f"{result['name']}, searched at width {result['width']}, {result['identical']:.1%} of the boxes identical"
    rows = [f"{format_row(name, seconds)} {result['boxes'][name]:7}" for name, seconds in result["seconds"].items()]
    compiled, opencv = (statistics.median(result["seconds"][engine]) for engine in ENGINES)
    return "\n".join([title, f"{HEADER}   boxes", *rows, f"  compiled is {opencv / compiled:.1f} times as fast"])
