"""Only what changes is sent: imports that are compared with the registry before their job."""

from __future__ import annotations

from tests.app import App, device
from tests.imports.plans import (
    NAME,
    actions,
    counts,
    plan_json,
    pump,
    put_pumps,
    retry_lines,
    send,
    site,
    snapshots,
    use_lookups,
)


def test_few_lines_are_looked_up_and_only_changes_are_sent(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, 3)
    send(planning, pump(0), pump(1, "b"), pump(2), pump(7))
    planning.finish()

    record = planning.record(NAME)
    assert counts(record) == ("completed", 2, 0, 2)
    assert record.plan.sent == 2
    assert actions(planning, record) == ["unchanged", "update", "unchanged", "create"]
    assert plan_json(planning, record)["source"] == "lookups"
    assert site(planning, 1) == "b"


def test_many_lines_are_compared_with_an_export(planning: App) -> None:
    put_pumps(planning, 30)
    send(planning, *(pump(number, "b" if number == 3 else "a") for number in range(31)))
    assert planning.record(NAME).state == "planning"
    planning.finish()

    record = planning.record(NAME)
    assert counts(record) == ("completed", 2, 0, 29)
    assert plan_json(planning, record)["source"] == "export"
    assert record.job_record == record.id


def test_a_file_that_changes_nothing_ends_without_a_job(planning: App) -> None:
    put_pumps(planning, 30)
    send(planning, *map(pump, range(30)))
    planning.finish()

    record = planning.record(NAME)
    assert counts(record) == ("completed", 0, 0, 30)
    assert record.job.id == ""
    assert record.is_fully_imported


def test_lines_that_would_fail_are_reported_and_not_sent(planning: App) -> None:
    put_pumps(planning, 2)
    send(
        planning,
        pump(0),
        pump(1, "b"),
        device("ghost", importMode="delete"),
        pump(0 + 8, importMode="update"),
    )
    planning.finish()

    record = planning.record(NAME)
    assert counts(record) == ("completedWithErrors", 1, 2, 1)
    failures = planning.report(record)["failures"]
    assert [(item["line"], item["id"]) for item in failures["devices"]] == [
        (3, "ghost"),
        (4, "pump-8"),
    ]
    assert failures["codes"][0]["code"] == "404001 DeviceNotFound"
    lines = retry_lines(planning, record)
    assert [line["importMode"] for line in lines] == ["delete", "update"]


def test_a_device_that_changed_since_the_plan_fails_and_is_not_overwritten(
    planning: App,
) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    send(planning, pump(0, "b"), pump(1, "b"))
    record = planning.record(NAME)
    assert record.plan.sent == 2
    planning.hub.registry.put(pump(1, "other"))
    planning.hub.free_slot()
    planning.pass_minutes(2)
    planning.finish()

    record = planning.record(NAME)
    assert counts(record) == ("completedWithErrors", 1, 1, 0)
    assert site(planning, 1) == "other"
    [line] = retry_lines(planning, record)
    assert "importMode" not in line


def test_only_creating_lines_need_no_plan(planning: App) -> None:
    send(planning, pump(0, importMode="create"))
    planning.finish()
    record = planning.record(NAME)
    assert record.state == "completed"
    assert not record.is_planned
    assert record.unchanged is None


def test_export_is_deleted(planning: App) -> None:
    put_pumps(planning, 30)
    send(planning, *(pump(number, "b") for number in range(30)))
    planning.finish()
    assert not snapshots(planning)
