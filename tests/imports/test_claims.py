"""An upload stays with the hub that it was first registered for, despite later changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from azure.data.tables import UpdateMode

from iothub_emulator import HubEmulator
from shared.imports.app import Importer
from shared.imports.model.record import ImportRecord
from shared.imports.store.claims import Claim
from shared.imports.workflow.registration import Upload, record_of
from shared.settings import load_settings
from tests.app import App, ObservedTransport, device, fail_writes
from tests.records import read_records

NAME = "pumps.ndjson"

by_event_or_sweep = pytest.mark.parametrize("how", ["event", "sweep"])


def look_again(app: App, how: str, name: str = NAME) -> None:
    """Process the upload again in a new process."""
    app.configure()
    if how == "event":
        app.deliver(name)
    else:
        app.sweep()
    for _ in range(3):
        app.hub.wait_idle()
        app.tick()


def complete(app: App, name: str = NAME) -> ImportRecord:
    app.upload(name, device("pump-1", tags={"n": 1}))
    app.deliver(name)
    app.finish()
    return next(record for record in app.records() if record.file == name)


def delete_claim(app: App, record: ImportRecord) -> None:
    app.table.delete_entity("(claims)", record.id)


def delete_record(app: App, record: ImportRecord) -> None:
    app.table.delete_entity(record.hub, record.row_key)


def delete_container(app: App, record: ImportRecord) -> None:
    app.container_of(record).delete_container()


def delete_nothing(app: App, record: ImportRecord) -> None:
    pass


@by_event_or_sweep
@pytest.mark.parametrize("name", ["east/pumps.ndjson", "pumps.ndjson"])
def test_adding_a_folder_for_a_hub_does_not_repeat_imports(app: App, how: str, name: str) -> None:
    record = complete(app, name)
    app.route(east=app.hub)
    look_again(app, how, name)
    assert app.records() == [record]
    assert app.records("(none)") == []
    assert len(app.hub.jobs) == 1


@by_event_or_sweep
@pytest.mark.parametrize("delete", [delete_nothing, delete_claim, delete_container])
def test_upload_stays_with_its_hub_if_its_folder_is_routed_to_another(
    app: App, other_hub: HubEmulator, how: str, delete: Callable[[App, ImportRecord], None]
) -> None:
    app.route(east=app.hub)
    record = complete(app, "east/pumps.ndjson")
    delete(app, record)
    app.route(east=other_hub, west=app.hub)
    look_again(app, how, "east/pumps.ndjson")
    assert app.records(other_hub.address) == []
    assert app.records(app.hub.address) == [record]
    assert (len(app.hub.jobs), len(other_hub.jobs)) == (1, 0)


@by_event_or_sweep
def test_queued_import_of_a_removed_hub_is_not_sent_to_another(
    app: App, other_hub: HubEmulator, how: str
) -> None:
    app.route(east=app.hub, west=other_hub)
    other_hub.occupy_slot()
    app.upload("west/pumps.ndjson", device("pump-1"))
    app.deliver("west/pumps.ndjson")
    [waiting] = app.records(other_hub.address)
    app.configure(IOTHUB=app.hub.connection_string())
    look_again(app, how, "west/pumps.ndjson")
    assert app.records(other_hub.address) == [waiting]
    assert app.records(app.hub.address) == []
    detail = app.importer.reader.get(waiting.id)
    assert other_hub.address in detail.failure_reason
    assert "not configured" in detail.failure_reason
    app.route(east=app.hub, west=other_hub)
    other_hub.free_slot()
    app.tick()
    other_hub.wait_idle()
    app.tick()
    assert [record.state for record in app.records(other_hub.address)] == ["completed"]
    assert len(app.hub.registry) == 0


@by_event_or_sweep
def test_unvalidated_upload_of_a_removed_hub_waits(
    app: App, other_hub: HubEmulator, how: str
) -> None:
    app.route(east=app.hub, west=other_hub)
    app.upload("west/pumps.ndjson", device("pump-1"))

    app.before_request = fail_writes
    app.sweep()
    app.before_request = lambda _: None
    app.route(east=app.hub)
    look_again(app, how, "west/pumps.ndjson")
    [record] = app.records(other_hub.address)
    assert record.state == "validating"
    app.route(east=app.hub, west=other_hub)
    app.sweep()
    other_hub.wait_idle()
    app.tick()
    assert app.records(other_hub.address)[0].state == "completed"


@by_event_or_sweep
def test_upload_rejected_for_its_folder_is_not_imported_after_the_folder_is_routed(
    app: App, other_hub: HubEmulator, how: str
) -> None:
    app.route(east=app.hub)
    app.upload("west/pumps.ndjson", device("pump-1"))
    app.deliver("west/pumps.ndjson")
    [rejected] = app.records("(none)")
    app.route(east=app.hub, west=other_hub)
    look_again(app, how, "west/pumps.ndjson")
    assert app.records("(none)") == [rejected]
    assert app.records(other_hub.address) == []
    assert len(other_hub.jobs) == 0


@pytest.mark.parametrize("delete", [delete_claim, delete_record, delete_container])
@by_event_or_sweep
def test_final_import_is_not_repeated_after_its_data_is_deleted(
    app: App, how: str, delete: Callable[[App, ImportRecord], None]
) -> None:
    record = complete(app)
    app.hub.registry.put(device("pump-1", tags={"n": "changed by hand"}))
    delete(app, record)
    look_again(app, how)
    app.finish()
    assert [record.id for record in app.records()] == [record.id]
    if delete is not delete_record:
        assert app.records() == [record]
    assert len(app.hub.jobs) == 1


@pytest.mark.parametrize("state", ["queued", "running"])
@by_event_or_sweep
def test_open_import_fails_if_its_record_is_deleted(app: App, how: str, state: str) -> None:
    if state == "queued":
        app.hub.occupy_slot()
    app.hub.faults.add("hangJob")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    record = app.record(NAME)
    assert record.state == state
    app.upload("next.ndjson", device("pump-2"))
    app.deliver("next.ndjson")
    delete_record(app, record)
    if state == "running":
        app.hub.jobs.cancel(record.job.id)
    else:
        app.hub.faults.clear()
        app.hub.free_slot()
    look_again(app, how)
    app.finish()
    ended = app.record(NAME)
    assert (ended.id, ended.state) == (record.id, "failed")
    assert (ended.imported, ended.failed) == (None, None)
    assert "The record of the import was deleted" in ended.failure_reason
    assert app.record("next.ndjson").state == "completed"
    assert app.hub.registry.get("pump-1") is None


@pytest.mark.parametrize("state", ["queued", "running"])
def test_open_import_fails_if_its_container_is_deleted(app: App, state: str) -> None:
    if state == "queued":
        app.hub.occupy_slot()
    app.hub.faults.add("hangJob")
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.upload("next.ndjson", device("pump-2"))
    app.deliver("next.ndjson")
    record = app.record(NAME)
    assert record.state == state
    delete_container(app, record)
    if state == "running":
        app.hub.jobs.cancel(record.job.id)
    else:
        app.hub.faults.clear()
        app.hub.free_slot()
    app.finish()
    ended = app.record(NAME)
    assert ended.state == ("failed" if state == "queued" else "cancelled")
    assert ended.failure_reason
    assert app.record("next.ndjson").state == "completed"


@pytest.mark.parametrize("columns", [{"hub": ""}, {"record": 5}, {"hub": "elsewhere"}])
@by_event_or_sweep
def test_edited_claim_is_harmless(app: App, how: str, columns: dict[str, object]) -> None:
    record = complete(app)
    row = {"PartitionKey": "(claims)", "RowKey": record.id, **columns}
    app.table.update_entity(row, mode=UpdateMode.MERGE)
    look_again(app, how)
    assert app.records() == [record]
    assert len(app.hub.jobs) == 1
    # The record can also be found by the container.
    assert app.importer.reader.get(record.id) == record


def test_two_deployments_on_one_upload_container_are_independent(
    app: App, other_hub: HubEmulator
) -> None:
    """Each uses its own table, for example test and production."""
    table = f"Other{app.container[-12:]}"
    app.configure(IOTHUB=other_hub.connection_string(), IMPORTS_TABLE=table)
    other = Importer(
        load_settings(), app.clock, lambda: ObservedTransport(lambda _: None, lambda _: None)
    )
    app.configure(IOTHUB=app.hub.connection_string(), IMPORTS_TABLE=f"Imports{app.container[-12:]}")
    app.hub.registry.put(device("pump-1"))
    app.upload(NAME, device("pump-1", importMode="create"), device("pump-2", importMode="create"))
    app.deliver(NAME)
    other.on_upload(app.container, NAME)
    app.hub.wait_idle()
    other_hub.wait_idle()
    app.tick()
    other.on_tick()
    [mine], [theirs] = app.records(), read_records(other.services, other_hub.address)
    other.close()
    assert (mine.state, mine.imported, mine.failed) == ("completedWithErrors", 1, 1)
    assert (theirs.state, theirs.imported, theirs.failed) == ("completed", 2, 0)
    assert mine.id != theirs.id
    assert mine.staged.container != theirs.staged.container


def test_record_written_by_another_process_meanwhile_is_not_deleted(app: App) -> None:
    """The other process writes it between this one's reads of the record and of the queue."""
    app.upload("pumps.ndjson", device("pump-1"))
    services = app.importer.services
    [blob] = app.blobs.get_container_client(app.container).list_blobs()
    record = record_of(services, Upload.of(blob))
    services.known_hubs.add(record.hub, "")
    services.claims.make(Claim.of(record))

    def create_meanwhile(request: str) -> None:
        if request.startswith("GET") and request.endswith(f"{app.settings['IMPORTS_TABLE']}()"):
            app.before_request = lambda _: None
            services.store.create(record)

    app.before_request = create_meanwhile
    app.deliver("pumps.ndjson")
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
    claim = services.claims.find(record.id)
    assert claim is not None
    assert not claim.has_ended
