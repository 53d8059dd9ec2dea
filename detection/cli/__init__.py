"""The command `detect`: boxes with names on photos."""

from detection.cli.command import build_parser, main, run

__all__ = ["build_parser", "main", "run"]
