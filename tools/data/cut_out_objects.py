r"""The command `detect-cut-out-objects`: pictures with a single object, cut out of annotated photographs.

detect-cut-out-objects --dataset detection.datasets.COCO --dataset.init_args.annotations '{split}.json' \
    --dataset.init_args.images images --data FOLDER --split val --output single
detect-evaluate-photos --data single --split all

Photographs of scenes show many objects at once, but many users have photographs of one thing. A picture is cut out for
each object whose sides are at least --min_side pixels. It is a window about the object whose sides are --margin times
as long, as far as the photograph reaches. The window is left out if other objects, or ignored boxes such as COCO's
crowds, cover more than --max_others of it, so that a single answer is right. A photograph gives at most one picture for
each category, of its largest object.

The output is a folder with images and annotations in COCO's layout, which all commands read.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from jsonargparse.typing import ClosedUnitInterval
from tqdm import tqdm

from detection.datasets.annotated_images import read_annotated_image
from detection.errors import InputError
from detection.runtime.atomic_write import atomic_path, write_atomically
from detection.runtime.output_file import require_writable
from detection.structures.arrays import FloatArray, Image
from detection.structures.boxes import box_area, clip_boxes, intersection, scale_boxes
from detection.structures.ground_truth import GroundTruth
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.options import Side, add_split_options, real

IMAGES = "images"
ANNOTATIONS = "annotations.json"


def build_parser() -> OptionParser:
    """Return the parser of the command's options."""
    parser = OptionParser(prog="detect-cut-out-objects", description="Cut pictures of single objects out of photos.")
    add_split_options(parser)
    parser.add_argument("--output", type=str, required=True, help="folder to make; it must be empty or not exist")
    parser.add_argument("--min_side", type=Side, default=64, help="least width and height of an object, in pixels")
    parser.add_argument("--margin", type=real(1, 10), default=1.4, help="sides of a picture, in sides of the object")
    parser.add_argument("--max_others", type=ClosedUnitInterval, default=0.3, help="share that other boxes may cover")
    return parser


@command("detect-cut-out-objects")
def main(arguments: Sequence[str]) -> None:
    """Write a picture for each object that stands alone, and their annotations."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    output = Path(settings.output)
    require_empty(output)
    dataset = parser.instantiate(settings).dataset
    records = dataset.read(settings.split)
    choice = {name: settings[name] for name in ("min_side", "margin", "max_others")}
    try:
        content = cut_out(records, output / IMAGES, **choice)
        if not content["images"]:
            expected = f"expected objects that stand alone in split '{settings.split}'"
            raise InputError(f"{settings.data}: {expected}, found none")
        categories = [{"id": label + 1, "name": name} for label, name in enumerate(dataset.class_names)]
        write_atomically(output / ANNOTATIONS, json.dumps(content | {"categories": categories}).encode())
    except BaseException:
        shutil.rmtree(output / IMAGES, ignore_errors=True)  # `require_empty` would refuse the folder the next time
        raise
    print(f"{output}: {len(content['images'])} pictures of single objects, out of {len(records)} photographs")


def cut_out(
    records: Sequence[GroundTruth], folder: Path, *, min_side: int, margin: float, max_others: float
) -> dict[str, list[dict[str, Any]]]:
    """Write the pictures into a folder, and return their images and annotations as COCO's files have them."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for record in tqdm(records, desc="cutting out", disable=None):
        pixels = read_annotated_image(record)
        size = pixels.shape[0], pixels.shape[1]
        boxes, windows = clip_boxes(record.boxes, size), find_windows(record, size, margin=margin)
        for row in choose_objects(record, windows, min_side=min_side, max_others=max_others):
            left, top, right, bottom = windows[row].astype(int).tolist()
            number = len(images) + 1
            name = f"{number:06d}.png"
            write_picture(folder / name, pixels[top:bottom, left:right])
            images.append({"id": number, "file_name": name, "width": right - left, "height": bottom - top})
            x1, y1, x2, y2 = (boxes[row] - [left, top, left, top]).tolist()
            box = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
            annotations.append({"id": number, "image_id": number, "category_id": int(record.labels[row]) + 1, **box})
    return {"images": images, "annotations": annotations}


def require_empty(folder: Path) -> None:
    """Check that files can be written to a folder that has none yet.

    Raises:
        InputError: naming the folder, if it holds anything or cannot be written to.
    """
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder}: expected an empty folder or none, for the pictures, found something there")
    require_writable(folder / ANNOTATIONS)


def find_windows(record: GroundTruth, size: tuple[int, int], *, margin: float) -> FloatArray:
    """Return the windows about the objects of a photograph of `size` (height, width), in whole pixels: [N, 4] xyxy."""
    grown = scale_boxes(record.boxes, margin)
    return clip_boxes(np.concatenate([np.floor(grown[:, :2]), np.ceil(grown[:, 2:])], axis=1), size)


def choose_objects(record: GroundTruth, windows: FloatArray, *, min_side: int, max_others: float) -> list[int]:
    """Return the rows of the objects that stand alone, of each category the largest one.

    Args:
        record: the N objects of a photograph.
        windows: [N, 4] xyxy, the window about each object.
        min_side: the least width and height of an object, in pixels.
        max_others: the share of a window, 0-1, that the boxes of others may cover together.
    """
    covered = intersection(windows, record.boxes)  # [N, N] square pixels
    np.fill_diagonal(covered, 0)
    alone = covered.sum(axis=1) <= max_others * box_area(windows)
    large = (record.boxes[:, 2:] - record.boxes[:, :2]).min(axis=1) >= min_side
    rows = np.flatnonzero(alone & large & ~record.ignored)
    largest_first = rows[np.argsort(-box_area(record.boxes[rows]), kind="stable")]
    _, first = np.unique(record.labels[largest_first], return_index=True)
    return sorted(largest_first[first].tolist())


def write_picture(path: Path, pixels: Image) -> None:
    """Write the pixels [H, W, 3] as they are, without loss."""
    with atomic_path(path) as temporary:
        PIL.Image.fromarray(pixels).save(temporary)


if __name__ == "__main__":
    sys.exit(main())
