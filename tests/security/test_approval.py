"""Ways around an approval, none of which works."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Actor
from tests.app import App
from tests.imports.plans import NAME, site
from tests.web.guarded import ADA, back_up, deletion, guard, hold_deletes
from tests.web.support import Client

RELAXED = {
    "APPROVAL": "never",
    "MAX_DELETES": "1000",
    "MAX_DELETE_SHARE": "1",
    "APPROVAL_HUB_SHARE": "1",
    "APPROVAL_DEADLINE_DAYS": "90",
    "APPROVAL_FOUR_EYES": "false",
}
DELETES = [deletion(number) for number in range(3)]


def run(app: App) -> None:
    for _ in range(4):
        app.hub.wait_idle()
        app.tick()
    app.sweep()


def test_settings_do_not_relax_what_was_fixed(app: App) -> None:
    guard(app, APPROVAL_FOUR_EYES="true", APPROVAL_DEADLINE_DAYS="3")
    app.hub.occupy_slot()
    app.upload(NAME, *DELETES)
    app.deliver(NAME)
    fixed = app.record(NAME).safeguards
    assert (fixed.approval, fixed.unapproved, fixed.four_eyes) == ("destructive", 2, True)
    app.configure(**RELAXED)
    app.hub.free_slot()
    run(app)
    record = app.record(NAME)
    assert (record.state, record.safeguards) == ("held", fixed)
    assert record.hold.until is not None
    assert record.hold.since is not None
    assert (record.hold.until - record.hold.since).days == 3
    app.pass_minutes(3 * 24 * 60)
    run(app)
    assert app.record(NAME).state == "cancelled"
    assert site(app, 0) == "a"


@pytest.mark.parametrize(
    "metadata",
    [
        {"confirmDeletes": "3"},
        {"confirmDeletes": "1000000"},
        {"approval": "never", "APPROVAL": "never", "approved": "true", "maxDeletes": "9"},
    ],
)
def test_metadata_do_not_approve(app: App, metadata: dict[str, str]) -> None:
    guard(app)
    app.upload(NAME, *DELETES, metadata=metadata)
    app.deliver(NAME)
    run(app)
    assert app.record(NAME).state == "held"
    assert site(app, 0) == "a"


def test_a_retry_does_not_relax(app: App) -> None:
    guard(app, APPROVAL_FOUR_EYES="true")
    record = hold_deletes(app)
    app.importer.actions.cancel(record)
    app.configure(**RELAXED)
    new = app.importer.actions.retry(app.record(NAME))
    run(app)
    new = app.importer.services.store.get(new.hub, new.row_key)
    assert (new.state, new.safeguards) == ("held", record.safeguards)


def test_an_undo_does_not_relax(app: App) -> None:
    """It inherits what its import had, and what is configured by then if that is stricter."""
    guard(app)
    record = back_up(app, deletion(0), deletion(1))
    app.configure(**RELAXED)
    first = app.importer.actions.undo(record, 0)
    assert (first.safeguards.approval, first.safeguards.unapproved) == ("destructive", 2)
    app.finish()
    app.configure(APPROVAL="always", APPROVAL_FOUR_EYES="true")
    second = app.importer.actions.undo(record, 0)
    assert (second.safeguards.approval, second.safeguards.four_eyes) == ("always", True)


def overwrite(app: App, record: ImportRecord) -> None:
    app.upload(NAME, *DELETES, deletion(3))


def edit_lines(app: App, record: ImportRecord) -> None:
    blob = app.container_of(record).get_blob_client(record.file_for_hub.name)
    content = blob.download_blob().readall()
    blob.upload_blob(content.replace(b"pump-0", b"pump-7"), overwrite=True)


@pytest.mark.parametrize("change", [overwrite, edit_lines])
def test_other_content_is_not_approved(
    app: App, change: Callable[[App, ImportRecord], None]
) -> None:
    guard(app)
    record = hold_deletes(app)
    change(app, record)
    with pytest.raises(NotPossibleError):
        app.importer.approvals.approve(record, record.hold.digest, 0, Actor("ada", "1", "API"))
    run(app)
    assert [site(app, number) for number in (0, 3, 7)] == ["a", "a", "a"]


def test_a_header_names_nobody(app: App, client: Client) -> None:
    guard(app, APPROVAL_FOUR_EYES="true")
    record = hold_deletes(app)
    path = f"imports/{record.id}/approve"
    assert client.post(path, plan=record.hold.digest, headers=ADA).status_code == 409
    client.post(f"imports/{record.id}/decline", headers=ADA)
    assert [(act.who, act.id) for act in app.record(NAME).acts] == [("function key", "")]
    assert site(app, 0) == "a"
