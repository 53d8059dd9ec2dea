"""The help of all commands: what an option takes is described in words, in place of names of Python types."""

from __future__ import annotations

import operator
import types
from argparse import SUPPRESS, Action, _HelpAction
from typing import Any, Literal, Union, get_args, get_origin

from jsonargparse import ActionConfigFile, DefaultHelpFormatter  # type: ignore[attr-defined]

LIMITS = {operator.ge: "at least", operator.gt: "more than", operator.le: "at most", operator.lt: "less than"}
"""The comparisons of jsonargparse's restricted numbers, in words."""

LARGE = 1_000_000
"""Limits from here on only keep out mistakes, and are not named."""


class HelpFormatter(DefaultHelpFormatter):
    """Writes behind the help of an option what values it takes, and its default."""

    def _get_help_string(self, action: Action) -> str:
        if isinstance(action, ActionConfigFile | _HelpAction):
            return super()._get_help_string(action)
        text = action.help or ""
        required = "required" if action.required and action.option_strings else ""
        unnamed = any(action.default is value for value in (None, False, SUPPRESS)) or "default:" in text.lower()
        default = "" if unnamed else "default: %(default)s"
        kind = getattr(action, "_typehint", action.type)
        words = "" if get_origin(kind) is Literal else in_words(kind)  # the choices stand behind the option
        subclasses = action.extra_help().removeprefix(", ") if hasattr(action, "extra_help") else ""
        notes = ", ".join(filter(None, [required, words, default, subclasses]))
        return f"{text} ({notes})" if notes else text


def in_words(kind: Any) -> str:
    """Return what values a type has, such as "whole number, at least 1", or "" where the help text says enough."""
    if limits := getattr(kind, "_restrictions", None):
        named = [f"{LIMITS[compare]} {limit:g}" for compare, limit in limits if abs(limit) < LARGE]
        return ", ".join([in_words(kind._type), *named])
    if get_origin(kind) is Literal:
        return " | ".join(map(str, get_args(kind)))
    if get_origin(kind) in (Union, types.UnionType):
        return " or ".join(filter(None, map(in_words, get_args(kind))))
    return {int: "whole number", float: "number"}.get(kind, "")
