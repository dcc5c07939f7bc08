"""The page of an import that waits for an approval, in Chromium."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app import App
from tests.imports.plans import put_pumps, use_lookups
from tests.web.browser.test_dashboard import DASHBOARD, TOO_WIDE, answer, page_of
from tests.web.guarded import deletion, guard, hold, hold_deletes


def test_held_import(app: App, page: Page) -> None:
    guard(app)
    record = hold_deletes(app)
    page.goto(DASHBOARD)
    expect(page.locator("#summary")).to_contain_text("1 waiting for approval")
    page.goto(page_of(record))
    assert Axe().run(page).violations_count == 0
    assert page.evaluate(TOO_WIDE) == []
    # What is typed survives a refresh.
    page.fill("#decline-reason", "not today")
    app.upload("later.ndjson", deletion(0))
    app.deliver("later.ndjson")
    expect(page.locator("#approve")).to_contain_text("in spite of 1 later import")
    expect(page.locator("#decline-reason")).to_have_value("not today")
    page.click("#approve")
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("It deletes 3, replaces the keys of 0")
    expect(question).to_contain_text("Later imports that may have changed its devices: 1.")
    answer(page, "Keep it waiting")
    assert app.record(record.file).state == "held"
    page.click("#decline")
    answer(page, "Decline")
    expect(page.locator("#state")).to_contain_text("cancelled")
    expect(page.get_by_role("main")).to_contain_text("decline")
    expect(page.get_by_role("main")).to_contain_text("not today")


def test_a_long_plan_is_folded(app: App, page: Page) -> None:
    app.configure(APPROVAL="destructive", MAX_DELETES="2", APPROVAL_HUB_SHARE="1")
    put_pumps(app, 30)
    use_lookups(app)
    record = hold(app, *map(deletion, range(30)))
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(page_of(record))
    shown, more = (page.get_by_role("table", name=name) for name in ("Changes", "More changes"))
    expect(shown.get_by_role("row").filter(has_text="pump-")).to_have_count(10)
    expect(more).to_be_hidden()
    page.get_by_text("20 more lines").click()
    expect(more.get_by_role("row").filter(has_text="pump-")).to_have_count(20)
    assert Axe().run(page).violations_count == 0
    assert page.evaluate(TOO_WIDE) == []
