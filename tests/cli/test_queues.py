"""`device-importer queues`: what each hub does, how much waits, and for how long."""

from __future__ import annotations

from datetime import timedelta

from tests.app import App, device
from tests.cli.conftest import Shell
from tests.web.support import share_job


def test_an_idle_hub(app: App, shell: Shell) -> None:
    hub = next(iter(app.importer.services.hubs))
    done = shell("queues")
    assert done.status == 0
    assert done.out.split("\n")[:2] == [hub, "  no imports waiting"]
    done = shell("queues", "--hub", "other")
    assert done.status == 2
    assert "There is no hub 'other'." in done.err
    nothing = {"length": 0, "waiting": 0, "head": None, "expectedEnd": None, "paceJobs": 0}
    assert shell.json("queues") == [{"queues": [{"hub": hub, **nothing}]}]


def test_how_long_it_takes(app: App, shell: Shell) -> None:
    first, _ = share_job(app, "a.ndjson", "b.ndjson")
    app.upload("next.ndjson", device("a.ndjson"))
    app.deliver("next.ndjson")
    assert "not known yet" in shell("queues").out
    before = app.record("before.ndjson")
    app.table.update_entity(
        {
            "PartitionKey": before.hub,
            "RowKey": before.row_key,
            "startTimeUtc": app.clock(),
            "endTimeUtc": app.clock() + timedelta(hours=2),
        }
    )
    out = shell("queues").out
    assert first.id in out
    assert "others  1 waiting" in out
    assert "3 files in about 4 h" in out
    assert "by the hub's last job\n" in out
    [shown] = shell.json("queues")
    [queue] = shown["queues"]
    assert (queue["length"], queue["head"]["id"]) == (3, first.id)
    assert queue["expectedEnd"]


def test_a_hub_that_is_busy(app: App, shell: Shell) -> None:
    app.configure(BACKOFF_SECONDS="60")
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("pump-1"))
    app.deliver("waits.ndjson")
    out = shell("queues").out
    assert "next try  in " in out
    assert "others    none waiting" in out
    assert "reason    Waiting" in out


def test_between_two_jobs_the_head_is_the_first(app: App, shell: Shell) -> None:
    app.hub.occupy_slot()
    for name in ("first.ndjson", "second.ndjson"):
        app.upload(name, device("pump-1"))
        app.deliver(name)
    assert app.record("second.ndjson").queue_position == 2
    app.importer.actions.cancel(app.record("first.ndjson"))
    assert "queued #1" in shell("queues").out
    [queue] = shell.json("queues")[0]["queues"]
    assert queue["head"]["queuePosition"] == 1
