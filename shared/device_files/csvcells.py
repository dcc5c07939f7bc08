"""The cells of a CSV row: the value that each stands for, by the type of its column."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from shared.device_files.characters import describe_unseen
from shared.device_files.damage import damage
from shared.device_files.rules import Rule
from shared.device_files.strictjson import StrictReader

__all__ = ["READERS", "CellError", "Column"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_BOOLEANS = {"true": True, "false": False}


class CellError(Exception):
    """A cell is no value of its column's type."""

    def __init__(self, rule: Rule, detail: str = "") -> None:
        self.rule = rule
        self.detail = detail


@dataclass(frozen=True)
class Column:
    """A member that a column is for, and how its cells are read."""

    path: str
    read: Callable[[str], Any]

    def put(self, value: Any, members: dict[str, Any]) -> None:
        """Set the member of a line."""
        *above, name = self.path.split(".")
        for step in above:
            members = members.setdefault(step, {})
        members[name] = value


def _cause(text: str) -> str:
    """Why a cell may not be what it should be: which tool damaged it, or what nobody sees."""
    return damage(text) or describe_unseen(text)


def _read_number(cell: str) -> int | float:
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        raise CellError(Rule.CSV_NUMBER, _cause(text))
    if len(text) > 300:
        raise CellError(Rule.JSON_NUMBER)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _read_boolean(cell: str) -> bool:
    text = cell.strip()
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise CellError(Rule.CSV_BOOLEAN, _cause(text)) from None


def _read_json(cell: str) -> Any:
    value, findings = StrictReader().read(cell)
    for finding in findings:
        if cause := damage(cell.strip()):
            raise CellError(Rule.CSV_JSON, cause)
        # Its path is not repeated: names in the cell may be secrets.
        detail = f" ({finding.detail})" if finding.detail else ""
        raise CellError(Rule.CSV_JSON, f"{finding.rule.meaning}{detail}")
    return value


#: By the type at the end of a column's name.
READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "number": _read_number,
    "boolean": _read_boolean,
    "json": _read_json,
}
