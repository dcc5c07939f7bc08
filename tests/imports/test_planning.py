"""Only what changes is sent: imports that are compared with the registry before their job."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device

NAME = "pumps.ndjson"


def keys(seed: int) -> dict[str, object]:
    primary, secondary = (base64.b64encode(bytes([seed, end]) * 16).decode() for end in (1, 2))
    return {"type": "sas", "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def pump(number: int, site: str = "a", **members: object) -> dict[str, object]:
    return device(f"pump-{number}", authentication=keys(number), tags={"site": site}, **members)


@pytest.fixture
def planning(app: App) -> App:
    app.configure(APPLY="changes")
    return app


def put_pumps(app: App, count: int) -> None:
    for number in range(count):
        app.hub.registry.put(pump(number))


def tags(app: App, number: int) -> object:
    return (app.hub.registry.get(f"pump-{number}") or {})["tags"]


def rows(app: App, record: ImportRecord) -> list[dict[str, str]]:
    path = record.plan.rows
    blob = app.container_of(record).get_blob_client(path.rpartition("/")[2])
    text = blob.download_blob().readall().decode()
    return list(csv.DictReader(io.StringIO(text)))


def plan_json(app: App, record: ImportRecord) -> dict[str, Any]:
    blob = app.container_of(record).get_blob_client(record.plan.path.rpartition("/")[2])
    plan: dict[str, Any] = json.loads(blob.download_blob().readall())
    return plan


def test_few_lines_are_looked_up_and_only_changes_are_sent(planning: App) -> None:
    planning.configure(IOTHUB=planning.hub.connection_string("iothubowner"))
    put_pumps(planning, 3)
    planning.upload(NAME, pump(0), pump(1, "b"), pump(2), pump(7))
    planning.deliver(NAME)
    planning.finish()

    record = planning.record(NAME)
    assert record.state == "completed"
    assert (record.imported, record.failed, record.unchanged) == (2, 0, 2)
    assert record.plan.sent == 2
    assert [row["action"] for row in rows(planning, record)] == [
        *("unchanged", "update", "unchanged", "create")
    ]
    assert plan_json(planning, record)["source"] == "lookups"
    assert tags(planning, 1) == {"site": "b"}


def test_many_lines_are_compared_with_an_export(planning: App) -> None:
    put_pumps(planning, 30)
    planning.upload(NAME, *(pump(number, "b" if number == 3 else "a") for number in range(31)))
    planning.deliver(NAME)
    assert planning.record(NAME).state == "planning"
    planning.finish()

    record = planning.record(NAME)
    assert record.state == "completed"
    assert (record.imported, record.failed, record.unchanged) == (2, 0, 29)
    assert plan_json(planning, record)["source"] == "export"
    assert record.job_record == record.id


def test_a_file_that_changes_nothing_ends_without_a_job(planning: App) -> None:
    put_pumps(planning, 30)
    planning.upload(NAME, *map(pump, range(30)))
    planning.deliver(NAME)
    planning.finish()

    record = planning.record(NAME)
    assert record.state == "completed"
    assert (record.imported, record.failed, record.unchanged) == (0, 0, 30)
    assert record.job.id == ""
    assert record.is_fully_imported


def test_lines_that_would_fail_are_reported_and_not_sent(planning: App) -> None:
    put_pumps(planning, 2)
    planning.upload(
        NAME,
        pump(0),
        pump(1, "b"),
        device("ghost", importMode="delete"),
        pump(0 + 8, importMode="update"),
    )
    planning.deliver(NAME)
    planning.finish()

    record = planning.record(NAME)
    assert record.state == "completedWithErrors"
    assert (record.imported, record.failed, record.unchanged) == (1, 2, 1)
    failures = planning.report(record)["failures"]
    assert [(item["line"], item["id"]) for item in failures["devices"]] == [
        (3, "ghost"),
        (4, "pump-8"),
    ]
    assert failures["codes"][0]["code"] == "404001 DeviceNotFound"
    retry = planning.container_of(record).get_blob_client(record.retry.rpartition("/")[2])
    lines = retry.download_blob().readall().decode().splitlines()
    assert [json.loads(line)["importMode"] for line in lines] == ["delete", "update"]


def test_a_device_that_changed_since_the_plan_fails_and_is_not_overwritten(
    planning: App,
) -> None:
    planning.configure(IOTHUB=planning.hub.connection_string("iothubowner"))
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    planning.upload(NAME, pump(0, "b"), pump(1, "b"))
    planning.deliver(NAME)
    record = planning.record(NAME)
    assert record.plan.sent == 2
    planning.hub.registry.put(pump(1, "other"))
    planning.hub.free_slot()
    planning.pass_minutes(2)
    planning.finish()

    record = planning.record(NAME)
    assert record.state == "completedWithErrors"
    assert (record.imported, record.failed, record.unchanged) == (1, 1, 0)
    assert tags(planning, 1) == {"site": "other"}
    retry = planning.container_of(record).get_blob_client(record.retry.rpartition("/")[2])
    [line] = retry.download_blob().readall().decode().splitlines()
    assert "importMode" not in json.loads(line)


def test_only_creating_lines_need_no_plan(planning: App) -> None:
    planning.upload(NAME, pump(0, importMode="create"))
    planning.deliver(NAME)
    planning.finish()
    record = planning.record(NAME)
    assert record.state == "completed"
    assert not record.is_planned
    assert record.unchanged is None


def test_export_is_deleted(planning: App) -> None:
    put_pumps(planning, 30)
    planning.upload(NAME, *(pump(number, "b") for number in range(30)))
    planning.deliver(NAME)
    planning.finish()
    names = [item.name for item in planning.importer.services.storage.containers("import-")]
    assert not [name for name in names if "snapshot" in name]
