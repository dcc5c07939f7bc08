"""Files of an import can be downloaded whole, compressed and in ranges."""

from __future__ import annotations

import csv
import io
import json

import pytest

from shared.imports.model.record import ImportRecord
from shared.web import downloads
from tests.app import App, device
from tests.security.support import PRIMARY, with_keys
from tests.web.support import Client, complete, partly, problem_of, reject


@pytest.fixture
def report(app: App, client: Client) -> str:
    """Path of a report."""
    partly(app)
    return f"imports/{app.record('partly.ndjson').id}/files/report.json"


def test_the_files_of_an_import(app: App, client: Client) -> None:
    partly(app, "site 7/pumps-ä.v2.ndjson", device("new"), device("exists", importMode="create"))
    record = app.record("site 7/pumps-ä.v2.ndjson")
    base = f"imports/{record.id}/files"
    answer = client.get(f"{base}/report.json")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Accept-Ranges"] == "bytes"
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="pumps---{record.id[:8]}-report.json"'
    )
    assert answer.json() == app.report(record)
    answer = client.get(f"{base}/problems.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.decode() == app.problems_csv(record)
    assert next(csv.reader(io.StringIO(answer.text)))[:2] == ["line", "id"]
    answer = client.get(f"{base}/retry.ndjson")
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    assert json.loads(answer.content)["id"] == "exists"


def test_a_retry_file_contains_only_rejected_lines(app: App, client: Client) -> None:
    rejected = with_keys("exists", importMode="create")
    other = "b3RoZXIga2V5IG9mIGFub3RoZXIgbGluZQ=="
    keys = {"primaryKey": other, "secondaryKey": other}
    taken = device("new", authentication={"type": "sas", "symmetricKey": keys})
    partly(app, "partly.ndjson", taken, rejected)
    answer = client.get(f"imports/{app.record('partly.ndjson').id}/files/retry.ndjson")
    assert [json.loads(line) for line in answer.content.splitlines()] == [rejected]
    assert PRIMARY in answer.text
    assert other not in answer.text


def test_compressed_downloads(client: Client, report: str) -> None:
    whole = client.get(report)
    accepts_gzip = {"Accept-Encoding": "br;q=1.0, GZIP;q=0.5"}
    answer = client.get(report, headers=accepts_gzip)
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert client.size(report, headers=accepts_gzip) < len(whole.content)
    assert answer.content == whole.content
    # Different content has a different ETag.
    assert answer.headers["ETag"] != whole.headers["ETag"]
    for rejected in ("gzip;q=0", "gzip; q=0.000", "deflate, br", "x-gzip-like"):
        answer = client.get(report, headers={"Accept-Encoding": rejected})
        assert "Content-Encoding" not in answer.headers
        assert answer.content == whole.content


def test_ranges_add_up_to_the_file(
    client: Client, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.get(report)
    size = len(whole.content)
    monkeypatch.setattr(downloads, "MAX_PART", 300)
    parts: list[bytes] = []
    while sum(map(len, parts)) < size:
        start = sum(map(len, parts))
        headers = {"Range": f"bytes={start}-", "If-Range": whole.headers["ETag"]}
        answer = client.get(report, headers=headers)
        assert answer.status_code == 206
        assert answer.headers["Content-Type"] == "application/json"
        end = min(start + 300, size) - 1
        assert answer.headers["Content-Range"] == f"bytes {start}-{end}/{size}"
        parts.append(answer.content)
    assert len(parts) > 2
    assert b"".join(parts) == whole.content


PARTS = [
    ("bytes=0-0", slice(0, 1)),
    ("bytes=3-7", slice(3, 8)),
    ("Bytes=3-7", slice(3, 8)),
    ("bytes= 3-7", slice(3, 8)),
    ("bytes=3-999999999", slice(3, None)),
    ("bytes=-5", slice(-5, None)),
    ("bytes=-999999999", slice(None)),
]


def test_a_valid_range(client: Client, report: str) -> None:
    whole = client.get(report).content
    for wanted, part in PARTS:
        answer = client.get(report, headers={"Range": wanted, "Accept-Encoding": "gzip"})
        assert answer.status_code == 206, wanted
        assert "Content-Encoding" not in answer.headers
        assert answer.content == whole[part], wanted


def test_an_unusable_range_returns_the_whole_file(client: Client, report: str) -> None:
    whole = client.get(report)
    for ignored in ("bytes=-", "bytes=7-3", "bytes=0-1,4-5", "lines=1-2", "bytes=a-b", "9" * 5000):
        for value in (ignored, f"bytes={ignored}-"):
            answer = client.get(report, headers={"Range": value})
            assert (answer.status_code, answer.content) == (200, whole.content)
    headers = {"Range": "bytes=0-1", "If-Range": '"of-another-version"'}
    assert client.get(report, headers=headers).status_code == 200


def test_an_unsatisfiable_range(client: Client, report: str) -> None:
    size = len(client.get(report).content)
    for wanted in ("bytes=999999-", "bytes=999999-1000000", "bytes=-0"):
        answer = client.get(report, headers={"Range": wanted})
        assert problem_of(answer, 416)["type"] == "urn:device-importer:no-such-range"
        assert answer.headers["Content-Range"] == f"bytes */{size}"


def test_a_large_file_requires_compression_or_ranges(
    client: Client, report: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = client.get(report).content
    monkeypatch.setattr(downloads, "MAX_BODY", len(whole) - 1)
    problem = client.problem(406, report)
    assert problem["type"] == "urn:device-importer:too-large"
    assert f"{len(whole)} bytes" in problem["detail"]
    assert client.get(report, headers={"Accept-Encoding": "gzip"}).content == whole
    assert client.get(report, headers={"Range": "bytes=0-"}).content == whole
    monkeypatch.setattr(downloads, "MAX_BODY", len(whole))
    assert client.get(report).content == whole


def name_of_report(record: ImportRecord) -> str:
    return record.report.removeprefix(f"{record.staged.container}/")


def test_a_file_of_many_chunks(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    complete(app)
    record = app.record("good.ndjson")
    large = b"".join(b'{"n": %07d}\n' % number for number in range(700_000))
    app.container_of(record).upload_blob(name_of_report(record), large, overwrite=True)
    path = f"imports/{record.id}/files/report.json"
    assert client.get(path).content == large
    accepts_gzip = {"Accept-Encoding": "gzip"}
    assert client.get(path, headers=accepts_gzip).content == large
    assert client.size(path, headers=accepts_gzip) < len(large) / 3


def test_a_file_that_changes_during_the_download(app: App, client: Client, report: str) -> None:
    record = app.record("partly.ndjson")
    container, name = app.container_of(record), name_of_report(record)

    def change_during_read(request: str) -> None:
        if request == f"GET /devstoreaccount1/{record.report}":
            app.before_request = lambda _: None
            container.upload_blob(name, b"{}", overwrite=True)

    for headers in ({}, {"Accept-Encoding": "gzip"}, {"Range": "bytes=1-9"}):
        app.before_request = change_during_read
        problem = problem_of(client.get(report, headers=headers), 409)
        assert problem["type"] == "urn:device-importer:changed"
        container.upload_blob(name, b'{"longer": true}', overwrite=True)

    def delete(request: str) -> None:
        if request == f"GET /devstoreaccount1/{record.report}":
            app.before_request = lambda _: None
            container.delete_blob(name)

    app.before_request = delete
    client.problem(409, report)


def test_missing_files(app: App, client: Client) -> None:
    complete(app)
    reject(app)
    good, broken = app.record("good.ndjson"), app.record("broken.ndjson")
    problem = client.problem(409, f"imports/{good.id}/files/retry.ndjson")
    assert problem["type"] == "urn:device-importer:not-possible"
    assert good.id in problem["detail"]
    assert "retry.ndjson" in problem["detail"]
    assert client.get(f"imports/{broken.id}/files/problems.csv").status_code == 200
    for name in ("devices.txt", "lines.bin", "importErrors.log", "..%2freport.json"):
        client.problem(404, f"imports/{good.id}/files/{name}")
    app.container_of(broken).delete_container()
    problem = client.problem(409, f"imports/{broken.id}/files/problems.csv")
    assert problem["type"] == "urn:device-importer:not-possible"
    assert "IMPORT_RETENTION_DAYS" in problem["detail"]


def test_an_empty_file(app: App, client: Client) -> None:
    complete(app)
    record = app.record("good.ndjson")
    app.container_of(record).upload_blob("problems.csv", b"", overwrite=True)
    path = f"imports/{record.id}/files/problems.csv"
    assert client.get(path).content == b""
    answer = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert answer.content == b""
    problem_of(client.get(path, headers={"Range": "bytes=0-"}), 416)


def test_results_are_made_when_they_are_requested(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    partly(app, "site 7/pumps.ndjson", device("new"), device("exists", importMode="create"))
    record = app.record("site 7/pumps.ndjson")
    path = f"imports/{record.id}/files/results.csv"
    answer = client.get(path)
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Accept-Ranges"] == "none"
    assert answer.headers["Content-Disposition"] == (
        f'attachment; filename="pumps-{record.id[:8]}-results.csv"'
    )
    rows = [*csv.DictReader(io.StringIO(answer.text))]
    assert [(row["line"], row["id"], row["result"], row["code"]) for row in rows] == [
        ("1", "new", "imported", ""),
        ("2", "exists", "failed", "409001 DeviceAlreadyExists"),
    ]
    # It has no ranges.
    assert client.get(path, headers={"Range": "bytes=0-1"}).content == answer.content
    monkeypatch.setattr(downloads, "MAX_BODY", len(answer.content) - 1)
    assert client.problem(406, path)["type"] == "urn:device-importer:too-large"
    compressed = client.get(path, headers={"Accept-Encoding": "gzip"})
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert compressed.content == answer.content
    app.container_of(record).upload_blob("devices.txt", b"{}", overwrite=True)
    assert client.get(path).text.count("unknown") == 2
    app.container_of(record).delete_container()
    assert "IMPORT_RETENTION_DAYS" in client.problem(409, path)["detail"]


def test_results_of_an_import_that_has_not_ended(app: App, client: Client) -> None:
    app.hub.occupy_slot()
    app.upload("waiting.ndjson", device("a"))
    app.deliver("waiting.ndjson")
    record = app.record("waiting.ndjson")
    assert "results.csv" not in client.json(f"imports/{record.id}")["files"]
    problem = client.problem(409, f"imports/{record.id}/files/results.csv")
    assert "once it has ended" in problem["detail"]
