"""The last check of a row's texts before the table stores them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from shared.redaction import redact
from shared.text import well_formed

__all__ = ["storable"]

#: Columns whose texts come from hubs and libraries.
_MESSAGES = frozenset({"failureReason", "jobFailureReason"})

#: A string has 32,768 UTF-16 code units at most (learn: "Understanding the Table service data
#: model"), of which a character takes two at most.
MAX_MESSAGE = 16_000


def storable(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Replace what UTF-8 cannot hold, redact messages and cut them to `MAX_MESSAGE`."""
    return {
        name: _text(name, value) if isinstance(value, str) else value
        for name, value in columns.items()
    }


def _text(name: str, value: str) -> str:
    text = well_formed(value)
    return redact(text)[:MAX_MESSAGE] if name in _MESSAGES else text
