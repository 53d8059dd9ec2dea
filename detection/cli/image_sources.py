"""The sources of the command `detect`: it finds them and checks them before the detector is loaded."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from detection.cli.records import Record
from detection.errors import InputError
from detection.runtime.output_file import Inputs, require_replaceable, require_writable
from detection.sources.conversion import as_image
from detection.sources.files import VIDEO_SUFFIXES, find_passed_over
from detection.sources.picture import Picture, file_picture
from detection.sources.pictures import Source, name_at, sources_of_text

SAMPLE = Path(__file__).parent / "sample" / "cat.jpg"
"""The photo of `--sample`. Its annotated picture is written into the working folder."""


def read_early(sources: Sequence[Source], records: list[Record]) -> list[Source]:
    """Return the only picture of the sources with its image, or a record of the error before anything is loaded."""
    (picture,) = (source for source in sources if isinstance(source, Picture))
    try:
        image = picture.read()
    except InputError as error:
        records.append({"image": picture.name, "error": str(error)})
        return []
    return [replace(picture, read=partial(as_image, image))]


def find_sources(options: argparse.Namespace, records: list[Record]) -> list[Source]:
    """Return the sources of the command line, each once; what has no images adds a record with the error.

    The errors and what is passed over in folders and patterns are printed at once, before the detector is loaded.
    """
    sources: dict[Path | str, Source] = {}
    if options.sample:
        sources[SAMPLE.absolute()] = replace(file_picture(SAMPLE), folder=Path())
    for text in options.images:
        text_sources, errors = sources_of_text(text, every=options.every)
        if text_sources and not options.quiet and (passed_over := find_passed_over(text)):
            print(f"detect: {text}: passed over {passed_over}", file=sys.stderr)
        for error in errors:
            tell(str(error))
            records.append({"image": text, "error": str(error)})
        for source in text_sources:
            key = source.path.absolute() if source.path is not None else source.name
            sources.setdefault(key, source)
    return list(sources.values())


def prepare_clip(target: Path, sources: Sequence[Source], inputs: Inputs, options: argparse.Namespace) -> None:
    """Check that the frames of a video may be written to a clip; raises an `InputError` if not."""
    names = [name_at(source.name) if source.path is None else source.path.name for source in sources]
    if len(names) != 1 or not names[0].lower().endswith(VIDEO_SUFFIXES):
        raise InputError(f"{target}: expected a single video as the source of a clip, got {' '.join(options.images)}")
    # The format has no place for the name of the program that wrote it.
    require_replaceable(target, None, inputs=inputs, overwrite=options.overwrite)
    require_writable(target)


def tell(problem: str) -> None:
    """Print a problem in one line to standard error."""
    print(f"detect: {InputError(problem).line}", file=sys.stderr)
