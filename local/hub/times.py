"""Times as the hub prints them."""

from __future__ import annotations

from datetime import UTC, datetime


def shown_time(time: datetime) -> str:
    """.NET prints seven digits of a second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z"
