"""Times as the command line shows them: local, and always with the offset of their zone."""

from __future__ import annotations

from datetime import datetime

__all__ = ["full_time", "short_time"]


def full_time(time: datetime) -> str:
    """Such as `2026-11-28 03:15:07 +01:00`."""
    local = time.astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} {_offset(local)}"


def short_time(time: datetime, now: datetime) -> str:
    """Without what is the same as now: `03:15:07 +01` today, `11-28 03:15 +01` this year."""
    local, today = time.astimezone(), now.astimezone()
    if local.date() == today.date():
        form = "%H:%M:%S"
    else:
        form = "%m-%d %H:%M" if local.year == today.year else "%Y-%m-%d"
    # Most zones are whole hours from UTC.
    return f"{local:{form}} {_offset(local).removesuffix(':00')}"


def _offset(local: datetime) -> str:
    digits = f"{local:%z}"
    return f"{digits[:3]}:{digits[3:5]}"
