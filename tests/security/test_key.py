"""Permissions of a function key, and therefore of a stolen key."""

from __future__ import annotations

import gzip
from collections.abc import Mapping
from typing import Any

import pytest

from shared.web import api
from shared.web.routes import ROUTES
from tests.app import App, device
from tests.security.support import CapturedLog
from tests.web.support import Client, complete, partly, problem_of, reject

READS, CHANGES = "reads", "changes"

#: All endpoints, and whether they change data.
ENDPOINTS = {
    "GET imports": READS,
    "GET imports/{id}": READS,
    "GET imports/{id}/files/{name}": READS,
    "POST imports/{id}/cancel": CHANGES,
    "POST imports/{id}/retry": CHANGES,
    "POST imports/cancel": CHANGES,
    "POST imports/retry": CHANGES,
    "POST imports/{id}/approve": CHANGES,
    "POST imports/{id}/decline": CHANGES,
    "POST imports/{id}/undo": CHANGES,
    "GET queues": READS,
    "GET days": READS,
    # The posted file is not stored.
    "POST check": READS,
    "POST uploads": CHANGES,
    "PUT uploads": CHANGES,
    "GET uploads/{ticket}": READS,
    "GET health": READS,
    "GET openapi.json": READS,
    "GET dashboard": READS,
    "GET dashboard/devices": READS,
    "GET dashboard/health": READS,
    "GET dashboard/help": READS,
    "GET dashboard/api": READS,
    "GET dashboard/imports/{id}": READS,
    "GET dashboard/bulk/{action}": READS,
    "POST dashboard/bulk/{action}": CHANGES,
    "POST dashboard/imports/{id}/{action}": CHANGES,
}

BODY = b"made-up-body-0001 " * 300_000


def test_there_are_no_other_endpoints() -> None:
    assert [f"{route.method} {route.path}" for route in ROUTES] == [*ENDPOINTS]


def state_of(app: App) -> Mapping[str, object]:
    """Versions of all objects in the storage account and in the hub."""
    services = app.importer.services
    containers = [app.container, *(record.staged.container for record in app.records())]
    return {
        "uploads and files": {
            (name, blob.name, blob.etag)
            for name in containers
            for blob in app.blobs.get_container_client(name).list_blobs()
        },
        "rows": {
            (row["PartitionKey"], row["RowKey"], row.metadata["etag"])
            for row in services.storage.table(app.settings["IMPORTS_TABLE"]).list_entities()
        },
        "jobs": [job["jobId"] for job in app.hub.jobs],
    }


def three_imports(app: App) -> Mapping[str, object]:
    """Create imports that are partly failed, rejected and queued; return the state."""
    partly(app)
    reject(app)
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("pump-1"))
    app.deliver("waits.ndjson")
    return state_of(app)


def test_read_endpoints_change_nothing(app: App, client: Client) -> None:
    before = three_imports(app)
    with app.counting() as requests:
        assert "partly" in client.get("dashboard/devices", id="exists").text
        for endpoint, effect in ENDPOINTS.items():
            if effect == READS:
                method, _, path = endpoint.partition(" ")
                for record in app.records():
                    address = path.format(
                        id=record.id, name="report.json", ticket="0" * 32, action="retry"
                    )
                    filters = {"state": "open"} if "bulk" in path else {}
                    answer = getattr(client, method.lower())(address, **filters)
                    is_there = "files" not in path and "uploads" not in path
                    assert answer.status_code == 200 or not is_there, endpoint
    assert len(requests) > 50
    assert {request.partition(" ")[0] for request in requests} == {"GET", "HEAD"}
    assert state_of(app) == before


def test_write_endpoints_change_only_existing_imports(app: App, client: Client) -> None:
    before = three_imports(app)
    with app.counting() as requests:
        for record in app.records():
            for action in ("decline", "undo", "cancel", "retry"):
                client.post(f"imports/{record.id}/{action}")
                client.post(f"dashboard/imports/{record.id}/{action}")
            assert client.post(f"dashboard/imports/{record.id}/delete").status_code == 404
    after = state_of(app)
    old, new = before["uploads and files"], after["uploads and files"]
    assert isinstance(old, set)
    assert isinstance(new, set)
    # Reports are rewritten; nothing else is changed or deleted.
    deleted = {name for _, name, _ in old - new}
    assert deleted <= {"report.json"}
    assert {container for container, _, _ in new - old if container == app.container} == set()
    assert after["jobs"] == before["jobs"]
    account = "/devstoreaccount1/"
    written = {request for request in requests if request.split()[0] not in ("GET", "HEAD")}
    assert {request.split()[0] for request in written} <= {"PUT", "POST", "PATCH"}
    assert {request.split(account)[1].split("/")[0].split("(")[0] for request in written} <= {
        "$batch",
        app.settings["IMPORTS_TABLE"],
        *(record.staged.container for record in app.records()),
    }


def test_uploads_write_one_blob_and_its_ticket(app: App, client: Client) -> None:
    three_imports(app)
    with app.counting() as requests:
        assert client.post("uploads", name="new.ndjson").status_code == 201
        assert client.put("uploads", BODY, name="new.ndjson").status_code == 201
    account = "/devstoreaccount1/"
    written = [request.split(account) for request in requests if request.split()[0] != "GET"]
    table = app.settings["IMPORTS_TABLE"]
    assert {path.split("(")[0] for method, path in written if method != "HEAD "} == {
        table,
        f"{app.container}/new.ndjson",
    }
    rows = [path for _, path in written if path.startswith(table)]
    assert all("%28uploads%29" in path for path in rows), rows
    # It replaces no file unasked.
    for answer in (
        client.post("uploads", name="waits.ndjson"),
        client.put("uploads", BODY, name="waits.ndjson"),
    ):
        problem_of(answer, 409)


def test_no_setting_is_shown(app: App, client: Client) -> None:
    given = {
        "IOTHUB_CLIENT_ID": "11111111-2222-3333-4444-555555555555",
        "JOB_STORAGE_AUTHENTICATION": "identityBased",
        "JOB_STORAGE_IDENTITY": "/subscriptions/made-up/identities/hub",
        "UPLOAD_ARCHIVE_CONTAINER": "made-up-archive",
        "EVENTS_URL": "https://hooks.example/made-up-path?code=made-up-query",
        "EVENTS_KEY": "made-up-events-key",
    }
    app.configure(**given)
    reject(app)
    [record] = app.records()
    for endpoint in ENDPOINTS:
        method, _, path = endpoint.partition(" ")
        address = path.format(id=record.id, name="report.json", action="retry", ticket="0" * 32)
        getattr(client, method.lower())(address)
    text = "".join(f"{answer.text}{answer.headers}" for answer in client.answers)
    values = {**app.settings, **given}
    shown = {name for name, value in values.items() if len(value) > 5 and value in text}
    # Pages and health name both, so that operators can fix them.
    assert shown == {"UPLOAD_CONTAINER", "IMPORTS_TABLE"}
    assert "hooks.example" not in text


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"MAX_EXPANSION": "50"}, "file-expansion"),
        ({"MAX_EXPANSION": "1000", "MAX_FILE_BYTES": "4000000"}, "file-too-large"),
    ],
)
def test_a_posted_decompression_bomb_is_not_unpacked(
    app: App, client: Client, settings: dict[str, str], rule: str
) -> None:
    app.configure(**settings)
    result = client.post("check", gzip.compress(b" \t  \n" * 2_000_000)).json()
    assert (result["importable"], rule in result["codes"]) == (False, True)


def test_posted_files_are_not_stored_or_logged(
    app: App, client: Client, captured_log: CapturedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    complete(app)
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("pump-1"))
    app.deliver("waits.ndjson")
    import_id = app.record("waits.ndjson").id
    assert client.post(f"imports/{import_id}/cancel", BODY).json()["state"] == "cancelled"
    assert client.post(f"imports/{import_id}/retry", BODY).status_code == 201
    assert client.post(f"dashboard/imports/{import_id}/retry", BODY).status_code == 303
    assert client.post("check", BODY[:10_000]).json()["importable"] is False
    assert client.post("check", b'{"id":"made-up-body-0001"}').json()["importable"] is False
    client.problem(404, "imports/0815/cancel", method="post")

    def fail(*_: object) -> None:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(api, "check_file", fail)
    problem_of(client.post("check", BODY[:10_000]), 500)
    log = "\n".join(captured_log.lines)
    assert "a mistake" in log
    assert "made-up-body" not in log
    for record in app.records():
        for blob in app.container_of(record).list_blobs():
            content = app.container_of(record).download_blob(blob.name).readall()
            assert b"made-up-body" not in content


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("hub", "x" * 256),
        ("hub", "x' or PartitionKey ne '"),
        ("state", "completed' or state ne '"),
        ("continuation", "A" * 57),
        ("limit", "9" * 5_000),
        ("uploadedAfter", "2026-01-01T00:00:00Z" + "0" * 5_000),
    ],
)
def test_parameters_are_limited(app: App, client: Client, parameter: str, value: str) -> None:
    with app.counting() as requests:
        [error] = client.problem(400, "imports", **{parameter: value})["errors"]
        assert error["parameter"] == parameter
        query: dict[str, Any] = {parameter: value}
        assert client.get("dashboard", **query).status_code == 400
    # The list of hubs is read once per minute.
    others = [line for line in requests if not line.endswith("RowKey='hubs')")]
    assert (others, len(requests) <= 1) == ([], True)


def test_every_page_has_security_headers(app: App, client: Client) -> None:
    complete(app)
    storage = app.importer.services.storage.blob_origin
    [record] = app.records()
    page = f"dashboard/imports/{record.id}"
    pages = [client.get(path) for path in ("dashboard", "dashboard/health", page)]
    wrong = [
        client.get("dashboard/imports/0815"),
        client.get("dashboard", state="odd"),
        client.post(f"{page}/cancel"),
        client.post(f"{page}/cancel", headers={"Sec-Fetch-Site": "cross-site"}),
    ]
    assert [answer.status_code for answer in pages] == [200, 200, 200]
    assert [answer.status_code for answer in wrong] == [404, 400, 409, 403]
    app.configure(IOTHUB="{")
    for answer in (*pages, *wrong, client.get("dashboard")):
        policy = dict(part.split(" ", 1) for part in answer.headers[_POLICY].split("; "))
        assert policy["default-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert policy["form-action"] == "'self'"
        # The overview uploads files.
        assert policy["connect-src"] in ("'self'", f"'self' {storage}")
        is_overview = "upload-file" in answer.text
        assert (policy["connect-src"] != "'self'") == is_overview
        assert "unsafe" not in answer.headers[_POLICY]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "Set-Cookie" not in answer.headers
        assert "Access-Control-Allow-Origin" not in answer.headers


_POLICY = "Content-Security-Policy"


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_cross_site_dashboard_requests_are_rejected(app: App, client: Client, site: str) -> None:
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("pump-1"))
    app.deliver("waits.ndjson")
    [record] = app.records()
    address = f"dashboard/imports/{record.id}/cancel"
    assert client.post(address, headers={"Sec-Fetch-Site": site}).status_code == 403
    assert app.record("waits.ndjson").state == "queued"
    assert client.post(address, headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert app.record("waits.ndjson").state == "cancelled"
