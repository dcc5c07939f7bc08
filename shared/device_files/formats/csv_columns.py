"""The header of a CSV file: which member each column is for."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from shared.device_files.characters import describe_unseen, without_unseen
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.lines.damage import damage, is_secret
from shared.device_files.lines.hints import (
    A_COLUMN,
    MEANS_ID,
    column_renames,
    in_documented_case,
    is_foreign_column,
    unknown_member,
)
from shared.device_files.lines.members import MEMBERS
from shared.device_files.lines.strict_json import MAX_NESTING, StrictReader
from shared.device_files.rules import Finding, Rule
from shared.redaction import redact

__all__ = ["READERS", "CellError", "Column", "read_header"]

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


#: Members that hold names of the file's own.
_OPEN = ("tags", "properties.desired", "properties.reported", "attributes", "adrDeviceProperties")
#: Members that are no texts, and their type where the header does not say.
_TYPES_OF = {"capabilities.iotEdge": "boolean", "parentScopes": "json"}


def read_header(number: int, names: Sequence[str], sink: Sink) -> list[Column | None]:
    """The columns in their order, None for those that are left out.

    No message repeats a cell as it is: without a header, the first row may hold keys.
    """
    if not any(name.partition(":")[0].lower() == "id" for name in names):
        renames = column_renames(names) or _hidden_id(names)
        detail = f"there is no column id{renames and f'; {renames}'}"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    columns = [_column(number, index, names, sink) for index in range(len(names))]
    paths: set[str] = set()
    for path in sorted(column.path for column in columns if column):
        if path in paths:
            raise UnusableFileError(Rule.CSV_HEADER, f"two columns are for {redact(path)}", number)
        steps = path.split(".")
        for end in range(1, len(steps)):
            if (outer := ".".join(steps[:end])) in paths:
                detail = (
                    f"one column is for {redact(outer)}, another for {redact(path)}, "
                    "which is a part of it"
                )
                raise UnusableFileError(Rule.CSV_HEADER, detail, number)
        paths.add(path)
    return columns


def _hidden_id(names: Sequence[str]) -> str:
    """Which column would be that of the id but for a character that is not visible."""
    for index, name in enumerate(names):
        if without_unseen(name.partition(":")[0]).lower() == "id":
            return f"the name of column {index + 1:,} contains {describe_unseen(name)}"
    return ""


def _column(number: int, index: int, names: Sequence[str], sink: Sink) -> Column | None:
    name = names[index]
    if is_secret(name):
        detail = f"in column {index + 1:,} of the header"
        raise UnusableFileError(Rule.SECRET_MISPLACED, detail, number)
    if name.count(".") >= MAX_NESTING:
        raise UnusableFileError(Rule.CSV_HEADER, f"column {index + 1:,} nests too deep", number)
    if not name:
        detail = f"column {index + 1:,} has no name"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    path, colon, kind = name.rpartition(":")
    if not colon:
        path, kind = name, ""
    elif kind not in READERS:
        detail = f"column {index + 1:,} has no known type; use :number, :boolean, :json or :string"
        if is_foreign_column(name):
            detail = column_renames(names)
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    known = _documented(path)
    if isinstance(known, Finding):
        if known.rule is Rule.CREDENTIALS_MISPLACED:
            # Rows without this column would be given other keys.
            detail = f"column {index + 1:,}: {known.detail}"
            raise UnusableFileError(known.rule, detail, number)
        detail = "the id has a column; for a tag, write tags.<name>"
        known = known._replace(detail=known.detail.replace(MEANS_ID, detail))
        sink.note(number, known)
        return None
    path, is_object = known
    kind = kind or _TYPES_OF.get(path, "string")
    if is_object and kind != "json":
        detail = f"{path} is an object: name its members, or end the name with :json"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    return Column(path, READERS[kind])


def _documented(path: str) -> tuple[str, bool] | Finding:
    """The path in the documented case, and whether an object belongs there."""
    names, taken = MEMBERS, ""
    for step in path.split("."):
        known = in_documented_case(step, names)
        if known is None:
            return unknown_member(step, names, f"{taken}." if taken else "", A_COLUMN)
        taken = f"{taken}.{known}" if taken else known
        if taken in _OPEN:
            return taken + path[len(taken) :], len(taken) == len(path)
        below = names[known]
        if not isinstance(below, dict):
            if len(taken) < len(path):
                return Finding(path, Rule.MEMBER_UNKNOWN)
            return taken, False
        names = below
    return taken, True
