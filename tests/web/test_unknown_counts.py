"""Unknown counts are shown as unknown everywhere, and never as 0."""

from __future__ import annotations

import re
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.cli.conftest import Shell
from tests.cli.conftest import shell as shell
from tests.events.conftest import app_with_receiver as app_with_receiver
from tests.events.conftest import receiver as receiver
from tests.events.receiver import Receiver
from tests.events.support import publisher
from tests.web.support import Client, cancel_at_the_hub, complete, partly, text_of

COUNTS = ("imported", "failed")


@pytest.fixture
def unknown(app: App) -> ImportRecord:
    return cancel_at_the_hub(app)


def counts_of(shown: Any) -> list[int | None]:
    return [shown[name] for name in COUNTS]


def test_the_api(app: App, client: Client, unknown: ImportRecord) -> None:
    partly(app)
    by_file = {item["file"]: item for item in client.json("imports")["imports"]}
    assert counts_of(by_file[unknown.file]) == [None, None]
    assert counts_of(by_file["partly.ndjson"]) == [1, 1]
    shown = client.json(f"imports/{unknown.id}")
    assert (shown["state"], shown["isFinal"], shown["devices"]) == ("cancelled", True, 3)
    assert counts_of(shown) == [None, None]
    report = client.json(f"imports/{unknown.id}/files/report.json")
    assert counts_of(report["devices"]) == [None, None]


def test_sums_of_days(app: App, client: Client, unknown: ImportRecord) -> None:
    partly(app)
    for _ in range(2):
        # Each end first has its own row; then the sweep adds them up.
        today = client.json("days", days=1)["days"][0]
        assert today["imports"] == {"cancelled": 1, "completedWithErrors": 1}
        assert [today[name] for name in (*COUNTS, "unknown")] == [1, 1, 1]
        app.sweep()


def test_the_openapi_document_explains_null(client: Client) -> None:
    schemas = client.json("openapi.json")["components"]["schemas"]
    for model in ("ImportSummary", "ImportDetail"):
        for name in COUNTS:
            described = schemas[model]["properties"][name]
            assert {"type": "null"} in described["anyOf"]
            assert "not known" in described["description"]
    assert "unknown" in schemas["DayCounts"]["properties"]["unknown"]["description"]


def test_the_event(app_with_receiver: App, receiver: Receiver) -> None:
    record = cancel_at_the_hub(app_with_receiver)
    publisher(app_with_receiver).send(record.hub)
    publisher(app_with_receiver).wait()
    [event] = receiver.events
    assert event["type"] == "DeviceImporter.Import.Cancelled"
    assert counts_of(event["data"]) == [None, None]


def test_the_pages(app: App, client: Client, unknown: ImportRecord) -> None:
    overview = client.get("dashboard").text
    [row] = re.findall(rf'<a id="import-{unknown.id}".*?</tr>', overview, re.S)
    assert re.search(r">3</td>\s*<td[^>]*>unknown</td>", row)
    assert "unknown for 1 import" in text_of(overview)
    today = re.findall(r'<tr><th scope="row">.*?</tr>', overview)[0]
    assert re.findall(r"<td[^>]*>(.*?)</td>", today) == ["1", "0", "0", "0", "1"]
    page = text_of(client.get(f"dashboard/imports/{unknown.id}").text)
    assert "3 unknown whether imported" in page
    assert "0 imported" not in page
    assert "Imported unknown Failed unknown" in page


def test_the_commands(app: App, shell: Shell, unknown: ImportRecord) -> None:
    complete(app)
    head, *lines = shell("list").out.splitlines()
    assert head.split()[2:5] == ["STATE", "IMPORTED", "FAILED"]
    [line] = [line for line in lines if unknown.id in line]
    # The time has three words: its date, the time of day and the offset.
    assert line.split()[4:7] == ["cancelled", "unknown", "unknown"]
    shown = shell("show", unknown.id).out
    [devices] = [line for line in shown.splitlines() if line.strip().startswith("devices")]
    assert "3 sent" in devices
    assert "unknown" in devices
    watched = shell("watch", unknown.id)
    assert watched.status == 1
    assert "unknown" in watched.out
    [import_] = shell.json("watch", unknown.id)
    assert counts_of(import_) == [None, None]
    [page] = shell.json("list", "--state", "cancelled")
    assert counts_of(page["imports"][0]) == [None, None]


def test_known_counts_are_0(app: App, client: Client) -> None:
    """An import that was rejected, or cancelled before its job, changed no device."""
    app.hub.occupy_slot()
    app.upload("waits.ndjson", device("pump-1"))
    app.deliver("waits.ndjson")
    client.post(f"imports/{app.record('waits.ndjson').id}/cancel")
    app.upload("broken.ndjson", {"id": "pump 1"})
    app.deliver("broken.ndjson")
    for item in client.json("imports")["imports"]:
        assert counts_of(item) == [0, 0]
    assert client.json("days", days=1)["days"][0]["unknown"] == 0
