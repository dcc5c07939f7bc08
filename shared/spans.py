"""How long something took, in words."""

from __future__ import annotations

from datetime import timedelta

__all__ = ["span"]


def span(time: timedelta) -> str:
    """How long something took, in its two largest units."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", 1, "s")
    if whole < 86_400:
        return _two(whole, 3600, "h", 60, "min")
    return _two(whole, 86_400, "d", 3600, "h")


def _two(seconds: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    first, second = seconds // large, seconds % large // small
    return f"{first} {large_unit} {second} {small_unit}" if second else f"{first} {large_unit}"
