"""The question before an undo, in Chromium."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app import App
from tests.web.browser.test_dashboard import DASHBOARD, TOO_WIDE, answer, page_of
from tests.web.guarded import back_up


def test_an_undo_says_what_it_does(app: App, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    record = back_up(app)
    page.goto(page_of(record))
    # The lines of a plan that was carried out are out of the way.
    expect(page.get_by_role("table", name="Changes")).to_be_hidden()
    page.click("#undo")
    question = page.get_by_role("dialog")
    expect(question).to_contain_text("makes up to 1 again, changes up to 1 back, deletes up to 1")
    expect(question).to_contain_text("reported properties and queued messages are lost")
    answer(page, "Leave it as it is")
    page.click("#undo")
    answer(page, "Undo import")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Undo of {record.file}")
    app.finish()
    page.goto(page_of(record))
    page.click("#plan-lines summary")
    assert Axe().run(page).violations_count == 0
    assert page.evaluate(TOO_WIDE) == []
    page.goto(DASHBOARD)
    assert page.evaluate(TOO_WIDE) == []
