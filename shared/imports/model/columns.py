"""Groups of columns of a row."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime

__all__ = ["Columns"]


class Columns:
    """A group of columns. Their times must have a time zone."""

    def __post_init__(self) -> None:
        for column in fields(self):  # type: ignore[arg-type]
            value = getattr(self, column.name)
            if isinstance(value, datetime) and value.tzinfo is None:
                raise ValueError(f"{column.name} has no time zone")
