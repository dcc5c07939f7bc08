"""Files that share a job: over HTTP, and on pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from shared.imports.operate.import_filter import ImportFilter
from tests.app import App, device
from tests.web.support import Client, complete, problem_of, share_job, text_of

FILES = ("a.ndjson", "b.ndjson", "c.ndjson")
SHARED_JOB = "urn:device-importer:shared-job"


def days_until(time: str) -> int:
    return round((datetime.fromisoformat(time) - datetime.now(UTC)) / timedelta(days=1))


def files_of(items: list[dict[str, str]]) -> list[str]:
    return [item["file"] for item in items]


def test_an_import_with_the_other_files_of_its_job(app: App, client: Client) -> None:
    first, *_ = share_job(app, *FILES)
    shown = client.json(f"imports/{first.id}")
    assert (shown["state"], shown["jobFiles"], shown["queuePosition"]) == ("running", 3, None)
    assert shown["jobRecord"] == first.job_record != first.id
    assert [(item["file"], item["state"]) for item in shown["inSameJob"]] == [
        ("b.ndjson", "running"),
        ("c.ndjson", "running"),
    ]
    app.hub.free_slot()
    client.post(f"imports/{first.id}/cancel", job=first.job_record)
    app.tick()
    app.finish()
    shown = client.json(f"imports/{first.id}")
    assert (shown["state"], shown["jobFiles"]) == ("cancelled", 3)
    assert {item["state"] for item in shown["inSameJob"]} == {"cancelled"}
    app.table.delete_entity(app.hub.address, f"ended-job-{first.job_record}")
    assert client.json(f"imports/{first.id}")["inSameJob"] == []


def test_an_import_alone_in_its_job(app: App, client: Client) -> None:
    complete(app)
    [shown] = client.json("imports")["imports"]
    assert (shown["jobFiles"], shown["jobRecord"]) == (1, shown["id"])
    assert client.json(f"imports/{shown['id']}")["inSameJob"] == []
    assert "In one job" not in client.get(f"dashboard/imports/{shown['id']}").text


def test_cancelling_an_import_cancels_no_others_unasked(app: App, client: Client) -> None:
    first, second, third = share_job(app, *FILES)
    problem = problem_of(client.post(f"imports/{second.id}/cancel"), 409)
    assert problem["type"] == SHARED_JOB
    assert problem["job"] == first.job_record
    assert [item["id"] for item in problem["imports"]] == [first.id, second.id, third.id]
    assert files_of(problem["imports"]) == list(FILES)
    assert app.record("b.ndjson").cancel_reason is None
    other_job = client.post(f"imports/{second.id}/cancel", job="0" * 24)
    assert problem_of(other_job, 409)["type"] == "urn:device-importer:not-possible"
    assert client.post(f"imports/{second.id}/cancel", job="x").status_code == 400

    answer = client.post(f"imports/{second.id}/cancel", job=problem["job"])
    assert (answer.status_code, answer.json()["cancelRequested"]) == (202, True)
    app.tick()
    app.finish()
    assert {app.record(name).state for name in FILES} == {"cancelled"}
    assert "2 other files" in app.record("a.ndjson").failure_reason


def test_the_queue_counts_a_job_once(app: App, client: Client) -> None:
    share_job(app, *FILES)
    app.upload("waits.ndjson", device("a.ndjson"))
    app.deliver("waits.ndjson")
    [queue] = client.json("queues")["queues"]
    assert (queue["length"], queue["waiting"], queue["head"]["jobFiles"]) == (4, 1, 3)
    page = text_of(client.get("dashboard").text)
    assert "running a.ndjson and 2 other files in one job" in page
    assert "1 more waiting" in page
    assert "3 running, 1 waiting" in page
    assert len(re.findall("job of 3 files", page)) == 3


def test_filters_by_state_know_the_states_of_jobs(app: App, client: Client) -> None:
    share_job(app, *FILES)
    for number in range(5):
        app.upload(f"{number}.ndjson", device("a.ndjson"))
        app.deliver(f"{number}.ndjson")
    running, continuation = [], ""
    while True:
        page = client.json("imports", state="running", limit=2, continuation=continuation)
        running += files_of(page["imports"])
        continuation = page["continuation"]
        if not continuation:
            break
    assert sorted(running) == list(FILES)
    queued = files_of(client.json("imports", state="queued")["imports"])
    assert sorted(queued) == [f"{number}.ndjson" for number in range(5)]
    assert client.json("imports", state="starting")["imports"] == []
    both = client.json("imports", state="queued,completed", limit=6)
    assert (len(both["imports"]), both["continuation"]) == (6, "")


def test_a_list_reads_no_footprints_and_the_jobs_once(app: App, client: Client) -> None:
    share_job(app, *FILES)
    app.importer.reader.hubs()
    with app.counting() as requests:
        page = client.json("imports", limit=10)
    # The imports of the hub and of no hub, and the hub's jobs.
    assert (len(page["imports"]), len(requests)) == (4, 3)
    listed = app.importer.reader.page(ImportFilter(), 10).imports
    assert {record.footprint for record in listed} == {b""}
    assert app.record("a.ndjson").footprint


def test_the_page_cancels_the_job_that_it_shows(app: App, client: Client) -> None:
    first, second, _ = share_job(app, *FILES)
    page = client.get(f"dashboard/imports/{first.id}").text
    assert "In one job with 2 other files" in text_of(page)
    assert f"dashboard/imports/{second.id}" in page
    [form] = re.findall(r'<form method="post" action="([^"]+)" data-confirm="([^"]+)"', page)
    assert f"job={first.job_record}" in form[0]
    assert "2 other files" in form[1]
    answer = client.post(f"dashboard/imports/{first.id}/cancel", job=first.job_record)
    assert answer.status_code == 303
    assert app.record("c.ndjson").cancel_reason == "operator"


def test_a_page_from_before_the_job_cancels_nothing_else(app: App, client: Client) -> None:
    """A conflict is a page with the files, and a button that works without scripts."""
    first, *_ = share_job(app, *FILES)
    answer = client.post(f"dashboard/imports/{first.id}/cancel")
    assert answer.status_code == 409
    text = text_of(answer.text)
    assert all(name in text for name in FILES)
    assert "Cancel job of 3 files" in text
    assert f"dashboard/imports/{first.id}/cancel?job={first.job_record}" in answer.text
    assert app.record("a.ndjson").cancel_reason is None
    other = client.post(f"dashboard/imports/{first.id}/cancel", job="0" * 24)
    assert other.status_code == 409
    assert f"dashboard/imports/{first.id}" in other.text


def test_the_expected_start_of_an_import_that_waits(app: App, client: Client) -> None:
    first, *_ = share_job(app, *FILES)
    for name in ("next.ndjson", "last.ndjson"):
        app.upload(name, device("a.ndjson"))
        app.deliver(name)
    last = app.record("last.ndjson")
    assert last.queue_position == 3
    with app.counting() as requests:
        record = app.importer.reader.get(last.id)
    with app.counting() as more:
        detail = app.importer.reader.describe(record)
    assert (len(requests), len(more)) == (2, 2)
    # The emulator's jobs take less than the running one has taken.
    assert (detail.queue_position, detail.expected_start) == (3, None)
    before = app.record("before.ndjson")
    app.table.update_entity(
        {
            "PartitionKey": before.hub,
            "RowKey": before.row_key,
            "startTimeUtc": app.clock(),
            "endTimeUtc": app.clock() + timedelta(days=100),
        }
    )
    assert days_until(client.json(f"imports/{last.id}")["expectedStart"]) == 200
    assert "Expected to start in about" in text_of(client.get(f"dashboard/imports/{last.id}").text)
    assert client.json(f"imports/{first.id}")["expectedStart"] is None

    app.importer.actions.cancel(app.record("next.ndjson"))
    shown = client.json(f"imports/{last.id}")
    assert (shown["queuePosition"], days_until(shown["expectedStart"])) == (2, 100)


def test_the_position_behind_a_job_of_many_files_is_not_stored_but_known(
    app: App, client: Client
) -> None:
    share_job(app, *(f"{number:02}.ndjson" for number in range(12)))
    for name in ("next.ndjson", "last.ndjson"):
        app.upload(name, device("00.ndjson"))
        app.deliver(name)
    following, last = app.record("next.ndjson"), app.record("last.ndjson")
    assert following.queue_position is last.queue_position is None
    assert client.json(f"imports/{following.id}")["queuePosition"] == 2
    # It depends on the files ahead, which the sweep reads.
    assert client.json(f"imports/{last.id}")["queuePosition"] is None
    app.sweep()
    assert client.json(f"imports/{last.id}")["queuePosition"] == 3
