"""Modules that come back in a second job of an undo, after the job that makes their devices."""

from __future__ import annotations

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App
from tests.imports.guards import (
    advance,
    begin_undo,
    current,
    deletion,
    is_started,
    module,
    run,
    undo,
)
from tests.imports.plans import NAME, counts, failed_lines, imports, pump, send, site

#: Lines of an undo: two devices and a module.
ALL = ("completed", 3, 0, 0)


@pytest.fixture
def deleted(keeping: App) -> ImportRecord:
    """An import that deleted a device with a module, and changed another device."""
    keeping.hub.registry.put(module(3, tags={"x": 1}))
    return run(keeping, deletion(3), pump(1, "b"))


def after_first_job(app: App, record: ImportRecord) -> ImportRecord:
    """An undo whose first job has completed at the hub, and whose slot is taken by others."""
    new = begin_undo(app, record)
    for _ in range(10):
        if current(app, new).is_in_second_job:
            break
        app.hub.wait_idle()
        if len(imports(app)) == 2:
            app.hub.occupy_slot()
        app.tick()
    new = current(app, new)
    assert new.is_in_second_job
    assert new.state in ("queued", "starting")
    assert app.hub.registry.get("pump-3") is not None
    assert app.hub.registry.get("pump-3", "m1") is None
    return new


def test_second_job_starts_before_anything_else_of_the_queue(
    keeping: App, deleted: ImportRecord
) -> None:
    new = begin_undo(keeping, deleted)
    is_started(keeping, new)
    send(keeping, pump(2, "z"), name="other.ndjson")
    # What waits behind it takes the device away again.
    send(keeping, deletion(3), name="delete.ndjson")
    keeping.finish()
    assert counts(current(keeping, new)) == ALL
    assert counts(keeping.record("delete.ndjson"))[:3] == ("completed", 1, 0)
    containers = [job["inputBlobContainerUri"].partition("?")[0] for job in imports(keeping)]
    assert containers[1].endswith(new.id)
    assert containers[2].endswith(f"{new.id}-modules")


def test_failures_of_both_jobs_are_in_one_report(keeping: App, deleted: ImportRecord) -> None:
    new = begin_undo(keeping, deleted)
    changed: set[str] = set()

    def change_planned(request: str) -> None:
        """Somebody is faster than each of its jobs."""
        if "/planned-" in request and "pump-1" not in changed:
            changed.add("pump-1")
            keeping.hub.registry.put(pump(1, "theirs"))
        if f"{new.id}-modules/" in request and "m1" not in changed:
            changed.add("m1")
            keeping.hub.registry.put(module(3, tags={"x": "theirs"}))

    keeping.after_request = change_planned
    keeping.finish()
    record = current(keeping, new)
    assert len(changed) == 2
    assert counts(record) == ("completedWithErrors", 1, 2, 0)
    assert sorted(item[1] for item in failed_lines(keeping, record)) == ["pump-1", "pump-3"]
    assert site(keeping, 1) == "theirs"
    left = keeping.hub.registry.get("pump-3", "m1")
    assert left is not None
    assert left["tags"] == {"x": "theirs"}


def test_modules_of_a_device_that_is_somebody_elses_are_not_sent(
    keeping: App, deleted: ImportRecord
) -> None:
    registry = keeping.hub.registry
    new = begin_undo(keeping, deleted)

    def create_theirs(request: str) -> None:
        if "/planned-" in request and registry.get("pump-3") is None:
            registry.put(pump(3, "theirs"))

    keeping.after_request = create_theirs
    keeping.finish()
    record = current(keeping, new)
    assert counts(record) == ("completedWithErrors", 1, 2, 0), record.failure_reason
    assert [item[1] for item in failed_lines(keeping, record)] == ["pump-3", "pump-3"]
    assert len(imports(keeping)) == 2
    assert (site(keeping, 3), registry.get("pump-3", "m1")) == ("theirs", None)
    # What the hub says of the code would overwrite it.
    assert "createOrUpdate" not in record.failure_reason
    assert "undo import" in record.failure_reason
    assert not record.can_be_retried


def test_cancelled_between_its_jobs(keeping: App, deleted: ImportRecord) -> None:
    new = after_first_job(keeping, deleted)
    keeping.importer.actions.cancel(new, new.job_record)
    keeping.hub.free_slot()
    advance(keeping)
    record = current(keeping, new)
    assert record.state == "cancelled"
    assert record.has_unknown_counts
    assert "No device was changed" not in record.failure_reason
    assert "1 module was not created again" in record.failure_reason
    # What the first job did is undone, and what it did not do is done.
    assert counts(undo(keeping, deleted))[:3] == ("completed", 1, 0)
    assert keeping.hub.registry.get("pump-3", "m1") is not None


@pytest.mark.parametrize("what", ["refused", "failed"])
def test_second_job_that_fails(keeping: App, deleted: ImportRecord, what: str) -> None:
    new = begin_undo(keeping, deleted)
    while len(imports(keeping)) < 2:
        keeping.tick()
    if what == "refused":
        keeping.hub.faults.add("error", operation="createJob", status=400, code="ArgumentInvalid")
    else:
        keeping.hub.faults.add("failJob", reason="The disk is full.")
    keeping.finish()
    record = current(keeping, new)
    assert record.state == "failed"
    assert record.has_unknown_counts
    assert "1 module was not created again" in record.failure_reason
    assert counts(undo(keeping, deleted))[:3] == ("completed", 1, 0)


@pytest.mark.parametrize("file", ["plan", "copy"])
def test_file_of_the_second_job_that_was_edited_is_not_sent(
    keeping: App, deleted: ImportRecord, file: str
) -> None:
    if file == "copy":
        new = after_first_job(keeping, deleted)
        edited = new.second_for_hub
    else:
        new = begin_undo(keeping, deleted)
        while not (edited := current(keeping, new).second).container:
            keeping.tick()
    container = keeping.blobs.get_container_client(edited.container)
    container.upload_blob(edited.name, b"{}\n", overwrite=True)
    keeping.hub.free_slot()
    keeping.finish()
    record = current(keeping, new)
    assert record.state in ("failed", "completedWithErrors")
    assert record.has_unknown_counts
    assert keeping.hub.registry.get("pump-3", "m1") is None
    assert counts(undo(keeping, deleted))[:3] == ("completed", 1, 0)


def test_undo_of_the_undo_deletes_what_it_made(keeping: App, deleted: ImportRecord) -> None:
    first = undo(keeping, deleted)
    assert (counts(first), first.creates) == (ALL, 2)
    again = undo(keeping, first)
    assert counts(again)[0] == "completed", again.failure_reason
    assert keeping.hub.registry.get("pump-3") is None
    assert site(keeping, 1) == "b"
    third = undo(keeping, again)
    assert counts(third)[0] == "completed", third.failure_reason
    assert keeping.hub.registry.get("pump-3", "m1") is not None


def test_import_behind_it_sees_what_both_jobs_made(keeping: App, deleted: ImportRecord) -> None:
    is_started(keeping, begin_undo(keeping, deleted))
    keeping.configure(APPLY="changes")
    send(keeping, module(3, tags={"x": 2}), name=f"later-{NAME}")
    keeping.finish()
    found = keeping.hub.registry.get("pump-3", "m1")
    assert found is not None
    assert found["tags"] == {"x": 2}
