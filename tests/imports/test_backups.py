"""Backups: what is in them, when there is one, who may read them and how long they are kept."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from azure.core.exceptions import ResourceNotFoundError

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.imports.guards import (
    approve,
    backup_of,
    begin_undo,
    current,
    deletion,
    held,
    is_held,
    module,
    run,
    undo,
)
from tests.imports.plans import NAME, counts, imports, keys, pump, put_pumps, site

DAY = 24 * 60


def has_container(app: App, name: str) -> bool:
    return app.blobs.get_container_client(name).exists()


def sweep_after(app: App, days: float) -> None:
    app.pass_minutes(days * DAY)
    app.sweep()


def ids(lines: list[dict[str, Any]]) -> list[str]:
    return sorted(f"{line['id']}/{line.get('moduleId') or ''}" for line in lines)


@pytest.mark.parametrize("way", ["lookups", "export"])
def test_it_contains_what_is_changed_as_it_was(keeping: App, way: str) -> None:
    if way == "export":
        keeping.configure(IOTHUB=keeping.hub.connection_string("registryReadWrite"))
    keeping.hub.registry.put(module(3, "m1", tags={"x": 1}))
    keeping.hub.registry.put(module(2, "m2"))
    record = run(
        keeping,
        deletion(3),
        device("pump-2", importMode="update", authentication=keys(77)),
        device("pump-1", importMode="updateTwin", tags={"site": "b"}),
        device("new-1"),
    )
    assert counts(record)[:3] == ("completed", 4, 0)
    lines = backup_of(keeping, record)
    # With a device its modules are deleted; other modules stay as they are.
    assert ids(lines) == ["pump-1/", "pump-2/", "pump-3/", "pump-3/m1"]
    assert (record.backup_lines, record.creates) == (4, 1)
    by_id = {(line["id"], line.get("moduleId")): line for line in lines}
    assert by_id["pump-2", None]["authentication"]["symmetricKey"] == keys(2)["symmetricKey"]
    assert by_id["pump-3", "m1"]["authentication"]["symmetricKey"] == keys(9)["symmetricKey"]
    assert by_id["pump-3", "m1"]["tags"] == {"x": 1}
    assert by_id["pump-1", None]["tags"] == {"site": "a"}


DELETE = [deletion(0)]
DISABLE = [pump(0, status="disabled")]
NEW_KEYS = [device("pump-0", authentication=keys(77))]
TWIN = [device("pump-0", importMode="updateTwin", tags={"site": "b"})]
UPDATE = [pump(0, "b")]
CREATE = [device("new-1", importMode="create")]


@pytest.mark.parametrize(
    ("policy", "lines", "is_backed_up"),
    [
        ("destructive", DELETE, True),
        ("destructive", DISABLE, True),
        ("destructive", NEW_KEYS, True),
        ("destructive", TWIN, False),
        ("destructive", UPDATE, False),
        ("destructive", CREATE, False),
        ("always", TWIN, True),
        ("always", CREATE, True),
        ("never", DELETE, False),
    ],
)
def test_when_there_is_one(
    app: App, policy: str, lines: list[dict[str, object]], is_backed_up: bool
) -> None:
    app.configure(BACKUP=policy)
    put_pumps(app, 2)
    record = run(app, *lines)
    assert counts(record)[:2] == ("completed", 1)
    assert bool(record.backup.container) is is_backed_up
    assert has_container(app, f"backup-{record.id}") is is_backed_up
    assert record.can_be_undone is is_backed_up


def test_hub_gets_no_sas_of_it(keeping: App) -> None:
    record = undo(keeping, run(keeping, deletion(0)))
    assert record.backup.container.startswith("backup-")
    asked = json.dumps(imports(keeping))
    assert asked.count("/import-") >= 2
    assert "backup-" not in asked


def test_it_is_private(keeping: App) -> None:
    record = run(keeping, deletion(0))
    container = keeping.blobs.get_container_client(record.backup.container)
    access = container.get_container_access_policy()
    assert access["public_access"] is None
    assert access["signed_identifiers"] == []
    assert "pump-" not in json.dumps(container.get_container_properties().metadata)


def test_secrets_stay_in_it(keeping: App) -> None:
    record = run(keeping, deletion(0))
    [line] = backup_of(keeping, record)
    secret = line["authentication"]["symmetricKey"]["primaryKey"]
    rows = [dict(row) for row in keeping.table.list_entities()]
    assert secret not in str(rows)
    for blob in keeping.container_of(record).list_blobs():
        text = keeping.container_of(record).download_blob(blob.name).readall()
        assert secret.encode() not in text, blob.name


def test_it_is_kept_for_the_retention_time(keeping: App) -> None:
    keeping.configure(IMPORT_RETENTION_DAYS="10")
    record = run(keeping, deletion(0))
    sweep_after(keeping, 9)
    assert has_container(keeping, record.backup.container)
    sweep_after(keeping, 2)
    assert not has_container(keeping, record.backup.container)
    with pytest.raises(NotPossibleError, match=r"was deleted \(IMPORT_RETENTION_DAYS\)"):
        begin_undo(keeping, record)


def test_it_is_kept_while_its_import_is_held(keeping: App) -> None:
    keeping.configure(APPROVAL="always", APPROVAL_DEADLINE_DAYS="90", IMPORT_RETENTION_DAYS="1")
    record = held(keeping, deletion(0))
    sweep_after(keeping, 60)
    assert has_container(keeping, record.backup.container)
    keeping.importer.actions.cancel(record)
    sweep_after(keeping, 2)
    assert not has_container(keeping, record.backup.container)


def test_undo_needs_no_container_of_what_it_undoes(keeping: App) -> None:
    """It may wait longer than they are kept."""
    keeping.configure(IMPORT_RETENTION_DAYS="1", APPROVAL_DEADLINE_DAYS="90")
    record = run(keeping, deletion(0), pump(1, "b"))
    keeping.configure(APPROVAL="always")
    new = begin_undo(keeping, record)
    sweep_after(keeping, 3)
    for name in (record.backup.container, record.staged.container):
        assert not has_container(keeping, name)
    approve(keeping, is_held(keeping, new))
    keeping.finish()
    assert counts(current(keeping, new))[:3] == ("completed", 2, 0)
    assert (site(keeping, 0), site(keeping, 1)) == ("a", "a")


def test_forgotten_one_of_a_deleted_record_is_removed(keeping: App) -> None:
    record = run(keeping, deletion(0))
    keeping.blobs.get_blob_client(keeping.container, NAME).delete_blob()
    keeping.table.delete_entity(record.hub, record.row_key)
    sweep_after(keeping, 31)
    assert not has_container(keeping, record.backup.container)


def test_foreign_containers_stay(keeping: App) -> None:
    run(keeping, deletion(0))
    token = uuid.uuid4().hex[:24]
    names = [f"backup-{token}", f"backup-of-{token}", f"backup-{token}-x", f"backups{token}"]
    other_table = {"table": "OtherImports", "hub": "hub", "record": "import-1"}
    for name in names:
        keeping.blobs.create_container(name)
    keeping.blobs.create_container(f"backup-{token}-y", metadata=other_table)
    names.append(f"backup-{token}-y")
    sweep_after(keeping, 4000)
    assert [name for name in names if not has_container(keeping, name)] == []


def test_no_backup_over_a_foreign_container(keeping: App) -> None:
    keeping.hub.occupy_slot()
    keeping.upload("first.ndjson", device("other"))
    keeping.deliver("first.ndjson")
    keeping.upload(NAME, deletion(0))
    keeping.deliver(NAME)
    record: ImportRecord = keeping.record(NAME)
    keeping.blobs.create_container(f"backup-{record.id}", metadata={"owner": "somebody"})
    keeping.hub.free_slot()
    keeping.finish()
    record = current(keeping, record)
    assert record.state == "failed"
    assert site(keeping, 0) == "a"
    with pytest.raises(ResourceNotFoundError):
        keeping.blobs.get_blob_client(f"backup-{record.id}", "devices.txt").get_blob_properties()
