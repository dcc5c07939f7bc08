"""What was approved is compared with the registry once more if it deletes devices."""

from __future__ import annotations

import pytest

from iothub_emulator.registry.identity import Key
from tests.app import App, device
from tests.imports.guards import advance, approve, begin_undo, current, deletion, held, module
from tests.imports.plans import NAME, counts, pump, put_pumps, rows_of, site, use_lookups


@pytest.fixture(params=["lookups", "export"])
def approving(request: pytest.FixtureRequest, app: App) -> App:
    app.configure(APPROVAL="always", BACKUP="always")
    put_pumps(app, 6)
    if request.param == "lookups":
        use_lookups(app)
    return app


def test_what_changed_while_held_is_not_deleted(approving: App) -> None:
    registry = approving.hub.registry
    registry.put(module(4))
    record = held(approving, *map(deletion, range(5)))
    registry.put(module(4, tags={"x": "theirs"}))
    registry.put({**(registry.get("pump-1") or {}), "tags": {"site": "theirs"}})
    registry.put({"id": "pump-2", "moduleId": "theirs"})
    registry.delete(Key("pump-3"))
    approve(approving, record)
    approving.finish()
    record = approving.record(NAME)
    assert counts(record)[:3] == ("completedWithErrors", 1, 4), record.failure_reason
    assert "3 x 412001 PreconditionFailed (the device changed after" in record.failure_reason
    assert registry.get("pump-0") is None
    assert site(approving, 1) == "theirs"
    assert registry.get("pump-2", "theirs") is not None
    assert registry.get("pump-4", "m1") is not None
    assert [state.value for state, _ in record.history][3:7] == [
        *("held", "queued", "planning", "queued")
    ]
    assert rows_of(approving, "queue") == rows_of(approving, "held") == []


def test_what_deletes_nothing_is_not_compared_again(approving: App) -> None:
    record = held(approving, pump(1, "b"), device("new-1", importMode="create"))
    approve(approving, record)
    approving.finish()
    record = approving.record(NAME)
    assert counts(record)[:3] == ("completed", 2, 0)
    assert [state.value for state, _ in record.history].count("planning") == 1


def test_an_undo_leaves_out_what_changed_while_it_was_held(approving: App) -> None:
    record = held(approving, device("new-1"), device("new-2"))
    approve(approving, record)
    approving.finish()
    undo = begin_undo(approving, approving.record(NAME))
    advance(approving)
    undo = current(approving, undo)
    assert undo.state == "held", undo.failure_reason
    approving.hub.registry.put(device("new-1", tags={"site": "theirs"}))
    approve(approving, undo)
    approving.finish()
    undo = current(approving, undo)
    assert (undo.state, undo.imported, undo.left_out) == ("completedWithErrors", 1, 1)
    assert approving.hub.registry.get("new-1") is not None
    assert approving.hub.registry.get("new-2") is None


@pytest.mark.parametrize("backup", ["never", "always"])
def test_what_cannot_be_compared_again_is_not_sent(app: App, backup: str) -> None:
    app.configure(APPROVAL="always", BACKUP=backup)
    put_pumps(app, 6)
    record = held(app, deletion(1))
    app.hub.faults.add("error", operation="registry", status=401, times=99)
    app.hub.faults.add("error", operation="createJob", status=400, code="ArgumentInvalid")
    approve(app, record)
    app.finish()
    record = app.record(NAME)
    assert counts(record)[:3] == ("failed", 0, 0)
    assert "What was approved could not be compared" in record.failure_reason
    assert site(app, 1) == "a"
    assert record.can_be_retried
