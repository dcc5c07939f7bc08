"""Undo of imports that ended in any way, twice, and with other imports around."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from iothub_emulator.registry.identity import Key
from shared.errors import NotPossibleError
from shared.imports.model.safeguards import ActName
from shared.imports.operate.undo import undo_id
from tests.app import App, device
from tests.imports.guards import (
    ADA,
    approve,
    backup_of,
    begin_undo,
    current,
    decline,
    deletion,
    is_held,
    is_started,
    run,
    undo,
)
from tests.imports.plans import NAME, actions, counts, imports, pump, put_pumps, send, site


def sites(app: App) -> list[object]:
    return [site(app, number) for number in range(3)]


def once_planned(app: App, line: dict[str, object]) -> None:
    """Let somebody else write a device between the next plan and its job."""
    lines = [line]

    def write(request: str) -> None:
        if "/planned-" in request and lines:
            app.hub.registry.put(lines.pop())

    app.after_request = write


def test_undo_of_an_import_with_errors(keeping: App) -> None:
    """What the hub rejected is not undone: somebody else did it."""
    once_planned(keeping, device("new-1", tags={"site": "theirs"}))
    record = run(keeping, deletion(0), pump(1, "b"), device("new-1", importMode="create"))
    assert counts(record)[:3] == ("completedWithErrors", 2, 1)
    undone = undo(keeping, record)
    assert counts(undone)[:3] == ("completed", 2, 0)
    # It has no line for what somebody else created.
    assert undone.devices == 2
    assert sites(keeping) == ["a"] * 3
    assert keeping.hub.registry.get("new-1") is not None


@pytest.mark.parametrize("applied", [0, 1, 3])
def test_undo_of_an_import_that_was_cancelled_half_way(keeping: App, applied: int) -> None:
    """It compares states, so it does not matter how far the import came."""
    registry = keeping.hub.registry
    keeping.hub.faults.add("hangJob")
    send(keeping, deletion(0), pump(1, "b"), device("new-1"))
    keeping.tick()
    changes: list[Callable[[], None]] = [
        lambda: registry.delete(Key("pump-0")),
        lambda: registry.put(pump(1, "b")),
        lambda: registry.put(device("new-1")),
    ]
    for change in changes[:applied]:
        change()
    shown = keeping.record(NAME)
    assert shown.job_record
    keeping.importer.actions.cancel(shown, shown.job_record)
    keeping.tick()
    keeping.finish()
    record = keeping.record(NAME)
    assert record.state == "cancelled"
    assert record.has_unknown_counts
    undone = undo(keeping, record)
    assert counts(undone) == ("completed", applied, 0, 3 - applied), undone.failure_reason
    assert sites(keeping) == ["a"] * 3
    assert registry.get("new-1") is None


def test_undo_of_an_import_whose_job_failed(keeping: App) -> None:
    keeping.hub.faults.add("failJob", reason="The disk is full.")
    record = run(keeping, deletion(0))
    assert record.state == "failed"
    assert record.has_unknown_counts
    undone = undo(keeping, record)
    assert counts(undone)[:3] == ("completed", 0, 0)


def test_import_that_changed_nothing_cannot_be_undone(keeping: App) -> None:
    keeping.hub.faults.add("error", operation="createJob", status=400, code="ArgumentInvalid")
    record = run(keeping, deletion(0))
    assert counts(record)[:3] == ("failed", 0, 0)
    with pytest.raises(NotPossibleError, match="changed no device"):
        begin_undo(keeping, record)


def test_open_import_cannot_be_undone(keeping: App) -> None:
    keeping.hub.faults.add("hangJob")
    record = send(keeping, deletion(0))
    with pytest.raises(NotPossibleError, match="Only an import that has ended"):
        begin_undo(keeping, current(keeping, record))


def test_import_without_a_backup_cannot_be_undone(keeping: App) -> None:
    keeping.configure(BACKUP="never")
    record = run(keeping, deletion(0))
    with pytest.raises(NotPossibleError, match="has no backup"):
        begin_undo(keeping, record)


def test_undo_is_undone_and_undone(keeping: App) -> None:
    record = run(keeping, deletion(0), pump(1, "b"), device("new-1"))
    for round_trip in range(2):
        record = undo(keeping, record)
        assert counts(record)[:3] == ("completed", 3, 0), record.failure_reason
        is_back = round_trip % 2 == 0
        assert sites(keeping)[:2] == (["a", "a"] if is_back else [None, "b"])
        assert (keeping.hub.registry.get("new-1") is None) is is_back
    assert [act.name for act in record.acts] == [ActName.UNDO]


def test_second_undo_waits_for_the_end_of_the_first(keeping: App) -> None:
    record = run(keeping, deletion(0))
    first = begin_undo(keeping, record)
    assert begin_undo(keeping, record).id == first.id
    with pytest.raises(NotPossibleError, match=first.id):
        begin_undo(keeping, record, also_changed=True)
    keeping.finish()
    # Somebody deletes the device again.
    run(keeping, deletion(0), name="again.ndjson")
    second = undo(keeping, record)
    assert (second.id, second.undo_number) == (undo_id(record.id, 2), 2)
    assert counts(second)[:3] == ("completed", 1, 0)
    assert site(keeping, 0) == "a"


def test_number_of_deletes_is_confirmed(keeping: App) -> None:
    record = run(keeping, device("new-1"), device("new-2"))
    for deletes in (0, 1, 3):
        with pytest.raises(NotPossibleError, match="deletes=2"):
            keeping.importer.actions.undo(record, deletes, ADA)


def test_undo_whose_record_was_deleted_is_not_taken_for_undone(keeping: App) -> None:
    record = run(keeping, deletion(0))
    first = undo(keeping, record)
    keeping.table.delete_entity(first.hub, first.row_key)
    run(keeping, deletion(0), name="again.ndjson")
    second = undo(keeping, record)
    assert counts(second)[:3] == ("completed", 1, 0), second.failure_reason
    assert site(keeping, 0) == "a"


def test_imports_around_an_undo(keeping: App) -> None:
    """What is imported between the two is left out; what is behind it comes later."""
    record = run(keeping, pump(0, "b"), pump(1, "b"), pump(2, "b"))
    run(keeping, pump(1, "c"), name="between.ndjson")
    new = begin_undo(keeping, record)
    is_started(keeping, new)
    send(keeping, pump(2, "d"), name="behind.ndjson")
    keeping.finish()
    new = current(keeping, new)
    assert actions(keeping, new) == ["update", "leftOut", "update"]
    assert sites(keeping) == ["a", "c", "d"]


def test_undo_right_after_its_import(app: App) -> None:
    """An export may still show the registry as it was before."""
    app.configure(BACKUP="always")
    put_pumps(app, 3)
    record = run(app, pump(0, "b"), deletion(1), device("new-1"))
    new = app.importer.actions.undo(record, record.creates or 0, ADA)
    app.finish()
    new = current(app, new)
    assert counts(new)[:2] == ("completed", 3), new.failure_reason
    assert sites(app) == ["a"] * 3


def test_undo_after_a_retry_and_undo_of_the_retry(keeping: App) -> None:
    once_planned(keeping, pump(1, "theirs"))
    record = run(keeping, deletion(0), pump(1, "b"))
    assert counts(record)[:3] == ("completedWithErrors", 1, 1)
    retry = keeping.importer.actions.retry(record, ADA)
    new = begin_undo(keeping, record)
    keeping.finish()
    assert counts(current(keeping, retry))[:3] == ("completed", 1, 0)
    assert counts(current(keeping, new))[0] == "completed"
    # The retry left the device as the import would have.
    assert sites(keeping) == ["a"] * 3
    back = undo(keeping, current(keeping, retry))
    assert (counts(back)[:3], back.left_out) == (("completedWithErrors", 0, 0), 1)
    back = undo(keeping, current(keeping, retry), also_changed=True)
    assert counts(back)[:3] == ("completed", 1, 0)
    assert site(keeping, 1) == "theirs"


@pytest.mark.parametrize("approval", ["destructive", "always"])
def test_undo_that_needs_approval_itself(keeping: App, approval: str) -> None:
    record = run(keeping, device("new-1"), device("new-2"), deletion(0))
    keeping.configure(APPROVAL=approval, MAX_DELETES="1")
    new = is_held(keeping, begin_undo(keeping, record))
    assert sites(keeping)[0] is None
    # It can be undone again once it is declined.
    ended = decline(keeping, new, "not yet")
    assert not ended.can_be_retried
    again = is_held(keeping, begin_undo(keeping, record))
    assert again.id != new.id
    approve(keeping, again)
    keeping.finish()
    assert counts(current(keeping, again))[:3] == ("completed", 3, 0)
    assert sites(keeping)[0] == "a"
    assert keeping.hub.registry.get("new-1") is None


@pytest.mark.parametrize("what", ["deleted", "edited", "lines deleted", "lines edited"])
def test_lost_backup_is_told(keeping: App, what: str) -> None:
    record = run(keeping, deletion(0), device("new-1"))
    file = record.planned if "lines" in what else record.backup
    container = keeping.blobs.get_container_client(file.container)
    if "deleted" in what:
        container.delete_blob(file.name)
    else:
        content = container.download_blob(file.name).readall()
        container.upload_blob(file.name, content.replace(b"pump-0", b"pump-5"), overwrite=True)
    with pytest.raises(NotPossibleError, match=r"deleted \(IMPORT_RETENTION_DAYS\) or edited"):
        begin_undo(keeping, record)
    assert len(imports(keeping)) == 1
    assert [item.id for item in keeping.records()] == [record.id]


def test_undo_lines_that_were_edited_are_not_sent(keeping: App) -> None:
    record = run(keeping, deletion(0))
    keeping.hub.occupy_slot()
    new = begin_undo(keeping, record)
    container = keeping.blobs.get_container_client(new.undone.container)
    container.upload_blob(new.undone.name, b"{}\n", overwrite=True)
    keeping.hub.free_slot()
    keeping.finish()
    new = current(keeping, new)
    assert counts(new)[:3] == ("failed", 0, 0)
    assert "Undo the import again" in new.failure_reason
    assert site(keeping, 0) is None
    # A new one reads the backup of the import again.
    assert counts(undo(keeping, record))[:3] == ("completed", 1, 0)


def test_undo_has_its_own_backup(keeping: App) -> None:
    record = run(keeping, pump(1, "b"), device("new-1"))
    undone = undo(keeping, record)
    assert undone.backup.container != record.backup.container
    assert sorted(line["id"] for line in backup_of(keeping, undone)) == ["new-1", "pump-1"]
