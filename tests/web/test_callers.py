"""Who did what with an import: only the platform's word counts."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import Act, ActName, Actor
from shared.settings import load_settings
from shared.web.callers import caller_of
from shared.web.http_types import Request
from tests.app import App, device
from tests.events.receiver import Receiver
from tests.events.support import tick
from tests.imports.plans import NAME, pump, send
from tests.web.guarded import ADA, BOB, back_up, deletion, guard, hold_deletes, sign_in
from tests.web.support import Client, share_job, text_of

ADA_ID, ADA_NAME = ADA.values()
KEY_VIA_API = ("function key", "", "API")


def queued(app: App) -> ImportRecord:
    app.hub.occupy_slot()
    return send(app, device("pump-1"))


def acts(record: ImportRecord) -> list[tuple[str, str, str, str]]:
    return [(act.name.value, act.who, act.id, act.via) for act in record.acts]


def again(app: App, record: ImportRecord) -> ImportRecord:
    return app.importer.services.store.get(record.hub, record.row_key)


@pytest.mark.parametrize("enabled", [None, "", "false", "False", "1", "yes"])
def test_headers_count_only_if_the_platform_says_so(
    app: App, client: Client, enabled: str | None
) -> None:
    """Anybody can send them otherwise."""
    if enabled is not None:
        app.configure(WEBSITE_AUTH_ENABLED=enabled)
    record = queued(app)
    client.post(f"imports/{record.id}/cancel", headers=ADA)
    assert acts(again(app, record)) == [("cancel", *KEY_VIA_API)]
    [act] = client.json(f"imports/{record.id}")["acts"]
    assert (act["who"], act["isKnown"], act["via"]) == ("function key", False, "API")
    page = text_of(client.get(f"dashboard/imports/{record.id}").text)
    assert "by function key (API)" in page
    assert ADA_NAME not in page


@pytest.mark.parametrize("by_page", [False, True], ids=["API", "page"])
def test_each_action_keeps_who_and_from_where(app: App, client: Client, by_page: bool) -> None:
    guard(app)
    sign_in(app)
    prefix, via = ("dashboard/", "dashboard") if by_page else ("", "API")

    def act(record: ImportRecord, action: str, who: Mapping[str, str], **query: Any) -> None:
        path = f"{prefix}imports/{record.id}/{action}"
        assert client.post(path, headers=who, **query).status_code in (200, 201, 303)

    declined = hold_deletes(app)
    act(declined, "decline", ADA, reason="not today")
    act(declined, "retry", BOB)
    [retry] = [record for record in app.records() if record.retry_of]
    act(retry, "cancel", ADA)
    approved = hold_deletes(app, "approved.ndjson")
    act(approved, "approve", BOB, plan=approved.hold.digest)
    app.finish()
    backed_up = back_up(app, pump(7, "b"), name="undo.ndjson")
    act(backed_up, "undo", ADA, deletes=0)
    [undo] = [record for record in app.records() if record.undo_of]

    ada, bob = ((*reversed(list(who.values())), via) for who in (ADA, BOB))
    expected = {
        declined.id: [("decline", *ada)],
        retry.id: [("retry", *bob), ("cancel", *ada)],
        approved.id: [("approve", *bob)],
        backed_up.id: [],
        undo.id: [("undo", *ada)],
    }
    assert {record.id: acts(record) for record in app.records()} == expected
    for import_id, done in expected.items():
        shown = client.json(f"imports/{import_id}")["acts"]
        assert [(item["action"], item["who"], item["via"]) for item in shown] == [
            (action, who, via) for action, who, _, via in done
        ]
        assert all(item["isKnown"] for item in shown)
        page = text_of(client.get(f"dashboard/imports/{import_id}").text)
        for action, who, _, _ in done:
            assert f"by {who} ({via})" in page
            assert action in page
    # The names are for people; the ids stay in the table.
    assert not [answer.url for answer in client.answers if ADA_ID in answer.text]


def test_all_files_of_a_cancelled_job_tell_who(app: App, client: Client) -> None:
    sign_in(app)
    records = share_job(app, "a.ndjson", "b.ndjson")
    path = f"imports/{records[0].id}/cancel"
    for _ in range(2):
        client.post(path, job=records[0].job_record, headers=ADA)
    app.tick()
    app.finish()
    for record in records:
        assert acts(again(app, record)) == [("cancel", ADA_NAME, ADA_ID, "API")]


def test_events_tell_who(app_with_receiver: App, client: Client, receiver: Receiver) -> None:
    app = app_with_receiver
    guard(app)
    sign_in(app)
    declined, approved = hold_deletes(app), hold_deletes(app, "b.ndjson")
    client.post(f"imports/{declined.id}/decline", reason="not today", headers=ADA)
    client.post(f"imports/{approved.id}/approve", plan=approved.hold.digest, headers=BOB)
    tick(app)
    app.finish()
    tick(app)
    told = {
        (event["subject"], event["type"].rpartition(".")[2]): [
            (act["action"], act["who"], act["via"], act["note"]) for act in event["data"]["acts"]
        ]
        for event in receiver.events
    }
    first, second = f"imports/{declined.id}", f"imports/{approved.id}"
    approval = [("approve", BOB["X-MS-CLIENT-PRINCIPAL-NAME"], "API", "")]
    assert told == {
        (first, "Held"): [],
        (first, "Cancelled"): [("decline", ADA_NAME, "API", "not today")],
        (second, "Held"): [],
        (second, "Approved"): approval,
        (second, "Completed"): approval,
    }
    assert ADA_ID not in "".join(post.body.decode() for post in receiver.posts)


def caller(app: App, **headers: str) -> Actor:
    given = {f"x-ms-client-principal{name.replace('_', '-')}": x for name, x in headers.items()}
    sign_in(app)
    return caller_of(Request("POST", "/", headers=given), load_settings(), "API")


def principal(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"_name": ADA_NAME},
        {"_id": "", "_name": ADA_NAME},
        {"_id": " \t", "_name": ADA_NAME},
        # Claims are not read: the platform states the id beside them.
        {"": principal('{"claims": [{"typ": "oid", "val": "1"}], "user_id": "1"}')},
        {"": principal("{"), "_name": ADA_NAME},
        {"": "%%%"},
        {"": "A" * 100_000},
    ],
)
def test_without_an_id_nobody_is_known(app: App, headers: dict[str, str]) -> None:
    assert caller(app, **headers) == Actor(*KEY_VIA_API)


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("", ADA_ID),
        ("Zoë Ünal", "Zoë Ünal"),
        ("a\r\nb\tc", "a b c"),
        ("a\x1b[2Jb\x00", "a\ufffd[2Jb\ufffd"),
        ("\ud800", "\ufffd"),
        ("x" * 100_000, "x" * 255 + "…"),
        ("SharedAccessKey=abcdef", "SharedAccessKey=REDACTED"),
    ],
)
def test_names_are_cleaned(app: App, name: str, who: str) -> None:
    assert caller(app, _id=ADA_ID, _name=name) == Actor(who, ADA_ID, "API")


def test_ids_are_cleaned(app: App) -> None:
    assert caller(app, _id="1\n2\x00").id == "1 2\ufffd"
    assert len(caller(app, _id="x" * 100_000).id) == 256


def test_names_are_escaped_on_pages(app: App, client: Client) -> None:
    sign_in(app)
    record = queued(app)
    name = "<b>Ada</b>{{ 7 * 7 }}"
    headers = {**ADA, "X-MS-CLIENT-PRINCIPAL-NAME": name}
    client.post(f"imports/{record.id}/cancel", headers=headers)
    page = client.get(f"dashboard/imports/{record.id}").text
    assert "by &lt;b&gt;Ada&lt;/b&gt;{{ 7 * 7 }}" in page
    assert client.json(f"imports/{record.id}")["acts"][0]["who"] == name


def four_eyes(app: App) -> None:
    guard(app, APPROVAL_FOUR_EYES="true")
    sign_in(app)


def uploaded_by(app: App, record: ImportRecord, user_id: str) -> None:
    """Record who uploaded a held file."""
    services = app.importer.services
    act = Act.of(ActName.UPLOAD, Actor("someone", user_id, "dashboard"), services.clock())
    services.store.update(replace(record, acts=(act, *record.acts)))


@pytest.mark.parametrize(
    ("uploader", "approver", "refusal"),
    [
        (BOB, ADA, None),
        (ADA, ADA, "ada@example.com asked for import"),
        (BOB, {}, "Sign in"),
        (None, ADA, "not known who asked"),
        ({}, ADA, "not known who asked"),
    ],
    ids=["different", "equal", "unknown approver", "no uploader", "unknown uploader"],
)
def test_four_eyes(
    app: App,
    client: Client,
    uploader: Mapping[str, str] | None,
    approver: Mapping[str, str],
    refusal: str | None,
) -> None:
    four_eyes(app)
    record = hold_deletes(app)
    if uploader is not None:
        uploaded_by(app, record, uploader.get("X-MS-CLIENT-PRINCIPAL-ID", ""))
    # Switching it off is no way around it.
    app.configure(APPROVAL_FOUR_EYES="false")
    path = f"imports/{record.id}/approve"
    answer = client.post(path, plan=record.hold.digest, headers=approver)
    if refusal is None:
        assert (answer.status_code, answer.json()["state"]) == (200, "queued")
        return
    assert answer.status_code == 409
    assert refusal in answer.json()["detail"]
    assert "APPROVAL_FOUR_EYES" in answer.json()["detail"]
    page = client.post(f"dashboard/{path}", headers=approver, plan=record.hold.digest)
    assert (page.status_code, refusal in page.text) == (409, True)
    assert app.record(NAME).state == "held"
    # Anybody may decline.
    assert client.post(f"imports/{record.id}/decline").status_code == 200


def test_four_eyes_without_sign_in(app: App, client: Client) -> None:
    """Headers that anybody can send are no second person."""
    guard(app, APPROVAL_FOUR_EYES="true")
    record = hold_deletes(app)
    uploaded_by(app, record, BOB["X-MS-CLIENT-PRINCIPAL-ID"])
    path = f"imports/{record.id}/approve"
    answer = client.post(path, plan=record.hold.digest, headers=ADA)
    assert (answer.status_code, "function key" in answer.json()["detail"]) == (409, True)


def test_four_eyes_of_retries_and_undos(app: App, client: Client) -> None:
    """Who asks for one of them asks for the import."""
    four_eyes(app)
    record = hold_deletes(app)
    client.post(f"imports/{record.id}/decline", headers=ADA)
    retry = client.post(f"imports/{record.id}/retry", headers=BOB).json()["id"]
    for _ in range(3):
        app.tick()
    digest = client.json(f"imports/{retry}")["hold"]["digest"]
    path = f"imports/{retry}/approve"
    assert client.post(path, plan=digest, headers=BOB).status_code == 409
    assert client.post(path, plan=digest, headers=ADA).status_code == 200
    app.finish()

    app.configure(MAX_DELETES="8")
    backed_up = back_up(app, deletion(3), name="undo.ndjson")
    app.configure(APPROVAL="always")
    undo = client.post(f"imports/{backed_up.id}/undo", headers=ADA).json()["id"]
    for _ in range(3):
        app.tick()
    digest = client.json(f"imports/{undo}")["hold"]["digest"]
    path = f"imports/{undo}/approve"
    assert client.post(path, plan=digest, headers=ADA).status_code == 409
    assert client.post(path, plan=digest, headers=BOB).status_code == 200


def test_an_undo_that_nobody_known_asked_for(app: App, client: Client) -> None:
    backed_up = back_up(app, deletion(3))
    app.configure(APPROVAL="always", APPROVAL_FOUR_EYES="true")
    sign_in(app)
    undo = client.post(f"imports/{backed_up.id}/undo").json()["id"]
    for _ in range(3):
        app.tick()
    digest = client.json(f"imports/{undo}")["hold"]["digest"]
    answer = client.post(f"imports/{undo}/approve", plan=digest, headers=ADA)
    assert (answer.status_code, "not known" in answer.json()["detail"]) == (409, True)
