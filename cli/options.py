"""Types of numeric command-line options: argparse names the option and exits with status 2."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable

__all__ = ["share", "whole_number"]

#: Digits of a whole number that are read: Python's conversion is quadratic in their number.
_MAX_DIGITS = 20


def whole_number(low: int, high: int | None = None) -> Callable[[str], int]:
    """The type of a whole number from `low` to `high`; None is no upper bound.

    The type raises ArgumentTypeError, with the range, for anything else.
    """

    def parse(text: str) -> int:
        if re.fullmatch(rf"[0-9]{{1,{_MAX_DIGITS}}}", text):
            value = int(text)
            if low <= value and (high is None or value <= high):
                return value
        expected = f"from {low} to {high}" if high is not None else f"of at least {low}"
        raise ArgumentTypeError(f"must be a whole number {expected}, not {text!r}")

    return parse


def share(text: str) -> float:
    """A share of a whole, from 0 to 1, such as 0.25 or 1e-3.

    Raises:
        ArgumentTypeError: it is no number, or out of this range.
    """
    # Not nan, inf, or digits with underscores, all of which float() accepts.
    if re.fullmatch(r"([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE]-?[0-9]{1,3})?", text):
        value = float(text)
        if value <= 1:
            return value
    raise ArgumentTypeError(f"must be a number from 0 to 1, not {text!r}")
