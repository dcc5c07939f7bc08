"""Events and uploads that are repeated, changed, deleted or misplaced."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from iothub_emulator import HubEmulator
from local.host import FunctionsHost
from shared.errors import SettingsError
from shared.imports.app import Importer
from shared.settings import RetrySettings, load_settings
from tests.app import App, ObservedTransport, device, fail_writes


def test_repeated_event_is_ignored(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    for _ in range(3):
        app.deliver("pumps.ndjson")
    app.finish()
    app.deliver("pumps.ndjson")
    assert len(app.records()) == 1
    assert len(app.hub.jobs) == 1


def test_concurrent_events(app: App) -> None:
    names = [f"{number}.ndjson" for number in range(5)]
    for name in names:
        app.upload(name, device(name))
    with ThreadPoolExecutor(10) as pool:
        list(pool.map(app.deliver, names * 2))
    app.finish()
    assert [record.state.value for record in app.records()] == ["completed"] * 5
    assert sum(job["progress"] == 100 for job in app.hub.jobs) == len(app.hub.jobs)
    assert len(app.hub.registry) == 5


def test_overwrite_is_a_new_upload(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1", tags={"version": 1}))
    app.deliver("pumps.ndjson")
    app.upload("pumps.ndjson", device("pump-1", tags={"version": 2}))
    app.deliver("pumps.ndjson")
    app.finish()
    assert [record.state for record in app.records()] == ["completed", "completed"]
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["tags"] == {"version": 2}


@pytest.mark.parametrize("fate", ["overwritten", "deleted"])
def test_blob_that_changes_during_validation(app: App, fate: str) -> None:
    padding = "x" * 2000
    lines = [device(f"pump-{n}", tags={"pad": padding}) for n in range(5000)]
    app.upload("large.ndjson", *lines)
    blob = app.blobs.get_blob_client(app.container, "large.ndjson")
    reads: list[str] = []

    def interfere(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/large.ndjson":
            reads.append(request)
            if len(reads) == 2 and fate == "deleted":
                blob.delete_blob()
            elif len(reads) == 2:
                app.upload("large.ndjson", device("other"))

    app.before_request = interfere
    app.deliver("large.ndjson")
    assert len(reads) == 2
    record = app.record("large.ndjson")
    assert record.state == "superseded"
    assert (record.imported, record.failed) == (0, 0)
    assert "overwritten or deleted" in record.failure_reason
    app.before_request = lambda _: None
    app.deliver("large.ndjson")
    app.finish()
    assert len(app.hub.registry) == (1 if fate == "overwritten" else 0)
    assert [record.state.value for record in app.records()].count("superseded") == 1


def test_deleted_blob_creates_no_record(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.blobs.get_blob_client(app.container, "pumps.ndjson").delete_blob()
    app.deliver("pumps.ndjson")
    assert app.records() == []


def test_event_of_another_container_is_ignored(app: App) -> None:
    """Event Grid does not apply the trigger's path."""
    other_container = f"other-{app.container}"
    app.blobs.create_container(other_container)
    app.blobs.get_blob_client(other_container, "pumps.ndjson").upload_blob(b"{}")
    app.host.invoke_blob(other_container, "pumps.ndjson", "import_upload")
    assert app.records() == []
    assert app.blobs.get_blob_client(other_container, "pumps.ndjson").exists()


def test_storage_error_is_retried_immediately(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))

    app.before_request = fail_writes
    with pytest.raises(RuntimeError):
        app.deliver("pumps.ndjson")
    record = app.record("pumps.ndjson")
    assert (record.state, record.lease.owner, record.lease.until) == ("validating", "", None)
    app.before_request = lambda _: None
    app.deliver("pumps.ndjson")
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts) == ("completed", 2)


def test_import_fails_after_the_last_attempt(app: App) -> None:
    app.configure(MAX_ATTEMPTS="2")
    app.upload("pumps.ndjson", device("pump-1"))

    app.before_request = fail_writes
    for _ in range(2):
        with pytest.raises(RuntimeError):
            app.deliver("pumps.ndjson")
    record = app.record("pumps.ndjson")
    assert (record.state, record.imported, record.failed) == ("failed", 0, 0)
    assert "failed 2 times" in record.failure_reason
    assert "RuntimeError: the disk is on fire" in record.failure_reason


def test_expired_lease_can_be_taken_over(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))

    def terminate(request: str) -> None:
        if request.endswith("/devices.txt"):
            raise KeyboardInterrupt

    app.before_request = terminate
    with pytest.raises(KeyboardInterrupt):
        app.deliver("pumps.ndjson")
    app.before_request = lambda _: None
    app.deliver("pumps.ndjson")
    assert app.record("pumps.ndjson").state == "validating"
    app.clock.ahead_hours(1)
    app.deliver("pumps.ndjson")
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


def test_process_stops_after_losing_its_lease(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    calls: list[str] = []

    def take_over(request: str) -> None:
        if request.endswith("/devices.txt") and not calls:
            calls.append(request)
            app.clock.ahead_hours(1)
            app.deliver("pumps.ndjson")

    app.before_request = take_over
    app.deliver("pumps.ndjson")
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
    assert len(app.hub.jobs) == 1


def test_lease_is_renewed_during_a_long_step(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small file may take long: an archive with a high compression ratio or slow storage."""
    monkeypatch.setattr(RetrySettings, "lease", property(lambda _: timedelta(seconds=0.6)))
    app.upload("pumps.ndjson", device("pump-1"))
    no_hook = lambda _: None  # noqa: E731
    other_importer = Importer(
        load_settings(), app.clock, lambda: ObservedTransport(no_hook, no_hook)
    )

    def take_long(request: str) -> None:
        if request.endswith("/devices.txt"):
            for _ in range(4):
                time.sleep(0.5)
                other_importer.on_upload(app.container, "pumps.ndjson")

    app.before_request = take_long
    app.deliver("pumps.ndjson")
    app.before_request = lambda _: None
    other_importer.close()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts) == ("completed", 1)
    assert len(app.hub.jobs) == 1


def test_first_folder_selects_the_hub(app: App, other_hub: HubEmulator) -> None:
    app.route(east=app.hub, west=other_hub)
    app.upload("east/pumps.ndjson", device("pump-1"))
    app.upload("north/pumps.ndjson", device("pump-2"))
    app.upload("pumps.ndjson", device("pump-3"))
    for name in ("east/pumps.ndjson", "north/pumps.ndjson", "pumps.ndjson"):
        app.deliver(name)
    app.finish()
    assert [record.state for record in app.records(app.hub.address)] == ["completed"]
    rejected = app.records("(none)")
    assert {record.file for record in rejected} == {"north/pumps.ndjson", "pumps.ndjson"}
    assert {record.state for record in rejected} == {"rejected"}
    assert all("these folders: east, west." in record.failure_reason for record in rejected)
    assert (len(app.hub.registry), len(other_hub.registry)) == (1, 0)


def test_folder_selects_the_hub_with_one_configured_hub(app: App) -> None:
    app.route(east=app.hub)
    for name in ("east/pumps.ndjson", "west/pumps.ndjson"):
        app.upload(name, device(name[:4]))
        app.deliver(name)
    app.finish()
    assert app.record("east/pumps.ndjson").state == "completed"
    [rejected] = app.records("(none)")
    assert (rejected.file, rejected.state) == ("west/pumps.ndjson", "rejected")
    assert len(app.hub.registry) == 1


def test_uploads_are_imported_without_events(app: App) -> None:
    """Uses the blob source of the local stack, which scans the container like the real host."""
    app.upload("one.ndjson", device("pump-1"))
    app.upload("folder/two.ndjson", device("pump-2"))
    with app.scanning_host() as host:
        assert host.drain() == 2
        assert host.drain() == 0
    app.finish()
    assert {record.file for record in app.records()} == {"one.ndjson", "folder/two.ndjson"}


def test_last_delivery_attempt_of_the_host_leaves_a_final_record(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))

    app.before_request = fail_writes
    with app.scanning_host() as host:
        assert host.drain() == 5
    record = app.record("pumps.ndjson")
    assert (record.state, record.validation_attempts) == ("failed", 5)
    assert "the disk is on fire" in record.failure_reason


def test_every_function_reports_an_invalid_setting(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    host: FunctionsHost = app.host
    app.upload("pumps.ndjson", device("pump-1"))
    app.configure(IOTHUB="https://fleet", LEASE_SECONDS="0")
    for call in (lambda: host.invoke_blob(app.container, "pumps.ndjson"), app.tick):
        with pytest.raises(SettingsError) as caught:
            call()
        assert [problem.split()[0] for problem in caught.value.problems] == [
            "IOTHUB",
            "LEASE_SECONDS",
        ]
