"""Retry of an import that failed before staging: its upload is validated again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from tests.app import App, device, fail_writes

NAME = "pumps.ndjson"


def fail_unstaged(app: App, *lines: object) -> ImportRecord:
    """An import of a valid file that could not be staged."""

    app.configure(MAX_ATTEMPTS="1")
    app.upload(NAME, *(lines or (device("pump-1"),)))
    app.before_request = fail_writes
    app.sweep()
    app.before_request = lambda _: None
    record = app.record(NAME)
    assert (record.state, record.devices) == ("failed", None)
    return record


def retry(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.actions.retry(record)


def current(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.services.store.get(record.hub, record.row_key)


def test_upload_is_validated_again(app: App) -> None:
    failed = fail_unstaged(app)
    assert failed.can_be_retried
    new = retry(app, failed)
    assert (new.state, new.retry_of, new.file) == ("validating", failed.id, NAME)
    assert new.id != failed.id
    app.finish()
    new = current(app, new)
    assert (new.state, new.lines, new.imported, new.validation_attempts) == ("completed", 1, 1, 1)
    assert current(app, failed) == failed
    assert [state for state, _ in new.history] == [
        "validating",
        "queued",
        "starting",
        "running",
        "completed",
    ]


def test_repeated_retry_returns_the_same_import(app: App) -> None:
    failed = fail_unstaged(app)
    new = retry(app, failed)
    assert retry(app, failed).id == new.id
    app.finish()
    again = retry(app, failed)
    assert (again.id, again.state) == (new.id, "completed")
    assert len(app.records()) == 2
    assert len(app.hub.jobs) == 1


def test_event_of_the_upload_is_ignored(app: App) -> None:
    new = retry(app, fail_unstaged(app))
    app.deliver(NAME)
    app.sweep()
    app.finish()
    assert sorted(record.state for record in app.records()) == ["completed", "failed"]
    assert current(app, new).state == "completed"


def test_current_rules_apply_to_a_retry(app: App) -> None:
    failed = fail_unstaged(app, device("pump-1", importMode="delete"))
    app.configure(MAX_DELETES="0")
    new = retry(app, failed)
    app.finish()
    new = current(app, new)
    assert (new.state, new.imported) == ("rejected", 0)
    assert len(app.hub.jobs) == 0


@pytest.mark.parametrize("fate", ["overwritten", "deleted"])
def test_deleted_upload_cannot_be_validated_again(app: App, fate: str) -> None:
    failed = fail_unstaged(app)
    app.blobs.get_blob_client(app.container, NAME).delete_blob()
    if fate == "overwritten":
        app.upload(NAME, device("pump-2"))
    with pytest.raises(NotPossibleError, match="Upload the file again"):
        retry(app, failed)
    assert len(app.records()) == 1


def test_upload_deleted_before_its_retry_is_superseded(app: App) -> None:
    new = retry(app, fail_unstaged(app))
    app.blobs.get_blob_client(app.container, NAME).delete_blob()
    app.finish()
    assert current(app, new).state == "superseded"


@pytest.mark.parametrize("hours", [-2, 2])
def test_queue_position_uses_the_storage_clock(app: App, hours: int) -> None:
    """After all earlier uploads, even if the app's clock is wrong."""
    failed = fail_unstaged(app)
    app.configure(MAX_ATTEMPTS="5")
    app.hub.occupy_slot()
    app.upload("before.ndjson", device("pump-1"))
    app.deliver("before.ndjson")
    app.clock.ahead_hours(hours)
    new = retry(app, failed)
    before = app.record("before.ndjson").uploaded_at
    assert before < new.uploaded_at <= before + timedelta(minutes=1)
    app.clock.ahead_hours(0)
    app.hub.free_slot()
    app.finish()
    starts = sorted(
        (record.job.start_time_utc, record.id)
        for record in app.records()
        if record.job.start_time_utc
    )
    assert [import_id for _, import_id in starts] == [app.record("before.ndjson").id, new.id]
