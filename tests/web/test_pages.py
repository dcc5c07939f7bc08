"""What pages say of imports that wait, ended without a job, or are none."""

from __future__ import annotations

import html
import json
import re
from datetime import timedelta

import pytest

from shared.device_files.mapping.document import read_mapping
from shared.imports.model.states import ImportState
from shared.web.rendering import code_spans, shorten
from shared.web.routes import ROUTES
from tests.app import App, device
from tests.device_files.support import validate_file
from tests.web.support import Client, complete, partly, reject, share_job, text_of


def page_of(app: App, client: Client, name: str) -> str:
    return client.get(f"dashboard/imports/{app.record(name).id}").text


def wait_in_queue(app: App, *names: str) -> None:
    app.hub.occupy_slot()
    for name in names:
        app.upload(name, device(name), device(f"{name}-2"))
        app.deliver(name)


def test_an_import_that_was_not_sent(app: App, client: Client) -> None:
    wait_in_queue(app, "waits.ndjson")
    app.importer.actions.cancel(app.record("waits.ndjson"))
    reject(app)
    for name, bar in (("waits.ndjson", "2 not sent"), ("broken.ndjson", "1 invalid 1 not sent")):
        page = text_of(page_of(app, client, name))
        assert bar in page
        assert "0 imported" not in page
        assert "Imported not sent Failed not sent" in page
    overview = client.get("dashboard").text
    assert ">not sent</td>" in overview


def test_an_import_without_failures_has_no_section_for_them(app: App, client: Client) -> None:
    complete(app)
    page = text_of(page_of(app, client, "good.ndjson"))
    assert "1 imported" in page
    assert "Rejected" not in page
    assert "Retry" not in page


def test_a_retry_replaces_the_button(app: App, client: Client) -> None:
    partly(app)
    record = app.record("partly.ndjson")
    address = f"dashboard/imports/{record.id}"
    assert 'id="retry"' in client.get(address).text
    app.importer.actions.retry(record)
    page = client.get(address).text
    assert 'id="retry"' not in page
    assert "Retried as" in page


def test_a_back_off_is_explained(app: App, client: Client) -> None:
    app.configure(BACKOFF_SECONDS="60")
    wait_in_queue(app, "waits.ndjson")
    shown = client.json(f"imports/{app.record('waits.ndjson').id}")
    assert shown["nextTryAt"]
    for page in (page_of(app, client, "waits.ndjson"), client.get("dashboard").text):
        assert re.search(r"Waiting: [^.]*slot.*Next try in [0-9]+ (s|min)", text_of(page))


def test_how_long_a_queue_takes(app: App, client: Client) -> None:
    share_job(app, "a.ndjson", "b.ndjson")
    for name in ("next.ndjson", "last.ndjson"):
        app.upload(name, device("a.ndjson"))
        app.deliver(name)
    overview = text_of(client.get("dashboard").text)
    assert "How long it takes is not known yet" in overview
    before = app.record("before.ndjson")
    app.table.update_entity(
        {
            "PartitionKey": before.hub,
            "RowKey": before.row_key,
            "startTimeUtc": app.clock(),
            "endTimeUtc": app.clock() + timedelta(days=100),
        }
    )
    overview = text_of(client.get("dashboard").text)
    assert "4 files done in about 300 d" in overview
    assert "job 2 in the queue starts in about 100 d" in overview
    assert "job 3 in the queue starts in about 200 d" in overview
    assert "by the hub's last job" in overview
    assert "Expected to start in about 200 d" in text_of(page_of(app, client, "last.ndjson"))
    [queue] = client.json("queues")["queues"]
    assert queue["expectedEnd"].startswith(f"{app.clock() + timedelta(days=300):%Y-%m}")


def test_nothing_yet(client: Client) -> None:
    page = client.get("dashboard").text
    assert "device-importer upload FILE" in page
    assert "No imports finished in the last 30 days." in page
    assert '<svg class="chart"' not in page
    assert 'href="data:image/svg+xml,' in page


def test_no_devices_yet(app: App, client: Client) -> None:
    reject(app)
    page = client.get("dashboard").text
    assert "1 import finished in the last 30 days; none" in page
    assert '<svg class="chart"' not in page


def test_the_page_about_the_api(client: Client) -> None:
    page = client.get("dashboard/api").text
    for route in ROUTES:
        assert (f"<code>{route.method} /api/{route.path}</code></h2>" in page) is not route.is_page
    assert "curl -H 'x-functions-key: KEY' -X POST --data-binary @devices.ndjson" in text_of(page)
    assert "/approve?plan=PLAN'" in text_of(page)
    for name in client.json("openapi.json")["components"]["schemas"]:
        assert f'id="model-{name}"' in page


def test_help_explains_each_state(client: Client) -> None:
    page = text_of(client.get("dashboard/help").text)
    for state in ImportState:
        assert f"{state.label} {state.meaning} {state.advice}" in page


def test_help_explains_files_and_mappings(client: Client) -> None:
    assert "dashboard/help#mappings-title" in client.get("dashboard").text
    page = client.get("dashboard/help").text
    assert 'id="mappings-title"' in page
    csv_file, mapping = map(html.unescape, re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL))
    lines, validation = validate_file(csv_file.encode(), name="maker/devices.csv")
    assert (len(lines), validation.report.problems) == (1, [])
    assert not read_mapping(mapping.encode()).is_empty
    for member in json.loads(mapping):
        assert f"<dt>{member}</dt>" in page


def test_an_unknown_state(client: Client) -> None:
    answer = client.get("dashboard", state="foo")
    assert answer.status_code == 400
    assert all(value in answer.text for value in ("open", "attention", *ImportState))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short.csv", "short.csv"),
        ("0123456789", "0123456789"),
        ("factory/line-0007.ndjson", "facto…json"),
    ],
)
def test_long_text_is_cut_in_its_middle(text: str, expected: str) -> None:
    assert shorten(text, 10) == expected


def test_code_spans() -> None:
    assert code_spans("a <b> `c<d>` e") == "a &lt;b&gt; <code>c&lt;d&gt;</code> e"
