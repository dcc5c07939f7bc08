"""Undo imports, by the API and on the page."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.imports.plans import counts, pump, put_pumps, site
from tests.web.guarded import back_up, deletion, undo
from tests.web.support import Client, complete, problem_of, text_of

ABSENT = "0" * 24
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def undos(app: App) -> list[ImportRecord]:
    return [record for record in app.records() if record.undo_of]


def test_how_an_import_can_be_undone(app: App, client: Client) -> None:
    record = back_up(app)
    shown = client.json(f"imports/{record.id}")
    assert shown["actions"] == ["undo"]
    summary = shown["undo"]
    assert (summary["deletes"], summary["undoneAs"]) == (1, "")
    finished, until = map(datetime.fromisoformat, (shown["finishedAt"], summary["until"]))
    assert until - finished == timedelta(days=30)
    page = client.get(f"dashboard/imports/{record.id}").text
    assert 'name="deletes" value="1"' in page
    assert 'name="alsoChanged" value="true"' in page
    assert (summary["recreates"], summary["restores"]) == (1, 1)
    does = "makes up to 1 again, changes up to 1 back, deletes up to 1 that the import created"
    [question] = re.findall(r'/undo" data-confirm="([^"]+)"', page)
    assert does in question
    assert "reported properties and queued messages are lost" in question
    text = text_of(page)
    assert text.count(does) == 1
    assert f"device-importer undo {record.id} --plan" in text
    assert f'until <time datetime="{until.isoformat()}"' in page
    app.configure(IMPORT_RETENTION_DAYS="0")
    assert client.json(f"imports/{record.id}")["undo"]["until"] is None
    page = client.get(f"dashboard/imports/{record.id}").text
    assert "possible as long as its backup is kept" in text_of(page)


def test_undo(app: App, client: Client) -> None:
    record = back_up(app)
    assert (site(app, 0), site(app, 1)) == (None, "b")
    path = f"imports/{record.id}/undo"
    answer = client.post(path, deletes=1)
    made = answer.json()
    assert (answer.status_code, made["undoOf"], made["lines"]) == (201, record.id, 3)
    assert client.follow(answer.headers["Location"])["id"] == made["id"]
    # Until it has ended, a repeated request is the same undo.
    assert client.post(path, deletes=1).json()["id"] == made["id"]
    app.finish()
    shown = client.json(f"imports/{made['id']}")
    assert (shown["state"], shown["imported"], shown["leftOut"]) == ("completed", 3, 0)
    assert [act["action"] for act in shown["acts"]] == ["undo"]
    assert (site(app, 0), site(app, 1), app.hub.registry.get("new-1")) == ("a", "a", None)


def test_both_are_linked(app: App, client: Client) -> None:
    record = back_up(app)
    made = undo(app, record)
    assert client.json(f"imports/{record.id}")["undo"]["undoneAs"] == made.id
    assert client.json(f"imports/{made.id}")["undoOf"] == record.id
    old = client.get(f"dashboard/imports/{record.id}").text
    assert f'id="undone-as" href="/api/dashboard/imports/{made.id}"' in old
    new = client.get(f"dashboard/imports/{made.id}").text
    assert f'id="undo-of" href="/api/dashboard/imports/{record.id}"' in new
    [listed] = [item for item in client.json("imports")["imports"] if item["id"] == made.id]
    assert listed["undoOf"] == record.id
    # An undo can be undone, and its import can be undone again, but not be retried.
    assert client.json(f"imports/{made.id}")["actions"] == ["undo"]
    assert client.json(f"imports/{record.id}")["actions"] == ["undo"]
    client.problem(409, f"imports/{made.id}/retry", method="post")
    again = undo(app, record)
    assert (again.id != made.id, counts(again)) == (True, ("completed", 0, 0, 3))
    assert client.json(f"imports/{record.id}")["undo"]["undoneAs"] == again.id


def test_an_undo_is_undone(app: App, client: Client) -> None:
    record = back_up(app)
    made = undo(app, record)
    deletes = client.json(f"imports/{made.id}")["undo"]["deletes"]
    # It created again what the import had deleted.
    assert deletes == 1
    answer = client.post(f"imports/{made.id}/undo", deletes=deletes)
    assert (answer.status_code, answer.json()["undoOf"]) == (201, made.id)
    app.finish()
    assert (site(app, 0), site(app, 1)) == (None, "b")
    assert app.hub.registry.get("new-1") is not None


def test_deletes_are_confirmed(app: App, client: Client) -> None:
    record = back_up(app)
    path = f"imports/{record.id}/undo"
    for query in ("", "?deletes=0", "?deletes=2"):
        problem = problem_of(client.post(f"{path}{query}"), 409)
        assert problem["type"] == "urn:device-importer:not-possible"
        assert "use deletes=1 (--deletes 1)." in problem["detail"]
    page = client.post(f"dashboard/{path}", b"deletes=2", headers=FORM)
    assert (page.status_code, "deletes=1" in page.text) == (409, True)
    assert undos(app) == []


@pytest.mark.parametrize("query", ["deletes=x", "deletes=-1", "alsoChanged=maybe", "plan=x"])
def test_invalid_parameters(client: Client, query: str) -> None:
    problem = client.problem(400, f"imports/{ABSENT}/undo?{query}", method="post")
    assert problem["errors"][0]["parameter"] == query.partition("=")[0]


def test_what_cannot_be_undone(app: App, client: Client) -> None:
    complete(app, "none.ndjson")
    app.configure(BACKUP="always")
    app.hub.occupy_slot()
    app.upload("open.ndjson", pump(1, "b"))
    app.deliver("open.ndjson")
    for name, detail in (("none", "has no backup"), ("open", "Only an import that has ended")):
        record = app.record(f"{name}.ndjson")
        shown = client.json(f"imports/{record.id}")
        assert (shown["undo"], "undo" in shown["actions"]) == (None, False)
        for path in (f"imports/{record.id}/undo", f"dashboard/imports/{record.id}/undo"):
            answer = client.post(path)
            assert (answer.status_code, detail in answer.text) == (409, True), answer.text
    client.problem(404, f"imports/{ABSENT}/undo", method="post")
    assert undos(app) == []


def test_an_import_that_changed_nothing(app: App, client: Client) -> None:
    record = back_up(app, pump(1), APPLY="changes")
    assert record.unchanged == 1
    assert client.json(f"imports/{record.id}")["actions"] == []
    detail = client.problem(409, f"imports/{record.id}/undo", method="post")["detail"]
    assert "changed no device" in detail


@pytest.mark.parametrize("what", ["backup", "lines"])
def test_files_that_were_deleted(app: App, client: Client, what: str) -> None:
    record = back_up(app)
    container = record.backup.container if what == "backup" else record.staged.container
    app.blobs.delete_container(container)
    problem = client.problem(409, f"imports/{record.id}/undo", method="post", deletes=1)
    assert "IMPORT_RETENTION_DAYS" in problem["detail"]
    assert undos(app) == []
    assert client.get(f"dashboard/imports/{record.id}").status_code == 200


def test_also_what_others_changed(app: App, client: Client) -> None:
    record = back_up(app)
    app.hub.registry.put(pump(1, "theirs"))
    path = f"imports/{record.id}/undo"
    first = client.post(path, deletes=1).json()["id"]
    # The open one does something else.
    problem = client.problem(409, path, method="post", deletes=1, alsoChanged="true")
    assert first in problem["detail"]
    app.finish()
    shown = client.json(f"imports/{first}")
    assert (shown["imported"], shown["leftOut"], site(app, 1)) == (2, 1, "theirs")
    page = client.get(f"dashboard/imports/{first}").text
    assert "Left out" in page
    answer = client.post(f"dashboard/{path}", b"deletes=1&alsoChanged=true", headers=FORM)
    assert answer.status_code == 303
    [new] = {record.id for record in undos(app)} - {first}
    assert answer.headers["Location"].endswith(f"/dashboard/imports/{new}")
    app.finish()
    assert (site(app, 1), client.json(f"imports/{new}")["leftOut"]) == ("a", 0)


def test_a_page_shows_the_plan_of_an_undo(app: App, client: Client) -> None:
    record = back_up(app)
    app.hub.registry.put(pump(1, "theirs"))
    made = undo(app, record)
    page = client.get(f"dashboard/imports/{made.id}").text
    for number in (0, 1):
        assert f'data-label="Device">pump-{number}<' in page
    assert "left out" in text_of(page)


def test_an_undo_is_held_like_any_import(app: App, client: Client) -> None:
    record = back_up(app, pump(1, "b"), device("new-1"))
    app.configure(APPROVAL="always")
    made = client.post(f"imports/{record.id}/undo", deletes=1).json()["id"]
    for _ in range(3):
        app.tick()
    shown = client.json(f"imports/{made}")
    assert (shown["state"], shown["actions"]) == ("held", ["approve", "decline"])
    problem = client.problem(409, f"imports/{made}/undo", method="post")
    assert "Only an import that has ended" in problem["detail"]
    digest = shown["hold"]["digest"]
    assert client.post(f"imports/{made}/approve", plan=digest).status_code == 200
    app.finish()
    assert (site(app, 1), app.hub.registry.get("new-1")) == ("a", None)


def test_what_an_import_deleted_is_shown(app: App, client: Client) -> None:
    put_pumps(app, 2)
    complete(app, "night.ndjson", deletion(0), deletion(1))
    record = app.record("night.ndjson")
    assert client.json(f"imports/{record.id}")["deletes"] == 2
    assert "2 imported (2 deletes)" in text_of(client.get(f"dashboard/imports/{record.id}").text)
    assert "2 2 deletes" in text_of(client.get("dashboard").text)
    complete(app, "again.ndjson", deletion(0), device("pump-1"))
    record = app.record("again.ndjson")
    assert (record.failed, client.json(f"imports/{record.id}")["deletes"]) == (1, 1)
    text = text_of(client.get(f"dashboard/imports/{record.id}").text)
    assert "1 imported (up to 1 delete)" in text


def test_an_undo_is_known_by_its_plan_to_delete(app: App, client: Client) -> None:
    made = undo(app, back_up(app))
    assert client.json(f"imports/{made.id}")["deletes"] == 1
