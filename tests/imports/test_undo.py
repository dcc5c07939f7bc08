"""Undo: the registry is again what it was before an import."""

from __future__ import annotations

import pytest

from tests.app import App, device
from tests.imports.guards import deletion, module, run, undo
from tests.imports.plans import actions, counts, keys, pump, put_pumps, site, use_lookups

#: What a hub makes of its own.
HUB_MADE = {"eTag", "twinETag"}


@pytest.fixture(params=["lookups", "export"])
def keeping(request: pytest.FixtureRequest, app: App) -> App:
    """The app, which backs up all that it changes."""
    app.configure(BACKUP="always")
    put_pumps(app, 6)
    if request.param == "lookups":
        use_lookups(app)
    return app


def state(app: App, number: int, module_id: str = "") -> dict[str, object]:
    """What comes back of a device or module."""
    found = app.hub.registry.get(f"pump-{number}", module_id or None)
    assert found is not None, number
    return {name: value for name, value in found.items() if name not in HUB_MADE}


def test_everything_comes_back(keeping: App) -> None:
    before = [state(keeping, number) for number in range(6)]
    record = run(
        keeping,
        deletion(0),
        pump(1, "b"),
        device("pump-2", authentication=keys(77)),
        device("new-1"),
    )
    assert counts(record) == ("completed", 4, 0, 0), record.failure_reason
    assert record.creates == 1
    undone = undo(keeping, record)
    assert counts(undone) == ("completed", 4, 0, 0), undone.failure_reason
    assert [state(keeping, number) for number in range(6)] == before
    assert keeping.hub.registry.get("new-1") is None


def test_what_others_changed_is_left_out(keeping: App) -> None:
    record = run(keeping, deletion(0), pump(1, "b"), device("new-1"))
    keeping.hub.registry.put(pump(0, "theirs"))
    keeping.hub.registry.put(pump(1, "theirs"))
    keeping.hub.registry.put(device("new-1", tags={"site": "theirs"}))
    undone = undo(keeping, record)
    assert actions(keeping, undone) == ["leftOut"] * 3
    assert counts(undone)[0] == "completedWithErrors"
    assert "3 of 3 were left out" in undone.failure_reason
    assert site(keeping, 0) == "theirs"
    again = undo(keeping, record, also_changed=True)
    assert counts(again) == ("completed", 3, 0, 0)
    assert (site(keeping, 0), site(keeping, 1)) == ("a", "a")
    assert keeping.hub.registry.get("new-1") is None


def test_modules_of_a_deleted_device_come_back(keeping: App) -> None:
    keeping.hub.registry.put(module(3, tags={"x": 1}))
    before = state(keeping, 3, "m1")
    record = run(keeping, deletion(3), pump(1, "b"))
    assert keeping.hub.registry.get("pump-3", "m1") is None
    undone = undo(keeping, record)
    assert counts(undone) == ("completed", 3, 0, 0), undone.failure_reason
    assert state(keeping, 3, "m1") == before
