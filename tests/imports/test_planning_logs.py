"""The hub's log of an import that sends only what changes: its own lines are named, in order."""

from __future__ import annotations

import json
from typing import Any

from iothub_emulator.registry.identity import Key
from shared.imports.model.record import ImportRecord
from tests.app import App, device
from tests.imports.plans import (
    NAME,
    actions,
    counts,
    failed_lines,
    imports,
    pump,
    put_pumps,
    retry_lines,
    send,
    site,
    use_lookups,
)

LOG = "importErrors.log"


def planned(app: App, *lines: object, fault: str = "noLog") -> ImportRecord:
    """An import whose job has ended, and whose log is written by the test."""
    use_lookups(app)
    app.hub.faults.add(fault)
    record = send(app, *lines)
    app.hub.wait_idle()
    assert app.record(NAME).is_planned
    return record


def write_log(app: App, record: ImportRecord, *entries: dict[str, object]) -> None:
    data = b"".join(json.dumps(item).encode() + b"\n" for item in entries)
    app.container_of(record).upload_blob(LOG, data, overwrite=True)


def entry(device_id: str, code: str = "412001", **members: object) -> dict[str, object]:
    return {"deviceId": device_id, "errorCode": code, "errorStatus": "No.", **members}


def unparsable(line: str) -> dict[str, object]:
    return {"errorCode": "400", "errorStatus": f"Cannot deserialize in line: {line}"}


def sent(app: App, record: ImportRecord) -> list[str]:
    """The lines that the hub was given."""
    data = app.container_of(record).download_blob(record.planned.name).readall()
    return [line.decode() for line in data.splitlines()]


def end(app: App) -> ImportRecord:
    app.tick()
    return app.record(NAME)


def ids(lines: list[dict[str, Any]]) -> list[object]:
    return [line["id"] for line in lines]


def test_quoted_line_is_that_of_the_upload(planning: App) -> None:
    """The hub quotes the guarded line; the retry has the user's own."""
    put_pumps(planning, 3)
    record = planned(planning, pump(0), pump(1, "b"), pump(2, "b"))
    lines = sent(planning, record)
    assert len(lines) == 2
    assert "eTag" in lines[1]
    write_log(planning, record, unparsable(lines[1]))
    record = end(planning)
    assert counts(record) == ("completedWithErrors", 1, 1, 1)
    assert [line for line, *_ in failed_lines(planning, record)] == [3]
    assert retry_lines(planning, record) == [pump(2, "b")]
    report = json.dumps(planning.report(record))
    assert str(pump(2)["authentication"]) not in report
    assert "primaryKey" not in report


def test_line_that_is_quoted_and_named_fails_once(planning: App) -> None:
    put_pumps(planning, 2)
    record = planned(planning, pump(0, "b"), pump(1, "b"))
    line = sent(planning, record)[0]
    write_log(planning, record, unparsable(line), entry("pump-0"), entry("pump-0"))
    assert counts(end(planning)) == ("completedWithErrors", 1, 1, 0)


def test_quoted_line_of_nobody_leaves_the_counts_unknown(planning: App) -> None:
    put_pumps(planning, 2)
    record = planned(planning, pump(0, "b"), pump(1, "b"))
    write_log(planning, record, unparsable('{"id": "pump-0'))
    assert counts(end(planning)) == ("completedWithErrors", None, None, 0)


def test_planned_failures_and_those_of_the_hub_are_in_the_order_of_the_file(
    planning: App,
) -> None:
    put_pumps(planning, 4)
    lines = (
        pump(3, "b"),
        pump(0, importMode="create"),
        {"id": "bad id"},
        pump(1, "b"),
        pump(2),
        device("ghost", importMode="delete"),
    )
    planning.configure(VALIDATION_POLICY="partial")
    record = planned(planning, *lines)
    assert counts(record)[0] == "running"
    write_log(planning, record, entry("pump-1"), entry("pump-3", "503000"))
    record = end(planning)
    assert counts(record) == ("completedWithErrors", 0, 4, 1)
    assert record.invalid_lines == 1
    assert [line for line, *_ in failed_lines(planning, record)] == [1, 2, 4, 6]
    assert ids(retry_lines(planning, record)) == ["pump-3", "pump-0", "pump-1", "ghost"]
    assert all("eTag" not in line for line in retry_lines(planning, record))
    assert record.lines == 6


def test_log_that_names_a_line_that_was_not_sent(planning: App) -> None:
    """Which line failed is not known."""
    put_pumps(planning, 2)
    record = planned(planning, pump(0, importMode="create"), pump(1, "b"))
    write_log(planning, record, entry("pump-0"))
    assert counts(end(planning)) == ("completedWithErrors", None, None, 0)


def test_log_that_names_the_device_of_a_module_that_was_sent(planning: App) -> None:
    """The line of the device was not sent, so it is about its module."""
    put_pumps(planning, 2)
    module = device("pump-0", moduleId="meter")
    record = planned(planning, pump(0, importMode="create"), pump(1, "b"), module)
    write_log(planning, record, entry("pump-0"))
    record = end(planning)
    assert counts(record) == ("completedWithErrors", 1, 2, 0)
    assert retry_lines(planning, record) == [pump(0, importMode="create"), module]


def test_more_failures_than_lines(planning: App) -> None:
    put_pumps(planning, 2)
    record = planned(planning, pump(0), pump(1, "b"))
    write_log(planning, record, entry("pump-1"), entry("pump-0"), entry("theirs"))
    assert counts(end(planning)) == ("completedWithErrors", None, None, 1)


def test_unchanged_line_that_the_log_names(planning: App) -> None:
    """It was not sent: the log is about something else."""
    put_pumps(planning, 3)
    record = planned(planning, pump(0), pump(1, "b"), pump(2, "b"))
    write_log(planning, record, entry("pump-0"))
    record = end(planning)
    assert (record.imported, record.failed) == (None, None)


def test_devices_that_changed_since_the_plan(planning: App) -> None:
    """Another client changes, creates and deletes devices before the job starts."""
    use_lookups(planning)
    put_pumps(planning, 3)
    planning.hub.occupy_slot()
    record = send(planning, pump(0, "b"), pump(1, "b"), pump(2, "b"), pump(3, "b"))
    assert actions(planning, record) == ["update", "update", "update", "create"]
    registry = planning.hub.registry
    registry.put(pump(0, "theirs"))
    registry.put(pump(3, "theirs"))
    registry.delete(Key("pump-1"))
    planning.hub.free_slot()
    planning.pass_minutes(2)
    planning.finish()
    record = planning.record(NAME)
    assert counts(record) == ("completedWithErrors", 1, 3, 0)
    assert [line for line, *_ in failed_lines(planning, record)] == [1, 2, 4]
    codes = {
        item["code"].partition(" ")[0] for item in planning.report(record)["failures"]["codes"]
    }
    assert {"409001", "404001"} < codes
    assert [site(planning, number) for number in range(4)] == ["theirs", None, "b", "theirs"]
    lines = retry_lines(planning, record)
    assert lines == [pump(0, "b"), pump(1, "b"), pump(3, "b")]


def test_retry_plans_the_rejected_lines_again(planning: App) -> None:
    """With the user's own lines, so that what changed since is seen."""
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.occupy_slot()
    send(planning, pump(0, "b"), pump(1, "b"))
    planning.hub.registry.put(pump(0, "theirs"))
    planning.hub.free_slot()
    planning.pass_minutes(2)
    planning.finish()
    first = planning.record(NAME)
    assert counts(first) == ("completedWithErrors", 1, 1, 0)
    retry = planning.importer.actions.retry(first)
    planning.finish()
    [record] = [item for item in planning.records() if item.id == retry.id]
    assert record.plan.as_of
    assert counts(record) == ("completed", 1, 0, 0)
    assert site(planning, 0) == "b"


def test_whole_retry_is_planned_again(planning: App) -> None:
    use_lookups(planning)
    put_pumps(planning, 2)
    planning.hub.faults.add("failJob")
    send(planning, pump(0), pump(1, "b"))
    planning.finish()
    first = planning.record(NAME)
    assert counts(first) == ("failed", None, None, 1)
    retry = planning.importer.actions.retry(first)
    planning.finish()
    [record] = [item for item in planning.records() if item.id == retry.id]
    assert counts(record) == ("completed", 1, 0, 1)
    assert record.plan.path != first.plan.path
    assert len(imports(planning)) == 2


def test_file_of_failures_was_deleted(planning: App) -> None:
    put_pumps(planning, 2)
    record = planned(planning, pump(0, importMode="create"), pump(1, "b"))
    planning.container_of(record).delete_blob(record.plan.failures.rpartition("/")[2])
    write_log(planning, record)
    record = end(planning)
    assert record.state == "completedWithErrors"
    assert record.failed in (1, None)
    assert "were not sent" in record.failure_reason
