"""Files with validation problems: reports, policies and limits."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import re

import pytest
from azure.storage.blob import ContentSettings

from shared.device_files.rules import Rule
from shared.storage import client as storage
from tests.app import App, device

CA = {"type": "certificateAuthority"}


def good(device_id: str, **members: object) -> dict[str, object]:
    return device(device_id, authentication=CA, **members)


def rows(app: App, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(app.problems_csv(app.record(name)), newline="")))


def codes(app: App, name: str) -> list[str]:
    return [row["code"] for row in rows(app, name)]


def test_rejected_file_has_both_reports(app: App) -> None:
    app.upload("fleet.ndjson", good("=1-1"), {**good("a b"), "status": "on"})
    app.deliver("fleet.ndjson")
    record = app.record("fleet.ndjson")
    assert record.state == "rejected"
    assert re.fullmatch(rf"{record.staged.container}/report-[0-9a-f]{{12}}\.json", record.report)
    assert (record.imported, record.failed) == (0, 0)
    assert record.problems == f"{record.staged.container}/problems.csv"
    assert [(row["line"], row["field"], row["code"]) for row in rows(app, "fleet.ndjson")] == [
        ("2", "id", "id-characters"),
        ("2", "status", "status-invalid"),
    ]
    report = app.report(record)
    assert (report["file"], report["hub"]) == ("fleet.ndjson", record.hub)
    problems = report["validation"].pop("problems")
    assert [problem["line"] for problem in problems] == [2, 2]
    assert report["validation"] == {
        "format": "ndjson",
        "lines": 2,
        "valid": 1,
        "leftOut": 0,
        "severities": {"error": 2, "warning": 0, "info": 0},
        "codes": {"id-characters": 1, "status-invalid": 1},
        "importModes": {"createOrUpdate": 1},
        "authenticationTypes": {"certificateAuthority": 1},
        "truncated": False,
    }


def test_warnings_are_reported_immediately_and_kept_in_the_report(app: App) -> None:
    app.hub.occupy_slot()
    app.upload("fleet.ndjson", device("pump-1"), good("pump-2"))
    app.deliver("fleet.ndjson")
    record = app.record("fleet.ndjson")
    assert record.state == "queued"
    assert codes(app, "fleet.ndjson") == ["authentication-missing"]
    assert app.report(record)["state"] == "queued"
    app.hub.free_slot()
    app.finish()
    record = app.record("fleet.ndjson")
    report = app.report(record)
    assert (record.state, record.failure_reason) == ("completed", "")
    assert report["state"] == "completed"
    assert [problem["code"] for problem in report["validation"]["problems"]] == [
        "authentication-missing"
    ]


def test_valid_file_has_no_list_of_problems(app: App) -> None:
    app.upload("fleet.ndjson", good("pump-1"))
    app.deliver("fleet.ndjson")
    app.finish()
    record = app.record("fleet.ndjson")
    assert (record.state, record.problems) == ("completed", "")
    assert app.report(record)["validation"]["problems"] == []


def test_policy_partial_imports_the_valid_lines(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    app.hub.registry.put(good("old"))
    app.upload(
        "fleet.ndjson",
        good("pump-1", importMode="create"),
        b"{",
        good("pump 2"),
        good("old", importMode="create"),
    )
    app.deliver("fleet.ndjson")
    app.finish()
    record = app.record("fleet.ndjson")
    assert record.state == "completedWithErrors"
    counts = (record.lines, record.invalid_lines, record.devices, record.imported, record.failed)
    assert counts == (4, 2, 2, 1, 1)
    assert record.failure_reason.startswith("1 of 2 devices failed: 1 x 409001")
    assert "The first is 'old' on line 4." in record.failure_reason
    assert record.failure_reason.endswith(
        "2 of 4 lines break rules and were left out; problems.csv lists them."
    )
    assert codes(app, "fleet.ndjson") == ["json-pretty-printed", "id-characters"]
    assert app.hub.registry.get("pump-1") is not None


def test_import_with_skipped_lines_is_not_fully_imported(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    app.upload("fleet.ndjson", good("pump-1"), b"nonsense")
    app.deliver("fleet.ndjson")
    app.finish()
    record = app.record("fleet.ndjson")
    assert (record.state, record.failed) == ("completedWithErrors", 0)
    assert record.failure_reason == (
        "1 of 2 lines breaks a rule and was left out; problems.csv lists it."
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"nonsense", f"1 of 1 lines breaks a rule: line 1: {Rule.JSON_INVALID.meaning}"),
        (
            gzip.compress(json.dumps(good("pump-1")).encode(), mtime=0)[:-4],
            f"The file cannot be imported: the file: {Rule.FILE_COMPRESSION.meaning}",
        ),
    ],
)
def test_policy_partial_rejects_unusable_files(app: App, content: bytes, message: str) -> None:
    app.configure(VALIDATION_POLICY="partial")
    app.upload("fleet.ndjson", content)
    app.deliver("fleet.ndjson")
    record = app.record("fleet.ndjson")
    assert record.state == "rejected"
    assert record.failure_reason.startswith(message)
    assert len(app.hub.jobs) == 0


def test_deletes_require_confirmation_in_metadata(app: App) -> None:
    app.configure(MAX_DELETES="2")
    lines = [good(f"pump-{n}", importMode="delete") for n in range(3)]
    for line in lines:
        app.hub.registry.put({**line, "importMode": None})
    app.upload("retired.ndjson", *lines, metadata={"confirmDeletes": "2"})
    app.deliver("retired.ndjson")
    record = app.record("retired.ndjson")
    assert record.state == "rejected"
    assert "metadata confirmDeletes" in record.failure_reason
    assert "confirmDeletes=3" in record.failure_reason
    assert len(app.hub.registry) == 3

    app.upload("again.ndjson", *lines, metadata={"confirmDeletes": "3"})
    app.deliver("again.ndjson")
    app.finish()
    assert app.record("again.ndjson").state == "completed"
    assert len(app.hub.registry) == 0


def test_csv_import_keeps_the_line_numbers_of_the_file(app: App) -> None:
    app.configure(CSV_DEFAULT_STATUS="enabled", CSV_DEFAULT_IMPORT_MODE="create")
    app.hub.registry.put(good("pump-2"))
    text = 'id,tags.note\npump-1,"two\nlines"\n\npump-2,\n'
    app.upload("fleet.csv.gz", gzip.compress(text.encode()))
    app.deliver("fleet.csv.gz")
    app.finish()
    record = app.record("fleet.csv.gz")
    assert record.state == "completedWithErrors"
    assert record.validation["format"] == "csv+gzip"
    assert [(f["line"], f["id"]) for f in app.report(record)["failures"]["devices"]] == [
        (5, "pump-2")
    ]
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["tags"] == {"note": "two\nlines"}
    staged = app.container_of(record).download_blob("devices.txt").readall()
    assert staged.count(b"\n") == 2


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        ("MAX_DEVICES", "1", "file-too-many-devices"),
        ("MAX_LINE_BYTES", "1024", "line-too-long"),
        ("MAX_FILE_BYTES", "1024", "file-too-large"),
        ("MAX_DELETE_SHARE", "0.5", "too-many-deletes"),
    ],
)
def test_limits_are_configurable(app: App, setting: str, value: str, code: str) -> None:
    app.configure(**{setting: value})
    lines = [good("pump-1", importMode="delete"), good("pump-2", importMode="delete")]
    app.upload("fleet.ndjson", *lines, good("pump-3", tags={"note": "x" * 2000}))
    app.deliver("fleet.ndjson")
    assert app.record("fleet.ndjson").state == "rejected"
    assert code in codes(app, "fleet.ndjson")


@pytest.mark.parametrize("policy", ["reject", "partial"])
@pytest.mark.parametrize("name", ["fleet.ndjson.gz", "fleet.ndjson"])
def test_blob_with_a_content_encoding_is_read_completely(
    app: App, monkeypatch: pytest.MonkeyPatch, policy: str, name: str
) -> None:
    """The SDK would decompress the first range and lose the others."""
    monkeypatch.setattr(storage, "CHUNK_BYTES", 4096)
    app.configure(VALIDATION_POLICY=policy)
    dice = random.Random(1)
    lines = [good(f"pump-{n}", tags={"x": dice.randbytes(60).hex()}) for n in range(500)]
    data = gzip.compress("\n".join(map(json.dumps, lines)).encode())
    assert len(data) > 5 * 4096
    app.blobs.get_blob_client(app.container, name).upload_blob(
        data, content_settings=ContentSettings(content_encoding="gzip")
    )
    app.deliver(name)
    app.finish()
    record = app.record(name)
    assert (record.state, record.lines, record.imported) == ("completed", 500, 500)
    assert len(app.hub.registry) == 500
