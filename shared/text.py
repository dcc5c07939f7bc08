"""Text for logs, rows and pages: input made safe to store and show, and durations."""

from __future__ import annotations

import re
from datetime import timedelta

from shared.redaction import redact

__all__ = ["clean", "clean_reason", "format_about", "format_duration", "well_formed"]

#: Characters of a failure reason. A column holds 32,768, an operator reads fewer.
MAX_REASON = 2000

#: Replaces a character that cannot be stored.
UNKNOWN = "\ufffd"

#: C0 and C1 control characters. XML does not allow most of them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")

#: Units of durations, in seconds.
_UNITS = ((86_400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can contain and UTF-8 cannot."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean(text: str, limit: int) -> str:
    """Redact the text, put it on one line without control characters, and truncate it.

    Args:
        limit: the maximum length of the result, in characters.
    """
    text = " ".join(text.split())
    if not text.isprintable():
        text = _CONTROL.sub(UNKNOWN, well_formed(text))
    text = redact(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def clean_reason(*sentences: str) -> str:
    """A failure reason: the sentences that are not empty, cleaned, `MAX_REASON` at most."""
    return clean(" ".join(filter(None, sentences)), MAX_REASON)


def format_duration(time: timedelta) -> str:
    """Format a duration in its two largest units: `1.5 s`, `2 min 5 s`, `3 d 4 h`."""
    seconds = max(0.0, time.total_seconds())
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left, parts = round(seconds), []
    largest = next(index for index, (size, _) in enumerate(_UNITS) if size <= left)
    for size, unit in _UNITS[largest : largest + 2]:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts)


def format_about(time: timedelta) -> str:
    """Format an estimate in one unit: `20 s`, `4 min`, `2 h`."""
    seconds = max(1.0, time.total_seconds())
    size, unit = next((size, unit) for size, unit in _UNITS if size * 1.5 <= seconds or size == 1)
    return f"{round(seconds / size)} {unit}"
