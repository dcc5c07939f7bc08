"""Retry an import: all of its lines, or only the failed ones."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from tests.app import App, device, fail_writes

NAME = "pumps.ndjson"


def start(app: App, name: str = NAME, *lines: object) -> ImportRecord:
    app.upload(name, *(lines or (device("pump-1"),)))
    app.deliver(name)
    return app.record(name)


def fail(app: App, name: str = NAME, *lines: object) -> ImportRecord:
    """Run an import whose job fails."""
    app.hub.faults.add("failJob")
    start(app, name, *lines)
    app.finish()
    record = next(item for item in app.records() if item.file == name)
    assert record.state == "failed"
    return record


def cancel(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.actions.cancel(record)


def retry(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.actions.retry(record)


def current(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.services.store.get(record.hub, record.row_key)


def staged(app: App, record: ImportRecord) -> bytes:
    return app.container_of(record).download_blob("devices.txt").readall()


def test_failed_import_can_be_retried(app: App) -> None:
    failed = fail(app, NAME, device("pump-1"), b"", device("pump-2"))
    new = retry(app, failed)
    assert (new.retry_of, new.file, new.upload_etag) == (failed.id, NAME, failed.upload_etag)
    assert new.id != failed.id
    app.finish()
    new = current(app, new)
    assert (new.state, new.devices, new.imported, new.validation_attempts) == ("completed", 2, 2, 0)
    assert staged(app, new) == staged(app, failed)
    assert current(app, failed) == failed
    assert len(app.hub.registry) == 2


def test_repeated_retry_returns_the_same_import(app: App) -> None:
    failed = fail(app)
    new = retry(app, failed)
    assert retry(app, failed).id == new.id
    app.finish()
    again = retry(app, failed)
    assert (again.id, again.state) == (new.id, "completed")
    assert len(app.records()) == 2
    assert len(app.hub.jobs) == 2


@pytest.mark.parametrize("deleted", ["old", "new"])
def test_repeated_retry_returns_the_same_import_after_a_container_is_deleted(
    app: App, deleted: str
) -> None:
    """Containers are deleted after IMPORT_RETENTION_DAYS, records are kept."""
    failed = fail(app)
    new = retry(app, failed)
    app.finish()
    app.container_of(failed if deleted == "old" else new).delete_container()
    again = retry(app, failed)
    assert (again.id, again.state) == (new.id, "completed")
    assert len(app.records()) == 2


def test_retry_can_be_retried(app: App) -> None:
    failed = fail(app)
    app.hub.faults.add("failJob")
    second = retry(app, failed)
    app.finish()
    third = retry(app, current(app, second))
    app.finish()
    assert current(app, third).state == "completed"
    retries = {record.id: record.retry_of for record in app.records()}
    assert retries == {failed.id: "", second.id: failed.id, third.id: second.id}


def test_retry_is_queued_last(app: App) -> None:
    failed = fail(app)
    app.hub.faults.add("hangJob")
    start(app, "next.ndjson")
    new = retry(app, failed)
    assert (new.state, new.queue_position) == ("queued", 2)
    app.hub.jobs.cancel(app.record("next.ndjson").job.id)
    app.finish()
    assert current(app, new).state == "completed"


def test_cancelled_import_can_be_retried(app: App) -> None:
    app.hub.occupy_slot()
    cancelled = cancel(app, start(app))
    app.hub.free_slot()
    new = retry(app, cancelled)
    app.finish()
    assert current(app, new).state == "completed"


def test_only_failed_lines_are_retried(app: App) -> None:
    app.hub.registry.put(device("old-1"))
    app.hub.registry.put(device("old-2"))
    record = start(
        app,
        NAME,
        b"",
        device("new-1", importMode="create"),
        device("old-1", importMode="create"),
        b"",
        b"",
        device("new-2", importMode="create"),
        device("old-2", importMode="create"),
    )
    app.finish()
    record = app.record(NAME)
    assert record.state == "completedWithErrors"
    new = retry(app, record)
    app.finish()
    new = current(app, new)
    assert staged(app, new).count(b"\n") == 2
    assert (new.state, new.devices, new.imported, new.failed) == ("completedWithErrors", 2, 0, 2)
    assert "The first is 'old-1' on line 3." in new.failure_reason
    failures = app.report(new)["failures"]["devices"]
    assert [(failure["line"], failure["id"]) for failure in failures] == [
        (3, "old-1"),
        (7, "old-2"),
    ]


def test_repeated_retries_keep_the_original_line_numbers(app: App) -> None:
    blocked = [device(f"gone-{n}", importMode="delete") for n in range(4)]
    record = start(app, NAME, device("pump-1"), *(x for item in blocked for x in (b"", item)))
    app.finish()
    record = app.record(NAME)
    for failed_count in (3, 2):
        app.hub.registry.put(device(f"gone-{failed_count}"))
        record = retry(app, record)
        app.finish()
        record = current(app, record)
        failures = app.report(record)["failures"]["devices"]
        assert [failure["line"] for failure in failures] == [3, 5, 7][:failed_count]


def test_deleted_lines_cannot_be_retried(app: App) -> None:
    failed = fail(app)
    app.container_of(failed).delete_container()
    app.blobs.get_blob_client(app.container, NAME).delete_blob()
    with pytest.raises(NotPossibleError, match=r"IMPORT_RETENTION_DAYS.*Upload the file again"):
        retry(app, failed)
    assert len(app.records()) == 1


def test_deleted_failed_lines_cannot_be_retried(app: App) -> None:
    start(app, NAME, device("pump-1"), device("gone", importMode="delete"))
    app.finish()
    record = app.record(NAME)
    app.container_of(record).delete_container()
    with pytest.raises(NotPossibleError, match="Upload the file again"):
        retry(app, record)
    assert len(app.records()) == 1


def test_edited_lines_are_not_retried(app: App) -> None:
    """Only validated lines are sent to the hub: the upload is validated again."""
    failed = fail(app)
    app.container_of(failed).upload_blob("devices.txt", b'{"id":"other"}\n', overwrite=True)
    new = retry(app, failed)
    assert new.state == "validating"
    app.finish()
    assert current(app, new).state == "completed"
    assert app.hub.registry.get("other") is None


def completed(app: App) -> None:
    start(app)
    app.finish()


def rejected(app: App) -> None:
    start(app, NAME, b"broken")


def queued(app: App) -> None:
    app.hub.occupy_slot()
    start(app)


def left_out_lines(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    start(app, NAME, device("pump-1"), b"broken")
    app.finish()


def cancelled_before_it_was_staged(app: App) -> None:
    app.before_request = fail_writes
    app.upload(NAME, device("pump-1"))
    app.sweep()
    app.before_request = lambda _: None
    cancel(app, app.record(NAME))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (completed, "is completed. Only imports that failed"),
        (rejected, "is rejected. Only imports that failed"),
        (queued, "is queued. Only imports that failed"),
        (left_out_lines, "left out"),
        (cancelled_before_it_was_staged, "upload it again"),
    ],
)
def test_import_that_cannot_be_retried(app: App, make: Callable[[App], None], message: str) -> None:
    make(app)
    with pytest.raises(NotPossibleError, match=message):
        retry(app, app.record(NAME))
    assert len(app.records()) == 1


def test_retry_can_be_repeated_after_the_process_terminated_at_each_request(app: App) -> None:
    """Terminate the process before the first request, the second, and so on."""
    failed = fail(app, NAME, device("pump-1"), b"", device("pump-2"))
    for terminated_at in range(1, 30):
        sent: list[str] = []

        def terminate(request: str, at: int = terminated_at, sent: list[str] = sent) -> None:
            sent.append(request)
            if len(sent) == at:
                raise KeyboardInterrupt

        app.before_request = terminate
        with contextlib.suppress(KeyboardInterrupt):
            retry(app, failed)
        if len(sent) < terminated_at:
            break
    app.before_request = lambda _: None
    assert terminated_at > 8
    new = retry(app, failed)
    app.clock.ahead_minutes(6)
    app.finish()
    new = current(app, new)
    assert (new.state, new.imported, new.retry_of) == ("completed", 2, failed.id)
    assert len(app.records()) == len(app.hub.jobs) == 2


@pytest.mark.parametrize("at", ["/devices.txt", "$batch"])
def test_retry_can_be_repeated_after_the_process_terminated_once(app: App, at: str) -> None:
    failed = fail(app, NAME, device("pump-1"), b"", device("pump-2"))

    def terminate(request: str) -> None:
        if request.endswith(at) and not request.startswith("GET"):
            raise KeyboardInterrupt

    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        retry(app, failed)
    app.before_request = lambda _: None
    new = retry(app, failed)
    app.clock.ahead_minutes(6)
    app.finish()
    new = current(app, new)
    assert (new.state, new.imported, new.retry_of) == ("completed", 2, failed.id)
    assert len(app.records()) == len(app.hub.jobs) == 2
