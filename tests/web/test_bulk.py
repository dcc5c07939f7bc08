"""Cancelling and retrying what a filter shows: over HTTP, and on pages without scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest

from shared.imports.operate.bulk import Outcome
from shared.web import bulk
from tests.app import ROOT, App, device
from tests.web.guarded import ADA, guard, hold_deletes, sign_in
from tests.web.support import Client, TwoHubs, problem_of, reject, share_job, text_of

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def queue(app: App, *names: str) -> None:
    app.hub.occupy_slot()
    for name in names:
        app.upload(name, device(name))
        app.deliver(name)


def outcomes(report: Mapping[str, Any]) -> dict[str, str]:
    return {item["file"]: item["outcome"] for item in report["results"]}


def states(app: App) -> set[tuple[str, str]]:
    return {(record.file, str(record.state)) for record in app.records()}


def test_the_number_has_to_be_confirmed(app: App, client: Client) -> None:
    queue(app, "pump-1.ndjson", "pump-2.ndjson", "meter.ndjson")
    queries: tuple[dict[str, Any], ...] = ({}, {"count": 1})
    for query in queries:
        problem = problem_of(client.post("imports/cancel", state="open", file="pump", **query), 409)
        assert problem["type"] == "urn:device-importer:count-not-confirmed"
        assert problem["count"] == 2
        assert "2 imports would be cancelled" in problem["detail"]
        assert {item["file"] for item in problem["imports"]} == {"pump-1.ndjson", "pump-2.ndjson"}
    assert {state for _, state in states(app)} == {"queued"}
    fixed: dict[str, Any] = {
        name: problem[name] for name in ("uploadedAfter", "uploadedBefore") if problem[name]
    }
    answer = client.post("imports/cancel", state="open", file="pump", count=2, **fixed)
    assert answer.status_code == 200
    report = answer.json()
    assert outcomes(report) == {"pump-1.ndjson": "cancelled", "pump-2.ndjson": "cancelled"}
    assert (report["left"], report["inSharedJobs"], report["held"]) == (0, [], 0)
    assert report["isCut"] is False
    assert app.record("meter.ndjson").state == "queued"
    [act] = app.record("pump-1.ndjson").acts
    assert (act.who, act.via) == ("function key", "API")

    # One may have ended since.
    report = client.post("imports/retry", state="cancelled", count=3).json()
    assert outcomes(report) == {"pump-1.ndjson": "retried", "pump-2.ndjson": "retried"}
    for item in report["results"]:
        assert client.json(f"imports/{item['retriedAs']}")["retryOf"] == item["id"]
    # Of nothing no number has to be confirmed.
    answer = client.post("imports/retry", state="cancelled")
    assert (answer.status_code, answer.json()["results"]) == (200, [])
    client.post("imports/cancel", file="pump-1.ndjson", state="open", count=1)
    problem = problem_of(client.post("imports/cancel", file="pump-2.ndjson", state="open"), 409)
    assert problem["detail"].startswith("1 import would be cancelled.")


def test_a_number_alone_selects_nothing(app: App, client: Client) -> None:
    """It would confirm whatever is open at all hubs."""
    queue(app, "a.ndjson")
    for path in ("imports/cancel", "imports/retry", "dashboard/bulk/cancel"):
        answer = client.post(path, count=1000)
        assert answer.status_code == 400
        assert "at least one filter is required" in unescape(answer.text)
    assert client.get("dashboard/bulk/cancel").status_code == 400
    assert client.post("dashboard/bulk/cancel", state="open", count=1001).status_code == 400
    assert states(app) == {("a.ndjson", "queued")}


def test_files_outside_of_the_filter_keep_their_job(app: App, client: Client) -> None:
    first, *_ = share_job(app, "a.ndjson", "b.ndjson")
    report = client.post("imports/cancel", file="a.ndjson", count=0).json()
    assert (report["results"], [item["id"] for item in report["inSharedJobs"]]) == ([], [first.id])
    report = client.post("imports/cancel", state="running", count=2).json()
    assert outcomes(report) == {"a.ndjson": "cancelRequested", "b.ndjson": "cancelRequested"}


def test_a_request_ends_in_time(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_SECONDS", 0)
    queue(app, "a.ndjson", "b.ndjson", "c.ndjson")
    lefts = [client.post("imports/cancel", state="open", count=3).json()["left"] for _ in range(3)]
    assert lefts == [2, 1, 0]
    assert {state for _, state in states(app)} == {"cancelled"}


def test_invalid_requests(app: App, client: Client) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({"count": "-1"}, "count"),
        ({"count": "1001", "state": "open"}, "count"),
        ({"state": "done"}, "state"),
        ({"limit": "5"}, "limit"),
        ({"hub": "mars"}, "hub"),
    )
    for query, parameter in wrong:
        [error] = problem_of(client.post("imports/cancel", **query), 400)["errors"]
        assert error["parameter"] == parameter
    assert client.get("imports/cancel").status_code == 404
    problem = client.post("imports/cancel", headers={"Sec-Fetch-Site": "cross-site"}, count=9)
    assert problem_of(problem, 403)["type"] == "urn:device-importer:cross-site"


def form_of(page: str) -> tuple[str, dict[str, str]]:
    """Address and fields of the form that asks."""
    [form] = re.findall(r'<form method="post".*?</form>', page, re.DOTALL)
    address = unescape(re.findall(r'action="/api/([^"]*)"', form)[0])
    fields = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    return address, {name: unescape(value) for name, value in fields}


def submit(client: Client, page: str, headers: Mapping[str, str] = {}, **changes: str) -> Any:
    address, fields = form_of(page)
    body = "&".join(f"{name}={value}" for name, value in {**fields, **changes}.items())
    return client.post(address, body.replace("+", "%2B").encode(), headers={**FORM, **headers})


def test_pages_ask_and_show_the_results(app: App, client: Client) -> None:
    sign_in(app)
    queue(app, *(f"{number:02}.ndjson" for number in range(23)))
    reject(app)
    shown = client.get("dashboard", state="waiting").text
    [address] = re.findall(r'href="/api/(dashboard/bulk/cancel[^"]*)"', shown)
    assert "dashboard/bulk" not in client.get("dashboard").text
    asked = client.get(unescape(address))
    assert asked.status_code == 200
    assert "Cancel 23 imports?" in text_of(asked.text)
    assert "First 20 of 23." in text_of(asked.text)
    assert {state for _, state in states(app)} == {"queued", "rejected"}

    # Somebody else cancels one, and uploads another.
    app.importer.actions.cancel(app.record("05.ndjson"))
    done = submit(client, asked.text, ADA)
    assert done.status_code == 200
    assert "22 imports: 22 cancelled." in text_of(done.text)
    assert app.record("07.ndjson").acts[-1].who == "ada@example.com"
    asked = client.get("dashboard/bulk/cancel", state="waiting")
    assert "Nothing to cancel" in asked.text
    assert "<form" not in asked.text

    asked = client.get("dashboard/bulk/retry", file="0*", since="1h", to="2100-01-01")
    assert "Retry 10 imports?" in text_of(asked.text)
    again = submit(client, asked.text, count="9")
    assert again.status_code == 409
    assert "9 were confirmed, and 10 match now" in text_of(again.text)
    done = submit(client, again.text)
    assert "10 imports: 10 retried." in text_of(done.text)
    assert done.text.count("retried as") == 10
    assert (
        'href="/api/dashboard?since=1h&amp;to=2100-01-01&amp;file=0%2A#imports-title"' in done.text
    )


def test_pages_lead_from_a_queue_to_what_waits(app: App, two_hubs: TwoHubs, client: Client) -> None:
    app.hub.occupy_slot()
    for name in ("west/a.ndjson", "west/b.ndjson"):
        app.upload(name, device("pump-1"))
        app.deliver(name)
    page = client.get("dashboard").text
    [address] = re.findall(r'id="waiting-[^"]*" href="/api/([^"]*)">1 more waiting', page)
    page = client.get(unescape(address)).text
    assert page.count('id="import-') == 2
    assert f'<option value="{two_hubs.west}" selected>{two_hubs.west} (west)</option>' in page
    assert 'id="cancel-all"' in page
    # A folder selects its hub.
    assert f'<option value="{two_hubs.east}" selected>' in client.get("dashboard", hub="east").text


def test_pages_name_what_waits_for_approval(app: App, client: Client) -> None:
    guard(app)
    hold_deletes(app)
    app.configure(APPROVAL="never")
    queue(app, "a.ndjson")
    asked = client.get("dashboard/bulk/cancel", state="waiting").text
    assert "Cancel 1 import?" in text_of(asked)
    assert "Not included: imports that wait for approval, 1 at all hubs." in text_of(asked)
    assert "wait for approval were not cancelled" in text_of(submit(client, asked).text)


def test_pages_of_jobs_with_other_files(app: App, client: Client) -> None:
    share_job(app, *(f"{number:02}.ndjson" for number in range(30)))
    asked = text_of(client.get("dashboard/bulk/cancel", file="*0*", state="open").text)
    assert "Nothing to cancel" in asked
    assert "Not included: jobs with other files" in asked
    asked = client.get("dashboard/bulk/cancel", state="open").text
    assert "Not included" not in asked
    done = text_of(submit(client, asked).text)
    assert "30 imports: 30 ending with their jobs." in done
    assert "running, cancellation requested" not in done


def test_pages_of_what_is_left(app: App, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk, "MAX_SECONDS", 0)
    monkeypatch.setattr("shared.imports.operate.bulk.MAX_SELECTED", 2)
    queue(app, "a.ndjson", "b.ndjson", "c.ndjson")
    asked = client.get("dashboard/bulk/cancel", state="open").text
    assert "Cancel 2 imports?" in text_of(asked)
    assert "These are the newest ones. Older imports may match, too." in text_of(asked)
    done = submit(client, asked).text
    assert "The time of a request was over: 1 is left. Go on" in text_of(done)
    [address] = re.findall(r'id="go-on" href="/api/([^"]*)"', done)
    assert "Cancel 2 imports?" in text_of(client.get(unescape(address)).text)


def test_invalid_pages(app: App, client: Client) -> None:
    assert client.get("dashboard/bulk/approve").status_code == 404
    wrong: tuple[dict[str, Any], ...] = (
        {"from": "yesterday"},
        {"state": "done"},
        {"uploadedBefore": "x"},
        {"sort": "file"},
    )
    for query in wrong:
        assert client.get("dashboard/bulk/cancel", **query).status_code == 400


def test_every_outcome_is_explained() -> None:
    page = (ROOT / "shared/web/templates/bulk_done.html").read_text()
    assert all(f'"{outcome}": ' in page for outcome in Outcome)
