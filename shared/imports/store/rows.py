"""Rows of the table as records, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, fields, is_dataclass, replace
from datetime import datetime
from typing import Any, get_type_hints

from azure.data.tables import EdmType, EntityProperty, TableEntity
from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import PermanentError, TemporaryError
from shared.imports.model.keys import import_id_of, uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.redaction import redact
from shared.text import well_formed

__all__ = [
    "SCHEMA",
    "NewerRowError",
    "UnreadableRowError",
    "is_newer",
    "python_values",
    "readable_record",
    "table_values",
    "to_record",
    "to_row",
]

#: Number of the present form of all rows. A row with a higher number was written by a newer version
#: of the app and is left alone.
SCHEMA = 1

#: A string has 32,768 UTF-16 code units at most (learn: "Understanding the Table service data
#: model"), of which a character takes two at most.
MAX_MESSAGE = 16_000

#: Columns whose text comes from hubs and libraries.
_MESSAGES = frozenset({"failureReason", "jobFailureReason"})
#: Columns that contain JSON.
_JSON = frozenset({"history", "validation"})


class UnreadableRowError(PermanentError):
    """A row of the table was edited so that it cannot be read."""

    def __init__(self, row: Mapping[str, Any], why: str) -> None:
        super().__init__(f"Row {row['RowKey']} cannot be read: {why}.")


class NewerRowError(TemporaryError):
    """A row was written by a newer version of the app, which alone may change it."""

    def __init__(self, row: TableEntity) -> None:
        #: When it was written, by the clock of storage.
        self.written_at: datetime | None = row.metadata.get("timestamp")
        super().__init__(
            f"Row {row['RowKey']} was written by a newer version of the app (schema "
            f"{row['schema']}; this version supports {SCHEMA}). Deploy that version, or wait until "
            "its deployment is complete."
        )


def to_row(record: ImportRecord) -> dict[str, Any]:
    """The row of a record; empty columns are left out."""
    columns = {column.name: column.get(record) for column in _COLUMNS}
    columns["history"] = json.dumps([(state, at.isoformat()) for state, at in record.history])
    columns["validation"] = json.dumps(record.validation)
    return table_values(
        {
            "PartitionKey": record.hub,
            "RowKey": record.row_key,
            "schema": SCHEMA,
            **{name: value for name, value in columns.items() if value not in ("", "{}", None)},
        }
    )


def to_record(row: TableEntity) -> ImportRecord:
    """The record of a row.

    Raises:
        NewerRowError: a newer version of the app wrote it.
        UnreadableRowError: it was edited; names the columns that cannot be read.
    """
    if is_newer(row):
        raise NewerRowError(row)
    columns = {**python_values(row), "etag": str(row.metadata["etag"])}
    try:
        record = _record(columns)
    except ValidationError as error:
        unreadable = ", ".join(_unreadable_columns(error))
        raise UnreadableRowError(row, f"invalid column {unreadable}") from None
    if (record.hub, record.row_key) != (row["PartitionKey"], row["RowKey"]):
        raise UnreadableRowError(row, "hub, id or uploadedAt does not fit its keys")
    return _in_true_state(record)


def readable_record(row: Mapping[str, Any], etag: str = "") -> ImportRecord:
    """What can be read of a record's row; other columns have their defaults.

    Raises:
        ValueError: its keys are not those of a record.
    """
    uploaded_at = uploaded_at_of(row["RowKey"])
    columns = {
        "file": "(unknown)",
        "createdAt": uploaded_at,
        "updatedAt": uploaded_at,
        **python_values(row),
        "hub": row["PartitionKey"],
        "id": import_id_of(row["RowKey"]),
        "uploadedAt": uploaded_at,
        "etag": etag,
    }
    try:
        return _in_true_state(_record(columns))
    except ValidationError as error:
        unreadable = _unreadable_columns(error)
    required = {"file": "(unknown)", "createdAt": uploaded_at, "updatedAt": uploaded_at}
    readable = {name: value for name, value in columns.items() if name not in unreadable}
    return _in_true_state(_record({**required, **readable}))


def is_newer(row: Mapping[str, Any]) -> bool:
    """Whether a newer version of the app wrote the row."""
    schema = row.get("schema", SCHEMA)
    return isinstance(schema, int) and schema > SCHEMA


def table_values(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Values as the table stores them: text in UTF-8, messages redacted, integers of 64 bits."""
    return {name: _table_value(name, value) for name, value in columns.items()}


def python_values(row: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row with Python's values."""
    return {
        name: value.value if isinstance(value, EntityProperty) else value
        for name, value in row.items()
    }


def _table_value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        text = well_formed(str(value))
        return redact(text)[:MAX_MESSAGE] if name in _MESSAGES else text
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 31:
        # The SDK takes an integer for 32 bits.
        return EntityProperty(value, EdmType.INT64)
    return value


class _Column:
    """A column and the field of a record, or of one of its groups, that it contains."""

    def __init__(self, group: str, field: Field[Any]) -> None:
        self.group, self.field = group, field.name
        self.name: str = field.metadata.get("column", to_camel(field.name))

    def get(self, record: ImportRecord) -> Any:
        return getattr(getattr(record, self.group) if self.group else record, self.field)


def _columns() -> Iterator[_Column]:
    hints = get_type_hints(ImportRecord)
    for field in fields(ImportRecord):
        if is_dataclass(hints[field.name]):
            yield from (_Column(field.name, part) for part in fields(hints[field.name]))
        elif field.name != "etag":
            yield _Column("", field)


_COLUMNS = tuple(_columns())
_GROUPS = {column.group for column in _COLUMNS if column.group}
_ADAPTER = TypeAdapter(ImportRecord)


def _record(columns: Mapping[str, Any]) -> ImportRecord:
    values: dict[str, Any] = {group: {} for group in _GROUPS}
    values["etag"] = columns["etag"]
    for column in _COLUMNS:
        if column.name in columns:
            value = columns[column.name]
            if column.name in _JSON and isinstance(value, str):
                value = _json(value)
            (values[column.group] if column.group else values)[column.field] = value
    return _ADAPTER.validate_python(values)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # Neither column may be a number, so the validation names the column.
        return 0


def _unreadable_columns(error: ValidationError) -> list[str]:
    """The columns that cannot be read, without their values."""
    problems = error.errors(include_input=False, include_context=False, include_url=False)
    fields_of = {(column.group, column.field): column.name for column in _COLUMNS}
    places = (problem["loc"] for problem in problems)
    keys = (place[:2] if place[0] in _GROUPS else ("", place[0]) for place in places)
    return list(dict.fromkeys(fields_of[str(group), str(field)] for group, field in keys))


def _in_true_state(record: ImportRecord) -> ImportRecord:
    """The record in the state of its history, which the app writes with each change of state.

    A state that was typed by hand must not bring an import back to where it gets a second job.
    """
    if not record.history or record.history[-1][0] is record.state:
        return record
    return replace(record, state=record.history[-1][0])
