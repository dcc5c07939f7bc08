"""Times as the hub prints them."""

from __future__ import annotations

from datetime import UTC, datetime


def shown_time(time: datetime) -> str:
    """.NET prints seven digits of a second."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds')}0Z"
