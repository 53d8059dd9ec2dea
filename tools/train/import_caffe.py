"""Convert the GoogLeNet of Caffe's model zoo, which BVLC trained on the 1000 classes of ImageNet, to a weights file.

detect-import-caffe --weights imagenet.safetensors                                       # downloads 51 MB
detect-import-caffe --weights imagenet.safetensors --source bvlc_googlenet.caffemodel    # a file that is there

The network has response normalisation, as published. `detect-fold-response-norm` makes a network with batch
normalisation from it, which is faster and can compute in int8.
"""

import hashlib
import sys
import tempfile
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser
from torch.hub import download_url_to_file
from torchvision.models import GoogLeNet_Weights

from classifier.googlenet import GoogLeNet
from classifier.scoring.description import NetworkDescription
from classifier.scoring.weights_file import save_weights
from classifier.training.initial_weights.caffe_weights import load_caffe
from detection.errors import InputError
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.output_file import WEIGHTS, add_overwrite_option, prepare_output

URL = "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel"

SHA_1 = "405fc5acd08a3bb12de8ee5e23a96bec22f08204"
"""The SHA-1 of this file, as Caffe's model zoo states it."""

CLASS_NAMES: list[str] = GoogLeNet_Weights.IMAGENET1K_V1.meta["categories"]
"""The names in the order of the WordNet identifiers, which Caffe and torchvision share."""


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-import-caffe", description="Import the GoogLeNet of Caffe's model zoo.")
    parser.add_argument("--weights", type=str, required=True, help="safetensors file to write")
    add_source_option(parser)
    add_overwrite_option(parser)
    return parser


def add_source_option(parser: ArgumentParser) -> None:
    """Add `--source`, which `load_source` reads."""
    names = "the .caffemodel, or a .safetensors file with Caffe's names of layers; default: download it"
    parser.add_argument("--source", type=str | None, default=None, help=names)


@command("detect-import-caffe")
def main(arguments: Sequence[str]) -> None:
    """Convert the given weights, or else the published ones."""
    parser = build_parser()
    settings = parser.parse_args(arguments)
    weights = prepare_output(settings, "weights", WEIGHTS, parser.prog)
    network, origin = load_source(settings.source)
    training = {"made_by": weights.made_by, "dataset": "ImageNet", "origin": origin}
    save_weights(weights.path, network, imagenet_description({"caffe_details": True}, training))
    print(weights.summary)


def imagenet_description(
    init_args: dict[str, Any], training: dict[str, Any], *, input_size: int = 224
) -> NetworkDescription:
    """Return the description of a GoogLeNet that classifies whole images into the classes of ImageNet."""
    return NetworkDescription(
        class_path="classifier.googlenet.GoogLeNet",
        init_args=init_args,
        class_names=tuple(CLASS_NAMES),
        input_size=input_size,
        context=0,
        background=False,
        training=training,
    )


def load_source(source: str | None) -> tuple[GoogLeNet, str]:
    """Return the network in the file `source`, or else the published one, and the name of the file or its address.

    Raises:
        InputError: as `download` and `load_published` do.
    """
    if source is not None:
        return load_published(Path(source)), Path(source).name
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bvlc_googlenet.caffemodel"
        download(URL, path, sha_1=SHA_1)
        return load_published(path), URL


def download(url: str, path: Path, *, sha_1: str) -> None:
    """Download a file and check its SHA-1.

    Raises:
        InputError: naming the address, if it cannot be reached or sends something else; then no file is left.
    """
    expected = f"expected a file whose SHA-1 is {sha_1}"
    try:
        download_url_to_file(url, str(path), progress=sys.stderr.isatty())
    except (OSError, HTTPException) as error:
        raise InputError(f"{url}: {expected}: {error}") from None
    received = hashlib.sha1(path.read_bytes()).hexdigest()
    if received != sha_1:
        path.unlink()
        raise InputError(f"{url}: {expected}, got one of {received}")


def load_published(source: Path) -> GoogLeNet:
    """Return the network in a file.

    Raises:
        InputError: naming the file, if it cannot be used, or does not have the 1,000 classes of ImageNet.
    """
    network = load_caffe(source)
    outputs = network.linear.out_features
    if outputs != len(CLASS_NAMES):
        raise InputError(f"{source}: expected the {len(CLASS_NAMES)} classes of ImageNet, got {outputs}")
    return network


if __name__ == "__main__":
    sys.exit(main())
