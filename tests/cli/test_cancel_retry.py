"""`device-importer cancel` and `device-importer retry`."""

from __future__ import annotations

import pytest

from shared.imports.store.import_store import ConflictError
from tests.app import App, device
from tests.cli.conftest import Shell, meanwhile, queued, tick_until_final
from tests.web.support import share_job


def test_cancel_several(app: App, shell: Shell) -> None:
    first, second = queued(app, "a.ndjson", "b.ndjson")
    missing = "0" * 24
    done = shell("cancel", first, missing, second, first)
    assert done.status == 3
    assert done.out == f"{first}  a.ndjson  cancelled\n{second}  b.ndjson  cancelled\n"
    assert done.err.startswith("error: ")
    assert missing in done.err
    done = shell("cancel", first)
    assert (done.status, done.out) == (3, "")
    assert f"{first} is cancelled" in done.err


def test_cancel_json(app: App, shell: Shell) -> None:
    ids = queued(app, "a.ndjson", "b.ndjson")
    cancelled = shell.json("cancel", *ids)
    assert [(item["id"], item["state"]) for item in cancelled] == [(id, "cancelled") for id in ids]


@pytest.mark.parametrize("hub", [{"job_seconds": 30}], indirect=True)
def test_cancel_a_running_job_and_follow_it(app: App, shell: Shell) -> None:
    app.upload("a.ndjson", device("a"))
    app.deliver("a.ndjson")
    app.tick()
    record = app.record("a.ndjson")
    done = shell("cancel", record.id)
    assert "running" in done.out
    assert done.err.endswith(f"device-importer watch {record.id}\n")
    with meanwhile(lambda: tick_until_final(app)):
        done = shell("cancel", record.id, "--watch", "--interval", "0.2")
    assert done.status == 0
    assert "cancelled" in done.out.splitlines()[-1]


def test_cancel_an_import_that_shares_its_job(app: App, shell: Shell) -> None:
    names = [f"{number:02}.ndjson" for number in range(23)]
    first, second, *_ = records = share_job(app, *names)
    done = shell("cancel", first.id)
    assert (done.status, done.out) == (3, "")
    assert first.id not in [line.split()[0] for line in done.err.splitlines()[1:]]
    assert f"  {second.id}  running  01.ndjson\n" in done.err
    assert "  and 2 more\n" in done.err
    assert done.err.endswith(f"device-importer cancel {first.id} --job {first.job_record}\n")
    assert app.record("00.ndjson").cancel_reason is None
    assert shell("cancel", first.id, "--job", "0" * 24).status == 3

    cancel = ("cancel", first.id, second.id, "--job", first.job_record, "--watch")
    with meanwhile(lambda: tick_until_final(app)):
        done = shell(*cancel, "--interval", "0.2")
    assert done.status == 0
    assert {app.record(record.file).state for record in records} == {"cancelled"}
    assert shell("retry", first.id, "--job", first.job_record).status == 2


def test_retry(app: App, shell: Shell) -> None:
    [old] = queued(app, "a.ndjson")
    done = shell("retry", old)
    assert done.status == 3
    assert f"{old} is queued" in done.err
    shell("cancel", old)
    done = shell("retry", old)
    [new] = [record.id for record in app.records() if record.retry_of == old]
    assert (done.status, done.out) == (0, f"{old}  retried as {new}, queued #1\n")
    assert done.err.endswith(f"device-importer watch {new}\n")
    [again] = shell.json("retry", old)
    assert (again["id"], again["retryOf"]) == (new, old)
    assert f"already retried as {new}" in shell("retry", old).out
    app.hub.free_slot()
    with meanwhile(app.finish):
        [ended] = shell.json("retry", old, "--watch", "--interval", "0.2")
    assert (ended["id"], ended["state"], ended["imported"]) == (new, "completed", 1)


def test_a_retry_that_fails(app: App, shell: Shell) -> None:
    [old] = queued(app, "a.ndjson")
    shell("cancel", old)
    shell("retry", old)
    app.hub.free_slot()
    app.hub.faults.add("failJob", reason="the disk is full")
    app.finish()
    done = shell("retry", old, "--watch")
    assert done.status == 1
    assert "the disk is full" in done.out


def test_conflicts(app: App, shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    def conflict(*_: object) -> None:
        raise ConflictError("changed")

    [old] = queued(app, "a.ndjson")
    monkeypatch.setattr("shared.imports.operate.actions.Actions.cancel", conflict)
    done = shell("cancel", old, "--watch")
    assert done.status == 3
    assert old in done.err


def test_wrong_usage(shell: Shell) -> None:
    assert shell("cancel").status == 2
    assert shell("retry", "x").status == 2
