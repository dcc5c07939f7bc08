"""Make text of a hub, a library or a file safe to store, log and show."""

from __future__ import annotations

import re

from shared.redaction import redact

__all__ = ["clean", "well_formed"]

#: Replaces a character that cannot be stored.
UNKNOWN = "\ufffd"

#: C0 and C1 control characters. XML does not allow most of them.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def well_formed(text: str) -> str:
    """Replace lone surrogates, which JSON can hold and UTF-8 cannot."""
    if not _SURROGATE.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean(text: str, limit: int) -> str:
    """Redact the text, put it on one line without control characters, and cut it to the limit.

    Args:
        limit: the longest result, in characters.
    """
    text = " ".join(text.split())
    if not text.isprintable():
        text = _CONTROL.sub(UNKNOWN, well_formed(text))
    text = redact(text)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
