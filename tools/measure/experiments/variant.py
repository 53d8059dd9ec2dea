"""The variants of `tools.experiments`: complete detectors, given as in `configs/detector.yaml`."""

from __future__ import annotations

from typing import Any, NamedTuple

from jsonargparse import ArgumentError, ArgumentParser, Namespace

from detection.detector import Detector
from detection.errors import InputError
from tools.command.image_proposals import open_cache
from tools.measure.evaluate.run import Split, build_detector

CACHE = "proposals"
"""Key of a variant that names a file of `tools.propose` to detect with; beside those of a detector."""


class Variant(NamedTuple):
    """A detector, and the settings of `tools.evaluate run` that it stands for."""

    settings: Namespace
    detector: Detector


def open_variant(content: Any, settings: Namespace, split: Split) -> Variant:
    """The detector of a mapping like that of `configs/detector.yaml`.

    Args:
        content: the mapping.
        settings: the tool's.
        split: whose classes the detector has to know.

    Raises:
        InputError: if the detector cannot be built, for want of a class or a file perhaps.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(Detector, "detector", instantiate=False, fail_untyped=True)
    if not isinstance(content, dict):
        raise InputError(f"expected the settings of a detector, got {content}")
    of_variant = settings.clone()
    of_variant["proposals"] = content.get(CACHE)
    of_variant["results"] = None
    try:
        stages = {key: value for key, value in content.items() if key != CACHE}
        of_variant.update(parser.parse_object({"detector": stages}))
        open_cache(of_variant, of_variant.detector.propose)  # or the whole table would end on its row
        return Variant(of_variant, build_detector(parser, of_variant, split.dataset))
    except (ArgumentError, TypeError, ValueError) as error:
        reason = " ".join(str(error).replace("detector.", "").split())
        raise InputError(f"expected the settings of a detector: {reason}") from None
