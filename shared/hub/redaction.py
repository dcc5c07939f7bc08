"""No signature and no key leaves the process in a text that a hub or a library wrote."""

from __future__ import annotations

import re

__all__ = ["redact"]

#: `sig=` of a SAS or of a hub token, and the keys of connection strings; also in JSON, and within
#: an address that is a parameter of another one.
_SECRET = re.compile(
    r'(?i)(?<![a-z])((?:sig|sharedaccesskey|accountkey)(?:=|%3d|"\s*:\s*"))[^&\s"\';,]+'
)


def redact(text: str) -> str:
    """The text with the value of each signature and account or policy key replaced."""
    return _SECRET.sub(r"\1REDACTED", text)
