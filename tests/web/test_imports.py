"""One import over HTTP: its details, cancel and retry."""

from __future__ import annotations

import pytest

from iothub_emulator.registry.identity import Key
from shared.imports.model.states import ImportState
from tests.app import App, device
from tests.web.support import Client, complete, partly, problem_of, reject

ABSENT = "0" * 24


def upload(app: App, name: str = "pumps.ndjson") -> str:
    """Upload and deliver a file; return the import id."""
    app.upload(name, device("pump-1"))
    app.deliver(name)
    return app.record(name).id


def test_an_import_with_its_history(app: App, client: Client) -> None:
    partly(app)
    record = app.record("partly.ndjson")
    shown = client.json(f"imports/{record.id}")
    assert [entry["state"] for entry in shown["history"]] == [
        "validating",
        "queued",
        "starting",
        "running",
        "completedWithErrors",
    ]
    times = [entry["enteredAt"] for entry in shown["history"]]
    assert times == sorted(times)
    assert times[-1] == shown["finishedAt"]
    counts = [shown[name] for name in ("lines", "invalidLines", "devices", "imported", "failed")]
    assert counts == [2, 0, 2, 1, 1]
    assert shown["isFinal"] is True
    assert shown["validation"]["format"] == "ndjson"
    assert shown["jobStatus"] == "completed"
    assert shown["actions"] == ["retry"]
    assert shown["files"] == ["report.json", "problems.csv", "retry.ndjson", "results.csv"]
    # Internal properties of the workflow are not shown.
    assert not {"etag", "writeId", "queueKey", "owner", "uploadEtag", "container"} & shown.keys()


def test_an_unknown_import(client: Client) -> None:
    for path in ("", "/files/report.json"):
        problem = client.problem(404, f"imports/{ABSENT}{path}")
        assert problem["type"] == "urn:device-importer:import-not-found"
        assert ABSENT in problem["detail"]
    for verb in ("cancel", "retry"):
        client.problem(404, f"imports/{ABSENT}/{verb}", method="post")


def test_an_invalid_id(client: Client) -> None:
    for wrong in ("081", "A" * 24, "%C3%A4", "%ff", "..%2fimports", "a b"):
        for path in ("", "/files/report.json"):
            assert client.problem(404, f"imports/{wrong}{path}")["type"].endswith(":not-found")
        for verb in ("cancel", "retry"):
            client.problem(404, f"imports/{wrong}/{verb}", method="post")


def test_an_abbreviated_id(app: App, client: Client) -> None:
    app.hub.occupy_slot()
    first, second = upload(app, "a.ndjson"), upload(app, "b.ndjson")
    assert client.json(f"imports/{first[:10]}")["id"] == first
    assert client.get(f"dashboard/imports/{first[:10]}").status_code == 200
    app.table.create_entity({"PartitionKey": "(claims)", "RowKey": f"{second[:8]}{'g' * 16}"})
    assert client.json(f"imports/{second[:8]}")["id"] == second
    app.table.create_entity({"PartitionKey": "(claims)", "RowKey": f"{second[:8]}{'f' * 16}"})
    problem = client.problem(404, f"imports/{second[:8]}/cancel", method="post")
    assert f"  {second}  queued  b.ndjson" in problem["detail"]
    assert client.json(f"imports/{second}")["state"] == "queued"


def test_cancel_a_queued_import(app: App, client: Client) -> None:
    app.hub.occupy_slot()
    import_id = upload(app)
    assert client.json(f"imports/{import_id}")["actions"] == ["cancel"]
    answer = client.post(f"imports/{import_id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert answer.json()["actions"] == ["retry"]
    problem = problem_of(client.post(f"imports/{import_id}/cancel"), 409)
    assert problem["type"] == "urn:device-importer:not-possible"
    assert f"{import_id} is cancelled" in problem["detail"]


def test_cancel_during_validation(app: App, client: Client) -> None:
    answers = []

    def cancel_during_read(request: str) -> None:
        if request == f"GET /devstoreaccount1/{app.container}/pumps.ndjson":
            app.before_request = lambda _: None
            answers.append(client.post(f"imports/{app.record('pumps.ndjson').id}/cancel"))

    app.before_request = cancel_during_read
    import_id = upload(app)
    assert [answer.status_code for answer in answers] == [200]
    assert client.json(f"imports/{import_id}")["state"] == "cancelled"


@pytest.mark.parametrize("state", ["starting", "running"])
def test_cancel_an_import_that_may_have_a_job(app: App, client: Client, state: str) -> None:
    app.hub.faults.add("hangJob")
    if state == "starting":
        app.hub.faults.add("dropReply", operation="createJob")
    import_id = upload(app)
    assert client.json(f"imports/{import_id}")["state"] == state
    for _ in range(2):
        answer = client.post(f"imports/{import_id}/cancel")
        assert (answer.status_code, answer.json()["state"]) == (202, state)
        assert answer.json()["cancelRequested"] is True
        assert answer.json()["actions"] == []
    for _ in range(2):
        app.tick()
    app.finish()
    shown = client.json(f"imports/{import_id}")
    assert (shown["state"], shown["jobStatus"]) == ("cancelled", "cancelled")


def test_retry_of_lines_rejected_by_the_hub(app: App, client: Client) -> None:
    partly(app)
    import_id = app.record("partly.ndjson").id
    answer = client.post(f"imports/{import_id}/retry")
    assert answer.status_code == 201
    made = answer.json()
    assert (made["retryOf"], made["state"], made["lines"]) == (import_id, "queued", 1)
    assert client.follow(answer.headers["Location"])["id"] == made["id"]
    again = client.post(f"imports/{import_id}/retry")
    assert (again.status_code, again.json()["id"]) == (201, made["id"])
    assert again.headers["Location"] == answer.headers["Location"]
    old = client.json(f"imports/{import_id}")
    assert (old["retriedAs"], old["state"]) == (made["id"], "completedWithErrors")
    app.hub.registry.delete(Key("exists"))
    app.finish()
    shown = client.json(f"imports/{made['id']}")
    assert (shown["state"], shown["imported"]) == ("completed", 1)


def test_retry_of_a_cancelled_import_with_the_key_in_the_url(app: App, client: Client) -> None:
    app.hub.occupy_slot()
    import_id = upload(app)
    client.post(f"imports/{import_id}/cancel")
    answer = client.post(f"imports/{import_id}/retry", code="a-key")
    assert answer.status_code == 201
    assert "a-key" not in answer.headers["Location"]


def test_retry_of_an_import_that_cannot_be_retried(app: App, client: Client) -> None:
    complete(app)
    reject(app)
    app.hub.occupy_slot()
    waits = upload(app, "waits.ndjson")
    for record in (app.record("good.ndjson"), app.record("broken.ndjson")):
        problem = client.problem(409, f"imports/{record.id}/retry", method="post")
        assert problem["type"] == "urn:device-importer:not-possible"
        assert f"{record.id} is {record.state}" in problem["detail"]
    client.problem(409, f"imports/{waits}/retry", method="post")
    client.post(f"imports/{waits}/cancel")
    app.container_of(app.record("waits.ndjson")).delete_container()
    app.blobs.get_blob_client(app.container, "waits.ndjson").delete_blob()
    problem = client.problem(409, f"imports/{waits}/retry", method="post")
    assert "IMPORT_RETENTION_DAYS" in problem["detail"]
    assert [record.state for record in app.records()].count(ImportState.QUEUED) == 0


def test_retry_of_an_import_whose_container_was_deleted(app: App, client: Client) -> None:
    """The upload still exists and is validated again."""
    app.hub.occupy_slot()
    import_id = upload(app)
    client.post(f"imports/{import_id}/cancel")
    app.container_of(app.record("pumps.ndjson")).delete_container()
    answer = client.post(f"imports/{import_id}/retry")
    assert (answer.status_code, answer.json()["state"]) == (201, "validating")
    app.hub.free_slot()
    app.finish()
    shown = client.json(f"imports/{answer.json()['id']}")
    assert (shown["state"], shown["imported"], shown["retryOf"]) == ("completed", 1, import_id)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_cross_site_requests_are_rejected(app: App, client: Client, site: str) -> None:
    app.hub.occupy_slot()
    import_id = upload(app)
    headers = {"Sec-Fetch-Site": site}
    for path in (f"imports/{import_id}/cancel", f"imports/{import_id}/retry", "check"):
        problem = problem_of(client.post(path, headers=headers), 403)
        assert problem["type"] == "urn:device-importer:cross-site"
    assert client.get(f"imports/{import_id}", headers=headers).json()["state"] == "queued"
    same = {"Sec-Fetch-Site": "same-origin"}
    assert client.post(f"imports/{import_id}/cancel", headers=same).status_code == 200


def test_page_of_a_completed_import_lists_no_rejected_devices(app: App, client: Client) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")
    app.finish()
    page = client.get(f"dashboard/imports/{app.record('pumps.ndjson').id}").text
    assert "completed" in page
    assert "Rejected by the hub" not in page
