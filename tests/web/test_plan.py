"""The plan of an import at API and page."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from shared.imports.store.import_container import ImportContainer
from shared.plan.model import Note
from shared.web import plan_view
from tests.app import App, device
from tests.web.support import Client, text_of

NAME = "pumps.ndjson"


@pytest.fixture
def planning(app: App) -> App:
    app.configure(APPLY="changes")
    return app


def pump(number: int, **members: object) -> dict[str, object]:
    return device(
        f"pump-{number}", authentication={"type": "certificateAuthority"}, tags={}, **members
    )


def start(app: App) -> ImportRecord:
    """An import of 31 lines: 1 to create, 1 to update, 28 unchanged, 1 that would fail."""
    for number in range(29):
        app.hub.registry.put(pump(number))
    app.upload(
        NAME,
        pump(0) | {"tags": {"site": "<b>east</b>"}},
        *(pump(number) for number in range(1, 30)),
        pump(99, importMode="delete"),
    )
    app.deliver(NAME)
    return app.record(NAME)


def finish(app: App) -> ImportRecord:
    start(app)
    app.finish()
    return app.record(NAME)


def page_of(client: Client, record: ImportRecord) -> str:
    answer = client.get(f"dashboard/imports/{record.id}")
    assert answer.status_code == 200
    return answer.text


def test_counts_and_plan_of_an_import(planning: App, client: Client) -> None:
    record = finish(planning)
    detail = client.json(f"imports/{record.id}")
    assert (detail["imported"], detail["failed"], detail["unchanged"]) == (2, 1, 28)
    assert {"plan.json", "plan.csv"} <= set(detail["files"])
    plan = detail["plan"]
    assert (plan["sent"], plan["failed"], plan["missing"]) == (2, 1, "")
    assert plan["digest"] == record.plan.digest
    assert plan["asOf"].endswith("Z")
    [item] = client.json("imports")["imports"]
    assert item["unchanged"] == 28


def test_import_without_plan(app: App, client: Client) -> None:
    app.upload(NAME, device("pump-1"))
    app.deliver(NAME)
    app.finish()
    detail = client.json(f"imports/{app.record(NAME).id}")
    assert detail["plan"] is None
    assert detail["unchanged"] is None
    assert not {"plan.json", "plan.csv"} & set(detail["files"])
    with app.counting() as requests:
        page = page_of(client, app.record(NAME))
    assert "Plan" not in text_of(page)
    assert not [request for request in requests if "plan-" in request]


def test_download_of_a_plan(planning: App, client: Client) -> None:
    record = finish(planning)
    answer = client.get(f"imports/{record.id}/files/plan.json")
    assert answer.headers["Content-Type"] == "application/json"
    expected = f'attachment; filename="pumps-{record.id[:8]}-plan.json"'
    assert answer.headers["Content-Disposition"] == expected
    assert answer.json()["digest"] == record.plan.digest
    answer = client.get(f"imports/{record.id}/files/plan.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(rows) == 31
    assert rows[-1]["code"] == "404001 DeviceNotFound"


def test_page_of_a_planned_import(planning: App, client: Client) -> None:
    record = finish(planning)
    with planning.counting() as requests:
        page = page_of(client, record)
    assert len([request for request in requests if "plan-" in request]) == 1
    assert 'aria-label="1 to create, 1 to update, 28 unchanged, 0 to delete, 1 would fail"' in page
    assert 'aria-label="2 imported, 28 unchanged, 1 failed"' in page
    text = text_of(page)
    assert "read by an export (devices at the hub: 29)" in text
    assert 'tags.site "<b>east</b>" added' in text
    assert "404001 DeviceNotFound" in text
    assert "<b>east" not in page


def test_page_of_an_import_that_is_being_planned(planning: App, client: Client) -> None:
    planning.hub.faults.add("hangJob")
    record = start(planning)
    assert record.state == "planning"
    text = text_of(page_of(client, record))
    assert "Export of the registry:" in text
    assert f"Export job id {record.job.id or planning.hub.jobs[0]['jobId']}" in text
    assert "planning" in text_of(client.get("dashboard").text)


def test_an_import_that_waits_for_its_export(planning: App, client: Client) -> None:
    planning.hub.occupy_slot()
    record = start(planning)
    assert client.ids(state="planning") == [record.id]
    for page in (page_of(client, record), client.get("dashboard").text):
        assert "Waiting to read the registry" in text_of(page)
    planning.hub.free_slot()
    planning.hub.faults.add("hangJob")
    planning.tick()
    assert client.ids(state="planning") == [record.id]
    for page in (page_of(client, record), client.get("dashboard").text):
        assert "Export of the registry:" in text_of(page)


@pytest.mark.parametrize("damage", ["deleted", "no JSON", "no plan", "too large"])
def test_plan_that_cannot_be_read_is_unknown(
    planning: App, client: Client, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = finish(planning)
    blob = planning.container_of(record).get_blob_client(record.plan.path.rpartition("/")[2])
    if damage == "deleted":
        blob.delete_blob()
    elif damage == "too large":
        monkeypatch.setattr("shared.imports.operate.reader.MAX_BYTES", 100)
    else:
        content = b"{" if damage == "no JSON" else json.dumps({"asOf": "yesterday"}).encode()
        blob.upload_blob(content, overwrite=True)
    text = text_of(page_of(client, record))
    assert "28 unchanged, 2 to send, 1 would fail" in text
    assert "plan.json was deleted" in text


def test_counts_of_a_planned_import_whose_end_is_unknown(planning: App, client: Client) -> None:
    """What was not sent is known."""
    start(planning)
    planning.hub.wait_idle()
    planning.hub.faults.add("hangJob")
    while planning.record(NAME).state != "running":
        planning.tick()
    page = page_of(client, planning.record(NAME))
    assert 'aria-label="28 unchanged, 1 not sent, 2 in progress"' in page
    planning.importer.actions.cancel(planning.record(NAME))
    planning.tick()
    planning.finish()
    record = planning.record(NAME)
    detail = client.json(f"imports/{record.id}")
    assert (detail["imported"], detail["failed"], detail["unchanged"]) == (None, None, 28)
    page = page_of(client, record)
    assert 'aria-label="28 unchanged, 1 not sent, 2 unknown whether imported"' in page


def test_reason_why_all_lines_are_sent(planning: App, client: Client) -> None:
    planning.configure(MAX_ATTEMPTS="1")
    planning.hub.faults.add("failJob")
    record = start(planning)
    planning.hub.wait_idle()
    planning.hub.faults.add("hangJob")
    while not record.plan.missing:
        planning.tick()
        record = planning.record(NAME)
    detail = client.json(f"imports/{record.id}")
    assert detail["plan"]["missing"] == record.plan.missing
    assert detail["plan"]["asOf"] is None
    text = text_of(page_of(client, record))
    assert text.count("all of its lines are sent") == 1
    assert "Plan The file could not be compared" in text
    planning.hub.faults.clear()


def test_an_import_of_which_nothing_was_sent(planning: App, client: Client) -> None:
    """Its reason is no warning."""
    planning.hub.registry.put(pump(0))
    planning.upload(NAME, pump(0))
    planning.deliver(NAME)
    planning.finish()
    record = planning.record(NAME)
    assert record.state == "completed"
    assert f'<p class="reason neutral">{record.failure_reason}</p>' in page_of(client, record)


def test_long_values_and_lists_are_cut(planning: App, client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr(plan_view, "MAX_LINES", 1)
    monkeypatch.setattr(plan_view, "MAX_CHANGES", 2)
    planning.hub.registry.put(pump(0) | {"tags": {"b": 1}})
    tags = {"a": "long" * 100, "b": 2, "c": 3, "d": 4}
    planning.upload(NAME, *(pump(number) | {"tags": tags} for number in range(31)))
    planning.deliver(NAME)
    planning.finish()
    text = text_of(page_of(client, planning.record(NAME)))
    assert f'"{("long" * 100)[:79]}… added' in text
    assert "b 1 → 2" in text
    assert "and 2 more" in text
    assert "1 of the lines that are not unchanged; those that delete" in text


def test_beginning_of_a_file(planning: App) -> None:
    record = finish(planning)
    container: ImportContainer = planning.importer.services.container_of(record)
    assert container.beginning_of(record.plan.path, 1) == b"{"


def test_a_note_of_all_lines_is_not_repeated(planning: App, client: Client) -> None:
    record = finish(planning)
    plan = planning.importer.reader.plan(record)
    assert plan is not None
    first = plan.changes[0]
    both = [Note.IMPORTED_RECENTLY, Note.MADE_AGAIN], [Note.IMPORTED_RECENTLY]
    lines = [first.model_copy(update={"notes": notes}) for notes in both]

    def shown(*changes: object) -> list[list[str]]:
        view = plan_view.view_of(plan.model_copy(update={"changes": changes}))
        return [line["notes"] for line in view["lines"]]

    assert shown(*lines) == [[Note.MADE_AGAIN.text], []]
    assert shown(lines[1]) == [[Note.IMPORTED_RECENTLY.text]]
