"""Imports that cannot be compared with the registry, by what guards them."""

from __future__ import annotations

import json

import pytest

from shared.errors import NotPossibleError
from shared.imports.model.record import ImportRecord
from tests.app import App
from tests.imports.guards import (
    advance,
    approve,
    begin_undo,
    current,
    decline,
    deletion,
    run,
)
from tests.imports.plans import NAME, counts, imports, is_exported, plan_job, pump, send, site


def give_up(app: App, *, times: int = 1) -> None:
    """Let each export of the registry fail."""
    app.configure(MAX_ATTEMPTS=str(times))
    app.hub.faults.add("failJob", times=times, reason="The disk is full.")


def without_plan(app: App, *lines: object, name: str = NAME) -> ImportRecord:
    give_up(app)
    record = send(app, *lines, name=name)
    advance(app)
    return current(app, record)


def test_held_without_a_plan(guarding: App) -> None:
    record = without_plan(guarding, deletion(0), pump(1, "b"))
    assert record.state == "held"
    assert "could not be compared" in record.failure_reason
    assert "The disk is full" in record.failure_reason
    assert "all of its lines, without a guard" in record.failure_reason
    assert not record.plan.digest
    assert len(record.hold.digest) == 32
    # Nothing guards what is changed meanwhile: whoever approves confirms that.
    guarding.hub.registry.put(pump(1, "theirs"))
    approve(guarding, record)
    guarding.finish()
    record = current(guarding, record)
    assert counts(record) == ("completed", 2, 0, None)
    assert site(guarding, 1) == "b"
    assert "could not be compared" in record.failure_reason


def test_staged_file_that_was_edited_is_not_approved(guarding: App) -> None:
    record = without_plan(guarding, deletion(0))
    container = guarding.container_of(record)
    lines = container.download_blob(record.staged.name).readall()
    container.upload_blob(record.staged.name, lines.replace(b"pump-0", b"pump-9"), overwrite=True)
    with pytest.raises(NotPossibleError, match="was deleted or changed"):
        approve(guarding, record)
    # A retry compares it again, if its upload is still there.
    assert counts(current(guarding, record))[:3] == ("failed", 0, 0)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_staged_file_that_was_changed_is_not_held(guarding: App, is_deleted: bool) -> None:
    """Nobody could approve it."""
    give_up(guarding)
    record = send(guarding, deletion(0))
    container = guarding.container_of(record)
    if is_deleted:
        container.delete_blob(record.staged.name)
    else:
        container.upload_blob(record.staged.name, b"{}\n", overwrite=True)
    advance(guarding)
    record = current(guarding, record)
    assert counts(record)[:3] == ("failed", 0, 0)
    assert "was deleted or changed after it was validated" in record.failure_reason
    assert imports(guarding) == []


def test_declined_without_a_plan(guarding: App) -> None:
    record = without_plan(guarding, deletion(0))
    ended = decline(guarding, record, "no")
    assert counts(ended)[:3] == ("cancelled", 0, 0)


@pytest.mark.parametrize("backup", ["destructive", "always"])
def test_no_backup_no_import(guarding: App, backup: str) -> None:
    guarding.configure(BACKUP=backup)
    record = without_plan(guarding, deletion(0))
    assert counts(record) == ("failed", 0, 0, None)
    assert "No backup of its devices could be made" in record.failure_reason
    assert site(guarding, 0) == "a"
    # The retry makes one.
    retry = guarding.importer.actions.retry(record)
    guarding.finish()
    retry = current(guarding, retry)
    assert counts(retry)[:3] == ("completed", 1, 0)
    assert retry.backup_lines == 1


def test_harmless_lines_are_sent_under_destructive(guarding: App) -> None:
    guarding.configure(BACKUP="destructive", APPLY="changes")
    twin = {"id": "pump-1", "importMode": "updateTwin", "status": "enabled", "tags": {"site": "b"}}
    record = without_plan(guarding, twin)
    guarding.finish()
    assert counts(current(guarding, record)) == ("completed", 1, 0, None)
    assert site(guarding, 1) == "b"


def test_undo_is_never_sent_without_a_plan(guarding: App) -> None:
    guarding.configure(BACKUP="always", APPROVAL="never")
    record = run(guarding, pump(1, "b"))
    give_up(guarding)
    new = begin_undo(guarding, record)
    guarding.finish()
    new = current(guarding, new)
    assert counts(new)[:3] == ("failed", 0, 0)
    assert f"undo import {record.id} again" in new.failure_reason
    assert not new.can_be_retried
    assert site(guarding, 1) == "b"


@pytest.mark.parametrize("backup", ["always", "destructive"])
def test_export_without_keys_is_no_backup(guarding: App, backup: str) -> None:
    guarding.configure(BACKUP=backup, APPROVAL="never")
    is_exported(guarding, deletion(0))
    export = guarding.blobs.get_blob_client(plan_job(guarding).staged.container, "devices.txt")
    lines = [json.loads(line) for line in export.download_blob().readall().splitlines()]
    keyless = [{**line, "authentication": {"type": "sas"}} for line in lines]
    text = "The keys are left out.\n" + "\n".join(map(json.dumps, keyless))
    export.upload_blob(text.encode(), overwrite=True)
    guarding.finish()
    record = guarding.record(NAME)
    assert counts(record) == ("failed", 0, 0, None)
    assert "exports no keys" in record.failure_reason
    assert site(guarding, 0) == "a"
    assert not record.can_be_undone
