"""Convert torchvision's GoogLeNet, which was trained on the 1000 classes of ImageNet, to a weights file.

detect-import-torchvision --weights imagenet.safetensors                          # downloads 50 MB
detect-import-torchvision --weights imagenet.safetensors --source googlenet.pth   # a file that is there
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

import torch
from torch import Tensor
from torch.hub import download_url_to_file
from torchvision.models import GoogLeNet_Weights

from classifier.scoring.weights_file import save_weights
from classifier.training.initial_weights.torchvision_weights import INIT_ARGS, from_torchvision
from detection.errors import InputError
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.output_file import WEIGHTS, OutputFile, add_overwrite_option, prepare_output
from tools.train.import_caffe import imagenet_description

URL: str = GoogLeNet_Weights.IMAGENET1K_V1.url


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-import-torchvision", description="Import torchvision's GoogLeNet.")
    parser.add_argument("--weights", type=str, required=True, help="safetensors file to write")
    parser.add_argument("--source", type=str | None, default=None, help="torchvision's .pth file; default: download it")
    add_overwrite_option(parser)
    return parser


@command("detect-import-torchvision")
def main(arguments: Sequence[str]) -> None:
    """Convert the given weights, or else the published ones."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    weights = prepare_output(settings, "weights", WEIGHTS, parser.prog)
    if settings.source is None:
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "googlenet.pth"
            download(URL, source)
            convert(source, weights, origin=URL)
    else:
        convert(Path(settings.source), weights, origin=Path(settings.source).name)
    print(weights.summary)


def download(url: str, path: Path) -> None:
    """Download a file whose name ends in the first digits of its SHA-256, as the names of all torchvision weights do.

    Raises:
        InputError: naming the address, if it cannot be reached or sends something else; then no file is written.
    """
    digits = Path(url).stem.rpartition("-")[2]
    try:
        download_url_to_file(url, str(path), hash_prefix=digits, progress=sys.stderr.isatty())
    except (OSError, HTTPException, RuntimeError) as error:
        raise InputError(f"{url}: expected a file whose SHA-256 starts with {digits}: {_one_line(error)}") from None


def convert(source: Path, weights: OutputFile, *, origin: str) -> None:
    """Write the weights of torchvision's file `source` to the file `weights`, which names `origin` as their origin.

    Raises:
        InputError: naming the file, if `source` does not hold torchvision's GoogLeNet, or `weights` cannot be written.
    """
    training = {"made_by": weights.made_by, "dataset": "ImageNet", "origin": origin}
    description = imagenet_description(INIT_ARGS, training)
    try:
        state = from_torchvision(read_state(source))
    except ValueError as error:
        raise InputError(f"{source}: {error}") from None
    outputs = len(state["linear.bias"])
    if outputs != description.num_outputs:
        raise InputError(f"{source}: expected the {description.num_outputs} classes of ImageNet, got {outputs}")
    network = description.build()
    network.load_state_dict(state)
    save_weights(weights.path, network, description)


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the state dict in a .pth file, without running code from it.

    Raises:
        InputError: naming the file, if it is missing or broken, or if it holds anything else.
    """
    expected = "expected a .pth file with the state dict of torchvision's googlenet"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken file leads to errors of almost any type
        raise InputError(f"{path}: {expected}, cannot read it: {_one_line(error)}") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(state[name], Tensor) for name in state
    ):
        raise InputError(f"{path}: {expected}, found something else in it")
    return state


def _one_line(error: Exception) -> str:
    """Return the first sentence of an error; PyTorch adds advice in further sentences."""
    lines = str(error).splitlines()
    return lines[0].split(". ")[0] if lines else type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
