"""The command `detect`, which finds objects in photos."""

from detection.cli.command import build_parser, main, run

__all__ = ["build_parser", "main", "run"]
