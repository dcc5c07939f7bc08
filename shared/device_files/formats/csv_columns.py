"""The columns of a CSV file: the property that each is for, and the values of its cells."""

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

__all__ = ["Column", "read_header"]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_LENGTH = 300
_BOOLEANS = {"true": True, "false": False}
#: Properties that contain user-defined names.
_OPEN = ("tags", "properties.desired", "properties.reported", "attributes", "adrDeviceProperties")
#: Types of columns whose names have none and that are not strings.
_DEFAULT_TYPES = {"capabilities.iotEdge": "boolean", "parentScopes": "json"}


@dataclass(frozen=True)
class Column:
    #: Of the property.
    path: str
    #: Returns the value of a cell, or a Finding.
    read: Callable[[str], Any]

    def put(self, value: Any, members: dict[str, Any]) -> None:
        """Set the property of a line."""
        *above, name = self.path.split(".")
        for step in above:
            members = members.setdefault(step, {})
        members[name] = value


def _read_number(cell: str) -> int | float | Finding:
    text = cell.strip()
    if not _NUMBER.fullmatch(text):
        return Finding("", Rule.CSV_NUMBER, damage(text) or describe_unseen(text))
    if len(text) > _MAX_NUMBER_LENGTH:
        return Finding("", Rule.JSON_NUMBER)
    return int(text) if text.lstrip("-").isdigit() else float(text)


def _read_boolean(cell: str) -> bool | Finding:
    text = cell.strip()
    value = _BOOLEANS.get(text.lower())
    if value is None:
        return Finding("", Rule.CSV_BOOLEAN, damage(text) or describe_unseen(text))
    return value


def _read_json(cell: str) -> Any:
    value, findings = StrictReader().read(cell)
    if not findings:
        return value
    # The path is not shown: names in the cell may be secrets.
    rule, detail = findings[0].rule, findings[0].detail
    explained = f"{rule.meaning} ({detail})" if detail else rule.meaning
    return Finding("", Rule.CSV_JSON, damage(cell.strip()) or explained)


#: By the type at the end of a column's name.
_READERS: dict[str, Callable[[str], Any]] = {
    "string": str,
    "number": _read_number,
    "boolean": _read_boolean,
    "json": _read_json,
}


def read_header(number: int, names: Sequence[str], sink: Sink) -> list[Column | None]:
    """Return the columns in their order, None for those to ignore.

    No message repeats a name as it is: without a header, the first row may contain keys.
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
                detail = f"one column is for {redact(outer)}, another for {redact(path)} inside it"
                raise UnusableFileError(Rule.CSV_HEADER, detail, number)
        paths.add(path)
    return columns


def _hidden_id(names: Sequence[str]) -> str:
    """Name an invisible character in the name of the id column."""
    for index, name in enumerate(names):
        if without_unseen(name.partition(":")[0]).lower() == "id":
            return f"the name of column {index + 1:,} contains {describe_unseen(name)}"
    return ""


def _column(number: int, index: int, names: Sequence[str], sink: Sink) -> Column | None:
    name, place = names[index], f"column {index + 1:,}"

    def invalid(detail: str, rule: Rule = Rule.CSV_HEADER) -> UnusableFileError:
        return UnusableFileError(rule, detail, number)

    if is_secret(name):
        raise invalid(f"in {place} of the header", Rule.SECRET_MISPLACED)
    if name.count(".") >= MAX_NESTING:
        raise invalid(f"{place} is nested too deep")
    if not name:
        raise invalid(f"{place} has no name")
    path, colon, kind = name.rpartition(":")
    if not colon:
        path, kind = name, ""
    elif kind not in _READERS:
        if is_foreign_column(name):
            raise invalid(column_renames(names))
        raise invalid(f"{place} has no known type; use :number, :boolean, :json or :string")
    known = _documented(path)
    if isinstance(known, Finding):
        if known.rule is Rule.CREDENTIALS_MISPLACED:
            # Ignoring the column would give other keys to all devices.
            raise invalid(f"{place}: {known.detail}", known.rule)
        detail = known.detail.replace(MEANS_ID, "id has a column; for a tag, write tags.<name>")
        sink.note(number, known.rule, detail, known.field)
        return None
    path, is_object = known
    kind = kind or _DEFAULT_TYPES.get(path, "string")
    if is_object and kind != "json":
        raise invalid(f"{path} is an object: name its properties, or end the name with :json")
    return Column(path, _READERS[kind])


def _documented(path: str) -> tuple[str, bool] | Finding:
    """Return the path in the documented case, and whether its value is an object."""
    names, documented = MEMBERS, ""
    for step in path.split("."):
        known = in_documented_case(step, names)
        if known is None:
            return unknown_member(step, names, f"{documented}." if documented else "", A_COLUMN)
        documented = f"{documented}.{known}" if documented else known
        if documented in _OPEN:
            return documented + path[len(documented) :], len(documented) == len(path)
        below = names[known]
        if not isinstance(below, dict):
            if len(documented) < len(path):
                return Finding(path, Rule.MEMBER_UNKNOWN)
            return documented, False
        names = below
    return documented, True
