"""Rows of the table as the SDK has them, and as records."""

from __future__ import annotations

from typing import Any

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import EdmType, EntityProperty, TableTransactionError

from shared.imports.record import ImportRecord

__all__ = ["cause_of", "to_entity", "to_record"]


def to_entity(record: ImportRecord) -> dict[str, Any]:
    return {
        name: EntityProperty(value, EdmType.INT64)
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 31
        else value
        for name, value in record.to_entity().items()
    }


def to_record(entity: Any) -> ImportRecord:
    columns = {
        name: value.value if isinstance(value, EntityProperty) else value
        for name, value in entity.items()
    }
    return ImportRecord.model_validate({**columns, "etag": entity.metadata["etag"]})


def cause_of(error: TableTransactionError) -> HttpResponseError:
    """What the operation that failed would have raised by itself."""
    kind = {404: ResourceNotFoundError, 409: ResourceExistsError, 412: ResourceModifiedError}.get(
        error.status_code or 0
    )
    return kind(message=error.message, response=error.response) if kind else error
