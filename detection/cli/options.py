"""The options of the command `detect`, its help, and completion in a shell."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from detection import __version__
from detection.cli.clip import CODECS
from detection.configuration import DEFAULT_CONFIG, MIN_TILE, TILE_OVERLAP, read_yaml
from detection.runtime.command_end import drop_output, end_of_command
from detection.runtime.output_file import OVERWRITE_HELP
from detection.runtime.weights_files.engine import DEVICE_NAMES, is_device_name
from detection.sources.tiles import MAX_OVERLAP

NAME = "detect"

WIDTH = 100
"""The number of characters of a line of the help."""

THRESHOLD = "{threshold}"
"""Stands in the help for the score threshold of the shipped detector, which is read only if the help is printed."""

SOURCES_HELP = (
    "image files, folders, patterns such as 'trip/*.jpg', lists (.txt), addresses (https://...), zip or tar archives, "
    "videos, or - for standard input"
)

EXAMPLES = """examples:
  detect --sample                               try it: find the cat in a photo that comes with the program
  detect photo.jpg                              print a table, and write photo.detections.png beside the photo
  detect holiday/ 'more/*.jpg' --output found   take folders and patterns, and write the pictures to found/
  detect photo.jpg --score-threshold 0.05       show less certain detections too
  detect photo.jpg --classes person dog         find some classes only; --list-classes prints all
  detect film.mp4 --every 25 --video-output found.mp4
                                                take every 25th frame, and write an annotated clip
  detect photos/ --no-image --json found.json --yolo data
                                                write a list, and a data set to correct and to train with
"""

OTHER_COMMANDS = """other commands, each with its own --help:
  more images  detect-dataset (data sets of any size), detect-serve (a service over HTTP)
  training     detect-train (classes of your own, and experiments), detect-train-multibox, detect-train-rcnn-heads,
               detect-train-box-grid, detect-plot-training
  measuring    detect-evaluate (a detector on a data set), detect-evaluate-classifier, detect-evaluate-members,
               detect-evaluate-photos, detect-experiments, detect-coverage, detect-calibrate-cascade,
               detect-calibrate-scores, detect-picture-network
  speed        detect-env (this machine), detect-benchmark
  data         detect-check-dataset, detect-split-dataset, detect-propose, detect-cut-out-objects
  weights      detect-export (ONNX files), detect-import-torchvision, detect-import-caffe,
               detect-fold-response-norm, detect-start-from-classes
"""


class Parser(argparse.ArgumentParser):
    """A parser whose help states the score threshold of the shipped detector, and whose errors are one line."""

    def format_help(self) -> str:
        """Return the help. The threshold is read only now, as it takes time."""
        self.state_threshold()
        return super().format_help()

    def state_threshold(self) -> None:
        """Write the score threshold of the shipped detector into the help of the option."""
        threshold = str(read_yaml(DEFAULT_CONFIG)["score_threshold"])
        for action in self._actions:
            action.help = action.help and action.help.replace(THRESHOLD, threshold)

    def error(self, message: str) -> NoReturn:
        """End the command with one line."""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}; {self.prog} --help lists the options\n")


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Keeps the lines of the examples, which do not fit into the width of a small terminal."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, **(options | {"width": WIDTH, "max_help_position": 28}))


class PrintCompletion(argparse.Action):
    """Prints the completion of the options for a shell, and ends the command."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        _: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        try:
            import shtab  # noqa: PLC0415  optional
        except ModuleNotFoundError:
            parser.error(f"{option_string}: expected the optional package shtab, which `pip install shtab` adds")
        for action in parser._actions:
            if kind := {"IMAGE": shtab.FILE, "FILE": shtab.FILE, "FOLDER": shtab.DIRECTORY}.get(str(action.metavar)):
                action.complete = kind  # type: ignore[attr-defined]
        if isinstance(parser, Parser):
            parser.state_threshold()
        try:
            print(shtab.complete(parser, shell=str(values)), flush=True)
        except OSError as error:
            status, problem = end_of_command(error)
            drop_output()
            parser.exit(status, problem and f"{parser.prog}: {problem}\n")
        parser.exit()


def parse_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line, those of the process by default; wrong ones end the command with a line."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if not (options.images or options.sample or options.list_classes):
        if options.classes:
            taken = " ".join(options.classes)
            parser.error(f"expected images before --classes, got none; --classes takes all words behind it: {taken}")
        parser.error("expected IMAGE, one or more image files, folders or patterns, or --sample, got none")
    if options.output is not None and (options.no_image or options.video_output is not None):
        parser.error("argument --output: expected no --no-image or --video-output too, which write no pictures")
    if options.overlap is not None and options.tile is None:
        parser.error("argument --overlap: expected --tile too, because only tiles overlap")
    return options


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the options."""
    parser = Parser(
        prog=NAME,
        description="Find objects in photos, and draw and list them.",
        usage="%(prog)s IMAGE [IMAGE ...] [options]",
        epilog=f"{EXAMPLES}\n{OTHER_COMMANDS}",
        allow_abbrev=False,
        formatter_class=HelpFormatter,
    )
    parser.add_argument("images", nargs="*", metavar="IMAGE", help=SOURCES_HELP)
    _add_detector_options(parser)
    _add_output_options(parser)
    parser.add_argument("--sample", action="store_true", help="detect in a photo of a cat that comes with the program")
    parser.add_argument("--list-classes", action="store_true", help="print the names of all classes, and end")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script that completes the options in this shell, and end; needs the package shtab",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def _add_detector_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--config",
        metavar="FILE",
        help="YAML file or folder of a detector, or the name of a shipped file; default: detector.yaml",
    )
    parser.add_argument("--device", type=_device, help="cpu, cuda, cuda:1, ...; default: a GPU if there is one")
    parser.add_argument(
        "--score-threshold",
        type=_share,
        metavar="0-1",
        help=f"show detections from this score on; default: the value in the file of the detector, {THRESHOLD} in "
        "the shipped detector.yaml",
    )
    parser.add_argument("--max-detections", type=_count, metavar="N", help="show at most the best N of an image")
    parser.add_argument(
        "--every", type=_count, default=1, metavar="N", help="take every N-th frame of videos; default: every frame"
    )
    parser.add_argument(
        "--tile", type=_tile, metavar="PX", help="also look for small objects in tiles of this side of large pictures"
    )
    parser.add_argument(
        "--overlap",
        type=_share_of_tile,
        metavar=f"0-{MAX_OVERLAP}",
        help=f"the share of a tile that its neighbour shows too; default: {TILE_OVERLAP}",
    )
    parser.add_argument(
        "--classes", nargs="+", action="extend", metavar="CLASS", help="find objects of these classes only"
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    output = parser.add_argument_group("output")
    output.add_argument(
        "--output", type=Path, metavar="FOLDER", help="write the annotated pictures here; default: beside each image"
    )
    output.add_argument("--no-image", action="store_true", help="write no annotated pictures")
    output.add_argument(
        "--video-output",
        type=_clip_path,
        metavar="FILE",
        help="write the frames of a video as an annotated clip (.mp4 or .avi) in place of pictures",
    )
    output.add_argument("--json", metavar="FILE", help="write a record of each image as JSON; - for standard output")
    output.add_argument("--coco", type=Path, metavar="FILE", help="write annotations in the format of COCO")
    output.add_argument("--csv", type=Path, metavar="FILE", help="write a table with a line for each object")
    output.add_argument("--yolo", type=Path, metavar="FOLDER", help="write a data set in the layout of YOLO")
    output.add_argument("--voc", type=Path, metavar="FOLDER", help="write a data set in the layout of PASCAL VOC")
    output.add_argument("--crops", type=Path, metavar="FOLDER", help="write each object as a picture")
    output.add_argument("--gallery", type=Path, metavar="FILE", help="write a page for a browser with all photos")
    output.add_argument("--overwrite", action="store_true", help=OVERWRITE_HELP)
    output.add_argument("--quiet", action="store_true", help="print errors only")


def _share(text: str) -> float:
    try:
        if 0 <= (value := float(text)) <= 1:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"expected a number in 0-1, got {text!r}")


def _share_of_tile(text: str) -> float:
    if (value := _share(text)) > MAX_OVERLAP:
        raise argparse.ArgumentTypeError(f"expected a number in 0-{MAX_OVERLAP}, got {text!r}")
    return value


def _count(text: str) -> int:
    if text.isdecimal() and (number := int(text)) > 0:
        return number
    raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")


def _tile(text: str) -> int:
    if text.isdecimal() and (side := int(text)) >= MIN_TILE:
        return side
    raise argparse.ArgumentTypeError(f"expected a whole number of at least {MIN_TILE} pixels, got {text!r}")


def _device(text: str) -> str:
    if is_device_name(text):
        return text
    raise argparse.ArgumentTypeError(f"expected {DEVICE_NAMES}, got {text!r}")


def _clip_path(text: str) -> Path:
    if (path := Path(text)).suffix.lower() not in CODECS:
        raise argparse.ArgumentTypeError(f"expected a file that ends with {' or '.join(CODECS)}, got {text!r}")
    return path
