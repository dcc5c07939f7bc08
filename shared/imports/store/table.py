"""The imports table: queries and writes as the stores need them.

The table is created when a write first finds none; until then every query is empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.data.tables import TableClient, TableEntity, TableTransactionError, UpdateMode

__all__ = ["APP", "MAX_OPERATIONS", "MAX_PAGE", "ImportsTable", "guarded", "unchanged"]

#: Partition of the app's own rows. Not a possible name of a hub.
APP = "(app)"

#: Operations of a transaction (learn: "Performing entity group transactions").
MAX_OPERATIONS = 100

#: Rows of a page (learn: "Query timeout and pagination").
MAX_PAGE = 1000

Row = Mapping[str, Any]
T = TypeVar("T")


class ImportsTable:
    """A table whose rows belong together by partition. Safe to use from several threads."""

    def __init__(self, client: TableClient) -> None:
        self._client = client

    def get(self, partition: str, row_key: str) -> TableEntity | None:
        try:
            return self._client.get_entity(partition, row_key)
        except ResourceNotFoundError:
            return None

    def query(
        self,
        condition: str,
        parameters: Mapping[str, Any] | None = None,
        *,
        columns: Sequence[str] | None = None,
        page: int = MAX_PAGE,
    ) -> Iterator[TableEntity]:
        """The rows that meet an OData condition, in the order of their keys.

        Args:
            page: rows that one request returns at most.
        """
        rows = self._client.query_entities(
            condition,
            parameters=dict(parameters or {}),
            select=None if columns is None else ["PartitionKey", "RowKey", "schema", *columns],
            results_per_page=min(page, MAX_PAGE),
        )
        with contextlib.suppress(ResourceNotFoundError):
            yield from rows

    def range(
        self,
        partition: str,
        start: str,
        end: str,
        *,
        columns: Sequence[str] | None = None,
        page: int = MAX_PAGE,
    ) -> Iterator[TableEntity]:
        """The rows of a partition from one row key up to another, which is not included."""
        return self.query(
            "PartitionKey eq @partition and RowKey ge @start and RowKey lt @end",
            {"partition": partition, "start": start, "end": end},
            columns=columns,
            page=page,
        )

    def pages(
        self,
        condition: str,
        parameters: Mapping[str, Any],
        *,
        columns: Sequence[str],
        page: int = MAX_PAGE,
    ) -> Iterator[tuple[list[TableEntity], Any]]:
        """As `query`, page by page: each is one request, which ends after 5 seconds at the latest.

        A page may be empty although more follow.

        Yields:
            The rows, and the position of the next page; None after the last.
        """
        pages = self._client.query_entities(
            condition,
            parameters=dict(parameters),
            select=["PartitionKey", "RowKey", "schema", *columns],
            results_per_page=min(page, MAX_PAGE),
        ).by_page()
        with contextlib.suppress(ResourceNotFoundError):
            for rows in pages:
                yield list(rows), pages.continuation_token  # type: ignore[attr-defined]

    def page(self, condition: str, position: Any) -> tuple[list[TableEntity], Any]:
        """One page of a query over all partitions, and the position of the next; None after it."""
        pages = self._client.query_entities(condition).by_page(position)
        try:
            rows = list(next(pages, ()))
        except ResourceNotFoundError:
            return [], None
        return rows, pages.continuation_token  # type: ignore[attr-defined]

    def insert(self, row: Row) -> None:
        """Add a row.

        Raises:
            ResourceExistsError: there is one with these keys.
        """
        self._creating_table(lambda: self._client.create_entity(dict(row)))

    def upsert(self, row: Row, mode: UpdateMode = UpdateMode.REPLACE) -> None:
        """Write a row, whatever it was before."""
        self._creating_table(lambda: self._client.upsert_entity(dict(row), mode=mode))

    def merge(self, row: Row) -> None:
        """Change some columns of a row; one that was deleted does not come back by it."""
        with contextlib.suppress(ResourceNotFoundError):
            self._client.update_entity(dict(row), mode=UpdateMode.MERGE)

    def update(self, row: Row, etag: str, mode: UpdateMode = UpdateMode.REPLACE) -> str:
        """Write a row unless it changed since it was read; returns its new ETag.

        Raises:
            ResourceModifiedError, ResourceNotFoundError: it changed, or was deleted.
        """
        # Alone it takes a third of the time of a transaction.
        return str(self._client.update_entity(dict(row), **guarded(etag, mode))["etag"])

    def delete(self, partition: str, row_key: str) -> None:
        """Delete a row, if it is there."""
        self._client.delete_entity(partition, row_key)

    def delete_all(self, partition: str, row_keys: Sequence[str]) -> None:
        """Delete rows of a partition, as far as they are there."""
        rows = [{"PartitionKey": partition, "RowKey": row_key} for row_key in row_keys]
        for start in range(0, len(rows), MAX_OPERATIONS):
            batch = rows[start : start + MAX_OPERATIONS]
            try:
                self.transact([("delete", row) for row in batch])
            except ResourceNotFoundError:
                for row in batch:
                    self.delete(partition, row["RowKey"])

    def transact(self, operations: Sequence[tuple[Any, ...]]) -> list[Mapping[str, Any]]:
        """Do all operations or none; returns what storage says of each row, such as its ETag.

        Raises:
            ResourceExistsError, ResourceModifiedError, ResourceNotFoundError: what the operation
                that failed would have raised alone.
        """
        if operations[0][0] == "create":
            return self._creating_table(lambda: self._submit(operations))
        return self._submit(operations)

    def _creating_table(self, write: Callable[[], T]) -> T:
        try:
            return write()
        except ResourceNotFoundError:
            with contextlib.suppress(ResourceExistsError):
                self._client.create_table()
            return write()

    def _submit(self, operations: Sequence[tuple[Any, ...]]) -> list[Mapping[str, Any]]:
        try:
            # A transaction is a POST, which azure-core repeats only if asked to. A repetition of
            # one that was done is recognised by the record's `write_id`.
            return list(
                self._client.submit_transaction(operations, retry_on_methods=frozenset({"POST"}))
            )
        except TableTransactionError as error:
            raise _cause(error) from error


def unchanged(etag: str) -> dict[str, Any]:
    """Options of a deletion that fails if the row changed since it was read."""
    return {"etag": etag, "match_condition": MatchConditions.IfNotModified}


def guarded(etag: str, mode: UpdateMode = UpdateMode.REPLACE) -> dict[str, Any]:
    """Options of an update that fails if the row changed since it was read."""
    return {"mode": mode, **unchanged(etag)}


def _cause(error: TableTransactionError) -> HttpResponseError:
    kind = {404: ResourceNotFoundError, 409: ResourceExistsError, 412: ResourceModifiedError}.get(
        error.status_code or 0
    )
    return kind(message=error.message, response=error.response) if kind else error
