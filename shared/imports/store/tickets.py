"""Who uploads a file: a ticket is written before the upload, whose metadata then name it.

Anybody who may upload can write any metadata. So they contain only the random id of the ticket, and
the ticket counts for one version of one blob.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError
from azure.data.tables import TableEntity, UpdateMode

from shared.imports.model.safeguards import Actor
from shared.imports.store.rows import SCHEMA, is_newer, table_values
from shared.imports.store.table import ImportsTable
from shared.logs import logger
from shared.text import clean

__all__ = ["TICKET_METADATA", "UploadTicket", "UploadTickets", "ticket_of"]

log = logger(__name__)

#: Partition of the tickets. Not a possible name of a hub.
UPLOADS = "(uploads)"

#: Name of the metadata of a blob that contain the id of its ticket. Storage may change its case.
TICKET_METADATA = "uploadticket"
_TICKET = re.compile(r"[0-9a-f]{32}")

#: How much the clocks of the app and of storage may differ.
CLOCK_MARGIN = timedelta(minutes=15)

#: How long a ticket is kept: an upload can be noticed days later, after an outage.
KEPT_FOR = timedelta(days=7)
#: Tickets that one sweep deletes.
MAX_DELETED = 1000

#: Characters of a name or id, as `shared.web.callers` limits them.
_MAX_NAME = 256


@dataclass(frozen=True)
class UploadTicket:
    """That somebody may upload a blob."""

    id: str
    #: Name of the blob.
    file: str
    by: Actor
    #: When the upload has to be complete.
    until: datetime
    #: The id of the import that it was used for; "" if it is unused.
    import_id: str = ""


def ticket_of(metadata: dict[str, str] | None) -> str:
    """The id of a ticket in the metadata of a blob; "" if there is none."""
    for name, value in (metadata or {}).items():
        if name.lower() == TICKET_METADATA and _TICKET.fullmatch(value):
            return value
    return ""


class UploadTickets:
    """Reads and writes tickets."""

    def __init__(self, table: ImportsTable) -> None:
        self._table = table

    def issue(self, file: str, by: Actor, until: datetime) -> UploadTicket:
        """Write a ticket. A repetition after a lost answer is another one."""
        ticket = UploadTicket(secrets.token_hex(16), file, by, until)
        row = {
            "PartitionKey": UPLOADS,
            "RowKey": ticket.id,
            "file": file,
            "who": by.who,
            "actorId": by.id,
            "via": by.via,
            "until": until,
            "schema": SCHEMA,
        }
        # Not inserted: if the answer is lost, the SDK repeats the request.
        self._table.upsert(table_values(row))
        return ticket

    def find(self, ticket_id: str) -> UploadTicket | None:
        """A ticket; None if there is none, or none that can be read."""
        row = self._table.get(UPLOADS, ticket_id)
        return None if row is None else _ticket(row)

    def use(self, ticket_id: str, file: str, uploaded_at: datetime, import_id: str) -> Actor | None:
        """Use a ticket for the import of an upload; may be repeated for the same import.

        Returns:
            Who uploaded it; None if the ticket says nothing about this upload.
        """
        row = self._table.get(UPLOADS, ticket_id)
        ticket = None if row is None else _ticket(row)
        if row is None or ticket is None:
            return None
        if ticket.file != file or uploaded_at > ticket.until + CLOCK_MARGIN:
            log.warning("the upload ticket of %r is that of another upload, or expired", file)
            return None
        if not ticket.import_id:
            keys = {"PartitionKey": UPLOADS, "RowKey": ticket_id}
            etag = str(row.metadata["etag"])
            try:
                self._table.update({**keys, "importId": import_id}, etag, UpdateMode.MERGE)
                ticket = replace(ticket, import_id=import_id)
            except (ResourceModifiedError, ResourceNotFoundError):
                # By another process, or by this call, whose first answer was lost.
                ticket = self.find(ticket_id)
        if ticket is None or ticket.import_id != import_id:
            log.warning("the upload ticket of %r was used before", file)
            return None
        return ticket.by

    def delete_expired(self, now: datetime) -> None:
        """Delete tickets that no upload can need any more, a part of them each time."""
        rows = self._table.query(
            "PartitionKey eq @uploads and until lt @time",
            {"uploads": UPLOADS, "time": now - KEPT_FOR},
            columns=(),
        )
        self._table.delete_all(UPLOADS, [row["RowKey"] for row in islice(rows, MAX_DELETED)])


def _ticket(row: TableEntity) -> UploadTicket | None:
    values: dict[str, Any] = {name: row.get(name, "") for name in _TEXTS}
    until = row.get("until")
    is_readable = all(isinstance(value, str) for value in values.values())
    if is_newer(row) or not is_readable or not isinstance(until, datetime) or not until.tzinfo:
        log.error("the row %s of an upload cannot be read", row["RowKey"])
        return None
    who, user_id, via = (clean(values[name], _MAX_NAME) for name in ("who", "actorId", "via"))
    by = Actor(who or "unknown", user_id, via)
    return UploadTicket(row["RowKey"], values["file"], by, until, values["importId"])


_TEXTS = ("file", "who", "actorId", "via", "importId")
