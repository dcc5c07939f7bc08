"""Imports that are held, backed up and undone."""

from __future__ import annotations

import json
from typing import Any

from azure.data.tables import UpdateMode

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from tests.app import App, device
from tests.imports.plans import NAME, keys, send

ADA = Actor("ada@example.com", "11111111-1111-1111-1111-111111111111", "dashboard")

#: Devices of the fixture `guarding`.
PUMPS = 30


def deletion(number: int) -> dict[str, object]:
    return device(f"pump-{number}", importMode="delete")


def module(number: int, name: str = "m1", **members: object) -> dict[str, object]:
    return device(f"pump-{number}", moduleId=name, authentication=keys(9), **members)


def advance(app: App, times: int = 3) -> None:
    """Complete the hub's jobs and tick, whatever is open then."""
    for _ in range(times):
        app.hub.wait_idle()
        app.tick()
    app.hub.wait_idle()


def current(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.services.store.get(record.hub, record.row_key)


def held(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    """An import that waits for its approval."""
    return is_held(app, send(app, *lines, name=name))


def is_held(app: App, record: ImportRecord) -> ImportRecord:
    advance(app)
    record = current(app, record)
    assert record.state == "held", record.failure_reason
    return record


def approve(app: App, record: ImportRecord, later: int = 0) -> ImportRecord:
    return app.importer.approvals.approve(record, record.hold.digest, later, ADA)


def decline(app: App, record: ImportRecord, reason: str = "") -> ImportRecord:
    return app.importer.approvals.decline(record, reason, ADA)


def run(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    """An import to its end."""
    record = send(app, *lines, name=name)
    app.finish()
    return current(app, record)


def begin_undo(app: App, record: ImportRecord, **options: Any) -> ImportRecord:
    """An undo at the end of the queue, so late that the registry shows what was imported."""
    app.pass_minutes(40)
    return app.importer.actions.undo(record, record.creates or 0, ADA, **options)


def is_started(app: App, record: ImportRecord) -> None:
    """Wait for the job of an import: what is uploaded then comes later."""
    while current(app, record).state != "starting":
        app.tick()


def undo(app: App, record: ImportRecord, **options: Any) -> ImportRecord:
    """An undo to its end."""
    new = begin_undo(app, record, **options)
    app.finish()
    return current(app, new)


def backup_of(app: App, record: ImportRecord) -> list[dict[str, Any]]:
    """The lines of a backup."""
    blob = app.blobs.get_blob_client(record.backup.container, record.backup.name)
    return [json.loads(line) for line in blob.download_blob().readall().splitlines()]


def edit(app: App, record: ImportRecord, **columns: Any) -> None:
    """Edit the row of a record by hand."""
    row = {"PartitionKey": record.hub, "RowKey": record.row_key, **columns}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
