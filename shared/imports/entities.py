"""Rows of the table as the SDK has them, and as records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, EntityProperty, TableTransactionError

from shared.imports.record import ImportRecord

__all__ = ["cause_of", "plain", "to_entity", "to_record", "typed"]


def to_entity(record: ImportRecord) -> dict[str, Any]:
    return typed(record.to_entity())


def to_record(entity: Any) -> ImportRecord:
    return ImportRecord.model_validate({**plain(entity), "etag": entity.metadata["etag"]})


def typed(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns as the SDK wants them: it takes an integer for 32 bits unless told otherwise."""
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
