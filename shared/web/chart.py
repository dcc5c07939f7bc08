"""Geometry of charts and bars, in the units of their SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.imports.store.daily_counts import DailyCounts

__all__ = ["Chart", "bar_parts", "chart_of"]

_GRID_LINES = 4
_DAYS_PER_LABEL = 5
_TOP = 16
#: Space between two bars.
_GAP = 6


@dataclass(frozen=True)
class Bar:
    """A day. The rectangle of failed devices stands on that of imported ones."""

    x: float
    width: float
    imported_y: float
    imported: float
    failed_y: float
    failed: float
    title: str
    #: The date, at every fifth bar.
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart of stacked bars."""

    #: Position and number of each line of the grid.
    lines: Sequence[tuple[float, str]]
    bars: Sequence[Bar]
    #: Includes half a label to the right of the last bar.
    width: int = 780
    height: int = 206
    left: int = 72
    bottom: int = 180
    right: int = 742


def chart_of(days: Sequence[DailyCounts]) -> Chart:
    frame = Chart((), ())
    most = _round_up(max((day.imported + day.failed for day in days), default=0))
    scale = (frame.bottom - _TOP) / most
    step = (frame.right - frame.left) / max(1, len(days))
    values = [most * part / _GRID_LINES for part in range(_GRID_LINES + 1)]
    bars = []
    for index, day in enumerate(days):
        imported = day.imported * scale
        # A few failures beside many devices have to be visible.
        failed = max(day.failed * scale, 2.0) if day.failed else 0.0
        unknown = f", unknown for {day.unknown:,} imports" if day.unknown else ""
        bars.append(
            Bar(
                x=frame.left + index * step + _GAP / 2,
                width=step - _GAP,
                imported_y=frame.bottom - imported,
                imported=imported,
                failed_y=frame.bottom - imported - failed,
                failed=failed,
                title=f"{day.date}: {day.imported:,} imported, {day.failed:,} failed{unknown}",
                label="" if (len(days) - 1 - index) % _DAYS_PER_LABEL else f"{day.date:%d %b}",
            )
        )
    return Chart([(frame.bottom - value * scale, _short(value)) for value in values], bars)


def _round_up(value: int) -> int:
    """Return the next number whose quarters are round."""
    unit = int(10 ** int(math.log10(max(value, 1))))
    return next(unit * factor for factor in (1, 2, 4, 8, 10, 20) if unit * factor >= max(value, 4))


def _short(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def bar_parts(
    counts: Sequence[tuple[str, str, int | None]], total: int
) -> Sequence[Mapping[str, Any]]:
    """Parts of a bar in thousandths of its width.

    Args:
        counts: kind, label and number of each; a part of 0 is only in the legend, None is not.
        total: what the whole bar stands for.
    """
    parts, x = [], 0.0
    for kind, label, count in counts:
        if count is not None:
            # A few failures among a million lines have to be visible.
            width = max(4.0, 1000 * count / total) if count else 0.0
            parts.append({"kind": kind, "label": label, "count": count, "x": x, "width": width})
            x += width
    return parts
