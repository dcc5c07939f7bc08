"""Rows of the table as the SDK has them, and as records."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, EntityProperty, TableEntity, TableTransactionError
from pydantic import ValidationError

from shared.errors import PermanentError, TemporaryError
from shared.imports.model.record import (
    SCHEMA,
    ImportRecord,
    import_id_of,
    uploaded_at_of,
)
from shared.imports.store.columns import storable

__all__ = [
    "NewerRowError",
    "UnreadableRowError",
    "cause_of",
    "is_newer",
    "plain",
    "salvage",
    "to_entity",
    "to_record",
    "typed",
]


class UnreadableRowError(PermanentError):
    """A row of the table was edited so that it cannot be read any more."""

    def __init__(self, row: Mapping[str, Any], why: str) -> None:
        #: The row with Python's values, its ETag as `etag`.
        self.row = dict(row)
        super().__init__(f"Row {row['RowKey']} cannot be read: {why}.")


class NewerRowError(TemporaryError):
    """A row was written by a newer version of the app, which alone may change it."""

    def __init__(self, row: TableEntity) -> None:
        #: When it was written, by the clock of storage.
        self.written_at: datetime | None = row.metadata.get("timestamp")
        super().__init__(
            f"Row {row['RowKey']} was written by a newer version of the app (schema "
            f"{row['schema']}, this version knows {SCHEMA}). Deploy that version, or wait until "
            "its deployment is complete."
        )


def to_entity(record: ImportRecord) -> dict[str, Any]:
    """The row of a record.

    Raises:
        ValueError: one of its times has no zone.
    """
    return typed(storable(record.to_entity()))


def to_record(entity: Any) -> ImportRecord:
    """The record of a row.

    Raises:
        NewerRowError: a newer version of the app wrote it.
        UnreadableRowError: people edited it; says which columns cannot be read.
    """
    row = {**plain(entity), "etag": str(entity.metadata["etag"])}
    if is_newer(row):
        raise NewerRowError(entity)
    try:
        record = ImportRecord.model_validate(row)
    except (ValidationError, ValueError, RecursionError) as error:
        raise UnreadableRowError(row, _what_is_wrong(error)) from None
    if (record.hub, record.row_key) != (row["PartitionKey"], row["RowKey"]):
        raise UnreadableRowError(row, "hub, id or uploadedAt does not fit its keys")
    return _in_true_state(record)


def salvage(row: Mapping[str, Any]) -> ImportRecord:
    """What can still be read of a record's row; other columns have their defaults.

    Raises:
        ValueError: its keys are not those of a record.
    """
    uploaded_at = uploaded_at_of(row["RowKey"])
    certain = {
        "hub": row["PartitionKey"],
        "id": import_id_of(row["RowKey"]),
        "uploadedAt": uploaded_at,
    }
    required = {
        "file": "(unknown)",
        "createdAt": uploaded_at,
        "updatedAt": uploaded_at,
    }
    columns = {**required, **row, **certain}
    try:
        return _in_true_state(ImportRecord.model_validate(columns))
    except ValidationError as error:
        unreadable = {str(problem["loc"][0]) for problem in error.errors(include_context=False)}
    except (ValueError, RecursionError):
        unreadable = {"history", "validation"}
    readable = {name: value for name, value in columns.items() if name not in unreadable}
    return _in_true_state(ImportRecord.model_validate({**required, **readable, **certain}))


def _in_true_state(record: ImportRecord) -> ImportRecord:
    """The record in the state of its history, which the app writes with each change of state.

    A state that people typed or removed must not bring an import back to where it has a job a
    second time.
    """
    if not record.history or record.history[-1][0] is record.state:
        return record
    return record.model_copy(update={"state": record.history[-1][0]})


def is_newer(row: Mapping[str, Any]) -> bool:
    """Whether a newer version of the app wrote the row."""
    schema = row.get("schema", SCHEMA)
    return isinstance(schema, int) and schema > SCHEMA


def typed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as the SDK wants them: it takes an integer for 32 bits unless told otherwise.

    Raises:
        ValueError: a time has no zone.
    """
    for name, value in columns.items():
        if isinstance(value, datetime) and value.tzinfo is None:
            raise ValueError(f"{name} has no time zone")
    return {
        name: EntityProperty(value, EdmType.INT64)
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 31
        else value
        for name, value in columns.items()
    }


def plain(entity: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of a row with Python's values."""
    return {
        name: value.value if isinstance(value, EntityProperty) else value
        for name, value in entity.items()
    }


def cause_of(error: TableTransactionError) -> HttpResponseError:
    """What the operation that failed would have raised by itself."""
    kind = {404: ResourceNotFoundError, 409: ResourceExistsError, 412: ResourceModifiedError}.get(
        error.status_code or 0
    )
    return kind(message=error.message, response=error.response) if kind else error


def _what_is_wrong(error: Exception) -> str:
    """The columns that cannot be read, without their values."""
    if not isinstance(error, ValidationError):
        return "history or validation is not JSON"
    problems = error.errors(include_input=False, include_context=False, include_url=False)
    columns = dict.fromkeys(str(problem["loc"][0]) for problem in problems if problem["loc"])
    return f"column{'' if len(columns) == 1 else 's'} {', '.join(columns)}"
