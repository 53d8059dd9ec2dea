"""The command `detect`, which finds objects in photos."""

from detection.cli.command import main, run
from detection.cli.options import build_parser

__all__ = ["build_parser", "main", "run"]
