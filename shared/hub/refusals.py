"""Find what a hub means by an error code and what to do, wherever the code comes from."""

from __future__ import annotations

import re
from collections.abc import Mapping

from shared.hub.answers import code_of
from shared.hub.codes import BY_STATUS, CODES, Refusal

__all__ = ["REFUSALS", "code_label", "code_name", "find_refusal", "refusal_in", "remedy_of"]

#: The known codes by name.
REFUSALS: Mapping[str, Refusal] = {refusal.name: refusal for refusal in CODES}

_NAMES = {refusal.number: refusal.name for refusal in CODES if refusal.number}

#: A name or number in the text of a failure reason. Any other number is not a code.
_CODE = re.compile(
    r"(?:\b(?i:error ?code)\W{0,3}|\bIH)(?P<number>[0-9]{6})\b|\b(?P<name>[A-Z][A-Za-z]+)\b"
)


def code_name(code: object) -> str:
    """The symbolic name of a code that may be a number, its digits, or a name already."""
    known = code_of(code)
    return _NAMES.get(known, str(known)) if isinstance(known, int) else known


def code_label(name: str) -> str:
    """The name with its number, as documentation has it: `409001 DeviceAlreadyExists`."""
    refusal = REFUSALS.get(name)
    return refusal.label if refusal else name or "no code"


def find_refusal(name: str, status: int = 0) -> Refusal | None:
    """The entry of a code, or else of its HTTP status; None if nothing is known.

    Args:
        name: as `code_name` returns it; of an unknown number, the digits.
        status: HTTP status of the answer. The first digits of an unknown number are one, too.
    """
    if refusal := REFUSALS.get(name):
        return refusal
    if not status and re.fullmatch(r"[1-9][0-9]{5}", name):
        status = int(name) // 1000
    if 400 <= status < 600:
        return BY_STATUS.get(status) or BY_STATUS[500 if status >= 500 else 400]
    return None


def remedy_of(name: str) -> str:
    """What to do about a code of the hub's log; "" if nothing is known."""
    refusal = find_refusal(name)
    return refusal.remedy if refusal else ""


def refusal_in(text: str) -> Refusal | None:
    """The entry of the first known code in a text, such as the failure reason of a job."""
    for match in _CODE.finditer(text):
        name = match["name"] or code_name(match["number"])
        if refusal := REFUSALS.get(name):
            return refusal
    return None
