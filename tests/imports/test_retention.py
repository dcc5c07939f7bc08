"""Data that is deleted after an import is final, when, and data that is kept."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from shared.errors import SettingsError
from shared.imports.model.record import ImportRecord
from shared.imports.workflow import upload_scan as uploads
from tests.app import App, device, fail_writes

DAY = 24


def complete(app: App, name: str = "pumps.ndjson") -> ImportRecord:
    app.upload(name, device("pump-1"))
    app.deliver(name)
    app.finish()
    return app.record(name)


def is_there(app: App, container: str) -> bool:
    return app.blobs.get_container_client(container).exists()


def content(app: App, container: str, name: str) -> bytes:
    return app.blobs.get_blob_client(container, name).download_blob().readall()


def has_upload(app: App, name: str = "pumps.ndjson") -> bool:
    return app.blobs.get_blob_client(app.container, name).exists()


def archive(app: App) -> str:
    """Configure the app to move uploads; return the name of the archive container."""
    name = f"processed-{uuid.uuid4().hex[:12]}"
    app.configure(UPLOAD_RETENTION="move", UPLOAD_ARCHIVE_CONTAINER=name)
    return name


def test_container_of_a_final_import_is_kept_for_the_retention_time(app: App) -> None:
    record = complete(app)
    app.clock.ahead_hours(29 * DAY)
    app.sweep()
    assert is_there(app, record.staged.container)
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert not is_there(app, record.staged.container)
    assert app.record("pumps.ndjson") == record


def test_containers_can_be_kept_forever(app: App) -> None:
    app.configure(IMPORT_RETENTION_DAYS="0")
    record = complete(app)
    app.clock.ahead_hours(4000 * DAY)
    app.sweep()
    assert is_there(app, record.staged.container)


@pytest.mark.parametrize("state", ["queued", "running"])
def test_container_of_an_open_import_is_kept(app: App, state: str) -> None:
    if state == "queued":
        app.hub.occupy_slot()
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    record = app.record("pumps.ndjson")
    assert record.state == state
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert is_there(app, record.staged.container)


def test_retention_time_starts_when_the_import_is_final(app: App) -> None:
    app.hub.occupy_slot()
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.hub.free_slot()
    app.clock.ahead_hours(31 * DAY)
    app.finish()
    record = app.record("pumps.ndjson")
    app.sweep()
    assert is_there(app, record.staged.container)
    app.clock.ahead_hours(62 * DAY)
    app.sweep()
    assert not is_there(app, record.staged.container)


def test_unrelated_containers_are_kept(app: App) -> None:
    """Other apps may share the account and use any container names."""
    old, recent = (f"import-{uuid.uuid4().hex}" for _ in range(2))
    others = {
        old: {"table": "Another", "hub": "hub", "record": "import-1-2"},
        recent: None,
        f"exports-{uuid.uuid4().hex}": {"table": app.settings["IMPORTS_TABLE"], "hub": "hub"},
    }
    for name, metadata in others.items():
        app.blobs.create_container(name, metadata=metadata)
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert all(is_there(app, name) for name in others)


def test_old_container_without_a_record_is_deleted(app: App) -> None:
    record = complete(app)
    app.blobs.get_blob_client(app.container, "pumps.ndjson").delete_blob()
    app.table.delete_entity(record.hub, record.row_key)
    app.clock.ahead_hours(29 * DAY)
    app.sweep()
    assert is_there(app, record.staged.container)
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert not is_there(app, record.staged.container)


def test_containers_of_failed_attempts_are_deleted(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))

    app.before_request = fail_writes
    app.sweep()
    app.before_request = lambda _: None
    app.sweep()
    app.finish()
    record = app.record("pumps.ndjson")
    containers = [f"import-{record.id}", f"import-{record.id}-2"]
    assert record.staged.container == containers[1]
    assert all(is_there(app, container) for container in containers)
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert not any(is_there(app, container) for container in containers)


def test_uploads_are_kept_by_default(app: App) -> None:
    complete(app)
    app.clock.ahead_hours(400 * DAY)
    app.sweep()
    assert has_upload(app)


def test_fully_imported_upload_is_deleted(app: App) -> None:
    """An upload that needs a correction is kept."""
    app.configure(UPLOAD_RETENTION="delete")
    app.hub.occupy_slot()
    app.upload("pumps.ndjson", device("pump-1"))
    app.upload("broken.ndjson", b"broken")
    for name in ("pumps.ndjson", "broken.ndjson"):
        app.deliver(name)
    app.sweep()
    assert has_upload(app, "pumps.ndjson")
    app.hub.free_slot()
    app.finish()
    app.sweep()
    assert not has_upload(app, "pumps.ndjson")
    assert has_upload(app, "broken.ndjson")
    app.deliver("pumps.ndjson")
    assert len(app.records()) == 2


def test_upload_of_a_final_import_is_moved(app: App) -> None:
    archived = archive(app)
    names = ["site/pumps.ndjson", "été.ndjson"]
    records = [complete(app, name) for name in names]
    uploaded = [content(app, app.container, name) for name in names]
    app.sweep()
    assert not any(has_upload(app, name) for name in names)
    moved = app.blobs.get_container_client(archived).list_blob_names()
    expected = [f"{record.id}/{record.file}" for record in records]
    assert sorted(moved) == sorted(expected)
    assert [content(app, archived, name) for name in expected] == uploaded
    app.sweep()
    assert len(app.records()) == 2


def test_uploads_cannot_be_moved_to_their_own_container(app: App) -> None:
    """Each moved blob would be a new upload, endlessly."""
    app.configure(UPLOAD_RETENTION="move", UPLOAD_ARCHIVE_CONTAINER=app.container)
    with pytest.raises(SettingsError):
        app.sweep()


def test_large_upload_is_moved_unchanged(app: App) -> None:
    archived = archive(app)
    app.upload("large.ndjson", *(f"broken {n}".encode() * 100 for n in range(6000)))
    uploaded = content(app, app.container, "large.ndjson")
    app.deliver("large.ndjson")
    app.sweep()
    record = app.record("large.ndjson")
    assert record.state == "rejected"
    assert content(app, archived, f"{record.id}/large.ndjson") == uploaded
    assert not has_upload(app, "large.ndjson")


@pytest.mark.parametrize(("retention", "method"), [("delete", "DELETE"), ("move", "GET")])
def test_overwritten_upload_is_kept(app: App, retention: str, method: str) -> None:
    archived = archive(app)
    app.configure(UPLOAD_RETENTION=retention)
    complete(app)

    def overwrite(request: str) -> None:
        if request == f"{method} /devstoreaccount1/{app.container}/pumps.ndjson":
            app.before_request = lambda _: None
            app.upload("pumps.ndjson", device("pump-2"))

    app.before_request = overwrite
    app.sweep()
    assert b"pump-2" in content(app, app.container, "pumps.ndjson")
    app.sweep()
    app.finish()
    assert [record.state for record in app.records()] == ["completed"] * 2
    app.sweep()
    assert not has_upload(app)
    if retention == "move":
        assert len(list(app.blobs.get_container_client(archived).list_blob_names())) == 1


def test_move_is_repeated_after_the_process_terminated(app: App) -> None:
    archived = archive(app)
    record = complete(app)

    def terminate(request: str) -> None:
        if request.startswith("DELETE"):
            raise KeyboardInterrupt

    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.sweep()
    app.before_request = lambda _: None
    assert has_upload(app)
    app.sweep()
    assert not has_upload(app)
    names = app.blobs.get_container_client(archived).list_blob_names()
    assert list(names) == [f"{record.id}/pumps.ndjson"]


def test_upload_for_no_hub_is_moved(app: App) -> None:
    archive(app)
    app.route(east=app.hub)
    app.upload("north/pumps.ndjson", device("pump-1"))
    app.sweep()
    assert [record.state for record in app.records("(none)")] == ["rejected"]
    assert not has_upload(app, "north/pumps.ndjson")


def test_records_are_kept_by_default(app: App) -> None:
    complete(app)
    app.clock.ahead_hours(4000 * DAY)
    app.sweep()
    assert len(app.records()) == 1


def test_record_is_deleted_after_its_retention_time(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The upload appears a few seconds old.
    monkeypatch.setattr(uploads, "MARGIN", timedelta(seconds=-60))
    app.configure(RECORD_RETENTION_DAYS="30")
    complete(app)
    app.sweep()
    app.clock.ahead_hours(29 * DAY)
    app.sweep()
    assert len(app.records()) == 1
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert app.records() == []
    for _ in range(2):
        app.configure()
        app.sweep()
    assert app.records() == []
    assert len(app.hub.jobs) == 1


def test_record_of_an_open_import_is_kept(app: App) -> None:
    app.configure(RECORD_RETENTION_DAYS="30")
    app.hub.occupy_slot()
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.clock.ahead_hours(60 * DAY)
    app.sweep()
    assert app.record("pumps.ndjson").state == "queued"
    app.hub.free_slot()
    app.finish()
    app.sweep()
    assert app.record("pumps.ndjson").state == "completed"


def test_record_of_an_upload_for_no_hub_is_deleted(app: App) -> None:
    app.route(east=app.hub)
    app.configure(RECORD_RETENTION_DAYS="30")
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    assert len(app.records("(none)")) == 1
    app.blobs.get_blob_client(app.container, "pumps.ndjson").delete_blob()
    app.clock.ahead_hours(31 * DAY)
    app.sweep()
    assert app.records("(none)") == []


def start_export(app: App) -> tuple[ImportRecord, str]:
    """An import whose export runs, and the container of that."""
    app.configure(APPLY="changes")
    app.hub.faults.add("hangJob")
    app.upload("pumps.ndjson", *(device(f"pump-{number}") for number in range(31)))
    app.deliver("pumps.ndjson")
    record = app.record("pumps.ndjson")
    assert record.state == "planning"
    services = app.importer.services
    job = services.jobs.find(record.hub, record.id)
    assert job is not None
    return record, job.staged.container


def put_snapshot(app: App, import_id: str, **metadata: str) -> str:
    name = f"import-{import_id}-snapshot-{uuid.uuid4().hex[:8]}"
    app.blobs.create_container(name, metadata={**metadata, "snapshot": "true"})
    return name


@pytest.mark.parametrize("days", ["30", "0"])
def test_forgotten_exports_are_deleted(app: App, days: str) -> None:
    """They may contain keys, so they are kept no longer than a job can take."""
    app.configure(IMPORT_RETENTION_DAYS=days, JOB_DEADLINE_HOURS="5")
    record = complete(app)
    owner = app.importer.services.owner_of(record)
    table = app.settings["IMPORTS_TABLE"]
    forgotten = [
        put_snapshot(app, record.id, **owner),
        # An operator's export has no record.
        put_snapshot(app, uuid.uuid4().hex[:24], table=table, hub=record.hub),
        put_snapshot(app, uuid.uuid4().hex[:24]),
    ]
    foreign = put_snapshot(app, record.id, **{**owner, "table": "Another"})
    other = f"import-{uuid.uuid4().hex[:24]}-snapshots"
    app.blobs.create_container(other, metadata={"snapshot": "true"})
    app.clock.ahead_hours(5.9)
    app.sweep()
    assert all(is_there(app, name) for name in forgotten)
    app.clock.ahead_hours(6.1)
    app.sweep()
    assert not any(is_there(app, name) for name in forgotten)
    assert is_there(app, foreign)
    assert is_there(app, other)
    assert is_there(app, record.staged.container)
    claim = app.importer.services.claims.find(record.id)
    assert claim is not None
    assert not claim.has_ended


def test_export_of_an_open_comparison_is_kept(app: App) -> None:
    record, container = start_export(app)
    former = put_snapshot(app, record.id, **app.importer.services.owner_of(record))
    app.clock.ahead_hours(26)
    app.sweep()
    assert is_there(app, container)
    assert not is_there(app, former)


def test_exports_cost_an_idle_sweep_nothing(app: App) -> None:
    complete(app)
    app.sweep()
    with app.counting() as before:
        app.sweep()
    put_snapshot(app, uuid.uuid4().hex[:24], table="Another")
    with app.counting() as after:
        app.sweep()
    assert len(before) == len(after)
