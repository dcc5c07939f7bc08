"""The page that finds a device, in bounded time."""

from __future__ import annotations

import re
from html import unescape

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.operate.device_search import DeviceSearch, OutOfTimeError
from shared.imports.operate.line_results import LineResult
from shared.web import devices
from tests.app import App, device
from tests.imports.plans import pump
from tests.web.guarded import back_up
from tests.web.support import Client, TwoHubs, text_of

NAME = "pump-17"


def send(app: App, name: str, *lines: object) -> None:
    app.upload(name, *lines)
    app.deliver(name)
    app.finish()


def search_on(page: str) -> str:
    """The address that goes on with a search; "" if there is none."""
    found = re.findall(r'id="search-on" rel="next" href="/api/([^"]*)"', page)
    return unescape(found[0]) if found else ""


def test_why_a_device_is_not_in_the_hub(app: App, two_hubs: TwoHubs, client: Client) -> None:
    assert "Not searched" not in client.get("dashboard/devices").text
    app.hub.faults.add("failJob", reason="the disk is full")
    send(app, "west/1.ndjson", device("other"), device(NAME))
    send(app, "west/2.ndjson", {"id": NAME, "status": "<b>on</b>"})
    send(app, "west/3.ndjson", device("PUMP-17", importMode="delete"))
    send(app, "east/4.ndjson", device("another"))
    page = client.get("dashboard/devices", id=NAME)
    assert page.status_code == 200
    assert page.text.count("<b>") == 0
    text = text_of(page.text)
    assert "In 3 of 4 searched imports, uploaded in the last 7 days." in text
    assert f"Line 2: {NAME}, createOrUpdate: unknown" in text
    assert "The hub failed the job: the disk is full" in text
    assert "It can be retried at its page" in text
    assert f"Line 1: {NAME}: leftOut (status-invalid)" in text
    assert "Line 1: PUMP-17 (another letter case), delete: failed (404001 DeviceNotFound)" in text
    retry = app.importer.actions.retry(app.record("west/1.ndjson"))
    text = text_of(client.get("dashboard/devices", id=NAME).text)
    assert f"Retried as import {retry.id}" in text
    assert "can be retried" not in text

    text = text_of(client.get("dashboard/devices", id=NAME, hub=two_hubs.east, since="any").text)
    assert "In none of 1 searched imports, uploaded at any time." in text
    assert client.get("dashboard/devices", id=NAME, hub="mars").status_code == 400
    assert client.get("dashboard/devices", id="x" * 257).status_code == 400


def test_a_deletion_that_can_be_undone(app: App, client: Client) -> None:
    back_up(app, pump(0, "b", importMode="delete"))
    text = text_of(client.get("dashboard/devices", id="pump-0").text)
    assert "delete: deleted" in text
    assert "It can be undone at its page until 2" in text


def test_a_list_without_matches_leads_to_the_search(client: Client) -> None:
    page = client.get("dashboard", file=NAME).text
    assert "Only the names of files were searched." in page
    assert f'href="/api/dashboard/devices?id={NAME}"' in page


def test_a_search_ends_in_time_and_goes_on(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request gets somewhere, whatever a file costs, and nothing is left out unseen."""
    names = [f"{number}.ndjson" for number in range(3)]
    for name in names:
        send(app, name, device(NAME), device("other"))
    monkeypatch.setattr(devices, "MAX_SECONDS", 0)
    page = client.get("dashboard/devices", id=NAME).text
    seen: list[str] = []
    while address := search_on(page):
        [file] = re.findall(r">(\d\.ndjson)</a>: its files take too long", page)
        seen.append(file)
        page = client.get(address).text
    assert sorted(seen) == names


def test_a_file_gets_the_time_of_a_whole_search(
    app: App, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(2):
        send(app, f"{number}.ndjson", device(NAME))
    read, calls = DeviceSearch.lines_of, list[str]()

    def slow_after_the_first(self: DeviceSearch, record: ImportRecord) -> list[LineResult]:
        calls.append(record.file)
        if len(calls) == 2:
            raise OutOfTimeError
        return read(self, record)

    monkeypatch.setattr(DeviceSearch, "lines_of", slow_after_the_first)
    first = client.get("dashboard/devices", id=NAME).text
    assert "In 1 of 1 searched imports" in text_of(first)
    second = client.get(search_on(first)).text
    assert "In 1 of 1 searched imports of this page" in text_of(second)
    assert "Not searched" not in first + second
    assert calls[1:] == [calls[1]] * 2
    assert calls[0] != calls[1]
    assert not search_on(second)
