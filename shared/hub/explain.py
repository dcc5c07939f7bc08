"""Look up what a hub means by an error code and what to do, wherever the code comes from."""

from __future__ import annotations

import re

from shared.hub.error_codes import BY_STATUS, EXPLANATIONS, Explanation
from shared.hub.parsing import code_of

__all__ = ["code_label", "code_name", "explain", "explain_text", "persists", "remedy_of"]

_NAMES = {entry.number: entry.name for entry in EXPLANATIONS.values() if entry.number}

#: A code in the text of a failure reason: a name, or a number after "error code" or "IH".
_CODE = re.compile(
    r"(?:\b(?i:error ?code)\W{0,3}|\bIH)(?P<number>[0-9]{6})\b|\b(?P<name>[A-Z][A-Za-z]+)\b"
)


def code_name(code: object) -> str:
    """Return the symbolic name of a code, which may be a number, its digits, or a name."""
    known = code_of(code)
    return _NAMES.get(known, str(known)) if isinstance(known, int) else known


def code_label(name: str) -> str:
    """Return the name with its number, as in documentation: `409001 DeviceAlreadyExists`."""
    entry = EXPLANATIONS.get(name)
    return entry.label if entry else name or "no code"


def explain(name: str, status: int = 0) -> Explanation | None:
    """Explain a code, or else its HTTP status; None if nothing is known.

    Args:
        name: as `code_name` returns it; the digits of an unknown number.
        status: HTTP status of the answer. The first digits of an unknown number are one, too.
    """
    if entry := EXPLANATIONS.get(name):
        return entry
    if not status and re.fullmatch(r"[1-9][0-9]{5}", name):
        status = int(name) // 1000
    if 400 <= status < 600:
        return BY_STATUS.get(status) or BY_STATUS[500 if status >= 500 else 400]
    return None


def remedy_of(name: str) -> str:
    """Return what to do about a code of the hub's log; "" if nothing is known."""
    entry = explain(name)
    return entry.remedy if entry else ""


def persists(name: str) -> bool:
    """Return whether a line that failed with this code of the hub's log fails again as it is."""
    entry = explain(name)
    return entry is not None and entry.persists


def explain_text(text: str) -> Explanation | None:
    """Explain the first known code in a text, such as the failure reason of a job."""
    for match in _CODE.finditer(text):
        if entry := EXPLANATIONS.get(match["name"] or code_name(match["number"])):
            return entry
    return None
