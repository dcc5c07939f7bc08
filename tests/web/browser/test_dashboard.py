"""The dashboard in Chromium."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.web.support import cancel_at_the_hub, reject

DASHBOARD = "/api/dashboard"
DARK_PHONE = {"viewport": {"width": 390, "height": 844}, "color_scheme": "dark"}
NARROW = {"viewport": {"width": 1060, "height": 800}, "color_scheme": "light"}
#: Elements that are wider than their parent, or what makes the page scroll sideways.
TOO_WIDE = """() => {
  const right = (element) => element.getBoundingClientRect().right;
  const { clientWidth, scrollWidth } = document.documentElement;
  const outside = scrollWidth > clientWidth ? document.querySelectorAll("main *") : [];
  const parts = document.querySelectorAll("body, section > *, section > div > *");
  return [
    ...[...outside].filter((element) => right(element) > clientWidth),
    ...[...parts].filter((element) => right(element) > right(element.parentElement)),
  ].map((element) => element.outerHTML.slice(0, 100));
}"""
#: A name with no place to break it.
LONG = f"{'x' * 110}.ndjson"
ODD = '<img src=x onerror="alert(1)">&{{7*7}}'


def page_of(record: ImportRecord) -> str:
    return f"{DASHBOARD}/imports/{record.id}"


def answer(page: Page, button: str) -> None:
    """Answer the question whether something is meant."""
    page.get_by_role("dialog").get_by_role("button", name=button, exact=True).click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def start_partly_rejected_import(app: App) -> ImportRecord:
    app.hub.registry.put(device("exists"))
    lines = (device(name, importMode="create") for name in ("new", "exists"))
    app.upload("partly.ndjson", *lines)
    app.deliver("partly.ndjson")
    return app.record("partly.ndjson")


def partly_rejected_import(app: App) -> ImportRecord:
    start_partly_rejected_import(app)
    app.finish()
    return app.record("partly.ndjson")


def test_an_import_from_upload_to_cancellation(app: App, page: Page) -> None:
    """An open page shows each change without a reload."""
    page.goto(DASHBOARD)
    expect(page.locator("#imports")).to_contain_text("No imports yet")
    expect(page.locator("#summary")).to_contain_text("0 running, 0 waiting")

    app.hub.faults.add("hangJob")
    app.upload("first.ndjson", *(device(f"pump-{number}") for number in range(40)))
    app.deliver("first.ndjson")
    app.upload("second.ndjson", device("pump-1"))
    app.deliver("second.ndjson")
    expect(page.locator("#queues")).to_contain_text("running first.ndjson")
    expect(page.locator("#queues")).to_contain_text("of 40 devices")
    expect(page.locator("#queues")).to_contain_text("1 more waiting")
    expect(page.locator("#summary")).to_contain_text("1 running, 1 waiting")
    expect(page.get_by_role("row", name="second.ndjson")).to_contain_text(
        "queued job 2 in the queue"
    )

    page.locator("#imports").get_by_role("link", name="first.ndjson").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("first.ndjson")
    expect(page.locator("#history li")).to_have_count(4)
    # The number of imported devices is not known yet.
    expect(page.locator(".bar")).to_have_attribute("aria-label", "40 in progress")
    page.get_by_role("button", name="Cancel import").click()
    answer(page, "Keep it going")
    assert not app.record("first.ndjson").cancel_reason
    page.get_by_role("button", name="Cancel import").click()
    answer(page, "Cancel import")
    expect(page.get_by_role("status")).to_have_text("running, cancellation requested")
    expect(page.get_by_role("button", name="Cancel import")).to_have_count(0)
    app.tick()
    expect(page.locator(".reason")).to_contain_text("for the hub to end its job")
    app.tick()
    expect(page.get_by_role("status")).to_have_text("cancelled")
    expect(page.locator("#history li")).to_have_count(5)
    expect(page).to_have_title("first.ndjson: cancelled")
    page.get_by_role("link", name="All imports").click()
    app.finish()
    expect(page.get_by_role("row", name="second.ndjson")).to_contain_text("completed")
    expect(page.locator("#days-table")).to_be_visible()
    page.locator("#days-table summary").click()
    today = page.locator("#days-table tbody tr").first
    expect(today.locator("td")).to_have_text(["2", "1", "0", "0", "1"])


def test_rejected_devices_are_shown_downloaded_and_retried(app: App, page: Page) -> None:
    record = start_partly_rejected_import(app)
    page.goto(page_of(record))
    app.finish()
    expect(page.locator("section", has_text="Rejected by the hub")).to_contain_text(
        "1 x 409001 DeviceAlreadyExists: use importMode createOrUpdate or update"
    )
    expect(page.get_by_role("table", name="Rejected devices")).to_contain_text("exists")
    expect(page.locator(".bar")).to_have_attribute(
        "aria-label", "1 imported, 1 rejected by the hub"
    )
    with page.expect_download() as download:
        page.get_by_role("link", name="retry.ndjson").click()
    assert download.value.suggested_filename == f"partly-{record.id[:8]}-retry.ndjson"
    [line] = download.value.path().read_text().splitlines()
    assert json.loads(line)["id"] == "exists"

    expect(page.locator("#advice")).to_contain_text("rejects these lines again")
    page.get_by_text("Retry the same lines").click()
    page.get_by_role("button", name="Retry failed lines").click()
    expect(page.locator("#retry-of")).to_have_text(f"import {record.id}")
    expect(page.get_by_role("status")).to_contain_text("queued")
    app.finish()
    expect(page.get_by_role("status")).to_have_text("completed with errors")
    page.locator("#retry-of").click()
    expect(page.locator("#retried-as")).to_be_visible()
    expect(page.get_by_text("Retry the same lines")).to_have_count(0)


def test_a_rejected_file_shows_its_problems_errors_first(app: App, page: Page) -> None:
    app.upload("broken.ndjson", device("good"), {"id": "pump 1", "status": "on"})
    app.deliver("broken.ndjson")
    page.goto(page_of(app.record("broken.ndjson")))
    problems = page.get_by_role("table", name="Validation problems").locator("tbody tr")
    expect(problems.first).to_contain_text("id-characters error")
    expect(problems.last).to_contain_text("warning")
    expect(page.locator(".codes")).to_contain_text("1 x status-invalid (error)")
    expect(page.get_by_role("button")).to_have_text(["Refresh"])


def test_filters_are_in_the_url_and_pages_are_linked(
    app: App, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.web.dashboard.PAGE_SIZE", 2)
    for number in range(3):
        app.upload(f"broken-{number}.ndjson", {"id": "pump 1"})
        app.deliver(f"broken-{number}.ndjson")
    app.upload("good.ndjson", device("pump-1"))
    app.deliver("good.ndjson")
    app.finish()
    page.goto(DASHBOARD)
    page.get_by_role("combobox", name="State").select_option("needs attention")
    page.get_by_role("combobox", name="Uploaded").select_option("in the last hour")
    page.get_by_role("button", name="Apply filters").click()
    expect(page).to_have_url(
        re.compile(r"\?code=made-up%2Bkey&state=attention&since=1h#imports-title$")
    )
    expect(page.get_by_role("combobox", name="State")).to_have_value("attention")
    rows = page.locator("#imports tbody tr")
    expect(rows).to_have_count(2)
    page.get_by_role("link", name="Older imports").click()
    expect(rows).to_have_count(1)
    expect(page).to_have_url(re.compile("state=attention&since=1h&.*continuation="))
    page.get_by_role("link", name="Clear filters").click()
    expect(page).to_have_url(re.compile(r"dashboard\?code=made-up%2Bkey#imports-title$"))
    page.goto(f"{DASHBOARD}?state=cancelled")
    expect(page.locator("#imports")).to_contain_text("No imports match the filters")


def test_file_content_is_shown_as_text(app: App, page: Page) -> None:
    name = f"{ODD}.ndjson"
    app.upload(name, {"id": ODD, "status": "enabled", f"x{ODD}": 1})
    app.deliver(name)
    page.on("dialog", lambda dialog: pytest.fail("a script of the file runs"))
    page.goto(DASHBOARD)
    page.locator("#imports").get_by_role("link", name=name).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    expect(page.get_by_role("table", name="Validation problems")).to_contain_text(ODD)
    page.goto(f"{DASHBOARD}?hub={ODD.replace('&', '%26')}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Bad Request")


def test_the_policy_blocks_foreign_scripts(app: App, page: Page) -> None:
    answer = page.goto(DASHBOARD)
    assert answer
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_links_keep_the_key(app: App, page: Page) -> None:
    """Every link keeps the key in the address, which the host requires."""
    record = partly_rejected_import(app)
    page.goto(f"{DASHBOARD}?code=made-up%2Bkey")
    page.locator(f"#import-{record.id}").click()
    assert page.url.endswith("?code=made-up%2Bkey")
    for link in page.locator("a[href^='/']").all():
        assert "code=made-up%2Bkey" in (link.get_attribute("href") or "")
    page.get_by_text("Retry the same lines").click()
    page.get_by_role("button", name="Retry failed lines").click()
    assert page.url.endswith("?code=made-up%2Bkey")
    page.get_by_role("link", name="All imports").click()
    page.get_by_role("button", name="Apply filters").click()
    assert "code=made-up%2Bkey" in page.url


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_the_dashboard_works_without_scripts(app: App, page: Page) -> None:
    app.hub.occupy_slot()
    app.upload("a.ndjson", device("pump-1"))
    app.deliver("a.ndjson")
    page.goto(DASHBOARD)
    page.locator("#imports").get_by_role("link", name="a.ndjson").click()
    page.get_by_role("button", name="Cancel import").click()
    expect(page.get_by_role("status")).to_have_text("cancelled")


@pytest.mark.parametrize("page", [NARROW, DARK_PHONE], indirect=True, ids=["narrow", "phone"])
def test_pages_are_accessible(app: App, page: Page) -> None:
    """Contrast, names and structure are accessible, and nothing scrolls sideways."""
    rejected = partly_rejected_import(app)
    stopped = cancel_at_the_hub(app)
    app.upload("broken.ndjson", {"id": "pump 1", "status": "on"})
    app.deliver("broken.ndjson")
    app.hub.faults.add("hangJob")
    app.upload(LONG, device("pump-1", tags={"site": "east"}))
    app.deliver(LONG)
    running = app.record(LONG)
    rejected = app.record("broken.ndjson")
    for address in (
        DASHBOARD,
        page_of(rejected),
        page_of(stopped),
        page_of(rejected),
        page_of(running),
        f"{DASHBOARD}/health",
        f"{DASHBOARD}/help",
        f"{DASHBOARD}/api",
        f"{DASHBOARD}/imports/{'0' * 24}",
    ):
        page.goto(address)
        results = Axe().run(page)
        assert results.violations_count == 0, results.generate_report()
        assert page.evaluate(TOO_WIDE) == [], address


def test_all_controls_are_reachable_by_keyboard(app: App, page: Page) -> None:
    record = partly_rejected_import(app)
    page.goto(DASHBOARD)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to main content")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.locator(f"#import-{record.id}").evaluate(
            "element => element === document.activeElement"
        ):
            break
    # The focus survives a refresh.
    page.evaluate("document.getElementById('updated').textContent = 'old'")
    expect(page.locator("#updated")).not_to_have_text("old")
    app.upload("later.ndjson", {"id": "pump 1"})
    app.deliver("later.ndjson")
    expect(page.locator("#imports")).to_contain_text("later.ndjson")
    expect(page.locator(f"#import-{record.id}")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(record.id))


def test_an_app_that_does_not_respond_is_reported(app: App, page: Page) -> None:
    page.goto(DASHBOARD)
    page.route("**/dashboard?*", lambda route: route.fulfill(status=503))
    expect(page.get_by_role("alert")).to_contain_text("may be out of date")
    page.unroute("**/dashboard?*")
    expect(page.get_by_role("alert")).to_have_text("")


@pytest.mark.parametrize("page", [{"timezone_id": "Asia/Kolkata"}], indirect=True)
def test_times_are_local_with_utc_on_hover(app: App, page: Page) -> None:
    record = partly_rejected_import(app)
    page.goto(DASHBOARD)
    local = (record.uploaded_at + timedelta(hours=5, minutes=30)).strftime("%Y-%m-%d %H:%M:%S")
    uploaded = page.get_by_role("row", name="partly.ndjson").locator("time")
    expect(uploaded).to_have_text(f"{local} +05:30")
    expect(uploaded).to_have_attribute("title", f"{record.uploaded_at:%Y-%m-%d %H:%M:%S} UTC")
    expect(page.locator("footer")).to_contain_text(re.compile("Asia/(Calcutta|Kolkata), UTC.05:30"))
    # A refresh leaves what has not changed as it is.
    uploaded.evaluate("element => { element.isKept = true; }")
    page.evaluate("document.getElementById('updated').textContent = 'old'")
    expect(page.locator("#updated")).not_to_have_text("old")
    assert uploaded.evaluate("element => element.isKept")


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_times_are_utc_without_scripts(app: App, page: Page) -> None:
    record = partly_rejected_import(app)
    page.goto(page_of(record))
    uploaded = f"{record.uploaded_at:%Y-%m-%d %H:%M:%S} UTC"
    expect(page.locator("#facts")).to_contain_text(uploaded)
    expect(page.locator("footer")).to_contain_text("Times are UTC")
    expect(page.locator("#refresh")).to_be_hidden()


def test_refreshing_can_be_paused(app: App, page: Page) -> None:
    page.clock.install()
    page.goto(DASHBOARD)
    expect(page.locator("#update")).to_contain_text("refreshes every 1 s")
    page.get_by_role("button", name="Pause").click()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    reject(app, "first.ndjson")
    page.clock.run_for(60_000)
    assert requests == []
    page.get_by_role("button", name="Refresh", exact=True).click()
    expect(page.locator("#imports")).to_contain_text("first.ndjson")
    page.clock.run_for(60_000)
    assert len(requests) == 1
    reject(app, "second.ndjson")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#imports")).to_contain_text("second.ndjson")
    page.clock.run_for(1000)
    expect(page.locator("#imports")).to_contain_text("second.ndjson")


def test_long_names_are_cut_for_the_eye_alone(app: App, page: Page) -> None:
    name = f"{'a-long-name-' * 9}.ndjson"
    app.upload(name, {"id": "pump 1"})
    app.deliver(name)
    page.goto(DASHBOARD)
    link = page.locator("#imports").get_by_role("link", name=name, exact=True)
    shown = link.locator("[aria-hidden]")
    expect(shown).to_have_text(re.compile(r"^a-long-name-.*….*\.ndjson$"))
    expect(link.locator("[title]")).to_have_attribute("title", name)


def test_a_question_is_answered_by_keyboard(app: App, page: Page) -> None:
    app.hub.faults.add("hangJob")
    app.upload("runs.ndjson", device("pump-1"))
    app.deliver("runs.ndjson")
    page.goto(page_of(app.record("runs.ndjson")))
    cancel = page.locator("#cancel")
    cancel.press("Enter")
    # Nothing is cancelled by a second press of the same key.
    expect(page.get_by_role("button", name="Keep it going")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(cancel).to_be_focused()
    assert not app.record("runs.ndjson").cancel_reason
    cancel.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("running, cancellation requested")
