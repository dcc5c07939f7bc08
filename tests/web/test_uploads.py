"""Uploads by the API: an address in storage, or through the app."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
import requests
from azure.core.exceptions import ServiceResponseError

from shared.storage.client import DelegationKeyRefusedError, Storage
from tests.app import App, device
from tests.web.guarded import ADA, BOB, deletion, guard, sign_in
from tests.web.support import Client, TwoHubs, complete, problem_of, send

NAME = "pumps.ndjson"
FILE = b'{"id": "pump-1", "status": "enabled"}'


def target(client: Client, headers: Mapping[str, str] | None = None, **query: Any) -> Any:
    answer = client.post("uploads", headers=headers, **{"name": NAME, **query})
    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert answer.headers["Location"] == f"/api/uploads/{body['ticket']}"
    return body


def acts(app: App, name: str = NAME) -> list[tuple[str, str, str]]:
    return [(act.name.value, act.who, act.via) for act in app.record(name).acts]


def test_an_upload_of_a_program(app: App, client: Client) -> None:
    sent = target(client, headers=ADA, confirmDeletes=3)
    assert client.follow(f"/api/uploads/{sent['ticket']}") == {
        "ticket": sent["ticket"],
        "name": NAME,
        "importId": "",
        "state": None,
        "isMapping": False,
    }
    assert send(sent, FILE).status_code == 201
    uploaded = client.json(f"uploads/{sent['ticket']}")
    app.deliver(NAME)
    record = app.record(NAME)
    assert (uploaded["importId"], uploaded["state"]) == (record.id, None)
    assert client.json(f"uploads/{sent['ticket']}")["state"] == "running"
    # Nobody is signed in.
    assert acts(app) == [("upload", "function key", "API")]
    [blob] = app.blobs.get_container_client(app.container).list_blobs(include=["metadata"])
    metadata = {name.lower(): value for name, value in blob.metadata.items()}
    assert metadata == {"confirmdeletes": "3", "uploadticket": sent["ticket"]}
    # It is found although its blob is there no longer.
    app.blobs.get_blob_client(app.container, NAME).delete_blob()
    app.finish()
    assert client.json(f"uploads/{sent['ticket']}")["state"] == "completed"


def test_blocks(app: App, client: Client) -> None:
    sent = target(client)
    lines = [json.dumps(device(f"pump-{number}")).encode() + b"\n" for number in range(3)]
    blocks = ("AAAA", "BBBB", "CCCC")
    for block, line in zip(blocks, lines, strict=True):
        url = f"{sent['url']}&comp=block&blockid={block}"
        assert requests.put(url, data=line, timeout=30).status_code == 201
    body = "".join(f"<Latest>{block}</Latest>" for block in blocks)
    del sent["headers"]["x-ms-blob-type"]
    done = requests.put(
        f"{sent['url']}&comp=blocklist",
        data=f"<BlockList>{body}</BlockList>",
        headers=sent["headers"],
        timeout=30,
    )
    assert done.status_code == 201
    app.deliver(NAME)
    assert (app.record(NAME).devices, acts(app)) == (3, [("upload", "function key", "API")])


def test_an_upload_through_the_app(app: App, client: Client) -> None:
    sign_in(app)
    answer = client.put("uploads", FILE, name="süd 1.ndjson", confirmDeletes=2, headers=ADA)
    assert answer.status_code == 201, answer.text
    body = answer.json()
    app.deliver("süd 1.ndjson")
    record = app.record("süd 1.ndjson")
    assert (body["name"], body["importId"], body["state"]) == ("süd 1.ndjson", record.id, None)
    assert acts(app, "süd 1.ndjson") == [("upload", "ada@example.com", "API")]
    blob = app.blobs.get_blob_client(app.container, record.file)
    assert blob.download_blob().readall() == FILE
    assert client.follow(answer.headers["Location"])["state"] == "running"


def test_an_existing_blob_is_not_overwritten_unasked(app: App, client: Client) -> None:
    early = target(client)
    complete(app, NAME)
    record = app.record(NAME)
    for answer in (client.post("uploads", name=NAME), client.put("uploads", FILE, name=NAME)):
        problem = problem_of(answer, 409)
        assert problem["type"] == "urn:device-importer:upload-exists"
        assert problem["importId"] == record.id
        assert "is completed" in problem["detail"]
    # It came in between.
    assert send(early, FILE).status_code == 409
    assert send(target(client, overwrite="true"), FILE).status_code == 201
    assert client.put("uploads", FILE, name=NAME, overwrite="true").status_code == 201
    app.blobs.get_blob_client(app.container, "new.ndjson").upload_blob(FILE)
    assert "has not started" in client.post("uploads", name="new.ndjson").json()["detail"]


def test_a_lost_answer_of_storage_is_no_conflict(
    app: App, client: Client, no_waiting: None
) -> None:
    lost: list[str] = []

    def lose(request: str) -> None:
        if request == f"PUT /devstoreaccount1/{app.container}/{NAME}" and not lost:
            lost.append(request)
            raise ServiceResponseError("reset")

    app.after_request = lose
    answer = client.put("uploads", FILE, name=NAME)
    assert (answer.status_code, len(lost)) == (201, 1)
    app.deliver(NAME)
    assert answer.json()["importId"] == app.record(NAME).id


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"name": ""}, "name"),
        ({"name": "x" * 513}, "name"),
        ({"name": "east/a\x07.ndjson"}, "name"),
        ({"name": "east/../b.ndjson"}, "name"),
        ({"name": "./b.ndjson", "hub": "east"}, "name"),
        ({"name": "folder/", "hub": "east"}, "name"),
        ({"name": NAME}, "hub"),
        ({"name": f"north/{NAME}"}, "hub"),
        ({"name": NAME, "hub": "north"}, "hub"),
        ({"name": NAME, "hub": "../x"}, "hub"),
        ({"name": NAME, "hub": "east", "overwrite": "perhaps"}, "overwrite"),
        ({"name": NAME, "hub": "east", "confirmDeletes": "all"}, "confirmDeletes"),
        ({"name": NAME, "hub": "east", "policy": "partial"}, "policy"),
    ],
)
def test_wrong_parameters(
    app: App, client: Client, two_hubs: TwoHubs, query: dict[str, Any], parameter: str
) -> None:
    with app.counting() as sent:
        for answer in (client.post("uploads", **query), client.put("uploads", FILE, **query)):
            assert problem_of(answer, 400)["errors"][0]["parameter"] == parameter
    assert sent == []


def test_hubs(app: App, client: Client, two_hubs: TwoHubs) -> None:
    assert target(client, hub="east")["name"] == f"east/{NAME}"
    assert target(client, hub=two_hubs.west)["name"] == f"west/{NAME}"
    assert target(client, name=f"east/sub/{NAME}")["name"] == f"east/sub/{NAME}"


def test_uploads_can_be_turned_off(app: App, client: Client) -> None:
    early = target(client)
    app.configure(HTTP_UPLOADS="false")
    with app.counting() as requests_of_app:
        for answer in (client.post("uploads", name=NAME), client.put("uploads", FILE, name=NAME)):
            problem = problem_of(answer, 403)
            assert problem["type"] == "urn:device-importer:uploads-off"
            assert "HTTP_UPLOADS" in problem["detail"]
    assert requests_of_app == []
    page = client.get("dashboard")
    assert "upload-file" not in page.text
    assert "connect-src 'self';" in page.headers["Content-Security-Policy"]
    assert client.json(f"uploads/{early['ticket']}")["name"] == NAME


def test_large_and_endless_bodies(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.web.api.MAX_POSTED_BYTES", len(FILE) - 1)
    problem = problem_of(client.put("uploads", FILE, name=NAME), 413)
    assert "device-importer upload" in problem["detail"]
    assert problem_of(client.put("uploads", iter([FILE]), name=NAME), 411)


def test_an_unknown_upload(client: Client) -> None:
    assert client.problem(404, f"uploads/{'0' * 32}")["type"].endswith("upload-not-found")
    client.problem(404, "uploads/0815")


def test_the_uploader_is_not_the_second_person(app: App, client: Client) -> None:
    guard(app, APPROVAL_FOUR_EYES="true")
    sign_in(app)
    lines = b"\n".join(json.dumps(deletion(number)).encode() for number in range(3))
    assert send(target(client, headers=ADA), lines).status_code == 201
    app.deliver(NAME)
    for _ in range(3):
        app.hub.wait_idle()
        app.tick()
    record = app.record(NAME)
    path, plan = f"imports/{record.id}/approve", record.hold.digest
    refusal = problem_of(client.post(path, plan=plan, headers=ADA), 409)
    assert "ada@example.com asked for import" in refusal["detail"]
    assert client.post(path, plan=plan, headers=BOB).status_code == 200
    assert [act.name for act in app.record(NAME).acts] == ["upload", "approve"]


def test_storage_that_is_unavailable(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise DelegationKeyRefusedError

    monkeypatch.setattr(Storage, "blob_uri_with_sas", refuse)
    problem = problem_of(client.post("uploads", name=NAME), 503)
    assert "Storage Blob Data Contributor" in problem["detail"]


@pytest.mark.parametrize("method", ["post", "put"])
def test_pages_of_other_sites_upload_nothing(app: App, client: Client, method: str) -> None:
    with app.counting() as sent:
        answer = getattr(client, method)(
            "uploads", FILE, name=NAME, headers={"Sec-Fetch-Site": "cross-site"}
        )
    assert problem_of(answer, 403)["type"] == "urn:device-importer:cross-site"
    assert sent == []


@pytest.mark.parametrize("name", ["a\\b.ndjson", "a/../b", "a\x85b", "folder/", "x" * 512 + "/"])
def test_names_that_storage_changes_or_refuses(client: Client, name: str) -> None:
    for answer in (client.post("uploads", name=name), client.put("uploads", FILE, name=name)):
        assert problem_of(answer, 400)["errors"][0]["parameter"] == "name"


def test_a_mapping_is_no_import(app: App, client: Client) -> None:
    mapping = b'{"columns": {"Serial": "id"}, "defaults": {"status": "enabled"}}'
    answer = client.put("uploads", mapping, name="maker/_mapping.json")
    ticket = answer.json()["ticket"]
    expected = {"ticket": ticket, "name": "maker/_mapping.json", "importId": "", "state": None}
    app.deliver("maker/_mapping.json")
    assert client.get(f"uploads/{ticket}").json() == {**expected, "isMapping": True}
    assert not app.records()
    checked = client.post("check", b"Serial\npump-1\n", name="maker/pumps.csv").json()
    assert (checked["importable"], checked["valid"]) == (True, 1)
