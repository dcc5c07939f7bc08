"""What API and dashboard show of a mapping, and the check of posted files."""

from __future__ import annotations

import json

from tests.app import App
from tests.web.support import Client

MAPPING = {"columns": {"Serial": "id"}, "defaults": {"status": "enabled"}}


def put_mapping(app: App, content: object) -> None:
    app.upload("acme/_mapping.json", json.dumps(content).encode())


def test_an_import_shows_its_mapping(app: App, client: Client) -> None:
    put_mapping(app, MAPPING)
    app.upload("acme/fleet.csv", b"Serial\na\n")
    app.deliver("acme/fleet.csv")
    app.finish()
    record = app.record("acme/fleet.csv")
    detail = client.json(f"imports/{record.id}")
    assert detail["mapping"] == {"file": "acme/_mapping.json", "etag": record.mapping_etag}
    assert "mapping.json" in detail["files"]
    answer = client.get(f"imports/{record.id}/files/mapping.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == MAPPING
    page = client.get(f"dashboard/imports/{record.id}").text
    assert f"acme/_mapping.json, ETag {record.mapping_etag}" in page
    assert "Download mapping.json" in page
    # What was found by it stays, whatever the folder has now.
    put_mapping(app, {})
    assert client.json(f"imports/{record.id}")["mapping"] == detail["mapping"]


def test_a_posted_file_is_checked_with_the_mapping_of_its_folder(app: App, client: Client) -> None:
    put_mapping(app, MAPPING)

    def check(name: str, body: bytes = b"Serial\na\n") -> dict[str, object]:
        answer = client.post("check", body, name=name)
        assert answer.status_code == 200, answer.text
        result: dict[str, object] = answer.json()
        return result

    assert check("acme/fleet.csv")["importable"] is True
    assert check("fleet.csv")["codes"] == {"csv-header": 1}
    assert check("acme/../acme/fleet.csv")["codes"] == {"csv-header": 1}
    # A mapping itself.
    valid = check("acme/_mapping.json", json.dumps(MAPPING).encode())
    assert (valid["importable"], valid["format"]) == (True, "mapping")
    assert check("acme/_mapping.json", b"{")["codes"] == {"mapping-invalid": 1}
    put_mapping(app, {"columns": 1})
    refused = check("acme/fleet.csv")
    assert refused["codes"] == {"mapping-invalid": 1}


def test_names_that_no_blob_has(app: App, client: Client) -> None:
    for name in ("\x00/a.csv", "/a.csv", "a\\b.csv", "a?b#c/ä.csv", "x" * 512, "%2e%2e/a.csv"):
        answer = client.post("check", b"id,status\na,enabled\n", name=name)
        assert answer.status_code == 200, (name, answer.text)
