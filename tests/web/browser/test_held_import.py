"""The page of an import that waits for an approval, in Chromium."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Dialog, Page, expect

from tests.app import App
from tests.web.browser.test_dashboard import DASHBOARD, TOO_WIDE, page_of
from tests.web.guarded import deletion, guard, hold_deletes


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
    questions: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        questions.append(dialog.message)
        dialog.dismiss()

    page.once("dialog", dismiss)
    page.click("#approve")
    assert app.record(record.file).state == "held"
    assert "It deletes 3, replaces the keys of 0" in questions[0]
    assert "Later imports that may have changed its devices: 1." in questions[0]
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("#decline")
    expect(page.locator("#state")).to_contain_text("cancelled")
    expect(page.get_by_role("main")).to_contain_text("decline")
    expect(page.get_by_role("main")).to_contain_text("not today")
