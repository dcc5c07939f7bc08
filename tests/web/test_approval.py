"""Approve and decline held imports, by the API and on the page."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.app import App, device
from tests.imports.plans import NAME, counts, pump, send, site
from tests.security.support import PRIMARY
from tests.web.guarded import guard, hold, hold_deletes
from tests.web.support import Client, problem_of, text_of

ABSENT = "0" * 24
OTHER = "0" * 32
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def guarded(app: App) -> App:
    guard(app)
    return app


def post_form(client: Client, path: str, body: str) -> Any:
    return client.post(f"dashboard/imports/{path}", body.encode(), headers=FORM)


def test_a_held_import(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    shown = client.json(f"imports/{record.id}")
    assert (shown["state"], shown["isFinal"]) == ("held", False)
    assert shown["actions"] == ["approve", "decline"]
    held = shown["hold"]
    assert "deletes 3 devices or modules, and 2 need no approval" in held["reason"]
    assert held["digest"] == shown["plan"]["digest"]
    since, until = (datetime.fromisoformat(held[name]) for name in ("since", "until"))
    assert until - since == timedelta(days=7)
    assert shown["laterImports"] == []
    [listed] = client.json("imports", state="held")["imports"]
    assert listed["hold"] == held


def test_an_import_that_need_not_be_approved(app: App, client: Client) -> None:
    send(app, device("new"))
    assert client.json(f"imports/{app.record(NAME).id}")["hold"] is None


def test_approve(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    path = f"imports/{record.id}/approve"
    answer = client.post(path, plan=record.hold.digest)
    assert (answer.status_code, answer.json()["state"]) == (200, "queued")
    assert answer.json()["failureReason"] == ""
    again = client.post(path, plan=record.hold.digest)
    assert (again.status_code, again.json()["state"]) == (200, "queued")
    guarded.finish()
    assert counts(guarded.record(NAME)) == ("completed", 3, 0, 0)
    shown = client.json(f"imports/{record.id}")
    assert [act["action"] for act in shown["acts"]] == ["approve"]
    # As before, and nothing is done twice.
    assert client.post(path, plan=record.hold.digest).json()["state"] == "completed"
    assert problem_of(client.post(path, plan=OTHER), 409)["type"].endswith(":not-possible")


def test_another_plan_is_not_approved(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    problem = problem_of(client.post(f"imports/{record.id}/approve", plan=OTHER), 409)
    assert record.hold.digest in problem["detail"]
    page = post_form(client, f"{record.id}/approve", f"plan={OTHER}&later=0")
    assert page.status_code == 409
    assert record.hold.digest in page.text
    # A form that lost its digest.
    assert post_form(client, f"{record.id}/approve", "").status_code == 409
    assert guarded.record(NAME).state == "held"


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({}, "plan"),
        ({"plan": "0" * 31}, "plan"),
        ({"plan": "A" * 32}, "plan"),
        ({"plan": OTHER, "later": "-1"}, "later"),
        ({"plan": OTHER, "later": "9" * 10}, "later"),
        ({"plan": OTHER, "force": "true"}, "force"),
    ],
)
def test_invalid_parameters(client: Client, parameters: dict[str, Any], name: str) -> None:
    problem = problem_of(client.post(f"imports/{ABSENT}/approve", **parameters), 400)
    assert [error["parameter"] for error in problem["errors"]] == [name]


def test_only_what_is_held_is_decided_about(guarded: App, client: Client) -> None:
    guarded.hub.occupy_slot()
    record = send(guarded, device("new"))
    for call in (f"approve?plan={OTHER}", "decline"):
        problem = client.problem(409, f"imports/{record.id}/{call}", method="post")
        assert "waits for approval" in problem["detail"]
        client.problem(404, f"imports/{ABSENT}/{call}", method="post")
    assert guarded.record(NAME).acts == ()


def test_later_imports_are_confirmed(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    send(guarded, pump(1, "c"), name="<b>.ndjson")
    for _ in range(4):
        guarded.hub.wait_idle()
        guarded.tick()
    other = guarded.record("<b>.ndjson")
    path = f"imports/{record.id}/approve"
    problem = problem_of(client.post(path, plan=record.hold.digest), 409)
    assert problem["type"] == "urn:device-importer:later-imports"
    assert "later=1" in problem["detail"]
    assert problem["imports"] == [{"id": other.id, "file": other.file, "state": "completed"}]
    assert client.json(f"imports/{record.id}")["laterImports"] == problem["imports"]
    assert client.post(path, plan=record.hold.digest, later=2).status_code == 409
    page = client.get(f"dashboard/imports/{record.id}").text
    assert 'name="later" value="1"' in page
    assert "Approve in spite of 1 later import<" in page
    assert f'id="later-{other.id}"' in page
    assert "&lt;b&gt;.ndjson" in page
    answer = post_form(client, f"{record.id}/approve", f"plan={record.hold.digest}&later=1")
    assert answer.status_code == 303
    assert answer.headers["Location"].endswith(f"dashboard/imports/{record.id}")
    guarded.finish()
    # What was changed since is kept.
    assert counts(guarded.record(NAME))[:3] == ("completedWithErrors", 2, 1)
    assert site(guarded, 1) == "c"


def test_the_page_that_refuses_an_approval_lists_later_imports(
    guarded: App, client: Client
) -> None:
    record = hold_deletes(guarded)
    send(guarded, pump(1, "c"), name="other.ndjson")
    answer = post_form(client, f"{record.id}/approve", f"plan={record.hold.digest}&later=0")
    assert answer.status_code == 409
    assert "other.ndjson" in answer.text
    assert f"dashboard/imports/{record.id}" in answer.text


def test_the_page_of_a_held_import(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    page = client.get(f"dashboard/imports/{record.id}").text
    text = text_of(page)
    assert "deletes 3 devices or modules, and 2 need no approval" in text
    assert "is cancelled if nobody approves it until" in text
    assert record.hold.until is not None
    assert f'datetime="{record.hold.until.isoformat()}"' in page
    assert f'name="plan" value="{record.hold.digest}"' in page
    for name in ("approve", "decline", "decline-reason"):
        assert f'id="{name}"' in page
    assert 'id="cancel"' not in page
    for number in range(3):
        assert f'data-label="Device">pump-{number}<' in page
    assert "deleted" in text or "delete" in text
    assert "later import" not in page


def test_a_plan_of_a_held_import_that_was_deleted(guarded: App, client: Client) -> None:
    """It can still be seen and declined."""
    record = hold_deletes(guarded)
    guarded.container_of(record).delete_blob(record.plan.path.rpartition("/")[2])
    page = client.get(f"dashboard/imports/{record.id}")
    assert page.status_code == 200
    assert "plan.json was deleted" in page.text
    assert client.post(f"imports/{record.id}/decline").status_code == 200


def test_changed_lines_are_not_approved(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    blob = guarded.container_of(record).get_blob_client(record.file_for_hub.name)
    blob.upload_blob(b"{}", overwrite=True)
    path = f"imports/{record.id}/approve"
    problem = problem_of(client.post(path, plan=record.hold.digest), 409)
    assert problem["type"] == "urn:device-importer:not-possible"
    # Nobody can approve it any more. A retry compares it again.
    assert guarded.record(NAME).state == "failed"


def test_an_approval_after_the_deadline(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    guarded.pass_minutes(7 * 24 * 60)
    path = f"imports/{record.id}/approve"
    problem = problem_of(client.post(path, plan=record.hold.digest), 409)
    assert "APPROVAL_DEADLINE_DAYS" in problem["detail"]
    assert guarded.record(NAME).state == "cancelled"


def test_an_approval_of_an_overwritten_upload(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    guarded.upload(NAME, device("new"))
    path = f"imports/{record.id}/approve"
    problem = problem_of(client.post(path, plan=record.hold.digest), 409)
    assert "overwritten or deleted" in problem["detail"]
    assert client.json(f"imports/{record.id}")["state"] == "superseded"


def test_decline(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    answer = client.post(f"imports/{record.id}/decline", reason="not <today>")
    shown = answer.json()
    assert (answer.status_code, shown["state"], shown["imported"]) == (200, "cancelled", 0)
    assert shown["failureReason"] == (
        "The import was declined: not <today>. No device was changed."
    )
    assert [(act["action"], act["note"]) for act in shown["acts"]] == [("decline", "not <today>")]
    page = client.get(f"dashboard/imports/{record.id}").text
    assert "not &lt;today&gt;" in page
    assert "<today>" not in page
    for call in (f"approve?plan={record.hold.digest}", "decline"):
        client.problem(409, f"imports/{record.id}/{call}", method="post")
    assert site(guarded, 0) == "a"


REASONS = {
    "a key": (f"because of {PRIMARY}", "because of REDACTED"),
    "a connection string": ("no SharedAccessKey=abc ok", "no SharedAccessKey=REDACTED ok"),
    "control characters": ("one\r\ntwo\x1b[2J\x00\u202e.", None),
    "the longest": ("é" * 500, "é" * 500),
    "white space": ("  \n ", ""),
}


@pytest.mark.parametrize(("reason", "note"), REASONS.values(), ids=REASONS)
def test_reasons(guarded: App, client: Client, reason: str, note: str | None) -> None:
    """The form sends what the API gets as a parameter."""
    record = hold_deletes(guarded)
    body = urlencode({"reason": reason})
    assert post_form(client, f"{record.id}/decline", body).status_code == 303
    [act] = guarded.record(NAME).acts
    assert PRIMARY not in act.note
    assert not any(char in act.note for char in "\r\n\x1b\x00")
    assert note is None or act.note == note
    assert act.note.rstrip(".") in client.json(f"imports/{record.id}")["failureReason"]


def test_a_reason_that_is_too_long(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    problem = problem_of(client.post(f"imports/{record.id}/decline", reason="x" * 501), 400)
    assert problem["errors"][0]["parameter"] == "reason"
    assert post_form(client, f"{record.id}/decline", f"reason={'x' * 501}").status_code == 400
    assert guarded.record(NAME).state == "held"


@pytest.mark.parametrize(
    "body",
    ["id=0815", "plan=&unknown=1", "later=x", "&".join(f"x{number}=1" for number in range(21))],
    ids=["id", "unknown", "invalid", "fields"],
)
def test_invalid_forms(guarded: App, client: Client, body: str) -> None:
    record = hold_deletes(guarded)
    assert post_form(client, f"{record.id}/decline", body).status_code == 400
    assert guarded.record(NAME).state == "held"


def test_only_pages_have_forms(guarded: App, client: Client) -> None:
    """The type of a form is what curl says of a file, if it is not told another."""
    record = hold_deletes(guarded)
    body = f"plan={record.hold.digest}".encode()
    assert client.post(f"imports/{record.id}/approve", body, headers=FORM).status_code == 400
    result = client.post("check", b'{"id":"a&b=c","status":"enabled"}', headers=FORM)
    assert result.status_code == 200
    assert client.post("check", b"&".join([b"a=1"] * 30), headers=FORM).status_code == 200


def test_decisions_of_other_sites_are_rejected(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    cross = {"Sec-Fetch-Site": "cross-site"}
    for call in (f"approve?plan={record.hold.digest}", "decline", "undo"):
        for path in (f"imports/{record.id}/{call}", f"dashboard/imports/{record.id}/{call}"):
            assert client.post(path, headers=cross).status_code == 403
    assert guarded.record(NAME).state == "held"


def test_a_held_import_can_be_cancelled(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    answer = client.post(f"imports/{record.id}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    guarded.tick()
    assert site(guarded, 0) == "a"


def test_a_retry_of_a_declined_import_is_held_again(guarded: App, client: Client) -> None:
    record = hold_deletes(guarded)
    client.post(f"imports/{record.id}/decline")
    guarded.configure(APPROVAL="never", MAX_DELETES="100")
    new = client.post(f"imports/{record.id}/retry").json()["id"]
    for _ in range(3):
        guarded.tick()
    shown = client.json(f"imports/{new}")
    assert (shown["state"], shown["actions"]) == ("held", ["approve", "decline"])


def test_without_a_plan_the_lines_are_approved(guarded: App, client: Client) -> None:
    read_write = guarded.hub.connection_string("registryReadWrite")
    guarded.configure(APPROVAL="always", MAX_ATTEMPTS="1", IOTHUB=read_write)
    guarded.hub.faults.add("failJob", reason="The disk is full", times=10)
    record = hold(guarded, pump(1, "b"))
    assert record.plan.missing
    page = client.get(f"dashboard/imports/{record.id}").text
    assert "without a guard" in text_of(page)
    guarded.hub.faults.clear()
    answer = client.post(f"imports/{record.id}/approve", plan=record.hold.digest)
    assert answer.status_code == 200
    guarded.finish()
    assert site(guarded, 1) == "b"
