"""Mappings in the upload container, through the triggers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from datetime import timedelta

import pytest

from shared.imports.workflow import upload_scan
from tests.app import App, device

MAPPING = {
    "columns": {"Standort": "tags.site"},
    "values": {"id": "pump-{Serial No}"},
    "defaults": {"status": "enabled", "authentication.type": "certificateAuthority"},
    "ignore": ["Price"],
}
CSV = "Serial No;Standort;Price\n17;Köln;3,50\n18;;\n".encode()


def put(app: App, name: str, content: bytes | Mapping[str, object]) -> None:
    data = json.dumps(content).encode() if isinstance(content, Mapping) else content
    app.upload(name, data)


def staged(app: App, name: str) -> list[dict[str, object]]:
    container = app.container_of(app.record(name))
    data = container.download_blob("devices.txt").readall()
    return [json.loads(line) for line in data.splitlines()]


def problems(app: App, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(app.problems_csv(app.record(name)))))


def test_a_mapping_applies_to_the_files_of_its_folder(app: App) -> None:
    put(app, "acme/_mapping.json", MAPPING)
    app.deliver("acme/_mapping.json")
    assert app.records() == []
    put(app, "acme/fleet.csv", CSV)
    app.deliver("acme/fleet.csv")
    app.finish()
    record = app.record("acme/fleet.csv")
    assert (record.state, record.imported, record.lines) == ("completed", 2, 2)
    assert [line["id"] for line in staged(app, "acme/fleet.csv")] == ["pump-17", "pump-18"]
    twin = app.hub.registry.get("pump-17")
    assert twin is not None
    assert staged(app, "acme/fleet.csv")[0]["tags"] == {"site": "Köln"}
    # What was applied is kept, whatever becomes of the mapping.
    put(app, "acme/_mapping.json", {})
    assert record.mapping.startswith(f"{record.staged.container}/mapping-")
    kept = app.container_of(record).download_blob(record.mapping.partition("/")[2]).readall()
    assert json.loads(kept) == MAPPING
    assert app.report(record)["mapping"] == {
        "file": "acme/_mapping.json",
        "etag": record.mapping_etag,
    }
    detail = app.importer.reader.detail(record.id)
    assert detail.mapping is not None
    assert "mapping.json" in detail.files


@pytest.mark.parametrize("folder", ["", "acme/north/", "acm/"])
def test_other_folders_have_no_mapping(app: App, folder: str) -> None:
    put(app, "acme/_mapping.json", MAPPING)
    put(app, f"{folder}fleet.csv", CSV)
    app.deliver(f"{folder}fleet.csv")
    record = app.record(f"{folder}fleet.csv")
    assert (record.state, record.mapping) == ("rejected", "")
    assert problems(app, record.file)[-1]["code"] == "csv-header"


def test_defaults_of_ndjson(app: App) -> None:
    put(app, "_mapping.json", MAPPING)
    app.upload("fleet.ndjson", {"id": "a"}, device("b", status="disabled"))
    app.deliver("fleet.ndjson")
    app.finish()
    assert app.record("fleet.ndjson").imported == 2
    authentication = {"type": "certificateAuthority"}
    assert staged(app, "fleet.ndjson") == [
        {"id": "a", "status": "enabled", "authentication": authentication},
        {"id": "b", "status": "disabled", "authentication": authentication},
    ]


def test_an_invalid_mapping_has_a_record(app: App) -> None:
    put(app, "acme/_mapping.json", b'{\n "columns": {"Serial": "ids"}\n}')
    app.deliver("acme/_mapping.json")
    record = app.record("acme/_mapping.json")
    assert (record.state, record.imported) == ("rejected", 0)
    assert "line 2, columns.Serial: the mapping is invalid" in record.failure_reason
    [problem] = problems(app, record.file)
    assert (problem["line"], problem["field"]) == ("2", "columns.Serial")
    assert (problem["code"], problem["id"]) == ("mapping-invalid", "")
    # Nothing is imported unmapped, of whatever format.
    for name, content in (("a.csv", b"id,status\na,enabled\n"), ("b.ndjson", b'{"id":"b"}')):
        put(app, f"acme/{name}", content)
        app.deliver(f"acme/{name}")
        refused = app.record(f"acme/{name}")
        assert (refused.state, refused.lines, refused.mapping) == ("rejected", None, "")
        assert "acme/_mapping.json, line 2, columns.Serial" in refused.failure_reason
        assert "Correct the mapping" in refused.failure_reason
    app.finish()
    assert not [*app.hub.jobs]
    # Its correction is a new upload, and needs no record.
    put(app, "acme/_mapping.json", MAPPING)
    app.deliver("acme/_mapping.json")
    put(app, "acme/c.csv", CSV)
    app.deliver("acme/c.csv")
    app.finish()
    assert app.record("acme/c.csv").state == "completed"
    assert len(app.records()) == 4


@pytest.mark.parametrize(
    ("content", "fact"),
    [
        (b" " * (64 * 1024 + 1), "more than 65,536 bytes"),
        (b"\xff", "not UTF-8"),
        (b'{"defaults": {"tags.k": "SharedAccessKey=c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}}', "a key"),
    ],
)
def test_mappings_that_cannot_be_read(app: App, content: bytes, fact: str) -> None:
    put(app, "_mapping.json", content)
    put(app, "fleet.csv", CSV)
    for name in ("_mapping.json", "fleet.csv"):
        app.deliver(name)
        record = app.record(name)
        assert record.state == "rejected"
        assert fact in record.failure_reason
        assert "c2VjcmV0" not in record.failure_reason + app.problems_csv(record)


def test_an_empty_mapping_may_still_be_written(app: App) -> None:
    put(app, "_mapping.json", b"")
    app.deliver("_mapping.json")
    assert app.record("_mapping.json").state == "validating"
    put(app, "fleet.csv", CSV)
    app.deliver("fleet.csv")
    assert app.record("fleet.csv").state == "rejected"
    assert "_mapping.json: it is empty" in app.record("fleet.csv").failure_reason
    app.pass_minutes(2)
    app.sweep()
    assert app.record("_mapping.json").state == "rejected"


def test_a_folder_of_no_hub(app: App) -> None:
    app.route(east=app.hub)
    for name in ("_mapping.json", "west/_mapping.json", "east/_mapping.json"):
        put(app, name, MAPPING)
        app.deliver(name)
    assert {record.file for record in app.records("(none)")} == {
        "_mapping.json",
        "west/_mapping.json",
    }
    assert app.records(app.hub.address) == []


def test_scans_find_mappings(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    """A valid one is read by the round after its upload, and not again."""
    # Uploads appear a few seconds old.
    monkeypatch.setattr(upload_scan, "MARGIN", timedelta(seconds=-60))
    put(app, "a/_mapping.json", MAPPING)
    put(app, "b/_mapping.json", b"{")
    app.sweep()
    assert [record.file for record in app.records()] == ["b/_mapping.json"]
    assert app.record("b/_mapping.json").state == "rejected"
    with app.counting() as later:
        app.sweep()
    assert not [request for request in later if "_mapping.json" in request]


def test_storage_that_fails_is_no_missing_mapping(app: App) -> None:
    put(app, "_mapping.json", MAPPING)
    put(app, "fleet.csv", CSV)

    def deny(response: object) -> None:
        if "_mapping.json" in response.request.url:  # type: ignore[attr-defined]
            response.status_code = 403  # type: ignore[attr-defined]

    app.alter_response = deny
    with pytest.raises(Exception, match=r"."):
        app.deliver("fleet.csv")
    record = app.record("fleet.csv")
    assert (record.state, record.validation_attempts) == ("validating", 0)
    assert record.failure_reason.startswith("Waiting: the storage account is unavailable")
    app.alter_response = lambda _: None
    app.deliver("fleet.csv")
    assert app.record("fleet.csv").state in ("queued", "starting", "running")


def test_another_version_after_a_process_died(app: App) -> None:
    """What is kept is what the staged lines were made by."""
    put(app, "_mapping.json", MAPPING)
    put(app, "fleet.csv", CSV)

    def die(request: str) -> None:
        if request.endswith("/devices.txt"):
            raise KeyboardInterrupt

    app.before_request = die
    with pytest.raises(KeyboardInterrupt):
        app.deliver("fleet.csv")
    app.before_request = lambda _: None
    later = {**MAPPING, "values": {"id": "valve-{Serial No}"}}
    put(app, "_mapping.json", later)
    app.pass_minutes(30)
    app.sweep()
    app.finish()
    record = app.record("fleet.csv")
    assert (record.state, record.validation_attempts) == ("completed", 2)
    assert [line["id"] for line in staged(app, "fleet.csv")] == ["valve-17", "valve-18"]
    kept = app.container_of(record).download_blob(record.mapping.partition("/")[2]).readall()
    assert json.loads(kept) == later
    assert record.mapping.startswith(f"{record.staged.container}/")


def test_a_file_that_does_not_fit_keeps_its_mapping(app: App) -> None:
    put(app, "_mapping.json", MAPPING)
    put(app, "fleet.csv", b"Serial No;Standort;Firmware\n,a,1\n")
    app.deliver("fleet.csv")
    record = app.record("fleet.csv")
    assert record.state == "rejected"
    assert "Firmware: the column is neither a property nor named in the mapping" in (
        record.failure_reason
    )
    assert record.mapping


def test_deletes_are_counted_as_mapped(app: App) -> None:
    put(app, "_mapping.json", {"defaults": {"importMode": "delete", "status": "enabled"}})
    put(app, "fleet.csv", b"id\na\nb\n")
    app.configure(MAX_DELETES="1")
    app.deliver("fleet.csv")
    assert "2 of 2 lines are deletes" in app.record("fleet.csv").failure_reason


@pytest.mark.parametrize("retention", ["delete", "move"])
def test_retention_keeps_mappings(app: App, retention: str) -> None:
    app.configure(UPLOAD_RETENTION=retention)
    put(app, "a/_mapping.json", MAPPING)
    put(app, "b/_mapping.json", b"{")
    put(app, "a/fleet.csv", CSV)
    for name in ("b/_mapping.json", "a/fleet.csv"):
        app.deliver(name)
    app.finish()
    app.sweep()
    container = app.blobs.get_container_client(app.container)
    names = [blob.name for blob in container.list_blobs()]
    assert names == ["a/_mapping.json", "b/_mapping.json"]


def test_requests_of_a_mapping(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    put(app, "fleet.csv", b"id,status\nz,enabled\n")
    app.deliver("fleet.csv")
    app.finish()
    # The scan before a start reads what is younger.
    monkeypatch.setattr(upload_scan, "MARGIN", timedelta(seconds=-60))
    app.sweep()
    put(app, "_mapping.json", MAPPING)
    with app.counting() as valid:
        app.deliver("_mapping.json")
    assert len(valid) == 2
    with app.counting() as requests:
        put(app, "other.csv", CSV)
        app.deliver("other.csv")
    of_mapping = [line for line in requests if "mapping" in line]
    # It is read once, and its copy written once.
    assert [line.split()[0] for line in of_mapping] == ["GET", "PUT"]
