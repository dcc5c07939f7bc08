"""File names, device ids and hub messages are handled as plain text only."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import re
import ssl
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection
from urllib.parse import quote, urlsplit

import pytest
from azure.storage.blob import generate_container_sas

from local.azurite import ACCOUNT_KEY
from shared import logs
from shared.connections import HubConnection, parse_hubs
from shared.imports.model.record import NO_HUB, ImportRecord
from shared.imports.model.states import ImportState
from shared.web.dashboard import UPLOAD_SCRIPTS
from tests.app import App, device
from tests.cli.conftest import Shell
from tests.events.receiver import Post, Receiver
from tests.events.support import tick
from tests.security.pages import Page
from tests.security.support import Account, CapturedLog
from tests.web.support import Client, TwoHubs

NAMES = {
    "folders": "a//b/c.ndjson",
    "address": " a#b?c=d&comp=list%2Fe%2e%2e%00+100% .ndjson",
    "OData": "x' or PartitionKey ne '",
    "script": "</title><script>alert(1)</script>.ndjson",
    "attribute": '" onmouseover="alert(1)" x="`',
    "template": "{{7*7}}{%x%}${x} %s %d %(file)s {name}",
    "line feed": "a\nfailed. All is lost [import=0].ndjson",
    "header": "a\r\nSet-Cookie: a=b\r\n\r\n.ndjson",
    "controls": "a\t\x7f\x85\x9b2J\u2028\u2029.ndjson",
    "direction": "a\u202e\u200b\u200d\ufeffnosjdn.exe",
    "formula": "=cmd|' /C calc'!A0",
    "emoji": "\U0001f4a3.ndjson",
    "long": "x" * 1024,
    "long and wide": "\u00e4" * 1024,
    "dots": "...a./..b.",
    "slash at the end": "a/",
}

#: Azurite accepts these but cannot list them. Rejected files need no listing.
UNLISTED = {
    "backslash": "a\\..\\b.ndjson",
    "NUL": "a\0b.ndjson",
    "ANSI": "\x1b[31mred\x1b[0m\x1b]0;title\x07.ndjson",
    "bell": "a\x07b.ndjson",
    "no character": "a\ufffe\uffffb.ndjson",
}

ROW_KEY = re.compile(r"[A-Za-z0-9().:_ -]{1,512}")


def check_log(captured_log: CapturedLog) -> None:
    """Check that each message is one line of printable characters."""
    assert captured_log.messages
    assert [text for text in captured_log.messages if not text.isprintable()] == []


def check_account(account: Account, records: list[ImportRecord]) -> None:
    """Check that no row key and no container name comes from a file."""
    rows = account.rows()
    assert len(rows) >= 2 * len(records)
    keys = [row[name] for row in rows for name in ("PartitionKey", "RowKey")]
    assert [key for key in keys if not ROW_KEY.fullmatch(key)] == []
    containers = [name for name in account.containers() if name.startswith("import-")]
    assert sorted(containers) == sorted(record.staged.container for record in records)
    assert all(re.fullmatch(r"import-[0-9a-f]{24}", name) for name in containers)


def check_event(post: Post, record: ImportRecord) -> None:
    assert post.event["data"]["file"] == record.file
    assert post.event["subject"] == f"imports/{record.id}"
    assert re.fullmatch(r"/hubs/[A-Za-z0-9%._-]+", post.event["source"])
    assert post.headers["webhook-id"] == f"{record.id}-{record.state.value}"


def check_answers(client: Client, record: ImportRecord) -> None:
    """Check that responses contain the exact name, as text."""
    path = f"imports/{record.id}"
    assert client.json(path)["file"] == record.file
    page = Page(client.get(f"dashboard/{path}").text)
    assert page.texts["h1"] == record.file
    assert page.texts["title"].startswith(record.file)
    report = client.get(f"{path}/files/report.json")
    assert report.json()["file"] == record.file
    assert re.fullmatch(
        rf'attachment; filename="[A-Za-z0-9-]{{1,60}}-{record.id[:8]}-report\.json"',
        report.headers["Content-Disposition"],
    )


def check_everything(
    names: Mapping[str, str],
    state: ImportState,
    app: App,
    account: Account,
    client: Client,
    receiver: Receiver,
    shell: Shell,
    captured_log: CapturedLog,
) -> None:
    """Check that each name has one record and is shown as text everywhere."""
    tick(app)
    records = {record.file: record for record in app.records()}
    assert len(app.records()) == len(records)
    assert {what: name for what, name in names.items() if name not in records} == {}
    assert {record.state for record in records.values()} == {state}
    check_log(captured_log)
    check_account(account, [*records.values()])
    posts = {post.event["data"]["id"]: post for post in receiver.posts}
    overview = Page(client.get("dashboard").text, 1 + len(UPLOAD_SCRIPTS))
    listed = {item["id"]: item["file"] for item in client.json("imports")["imports"]}
    for record in records.values():
        check_event(posts[record.id], record)
        check_answers(client, record)
        # A long one is in an element of its own, beside the cut one.
        assert record.file in overview.texts["a"] + overview.texts["span"]
        assert listed[record.id] == record.file
    assert shell("list", "--all").out.replace("\n", "").isprintable()
    raised = json.loads(shell("list", "--all", "--format", "json").out)
    assert {item["file"] for item in raised["imports"]} == records.keys()


def test_file_names(
    account: Account,
    app_with_receiver: App,
    client: Client,
    receiver: Receiver,
    shell: Shell,
    captured_log: CapturedLog,
) -> None:
    for number, name in enumerate(NAMES.values()):
        app_with_receiver.upload(name, device(f"pump-{number}"))
        app_with_receiver.deliver(name)
        app_with_receiver.finish()
    check_everything(
        NAMES,
        ImportState.COMPLETED,
        app_with_receiver,
        account,
        client,
        receiver,
        shell,
        captured_log,
    )


def test_list_prints_one_line_per_import(app: App, shell: Shell) -> None:
    app.upload("a\nb.ndjson", device("pump 1"))
    app.deliver("a\nb.ndjson")
    assert len(shell("list").out.splitlines()) == 2


def test_names_that_azurite_cannot_list(
    account: Account,
    app_with_receiver: App,
    client: Client,
    receiver: Receiver,
    shell: Shell,
    captured_log: CapturedLog,
) -> None:
    for name in UNLISTED.values():
        app_with_receiver.upload(name, device("pump 1"))
        app_with_receiver.deliver(name)
    check_everything(
        UNLISTED,
        ImportState.REJECTED,
        app_with_receiver,
        account,
        client,
        receiver,
        shell,
        captured_log,
    )


@pytest.mark.parametrize("retention", ["delete", "move"])
def test_dot_segments_do_not_reach_another_container(
    entra_app: App, captured_log: CapturedLog, retention: str
) -> None:
    """With Entra ID: a shared key signs the path, so Storage would reject the request."""
    app = entra_app
    app.configure(UPLOAD_RETENTION=retention)
    other = app.blobs.create_container(f"other-{app.container}")
    other.upload_blob("a.ndjson", b'{"id":"pump-1","status":"enabled"}')
    name = f"../{other.container_name}/a.ndjson"
    put_with_exact_name(app, name)
    app.deliver(name)
    assert app.records() == []
    app.sweep()
    [record] = app.records()
    assert (record.file, record.state) == (name, ImportState.REJECTED)
    assert record.failure_reason.startswith(f"{name!r} contains a folder named '.' or '..'")
    app.clock.ahead_hours(1)
    app.sweep()
    assert [blob.name for blob in other.list_blobs()] == ["a.ndjson"]
    assert [path for path in app.requests if other.container_name in path] == []
    check_log(captured_log)


def put_with_exact_name(app: App, name: str) -> None:
    """Upload a blob whose name the SDK would normalize."""
    service = urlsplit(app.blobs.url)
    sas = generate_container_sas(
        str(app.blobs.account_name),
        app.container,
        account_key=ACCOUNT_KEY,
        permission="w",
        expiry=datetime.now(UTC) + timedelta(hours=1),
    )
    path = f"{service.path}{app.container}/{quote(name, safe='').replace('.', '%2E')}?{sas}"
    context = ssl.create_default_context(cafile=os.environ["REQUESTS_CA_BUNDLE"])
    with closing(HTTPSConnection(service.netloc, context=context)) as connection:
        connection.request("PUT", path, b"x", {"x-ms-blob-type": "BlockBlob"})
        answer = connection.getresponse()
        assert answer.status == 201, (path, answer.read())


#: Injects into log lines, pages, CSV cells and terminals.
ODD = "=1+1</td><script>alert(1)</script>\nfailed. \r\u2028\x85\x1b[31m\x9b2J'\"--"

#: The same text, cleaned as in hub messages and failure reasons.
CLEAN = "=1+1</td><script>alert(1)</script> failed. \ufffd[31m\ufffd2J'\"--"


def test_a_folder_without_a_route(
    app_with_receiver: App,
    two_hubs: TwoHubs,
    client: Client,
    receiver: Receiver,
    captured_log: CapturedLog,
) -> None:
    name = f"{ODD.replace('/', '')}/a.ndjson"
    app_with_receiver.upload(name, device("pump-1"))
    app_with_receiver.deliver(name)
    tick(app_with_receiver)
    [record] = app_with_receiver.records(NO_HUB)
    assert repr(name) in record.failure_reason
    assert "east, west" in record.failure_reason
    check_event(receiver.posts[0], record)
    page = Page(client.get(f"dashboard/imports/{record.id}").text)
    assert (page.texts["h1"], page.texts["p"].count(repr(name))) == (name, 1)
    check_log(captured_log)


def test_a_reason_that_contains_the_file_name(app: App, captured_log: CapturedLog) -> None:
    name = "a\nfailed. All is lost [import=0]\x85.ndjson"

    def delete(request: str) -> None:
        if request.startswith(f"GET /devstoreaccount1/{app.container}/a"):
            app.before_request = lambda _: None
            app.blobs.get_blob_client(app.container, name).delete_blob()

    app.before_request = delete
    app.upload(name, device("pump-1"))
    app.deliver(name)
    assert app.record(name).state == "superseded"
    assert repr(name)[1:-1] in captured_log.messages[-1]
    check_log(captured_log)


def test_values_of_device_lines(app: App, client: Client, captured_log: CapturedLog) -> None:
    id_, value, name = (f"{ODD}{what}" for what in ("ID", "VALUE", "NAME"))
    lines = [
        device(id_, **{name: value}),
        device("a", moduleId=id_, status=value, importMode=value, tags={name: {"b": None}}),
        device("b", authentication={"type": value, name: 1}, capabilities={name: value}),
    ]
    files = {
        "a.ndjson": b"\n".join(json.dumps(line).encode() for line in lines),
        "a.json": json.dumps(lines).encode(),
        "a.csv": _csv(["id", "status", name, "tags.a:number"], [id_, value, value, value]),
    }
    for file, content in files.items():
        app.upload(file, content)
        app.deliver(file)
        record = app.record(file)
        assert record.state == "rejected"
        rows = csv.reader(io.StringIO(app.problems_csv(record), newline=""))
        cells = [cell for row in rows for cell in row]
        assert f"'{id_}" in cells
        assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
        page = Page(client.get(f"dashboard/imports/{record.id}").text)
        assert id_ in page.texts["td"]
        # A column's path ends at its first dot.
        assert name.partition(".")[0] in page.texts["td"]
        report = client.get(f"imports/{record.id}/files/report.json").json()
        checked = client.post("check", content, name=file).json()
        for problems in (report["validation"]["problems"], checked["problems"]):
            assert id_ in {problem["id"] for problem in problems}
    app.upload("names.ndjson", device("a", tags={name: 2**53}))
    app.deliver("names.ndjson")
    # A failure reason names properties; only the report contains values of devices.
    assert f"tags.{CLEAN}NAME: " in app.record("names.ndjson").failure_reason
    assert any("alert(1)" in text for text in captured_log.messages)
    check_log(captured_log)
    assert not [line for line in captured_log.lines if re.search("--(ID|VALUE)", line)]


def _csv(*rows: list[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def test_messages_of_a_hub(app: App, client: Client, captured_log: CapturedLog) -> None:
    pages = {}

    def end(name: str, kind: str, **fault: object) -> None:
        app.hub.faults.add(kind, **fault)
        app.upload(name, device("pump-1"))
        app.deliver(name)
        app.finish()
        record = app.record(name)
        pages[name] = Page(client.get(f"dashboard/imports/{record.id}").text).texts["p"]

    end("failed.ndjson", "failJob", reason=ODD)
    for shape in ("E1", "E2", "E3", "E4", "E7"):
        status = {"status": 400, "code": "Odd", "message": ODD, "shape": shape}
        end(f"{shape}.ndjson", "error", operation="createJob", **status)
    end("busy.ndjson", "error", operation="createJob", status=503, message=ODD)
    assert {record.state.value for record in app.records()} == {"failed", "completed"}
    assert sum("alert(1)" in text for text in pages.values()) >= 5
    check_log(captured_log)
    assert any(CLEAN in text for text in captured_log.messages)


def end_with_log(app: App, *entries: object) -> ImportRecord:
    """Run an import with one line per entry, whose job writes these log entries."""
    app.upload("a.ndjson", *(device(f"pump-{number}") for number, _ in enumerate(entries, 1)))
    app.deliver("a.ndjson")
    app.hub.wait_idle()
    log = "\n".join(map(json.dumps, entries))
    container = app.container_of(app.record("a.ndjson"))
    container.upload_blob("importErrors.log", log.encode(), overwrite=True)
    app.tick()
    return app.record("a.ndjson")


def test_entries_of_an_error_log(app: App, client: Client, captured_log: CapturedLog) -> None:
    record = end_with_log(
        app,
        {"deviceId": "", "errorCode": 400012, "errorStatus": ODD},
        {"deviceId": ODD, "moduleId": ODD, "errorCode": 400004, "errorStatus": ODD},
        {"deviceId": "../../jobs", "errorCode": 404001, "errorStatus": ODD},
    )
    # No entry matches a line of the file.
    assert (record.state, record.failed) == ("completedWithErrors", None)
    page = Page(client.get(f"dashboard/imports/{record.id}").text)
    assert f"{ODD}/{ODD}" in page.texts["td"]
    assert page.texts["td"].count(CLEAN) == 3
    assert client.json(f"imports/{record.id}")["failureReason"] == record.failure_reason
    check_log(captured_log)
    assert any("alert(1)" in text for text in captured_log.messages)


def test_an_unknown_error_code(app: App, client: Client, captured_log: CapturedLog) -> None:
    record = end_with_log(app, {"deviceId": "pump-1", "errorCode": ODD, "errorStatus": "x"})
    assert record.state == "completedWithErrors"
    check_log(captured_log)
    page = Page(client.get(f"dashboard/imports/{record.id}").text)
    assert f"1 x {CLEAN}" in page.texts["strong"]


HUBS = ["a/b", "a\\b", "a#b", "a?b", "a b", "a\nb", "", "(none)", "a'", "\u00e4", "<b>", "a\0"]


@pytest.mark.parametrize("name", HUBS)
def test_hub_names(name: str) -> None:
    with pytest.raises(ValueError, match="letters, digits, ") as raised:
        parse_hubs(json.dumps({name: "fleet.azure-devices.net"}))
    assert str(raised.value).isprintable()
    with pytest.raises(ValueError, match="neither a connection string nor a host name") as raised:
        HubConnection.parse(name)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("name", ["a/b", "a#b", "a\nb", "<b>"])
def test_hub_names_in_connection_strings(name: str) -> None:
    with pytest.raises(ValueError, match="HostName"):
        HubConnection.parse(f"HostName={name};SharedAccessKeyName=a;SharedAccessKey=YQ==")


def test_a_log_message_stays_on_one_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "shared.test")
    log = logs.logger("shared.test")
    with logs.log_context(logs.LogContext("0815", "hub\n", "job\x1b")):
        log.info("50 %\n of it")
        log.info("%s, %r, %d, %5.1f, %s", "a\nb\\", "a\nb\\", 7, 0.25, ValueError("c\r\u2028d\x85"))
    first, second = (line.getMessage() for line in caplog.records)
    subject = r" [import=0815 hub=hub\n job=job\x1b]"
    # The message itself comes from the app.
    assert first == f"50 %\n of it{subject}"
    assert second == rf"a\nb\, 'a\nb\\', 7,   0.2, c\r\u2028d\x85{subject}"
    assert caplog.records[1].msg == "%s, %r, %d, %5.1f, %s%s"


class Untouchable:
    def __str__(self) -> str:
        pytest.fail("it is put into words")


def test_a_disabled_log_level_formats_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, "shared.test")
    logs.logger("shared.test").info("%s", Untouchable())
    assert caplog.records == []
