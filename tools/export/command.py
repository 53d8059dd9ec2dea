"""The command `detect-export`: writes the networks of a detector as ONNX files, which many programs can compute.

detect-export --config DETECTOR --output FOLDER

DETECTOR is the YAML file of a detector, the name of a shipped one, or the folder of a detector of own classes. FOLDER
gets an ONNX file for each of its networks, and a detector.yaml that names them: `detect --config FOLDER photo.jpg`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import yaml

from detection.configuration import DEFAULT_CONFIG, DETECTOR_FILE, build_detector, find_config, load_detector, read_yaml
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs, identify, made_by, named_files, require_replaceable, require_writable
from tools.command.entry_point import command
from tools.command.option_parser import OptionParser
from tools.command.output_file import add_overwrite_option
from tools.export.detector_networks import find_networks, with_onnx_files
from tools.export.onnx_writer import OnnxPrecision, open_network, require_exporter, write_onnx

HEADER = """\
# A detector whose networks are ONNX files beside this file, made by {made_by}.
#   detect --config THIS_FOLDER photo.jpg
# In Python: load_detector("THIS_FOLDER")
"""

BEGINNING = 200
"""Number of bytes of an ONNX file among which the name of what made it stands."""


def build_parser() -> OptionParser:
    """Return the parser of the command."""
    parser = OptionParser(prog="detect-export", description="Write the networks of a detector as ONNX files.")
    parser.add_argument(
        "--config", type=str | None, help="YAML file or folder of a detector; default: the shipped detector"
    )
    parser.add_argument("--output", type=str, required=True, help="folder to write the files to")
    parser.add_argument("--format", type=Literal["onnx"], default="onnx", help="format of the networks")
    parser.add_argument(
        "--precision",
        type=OnnxPrecision | None,
        help="number type of the convolutions; default: what the detector asks for, or else int8 where possible",
    )
    add_overwrite_option(parser)
    return parser


@command("detect-export")
def main(arguments: Sequence[str]) -> None:
    """Write a detector with ONNX files, and load it."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    folder = Path(options.output)
    require_exporter(folder)
    config = find_config(options.config or DEFAULT_CONFIG, DETECTOR_FILE)
    settings = read_yaml(config)
    files = find_networks(settings, source=config)
    maker = made_by(parser.prog)
    content = yaml.safe_dump(with_onnx_files(settings, files), sort_keys=False, allow_unicode=True)
    text = (HEADER.format(made_by=maker) + content).encode()
    inputs = identify([config, *(use.path for use in files), *named_files(settings)])
    check_targets(folder, files.values(), text, maker=maker, inputs=inputs, overwrite=options.overwrite)
    build_detector(settings, source=str(config))  # tells what is wrong with it
    for use, name in files.items():
        network = open_network(use.path, precision=options.precision or use.precision, input_size=use.input_size)
        write_onnx(folder / name, network, made_by=maker)
        print(f"{folder / name}: {network.read.precision}, {(folder / name).stat().st_size / 1e6:.1f} MB")
    write_atomically(folder / DETECTOR_FILE, text)
    if find_spec("onnxruntime") is not None:
        load_detector(folder)
    print(f"detect --config {folder} photo.jpg")


def check_targets(
    folder: Path, names: Iterable[str], text: bytes, *, maker: str, inputs: Inputs, overwrite: bool
) -> None:
    """Check before the work that ONNX files of these names, and a detector.yaml of this text, may be written.

    A detector.yaml that the command wrote is replaced only if it still has the same text, since somebody may have
    changed it.

    Raises:
        InputError: naming the file that must not be replaced, or cannot be written.
    """
    checks = dict.fromkeys(names, lambda beginning: maker.encode() in beginning[:BEGINNING])
    for name, recognise in [*checks.items(), (DETECTOR_FILE, lambda beginning: beginning == text)]:
        require_replaceable(folder / name, recognise, inputs=inputs, overwrite=overwrite)
        require_writable(folder / name)


if __name__ == "__main__":
    sys.exit(main())
