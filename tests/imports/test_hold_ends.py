"""What ends a hold, and where an approved import stands in the queue."""

from __future__ import annotations

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.safeguards import ActName
from shared.imports.upkeep.retention import Retention
from tests.app import App, device
from tests.imports.guards import (
    ADA,
    advance,
    approve,
    current,
    decline,
    deletion,
    held,
    is_held,
)
from tests.imports.plans import NAME, counts, imports, pump, rows_of, send, site

FILE = [deletion(number) for number in range(3)]
DAY = 24 * 60


def test_cancelled(guarding: App) -> None:
    record = held(guarding, *FILE)
    ended = guarding.importer.actions.cancel(record, by=ADA)
    assert counts(ended)[:3] == ("cancelled", 0, 0)
    assert [act.name for act in ended.acts] == [ActName.CANCEL]
    assert "No device was changed" in ended.failure_reason
    assert rows_of(guarding, "held") == rows_of(guarding, "queue") == []
    with pytest.raises(NotPossibleError, match="is cancelled"):
        approve(guarding, record)


@pytest.mark.parametrize("days", [1, 30])
def test_deadline_of_the_record_counts(guarding: App, days: int) -> None:
    guarding.configure(APPROVAL_DEADLINE_DAYS=str(days))
    record = held(guarding, *FILE)
    guarding.configure(APPROVAL_DEADLINE_DAYS="7")
    guarding.pass_minutes(days * DAY - 60)
    guarding.sweep()
    assert current(guarding, record).state == "held"
    guarding.pass_minutes(120)
    guarding.sweep()
    ended = current(guarding, record)
    assert ended.state == "cancelled"
    assert f"within {days} days" in ended.failure_reason
    assert ended.acts == ()


def test_too_late_to_approve(guarding: App) -> None:
    record = held(guarding, *FILE)
    guarding.pass_minutes(8 * DAY)
    with pytest.raises(NotPossibleError, match="APPROVAL_DEADLINE_DAYS"):
        approve(guarding, record)
    assert current(guarding, record).state == "cancelled"


def test_too_late_as_the_upload_was_overwritten(guarding: App) -> None:
    record = held(guarding, *FILE)
    guarding.upload(NAME, pump(1, "b"))
    with pytest.raises(NotPossibleError, match="overwritten or deleted"):
        approve(guarding, record)
    assert counts(current(guarding, record))[:3] == ("superseded", 0, 0)
    guarding.deliver(NAME)
    guarding.finish()
    assert (site(guarding, 0), site(guarding, 1)) == ("a", "b")


def test_deleted_upload_supersedes(guarding: App) -> None:
    record = held(guarding, *FILE)
    guarding.blobs.get_blob_client(guarding.container, NAME).delete_blob()
    guarding.sweep()
    assert current(guarding, record).state == "superseded"
    assert rows_of(guarding, "held") == []


def test_retry_outlives_its_upload_but_not_a_newer_one(guarding: App) -> None:
    ended = decline(guarding, held(guarding, *FILE))
    retry = is_held(guarding, guarding.importer.actions.retry(ended, ADA))
    guarding.blobs.get_blob_client(guarding.container, NAME).delete_blob()
    guarding.sweep()
    assert current(guarding, retry).state == "held"
    guarding.upload(NAME, pump(1, "b"))
    guarding.sweep()
    assert current(guarding, retry).state == "superseded"


def test_retention_takes_nothing_of_a_held_import(guarding: App) -> None:
    guarding.configure(
        APPROVAL_DEADLINE_DAYS="90",
        BACKUP="always",
        IMPORT_RETENTION_DAYS="1",
        RECORD_RETENTION_DAYS="30",
        UPLOAD_RETENTION="delete",
    )
    record = held(guarding, *FILE)
    guarding.pass_minutes(80 * DAY)
    for task in Retention(guarding.importer.services).tasks().values():
        task()
    guarding.sweep()
    approve(guarding, current(guarding, record))
    guarding.finish()
    record = current(guarding, record)
    assert counts(record)[:3] == ("completed", 3, 0)
    assert guarding.blobs.get_container_client(record.backup.container).exists()


def test_approved_import_is_behind_what_was_uploaded_before(guarding: App) -> None:
    record = held(guarding, *FILE)
    guarding.hub.occupy_slot()
    send(guarding, pump(7, "b"), name="before.ndjson")
    approved = approve(guarding, record)
    queue = guarding.importer.services.queue_rows.oldest(record.hub)
    before = guarding.record("before.ndjson")
    assert [row.record_key for row in queue] == [before.row_key, approved.row_key]
    guarding.hub.free_slot()
    guarding.finish()
    assert {counts(item)[0] for item in guarding.records()} == {"completed"}
    assert [job["inputBlobContainerUri"].partition("?")[0][-24:] for job in imports(guarding)] == [
        before.id,
        record.id,
    ]


def test_upload_whose_event_is_missing_precedes_an_approved_import(guarding: App) -> None:
    record = held(guarding, *FILE)
    guarding.upload("unseen.ndjson", device("pump-0", tags={"site": "late"}))
    approve(guarding, record)
    guarding.finish()
    # It was uploaded before the approval, so it changed the device before.
    unseen = guarding.record("unseen.ndjson")
    assert counts(unseen)[0] == "completed"
    assert site(guarding, 0) == "late"
    assert counts(current(guarding, record))[:3] == ("completedWithErrors", 2, 1)


def test_all_held_imports_are_found(guarding: App) -> None:
    first = held(guarding, *FILE)
    second = held(guarding, *map(deletion, range(10, 13)), name="second.ndjson")
    keys = guarding.importer.services.held_rows.record_keys(first.hub)
    assert sorted(keys) == sorted([first.row_key, second.row_key])
    # Neither has changed anything.
    approve(guarding, second)
    advance(guarding, 2)
    guarding.hub.wait_idle()
    decline(guarding, first)
    guarding.finish()
    assert (site(guarding, 0), site(guarding, 10)) == ("a", None)
