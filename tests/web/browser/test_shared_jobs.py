"""Jobs of several files on the dashboard, in Chromium."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app import App, device
from tests.web.browser.test_dashboard import (
    DARK_PHONE,
    DASHBOARD,
    LONG,
    NARROW,
    TOO_WIDE,
    answer,
    page_of,
)
from tests.web.support import share_job


def test_a_job_of_several_files(app: App, page: Page) -> None:
    names = [f"{number:02}.ndjson" for number in range(23)]
    first, *_ = share_job(app, *names)
    page.goto(page_of(first))
    page.get_by_role("link", name="22 other files").click()
    files = page.locator("#files li")
    expect(files).to_have_count(20)
    expect(page.locator("#files")).to_contain_text("First 20 of 22")
    page.get_by_role("button", name="Cancel job of 23 files").click()
    expect(page.get_by_role("dialog")).to_contain_text("22 other files")
    answer(page, "Cancel job of 23 files")
    expect(page.get_by_role("status")).to_have_text("running, cancellation requested")
    app.tick()
    app.finish()
    expect(page.get_by_role("status")).to_have_text("cancelled")
    expect(files.first).to_contain_text("cancelled 01.ndjson")


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_a_page_from_before_the_job_asks_without_scripts(app: App, page: Page) -> None:
    """Of an import that was queued when the page was loaded, nothing else is cancelled unasked."""
    app.hub.occupy_slot()
    for name in ("0.ndjson", "1.ndjson", "2.ndjson"):
        app.upload(name, device(name))
        app.deliver(name)
    page.goto(page_of(app.record("1.ndjson")))
    expect(page.get_by_role("status")).to_contain_text("queued job 2 in the queue")
    app.hub.free_slot()
    app.tick()
    app.hub.wait_idle()
    app.hub.faults.add("hangJob")
    app.tick()
    page.get_by_role("button", name="Cancel import").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Conflict")
    expect(page.get_by_role("listitem")).to_have_text(["running 1.ndjson", "running 2.ndjson"])
    page.get_by_role("button", name="Cancel job of 2 files").click()
    expect(page.get_by_role("status")).to_have_text("running, cancellation requested")


@pytest.mark.parametrize("page", [NARROW, DARK_PHONE], indirect=True, ids=["narrow", "phone"])
def test_pages_of_a_shared_job_are_accessible(app: App, page: Page) -> None:
    first, *_ = share_job(app, LONG, *(f"{number:02}.ndjson" for number in range(22)))
    app.upload("waits.ndjson", device(LONG))
    app.deliver("waits.ndjson")
    for address in (DASHBOARD, page_of(first), page_of(app.record("waits.ndjson"))):
        page.goto(address)
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(TOO_WIDE) == [], address
    page.goto(page_of(first))
    page.evaluate(
        "document.querySelector('form').action = location.pathname + '/cancel' + location.search"
    )
    page.get_by_role("button", name="Cancel job").click()
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    answer(page, "Cancel job of 23 files")
    expect(page.get_by_role("heading", level=1)).to_have_text("Conflict")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()
    assert page.evaluate(TOO_WIDE) == []
