"""The columns of a CSV file: the property that each is for, and the values of its cells."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.device_files.characters import INVISIBLE, describe_unseen, without_unseen
from shared.device_files.formats.reader import Sink, UnusableFileError
from shared.device_files.lines import hints
from shared.device_files.lines.damage import damage, is_secret
from shared.device_files.lines.members import resolve
from shared.device_files.lines.strict_json import MAX_NESTING, StrictReader
from shared.device_files.lines.values import document, joined_thumbprint
from shared.device_files.mapping.file_mapping import (
    NO_MAPPING,
    FileMapping,
    Template,
    column_key,
)
from shared.device_files.rules import Finding, Rule
from shared.redaction import redact

__all__ = [
    "CellTemplate",
    "Column",
    "Header",
    "documented",
    "has_type",
    "overlap",
    "parse_column",
    "read_header",
    "type_problem",
]

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_MAX_NUMBER_LENGTH = 300
#: What a cell without a value may consist of.
_BLANKS = f"{INVISIBLE} \t\r\n"
_BOOLEANS = {"true": True, "false": False}
#: Types of columns whose names have none and that are not strings.
_DEFAULT_TYPES = {"capabilities.iotEdge": "boolean", "parentScopes": "json"}
_THUMBPRINTS = "authentication.x509Thumbprint."
#: A value of each type whose values are alike.
_SAMPLES = {"string": "a", "number": 1, "boolean": True}


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


@dataclass(frozen=True)
class CellTemplate:
    """A property whose value is made of several cells, or of cells and text."""

    column: Column
    template: Template
    #: Of the cells, in the order of the template's placeholders.
    indexes: tuple[int, ...]

    def read(self, cells: Sequence[str]) -> Any:
        """Return the value of a row, or a Finding."""
        used = [cells[index] if index < len(cells) else "" for index in self.indexes]
        blank = (index for index, cell in enumerate(used) if not cell.strip(_BLANKS))
        if (index := next(blank, None)) is not None:
            name = self.template.columns[index]
            return Finding(self.column.path, Rule.CSV_EMPTY_CELL, f'column "{name}"')
        value = self.column.read(self.template.fill(used))
        return value._replace(field=self.column.path) if isinstance(value, Finding) else value


@dataclass(frozen=True)
class Header:
    """The columns of a file."""

    #: In their order, None for those whose cells are no property.
    columns: Sequence[Column | None] = ()
    templates: Sequence[CellTemplate] = ()
    #: Numbers, from 0, of the columns that are not imported, and how messages name them.
    unused: Mapping[int, str] = field(default_factory=dict)
    #: Those of them that the mapping ignores.
    ignored: frozenset[int] = frozenset()

    def index_of(self, path: str) -> int:
        """The number of the column, from 0, that a property has its value from; -1 for none."""
        for index, column in enumerate(self.columns):
            if column and column.path == path:
                return index
        indexes = [x.indexes[0] for x in self.templates if x.column.path == path]
        return indexes[0] if indexes else -1


def read_header(
    number: int, names: Sequence[str], sink: Sink, mapping: FileMapping = NO_MAPPING
) -> Header:
    """Return the columns that a header names.

    No message repeats a name as it is: without a header, the first row may contain keys.

    Args:
        number: the line of the header.
    """
    if not (mapping.makes_id or any(name.partition(":")[0].lower() == "id" for name in names)):
        renames = hints.column_renames(names) or _hidden_id(names)
        detail = f"there is no column id{renames and f'; {renames}'}"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    if not mapping.is_empty:
        _check_mapped(number, names, sink, mapping)
    keys = [column_key(name) for name in names]
    is_mapped = [mapping.has(name) for name in names]
    targets = [mapping.target_of(name) for name in names]
    meant = [
        name if target is None else target for name, target in zip(names, targets, strict=True)
    ]
    columns = [
        None if is_mapped[index] and targets[index] is None else _column(number, index, meant, sink)
        for index in range(len(names))
    ]
    templates = []
    for template in mapping.values:
        target = parse_column(template.target)
        assert isinstance(target, Column)  # as in every mapping
        indexes = tuple(keys.index(column_key(name)) for name in template.columns)
        templates.append(CellTemplate(target, template, indexes))
    paths = [column.path for column in columns if column] + [x.column.path for x in templates]
    if detail := overlap(paths):
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)
    sources = {x.column.path: "column" + _quoted(x.template.columns) for x in templates}
    for key, column, meant_as in zip(keys, columns, targets, strict=True):
        if column and meant_as is not None:
            sources[column.path] = "column" + _quoted([mapping.required[key]])
    sink.name_sources(sources)
    ignored = {
        index: f'column "{known_as}"'
        for index, name in enumerate(names)
        if (known_as := mapping.ignored_name(name)) is not None
    }
    unknown = {
        index: f"column {index + 1:,}"
        for index, column in enumerate(columns)
        if not (column or is_mapped[index])
    }
    return Header(columns, templates, unknown | ignored, frozenset(ignored))


def overlap(paths: Iterable[str]) -> str:
    """Describe two of several columns that are for one property; "" if there are none."""
    seen: set[str] = set()
    for path in sorted(paths):
        if path in seen:
            return f"two columns are for {redact(path)}"
        steps = path.split(".")
        for end in range(1, len(steps)):
            if (outer := ".".join(steps[:end])) in seen:
                return f"one column is for {redact(outer)}, another for {redact(path)} inside it"
        seen.add(path)
    return ""


def _check_mapped(number: int, names: Sequence[str], sink: Sink, mapping: FileMapping) -> None:
    """Reject a file that has other columns than its mapping names."""
    if any("\udc80" <= character <= "\udcff" for name in names for character in name):
        raise UnusableFileError(Rule.LINE_ENCODING, "in the header", number)
    keys = [column_key(name) for name in names]
    problems = 0
    for key, name in mapping.required.items():
        if (count := keys.count(key)) != 1:
            rule = Rule.CSV_COLUMN_REPEATED if count else Rule.CSV_COLUMN_MISSING
            sink.note(number, rule, f'"{name}"')
            problems += 1
    for index, name in enumerate(names):
        known = None if mapping.has(name) or is_secret(name) else parse_column(name)
        if isinstance(known, Finding) and known.rule is Rule.MEMBER_UNKNOWN:
            sink.note(number, Rule.CSV_COLUMN_UNMAPPED, f"column {index + 1:,}", name)
            problems += 1
    if problems:
        noun = "column does" if problems == 1 else "columns do"
        detail = f"{problems:,} {noun} not fit the mapping"
        raise UnusableFileError(Rule.CSV_HEADER, detail, number)


def _quoted(names: Iterable[str]) -> str:
    quoted = [f'"{name}"' for name in dict.fromkeys(names)]
    return ("s " if len(quoted) > 1 else " ") + ", ".join(quoted)


def _hidden_id(names: Sequence[str]) -> str:
    """Name an invisible character in the name of the id column."""
    for index, name in enumerate(names):
        if without_unseen(name.partition(":")[0]).lower() == "id":
            return f"the name of column {index + 1:,} contains {describe_unseen(name)}"
    return ""


def _column(number: int, index: int, names: Sequence[str], sink: Sink) -> Column | None:
    place = f"column {index + 1:,}"
    column = parse_column(names[index], place)
    if isinstance(column, Column):
        return column
    detail = column.detail
    if column.rule in (Rule.MEMBER_UNKNOWN, Rule.MEMBER_OF_THE_HUB):
        has_id = "id has a column; for a tag, write tags.<name>"
        sink.note(number, column.rule, detail.replace(hints.MEANS_ID, has_id), column.field)
        return None
    if column.rule is Rule.SECRET_MISPLACED:
        detail = f"in {place} of the header"
    elif column.rule is Rule.CREDENTIALS_MISPLACED:
        # Ignoring the column would give other keys to all devices.
        detail = f"{place}: {detail}"
    elif hints.is_foreign_column(names[index]):
        detail = hints.column_renames(names)
    raise UnusableFileError(column.rule, detail, number)


def parse_column(name: str, place: str = "it") -> Column | Finding:
    """Return what a name in a header stands for, or what is wrong with the name.

    Args:
        place: the subject of sentences about the name, which they do not repeat.
    """
    if is_secret(name):
        return Finding("", Rule.SECRET_MISPLACED)
    if name.count(".") >= MAX_NESTING:
        return Finding("", Rule.CSV_HEADER, f"{place} is nested too deep")
    if not name:
        return Finding("", Rule.CSV_HEADER, f"{place} has no name")
    path, colon, kind = name.rpartition(":")
    if not colon:
        path, kind = name, ""
    elif kind not in _READERS:
        detail = f"{place} has no known type; use :number, :boolean, :json or :string"
        return Finding("", Rule.CSV_HEADER, detail)
    known = documented(path)
    if isinstance(known, Finding):
        return known
    path, is_object = known
    kind = kind or _DEFAULT_TYPES.get(path, "string")
    if is_object and kind != "json":
        detail = f"{path} is an object: name its properties, or end the name with :json"
        return Finding("", Rule.CSV_HEADER, detail)
    return Column(path, joined_thumbprint if path.startswith(_THUMBPRINTS) else _READERS[kind])


def type_problem(name: str) -> str:
    """Why the property of a column can have no value of the column's type; "" if it can.

    Args:
        name: as in a header, and valid.
    """
    path, _, kind = name.rpartition(":")
    _, check, rest = resolve(path)
    if rest or not callable(check) or kind not in _SAMPLES:
        return ""
    finding = check(_SAMPLES[kind])
    if finding is None or (kind == "string" and finding.rule is not Rule.MEMBER_TYPE):
        return ""
    return f"{path} is of type {_DEFAULT_TYPES.get(path, 'string')}; remove :{kind}"


def has_type(name: str) -> bool:
    """Whether the name of a column ends with a type."""
    return name.rpartition(":")[2] in _READERS and ":" in name


def documented(path: str) -> tuple[str, bool] | Finding:
    """Return the path in the documented case, and whether its value is an object."""
    steps, member, rest = resolve(path)
    if rest and member is not document:
        if not isinstance(member, dict):
            return Finding(path, Rule.MEMBER_UNKNOWN)
        prefix = "".join(f"{step}." for step in steps)
        return hints.unknown_member(rest[0], member, prefix, hints.A_COLUMN)
    is_object = not rest and (member is document or isinstance(member, dict))
    return ".".join([*steps, *rest]), is_object
