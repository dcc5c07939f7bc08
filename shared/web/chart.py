"""Where the bars of a chart of days stand, in the units of its SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.imports.store.daily_counts import DailyCounts

__all__ = ["Chart", "chart_of"]

_GRID_LINES = 4
_DAYS_A_LABEL = 5


@dataclass(frozen=True)
class Line:
    """A line of the grid with its number."""

    y: float
    label: str


@dataclass(frozen=True)
class Bar:
    """A day: devices imported, and on top of them those that failed."""

    x: float
    width: float
    imported_y: float
    imported: float
    failed_y: float
    failed: float
    title: str
    #: The date, at some bars only.
    label: str


@dataclass(frozen=True)
class Chart:
    """A chart of stacked bars."""

    lines: Sequence[Line]
    bars: Sequence[Bar]
    #: With room for half a label to the right of the last bar.
    width: int = 780
    height: int = 206
    #: Where the bars begin and what they stand on.
    left: int = 60
    bottom: int = 180
    #: Where they end.
    right: int = 742
    #: Half the space between two bars.
    gap: int = 3


def chart_of(days: Sequence[DailyCounts]) -> Chart:
    frame = Chart((), ())
    most = _round_up(max((day.imported + day.failed for day in days), default=0))
    top = 16
    scale = (frame.bottom - top) / most
    lines = [
        Line(frame.bottom - value * scale, _short(value))
        for value in (most * part / _GRID_LINES for part in range(_GRID_LINES + 1))
    ]
    step = (frame.right - frame.left) / max(1, len(days))
    bars = []
    for index, day in enumerate(days):
        imported, failed = day.imported * scale, _visible(day.failed * scale)
        is_labelled = (len(days) - 1 - index) % _DAYS_A_LABEL == 0
        bars.append(
            Bar(
                x=frame.left + index * step + frame.gap,
                width=step - 2 * frame.gap,
                imported_y=frame.bottom - imported,
                imported=imported,
                failed_y=frame.bottom - imported - failed,
                failed=failed,
                title=f"{day.date}: {day.imported:,} imported, {day.failed:,} failed"
                + (f", unknown for {day.unknown:,} imports" if day.unknown else ""),
                label=f"{day.date:%d %b}" if is_labelled else "",
            )
        )
    return Chart(lines, bars)


def _visible(height: float) -> float:
    """A few failures beside many devices are what people look for."""
    return max(height, 2.0) if height else 0.0


def _round_up(value: int) -> int:
    """The next number that divides into round ones."""
    unit = int(10 ** int(math.log10(max(value, 1))))
    return next(unit * factor for factor in (1, 2, 4, 8, 10, 20) if unit * factor >= max(value, 4))


def _short(value: float) -> str:
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"
