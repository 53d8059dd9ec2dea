"""The command `detect-export`: writes the networks of a detector as ONNX files, which many programs can compute.

detect-export --config DETECTOR --output FOLDER
detect-export --config DETECTOR --beside

DETECTOR is the YAML file of a detector, the name of a shipped one, or the folder of a detector of own classes. FOLDER
gets an ONNX file for each of its networks, and a detector.yaml that names them: `detect --config FOLDER photo.jpg`.

With --beside, small ONNX files are written beside the weights files, from which they read their weights. Then DETECTOR
itself works without PyTorch. An ONNX file that a shipped weights file already has stays as it is, unless DETECTOR is a
shipped one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import yaml

from detection.configuration import DEFAULT_CONFIG, DETECTOR_FILE, build_detector, find_config, load_detector, read_yaml
from detection.errors import InputError
from detection.runtime.atomic_write import write_atomically
from detection.runtime.output_file import Inputs, identify, made_by, named_files, require_replaceable, require_writable
from detection.runtime.weights_files.engine import ONNX_SUFFIX
from tools.command.entry_point import command
from tools.command.image_proposals import SHIPPED_WEIGHTS
from tools.command.option_parser import OptionParser
from tools.command.options import add_detector_option
from tools.command.output_file import add_overwrite_option
from tools.export.detector_networks import NetworkUse, find_networks, require_no_onnx_file, with_onnx_files
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
    add_detector_option(parser)
    parser.add_argument("--output", type=str | None, help="folder to write the files to")
    parser.add_argument(
        "--beside",
        action="store_true",
        help="write small files beside the weights files, so that the detector works without PyTorch",
    )
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
    """Write the networks of a detector as ONNX files, and load them."""
    parser = build_parser()
    options = parser.parse_args(arguments)
    if (options.output is None) != options.beside:
        raise InputError("--output: expected either a folder to write to, or --beside")
    config = find_config(options.config, DETECTOR_FILE)
    require_exporter(config if options.beside else Path(options.output))
    settings = read_yaml(config)
    files = find_networks(settings, source=config)
    if not options.beside:
        require_no_onnx_file(settings, source=config)
    inputs = identify([config, *(use.path for use in files), *named_files(settings)])
    if options.beside:
        targets = targets_beside(files, config=config)
    else:
        targets = {use: Path(options.output) / name for use, name in files.items()}
    maker = made_by(parser.prog)
    check_targets(targets.values(), maker=maker, inputs=inputs, overwrite=options.overwrite)
    if not options.beside:
        detector_file = Path(options.output) / DETECTOR_FILE
        content = yaml.safe_dump(with_onnx_files(settings, files), sort_keys=False, allow_unicode=True)
        text = (HEADER.format(made_by=maker) + content).encode()
        require_unchanged_detector_file(detector_file, text, inputs=inputs, overwrite=options.overwrite)
    build_detector(settings, source=str(config))  # tells what is wrong with it
    for use, target in targets.items():
        network = open_network(use.path, precision=options.precision or use.precision, input_size=use.input_size)
        write_onnx(target, network, made_by=maker, weights=use.path if options.beside else None)
        print(f"{target}: {network.onnx_input.precision}, {target.stat().st_size / 1e6:.1f} MB")
    if options.beside:
        print(f"detect --config {options.config or DEFAULT_CONFIG.name} photo.jpg  # also works without PyTorch now")
        return
    write_atomically(detector_file, text)
    load_detector(options.output)
    print(f"detect --config {options.output} photo.jpg")


def targets_beside(files: Iterable[NetworkUse], *, config: Path) -> dict[NetworkUse, Path]:
    """Return the ONNX files to write beside weights files.

    Those that the shipped weights already have belong to the shipped detectors: only the file of such a detector, in
    `configs/`, has them written again.
    """
    targets = {use: use.path.with_suffix(ONNX_SUFFIX) for use in files}
    if config.resolve().is_relative_to(DEFAULT_CONFIG.parent.resolve()):
        return targets
    shipped = [folder.resolve() for folder in SHIPPED_WEIGHTS]
    return {
        use: target
        for use, target in targets.items()
        if not (target.exists() and any(target.is_relative_to(folder) for folder in shipped))
    }


def check_targets(targets: Iterable[Path], *, maker: str, inputs: Inputs, overwrite: bool) -> None:
    """Check before the work that ONNX files may be written.

    Raises:
        InputError: naming the file that must not be replaced, or cannot be written.
    """
    for target in targets:
        require_replaceable(
            target, lambda beginning: maker.encode() in beginning[:BEGINNING], inputs=inputs, overwrite=overwrite
        )
        require_writable(target)


def require_unchanged_detector_file(path: Path, text: bytes, *, inputs: Inputs, overwrite: bool) -> None:
    """Check that a detector.yaml of this text may be written.

    One that the command wrote is replaced only if it still has the same text, since somebody may have changed it.

    Raises:
        InputError: naming the file, if it must not be replaced, or cannot be written.
    """
    require_replaceable(path, lambda beginning: beginning == text, inputs=inputs, overwrite=overwrite)
    require_writable(path)
