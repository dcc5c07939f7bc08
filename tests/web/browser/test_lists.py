"""Filters, order and bulk actions of the dashboard in Chromium."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app import App, device
from tests.faults.scenario import next_second
from tests.web.browser.test_dashboard import DARK_PHONE, DASHBOARD, LONG, NARROW, TOO_WIDE
from tests.web.guarded import guard, hold_deletes
from tests.web.support import complete, reject, share_job


def check(page: Page) -> None:
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(TOO_WIDE) == []


def names(page: Page) -> list[str]:
    return page.locator("#imports tbody th a").all_inner_texts()


def queue(app: App, *files: str) -> None:
    app.hub.occupy_slot()
    for name in files:
        app.upload(name, device(name))
        app.deliver(name)


def test_find_sort_open_and_go_back(app: App, page: Page) -> None:
    complete(app, "pumps-b.ndjson", device("a"), device("b"))
    complete(app, "pumps-a.ndjson")
    reject(app, "meters.ndjson")
    page.goto(DASHBOARD)
    page.get_by_label("File name", exact=True).fill("PUMPS")
    page.get_by_role("button", name="Apply filters").click()
    expect(page.locator("#imports tbody tr")).to_have_count(2)
    # What was asked for can be seen.
    expect(page.locator("#imports-title")).to_be_in_viewport()
    page.locator("#imports").get_by_role("link", name="File").click()
    expect(page.locator("th[aria-sort=ascending]")).to_have_text(re.compile("^File"))
    assert names(page) == ["pumps-a.ndjson", "pumps-b.ndjson"]
    page.locator("#imports").get_by_role("link", name="Devices").click()
    expect(page.locator("th[aria-sort=descending]")).to_have_text(re.compile("^Devices"))
    assert names(page) == ["pumps-b.ndjson", "pumps-a.ndjson"]
    address = page.url
    assert "file=PUMPS" in address
    # A refresh keeps both.
    page.evaluate("document.getElementById('updated').textContent = 'old'")
    expect(page.locator("#updated")).not_to_have_text("old")
    assert names(page) == ["pumps-b.ndjson", "pumps-a.ndjson"]
    page.locator("#imports").get_by_role("link", name="pumps-a.ndjson").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("pumps-a.ndjson")
    page.go_back()
    expect(page).to_have_url(address)
    expect(page.get_by_label("File name", exact=True)).to_have_value("PUMPS")
    expect(page.get_by_role("combobox", name="Order")).to_have_value("-devices")
    page.get_by_label("From (UTC)").fill("2100-01-01")
    page.keyboard.press("Enter")
    expect(page.locator("#imports")).to_contain_text("No imports match the filters.")


def test_find_a_device_that_is_no_file(app: App, page: Page) -> None:
    """Who looks for a device in the list of files is led to it, by keyboard."""
    complete(app, "fleet.ndjson", device("Pump-17"))
    page.goto(DASHBOARD)
    page.get_by_label("File name", exact=True).fill("pump-17")
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Find a device pump-17 in the files").press("Enter")
    expect(page.get_by_label("Device id")).to_have_value("pump-17")
    found = page.get_by_role("region", name="pump-17")
    expect(found).to_contain_text("Line 1: Pump-17 (another letter case), createOrUpdate: imported")
    check(page)
    page.get_by_role("link", name="fleet.ndjson").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("fleet.ndjson")


def test_a_search_goes_on(app: App, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.imports.operate.import_search.MAX_READ", 1)
    monkeypatch.setattr("shared.web.dashboard.PAGE_SIZE", 1)
    reject(app, "old.ndjson")
    # Within a second, the order is not that of the uploads.
    next_second()
    for number in range(3):
        reject(app, f"{number}.ndjson")
    page.goto(f"{DASHBOARD}?file=old")
    for _ in range(3):
        if names(page):
            break
        expect(page.locator("#searched")).to_contain_text("Older imports may match, too")
        # A click does not wait until the next page is there.
        page.goto(str(page.locator("#search-on").get_attribute("href")))
    assert names(page) == ["old.ndjson"]
    page.get_by_role("link", name="Newest imports").click()
    expect(page).not_to_have_url(re.compile("continuation"))


def test_cancel_and_retry_by_keyboard(app: App, page: Page) -> None:
    queue(app, *(f"{number}.ndjson" for number in range(3)))
    page.goto(f"{DASHBOARD}?state=waiting")
    page.get_by_role("link", name="Cancel these imports…").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Cancel 3 imports?")
    page.get_by_role("button", name="Cancel 3 imports").press("Enter")
    expect(page.get_by_role("status")).to_have_text("3 imports: 3 cancelled.")
    page.get_by_role("link", name="Back to the list").press("Enter")
    expect(page.locator("#imports")).to_contain_text("No imports match the filters.")
    page.goto(f"{DASHBOARD}?state=cancelled")
    page.get_by_role("link", name="Retry these imports…").press("Enter")
    page.get_by_role("button", name="Retry 3 imports").press("Enter")
    expect(page.get_by_role("status")).to_have_text("3 imports: 3 retried.")
    page.get_by_role("link", name=re.compile("^import ")).first.press("Enter")
    expect(page.locator("#retry-of")).to_be_visible()


@pytest.mark.parametrize("page", [NARROW, DARK_PHONE], indirect=True, ids=["narrow", "phone"])
def test_pages_are_accessible(app: App, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.imports.operate.import_search.MAX_READ", 1)
    guard(app)
    hold_deletes(app)
    share_job(app, LONG, *(f"{number:02}.ndjson" for number in range(3)))
    app.configure(APPROVAL="never")
    queue(app, "waits.ndjson")
    for address in (
        f"{DASHBOARD}?state=open&sort=-devices",
        f"{DASHBOARD}?file=nothing&who=nobody&from=2026-01-01",
        f"{DASHBOARD}/bulk/cancel?file=a",
        f"{DASHBOARD}/devices?id={'a-long-id-' * 12}&since=any",
        f"{DASHBOARD}/bulk/cancel?state=open",
    ):
        page.goto(address)
        check(page)
    page.get_by_role("button", name="Cancel 5 imports").click()
    expect(page.get_by_role("status")).to_contain_text("5 imports:")
    check(page)
