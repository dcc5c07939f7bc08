"""Times as the hub prints them."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime


def shown_time(time: datetime) -> str:
    """.NET prints seven digits of a second."""
    utc = time.astimezone(UTC).replace(tzinfo=None)
    return f"{utc.isoformat(timespec='microseconds')}0Z"


def http_date(time: datetime) -> str:
    """The value of a Date header (RFC 9110)."""
    return format_datetime(time.astimezone(UTC), usegmt=True)
