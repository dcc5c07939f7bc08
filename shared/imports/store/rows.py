"""Rows of the table as records of imports and jobs, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from datetime import datetime
from typing import Any, Generic, TypeVar, get_type_hints

from azure.data.tables import EdmType, EntityProperty, TableEntity
from pydantic import TypeAdapter, ValidationError
from pydantic.alias_generators import to_camel

from shared.errors import PermanentError, TemporaryError
from shared.imports.model.job import JobRecord
from shared.imports.model.keys import import_id_of, uploaded_at_of
from shared.imports.model.record import ImportRecord
from shared.redaction import redact
from shared.text import well_formed

__all__ = [
    "LISTED_COLUMNS",
    "SCHEMA",
    "UNKNOWN_FILE",
    "NewerRowError",
    "UnreadableRowError",
    "changed_columns",
    "is_newer",
    "job_row",
    "python_values",
    "readable_record",
    "table_values",
    "to_job",
    "to_record",
    "to_row",
]

#: Number of the present form of all rows. A row with a higher number was written by a newer version
#: of the app and is left alone.
SCHEMA = 4

#: The name of a file whose row does not tell it any more.
UNKNOWN_FILE = "(unknown)"

#: A string has 32,768 UTF-16 code units at most (learn: "Understanding the Table service data
#: model"), of which a character takes two at most.
MAX_MESSAGE = 16_000

#: Columns whose text comes from hubs and libraries.
_MESSAGES = frozenset({"endReason", "failureReason", "jobFailureReason"})
#: Columns that contain JSON.
_JSON = frozenset({"acts", "history", "memberLines", "members", "planCounts", "validation"})

T = TypeVar("T", ImportRecord, JobRecord)


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
    return _row_of(record, _IMPORTS)


def job_row(job: JobRecord) -> dict[str, Any]:
    """The row of a job; empty columns are left out."""
    return _row_of(job, _JOBS)


def changed_columns(record: ImportRecord, former: ImportRecord) -> dict[str, Any]:
    """The row of a record with keys and changed columns alone, to be merged into its former row."""
    row, before = to_row(record), to_row(former)
    changed = {name: value for name, value in row.items() if before.get(name) != value}
    # A merge cannot remove a column.
    emptied = dict.fromkeys(before.keys() - row.keys(), "")
    keys = ("PartitionKey", "RowKey", "schema")
    return {**emptied, **changed, **{name: row[name] for name in keys}}


def to_record(row: TableEntity) -> ImportRecord:
    """The record of a row.

    Raises:
        NewerRowError: a newer version of the app wrote it.
        UnreadableRowError: it was edited; names the columns that cannot be read.
    """
    return _read(row, _IMPORTS)


def to_job(row: TableEntity) -> JobRecord:
    """The job of a row.

    Raises:
        NewerRowError, UnreadableRowError: as `to_record`.
    """
    return _read(row, _JOBS)


def readable_record(row: Mapping[str, Any], etag: str = "") -> ImportRecord:
    """What can be read of a record's row; other columns have their defaults.

    Raises:
        ValueError: its keys are not those of a record.
    """
    uploaded_at = uploaded_at_of(row["RowKey"])
    columns = {
        "file": UNKNOWN_FILE,
        "createdAt": uploaded_at,
        "updatedAt": uploaded_at,
        **python_values(row),
        "hub": row["PartitionKey"],
        "id": import_id_of(row["RowKey"]),
        "uploadedAt": uploaded_at,
        "etag": etag,
    }
    try:
        return _in_true_state(_IMPORTS.record(columns))
    except ValidationError as error:
        unreadable = _IMPORTS.unreadable_columns(error)
    required = {"file": UNKNOWN_FILE, "createdAt": uploaded_at, "updatedAt": uploaded_at}
    readable = {name: value for name, value in columns.items() if name not in unreadable}
    return _in_true_state(_IMPORTS.record({**required, **readable}))


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


@dataclass(frozen=True)
class _Column:
    """A column and the field of a record, or of one of its groups, that it contains."""

    name: str
    #: "" for a field of the record itself.
    group: str
    field: str
    #: Whether it is of a second file, which most imports do not have.
    is_optional: bool = False

    @classmethod
    def of(cls, group: str, field: Field[Any], prefix: str = "") -> _Column:
        name = field.metadata.get("column", to_camel(field.name))
        if prefix:
            name = f"{prefix}{name[0].upper()}{name[1:]}"
        return cls(name, group, field.name, bool(prefix))

    def get(self, record: object) -> Any:
        holder: Any = getattr(record, self.group) if self.group else record
        if self.is_optional and not holder.container:
            return None
        return getattr(holder, self.field)


class _Format(Generic[T]):
    """The columns of one kind of record."""

    def __init__(self, kind: type[T]) -> None:
        self.columns = tuple(_columns(kind))
        self._groups = {column.group for column in self.columns if column.group}
        self._adapter: TypeAdapter[T] = TypeAdapter(kind)

    def record(self, columns: Mapping[str, Any]) -> T:
        """The record with these columns.

        Raises:
            ValidationError: not all of them can be read.
        """
        values: dict[str, Any] = {group: {} for group in self._groups}
        values["etag"] = columns["etag"]
        for column in self.columns:
            # Storage may return null for a selected column that a row does not have, and a merge
            # empties a column with "".
            if (value := columns.get(column.name)) not in (None, ""):
                if column.name in _JSON and isinstance(value, str):
                    value = _json(value)
                (values[column.group] if column.group else values)[column.field] = value
        return self._adapter.validate_python(values)

    def unreadable_columns(self, error: ValidationError) -> list[str]:
        """The columns that cannot be read, without their values."""
        problems = error.errors(include_input=False, include_context=False, include_url=False)
        fields_of = {(column.group, column.field): column.name for column in self.columns}
        places = (problem["loc"] for problem in problems)
        keys = (place[:2] if place[0] in self._groups else ("", place[0]) for place in places)
        return list(dict.fromkeys(fields_of[str(group), str(field)] for group, field in keys))


def _columns(kind: type[Any]) -> Iterator[_Column]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        if is_dataclass(hints[field.name]):
            prefix = field.metadata.get("prefix", "")
            yield from (_Column.of(field.name, part, prefix) for part in fields(hints[field.name]))
        elif field.name != "etag":
            yield _Column.of("", field)


_IMPORTS = _Format(ImportRecord)
_JOBS = _Format(JobRecord)

#: The columns of an import without the largest, which only the choice of a job needs.
LISTED_COLUMNS = tuple(column.name for column in _IMPORTS.columns if column.field != "footprint")


def _row_of(record: T, form: _Format[T]) -> dict[str, Any]:
    columns = {column.name: column.get(record) for column in form.columns}
    for name in _JSON & columns.keys():
        columns[name] = json.dumps(columns[name], default=datetime.isoformat)
    return table_values(
        {
            "PartitionKey": record.hub,
            "RowKey": record.row_key,
            "schema": SCHEMA,
            **{name: value for name, value in columns.items() if value not in _EMPTY},
        }
    )


#: Values of columns that are left out.
_EMPTY = ("", b"", "{}", "[]", None)


def _read(row: TableEntity, form: _Format[T]) -> T:
    if is_newer(row):
        raise NewerRowError(row)
    columns = {**python_values(row), "etag": str(row.metadata["etag"])}
    try:
        record = form.record(columns)
    except ValidationError as error:
        unreadable = ", ".join(form.unreadable_columns(error))
        raise UnreadableRowError(row, f"invalid column {unreadable}") from None
    if (record.hub, record.row_key) != (row["PartitionKey"], row["RowKey"]):
        raise UnreadableRowError(row, "hub, id or uploadedAt does not fit its keys")
    return _in_true_state(record)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        # No such column may be a number, so the validation names the column.
        return 0


def _in_true_state(record: T) -> T:
    """The record in the state of its history, which the app writes with each change of state.

    A state that was typed by hand must not bring an import back to where it gets a second job.
    """
    if not record.history or record.history[-1][0] is record.state:
        return record
    return replace(record, state=record.history[-1][0])
