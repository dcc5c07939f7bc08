"""Plans on the dashboard, in Chromium."""

from __future__ import annotations

import json

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.app import App, device
from tests.telemetry.support import keyed
from tests.web.browser.test_dashboard import (
    DARK_PHONE,
    DASHBOARD,
    NARROW,
    ODD,
    TOO_WIDE,
    page_of,
)


def start_planned_import(app: App, name: str = "planned.ndjson") -> None:
    """An import whose plan has lines of each kind."""
    app.configure(APPLY="changes")
    certificates = {"type": "certificateAuthority"}
    for number in range(40):
        tags = {"site": "east", "floor": number, "text": "long " * 40}
        app.hub.registry.put(device(f"pump-{number}", authentication=certificates, tags=tags))
    app.hub.registry.put(keyed("keyed"))
    lines = [
        device(f"pump-{number}", authentication=certificates, tags={"floor": 1, "a" * 60: ODD})
        for number in range(3)
    ]
    lines += [device(f"pump-{number}", importMode="delete") for number in range(3, 6)]
    lines += [device("keyed", status="disabled"), keyed("new"), keyed("ghost", importMode="update")]
    tags = {"site": "east", "text": "long " * 40}
    lines += [
        device(f"pump-{number}", authentication=certificates, tags={**tags, "floor": number})
        for number in range(6, 40)
    ]
    app.upload(name, *lines)
    app.deliver(name)


def test_a_plan_from_its_export_to_its_job(app: App, page: Page) -> None:
    start_planned_import(app)
    record = app.record("planned.ndjson")
    page.goto(page_of(record))
    expect(page.get_by_role("status")).to_have_text("planning")
    expect(page.locator("#planning")).to_contain_text("Export of the registry:")
    expect(page.get_by_role("heading", name="Plan", exact=True)).to_have_count(0)
    app.finish()
    expect(page.get_by_role("status")).to_have_text("completed with errors")
    plan = page.locator("#plan")
    expect(plan.locator(".bar")).to_have_attribute(
        "aria-label",
        "1 to create, 4 to update (new keys: 1, disabled: 1), 34 unchanged, 3 to delete, "
        "1 would fail",
    )
    # What was done is folded.
    plan.get_by_text("9 planned lines").click()
    changes = plan.get_by_role("table", name="Changes")
    expect(changes.locator("tbody tr")).to_have_count(9)
    expect(changes).to_contain_text(json.dumps(ODD))
    expect(page.locator("#now .bar")).to_have_attribute(
        "aria-label", "8 imported (up to 3 deletes), 34 unchanged, 1 failed"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="plan.csv").click()
    assert download.value.suggested_filename == f"planned-{record.id[:8]}-plan.csv"


@pytest.mark.parametrize("page", [NARROW, DARK_PHONE], indirect=True, ids=["narrow", "phone"])
def test_pages_of_plans_are_accessible(app: App, page: Page) -> None:
    start_planned_import(app)
    app.finish()
    app.hub.faults.add("hangJob")
    start_planned_import(app, "again.ndjson")
    again = app.record("again.ndjson")
    assert again.state == "planning"
    for address in (DASHBOARD, page_of(app.record("planned.ndjson")), page_of(again)):
        page.goto(address)
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(TOO_WIDE) == [], address
    page.goto(page_of(app.record("planned.ndjson")))
    page.get_by_text("9 planned lines").click()
    expect(page.locator("#plan").get_by_text("delete", exact=True).first).to_be_visible()
    assert Axe().run(page).violations_count == 0
    assert page.evaluate(TOO_WIDE) == []
