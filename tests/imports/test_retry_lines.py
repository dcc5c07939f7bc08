"""retry.ndjson with the failed lines; and logs that list devices which exist as failed."""

from __future__ import annotations

import json
import re

import pytest

from shared.imports.model.record import ImportRecord
from tests.app import App, device

NAME = "fleet.ndjson"
KEYS = {"primaryKey": "bWFkZS11cC1rZXktMDAwMQ==", "secondaryKey": "bWFkZS11cC1rZXktMDAwMg=="}


def run(app: App, *lines: object) -> ImportRecord:
    app.upload(NAME, *lines)
    app.deliver(NAME)
    app.finish()
    return app.record(NAME)


def run_with_log(app: App, log: list[dict[str, object]], *lines: object) -> ImportRecord:
    """Run an import with this error log."""
    app.upload(NAME, *lines)
    app.deliver(NAME)
    app.hub.wait_idle()
    text = "\n".join(map(json.dumps, log))
    container = app.container_of(app.record(NAME))
    container.upload_blob("importErrors.log", text.encode(), overwrite=True)
    app.finish()
    return app.record(NAME)


def module(device_id: str, module_id: str, **members: object) -> dict[str, object]:
    return device(device_id, moduleId=module_id, **members)


def retry_file(app: App, record: ImportRecord) -> bytes:
    container, _, name = record.retry.partition("/")
    return app.blobs.get_blob_client(container, name).download_blob().readall()


def retry_lines(app: App, record: ImportRecord) -> list[object]:
    content = retry_file(app, record)
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


def listed(app: App, record: ImportRecord) -> list[tuple[object, ...]]:
    return [
        (failure["line"], failure["id"], failure.get("moduleId", ""))
        for failure in app.report(record)["failures"]["devices"]
    ]


def test_completed_import_has_no_retry_file(app: App) -> None:
    record = run(app, device("pump-1"))
    assert (record.state, record.retry) == ("completed", "")
    names = list(app.container_of(record).list_blob_names())
    assert [name for name in names if name.startswith("retry")] == []
    assert "importErrors.log" in names


def test_retry_file_contains_exactly_the_failed_lines(app: App) -> None:
    app.hub.registry.put(device("old"))
    app.hub.registry.put(device("edge"))
    app.hub.registry.put(module("edge", "old"))
    refused = [
        device("old", importMode="create", tags={"site": "é\u2028"}),
        device("gone", importMode="delete"),
        device("old-2", importMode="update"),
        module("edge", "old", importMode="create"),
        module("edge", "gone", importMode="delete"),
        module("nowhere", "m", importMode="create"),
    ]
    good = [device("new", importMode="create"), module("edge", "new"), device("newer")]
    lines = [good[0], refused[0], b"", *refused[1:3], good[1], *refused[3:], good[2]]
    record = run(app, *lines)
    assert record.state == "completedWithErrors"
    assert (record.devices, record.imported, record.failed) == (9, 3, 6)
    assert re.fullmatch(rf"{record.staged.container}/retry-[0-9a-f]{{12}}\.ndjson", record.retry)
    assert retry_lines(app, record) == refused
    assert app.report(record)["failures"]["retry"] == record.retry
    assert [line for line, _, _ in listed(app, record)] == [2, 4, 5, 7, 8, 9]
    staged = app.container_of(record).download_blob("devices.txt").readall().splitlines()
    assert set(retry_file(app, record).splitlines()) < set(staged)


def test_duplicate_log_entries_are_counted_once(app: App) -> None:
    entry: dict[str, object] = {"deviceId": "b", "errorCode": 409001, "errorStatus": "again"}
    record = run_with_log(app, [entry] * 5, device("a"), device("b"), device("c"))
    assert (record.imported, record.failed) == (2, 1)
    assert retry_lines(app, record) == [device("b")]


def test_log_entry_for_an_unknown_device_leaves_the_counts_unknown(app: App) -> None:
    """The results of the other lines are then unknown too."""
    log: list[dict[str, object]] = [
        {"deviceId": "stranger", "errorCode": 400004, "errorStatus": "no"},
        {"deviceId": "b", "errorCode": 400004, "errorStatus": "no"},
    ]
    record = run_with_log(app, log, device("a"), device("b"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", None, None)
    assert "1 of them name no line of the file" in record.failure_reason
    assert retry_lines(app, record) == [device("b")]
    assert listed(app, record) == [(2, "b", ""), (None, "stranger", "")]


def test_log_with_only_unknown_devices_creates_no_retry_file(app: App) -> None:
    log: list[dict[str, object]] = [{"deviceId": "stranger", "errorCode": 400004}]
    record = run_with_log(app, log, device("a"))
    assert (record.state, record.retry) == ("completedWithErrors", "")
    assert (record.imported, record.failed) == (None, None)
    assert "retry.ndjson" not in record.failure_reason


@pytest.mark.parametrize(
    "entry",
    [{}, {"errorCode": 400004}, {"deviceId": "", "errorStatus": "no"}, {"id": "a"}],
    ids=str,
)
def test_log_entry_without_a_device_leaves_the_counts_unknown(
    app: App, entry: dict[str, object]
) -> None:
    log: list[dict[str, object]] = [entry, {"deviceId": "b", "errorCode": 400004}]
    record = run_with_log(app, log, device("a"), device("b"), device("c"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", None, None)
    assert "1 of them name no line of the file" in record.failure_reason
    assert "not known which devices were applied" in record.failure_reason
    assert retry_lines(app, record) == [device("b")]
    assert [line for line, _, _ in listed(app, record)] == [2, None]


def test_log_entry_may_name_only_the_device_of_a_module(app: App) -> None:
    log: list[dict[str, object]] = [{"deviceId": "edge", "errorCode": 404010}]
    lines = [device("a"), module("edge", "m"), module("other", "m")]
    record = run_with_log(app, log, *lines)
    assert (record.imported, record.failed) == (2, 1)
    assert retry_lines(app, record) == [lines[1]]
    assert listed(app, record) == [(2, "edge", "")]


@pytest.mark.parametrize("device_comes", ["first", "last"])
def test_log_entry_for_a_device_selects_the_line_of_the_device(app: App, device_comes: str) -> None:
    log: list[dict[str, object]] = [{"deviceId": "edge", "errorCode": 404010}]
    app.hub.registry.put(device("edge"))
    lines = [device("edge"), module("edge", "m")]
    if device_comes == "last":
        lines.reverse()
    record = run_with_log(app, log, *lines)
    assert retry_lines(app, record) == [device("edge")]
    assert listed(app, record) == [(lines.index(device("edge")) + 1, "edge", "")]


def test_lines_that_the_hub_cannot_parse_are_kept_unchanged(app: App) -> None:
    authentication = {"type": "sas", "symmetricKey": KEYS}
    app.upload(NAME, device("a"), device("b", authentication=authentication), device("c"))
    invalid = device("b", authentication={**authentication, "type": "SELF_SIGNED"})
    text = json.dumps(invalid, separators=(" ,", ": ")).encode()
    app.deliver_unvalidated(NAME, device("a"), text, device("c"))
    app.finish()
    record = app.record(NAME)
    assert (record.imported, record.failed) == (2, 1)
    assert retry_file(app, record) == text + b"\n"
    assert [line for line, _, _ in listed(app, record)] == [2]


def test_retry_file_contains_lines_beyond_the_report_limit(app: App) -> None:
    app.configure(MAX_REPORTED_PROBLEMS="2")
    lines: list[object] = [device(f"gone-{n}", importMode="delete") for n in range(7)]
    record = run(app, device("pump"), *lines)
    assert (record.imported, record.failed) == (1, 7)
    assert len(listed(app, record)) == 2
    assert retry_lines(app, record) == lines


def test_retry_file_can_be_imported_after_the_cause_is_fixed(app: App) -> None:
    lines: list[object] = [
        device("late-1", importMode="update", tags={"n": 1}),
        module("late-1", "m", tags={"n": 2}),
    ]
    record = run(app, device("pump"), *lines)
    assert record.failed == 2
    app.hub.registry.put(device("late-1"))
    app.upload("again.ndjson", retry_file(app, record))
    app.deliver("again.ndjson")
    app.finish()
    again = app.record("again.ndjson")
    assert (again.state, again.devices, again.imported) == ("completed", 2, 2)
    for key, tags in (("late-1", None), {"n": 1}), (("late-1", "m"), {"n": 2}):
        stored = app.hub.registry.get(*key)
        assert stored is not None
        assert stored["tags"] == tags


def test_retry_file_excludes_lines_skipped_by_validation(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    missing = device("gone", importMode="delete")
    record = run(app, b"broken", missing, device("pump"))
    assert (record.invalid_lines, record.failed) == (1, 1)
    assert retry_lines(app, record) == [missing]
    assert listed(app, record) == [(2, "gone", "")]


def test_retry_file_contains_csv_rows_as_ndjson_lines(app: App) -> None:
    app.upload("fleet.csv", b"id,status,importMode\npump,enabled,\ngone,enabled,delete\n")
    app.deliver("fleet.csv")
    app.finish()
    assert retry_lines(app, app.record("fleet.csv")) == [device("gone", importMode="delete")]


def test_failures_of_devices_that_exist_are_reported_as_doubtful(app: App) -> None:
    app.hub.faults.add("blameDevices")
    record = run(app, device("a"), device("edge"), module("edge", "m"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 0, 3)
    assert "of 3 devices that it reports as missing, 3 are in the registry" in record.failure_reason
    assert app.report(record)["failures"]["inRegistry"] == {"a": True, "edge": True, "edge/m": True}
    assert app.hub.requests["registry"] == 3


def test_only_a_few_devices_are_read_from_the_registry(app: App) -> None:
    app.configure(VERIFY_FAILED_DEVICES="2")
    app.hub.faults.add("blameDevices")
    record = run(app, *(device(f"pump-{n}") for n in range(10)))
    assert "of 2 devices that it reports as missing, 2 are in the registry" in record.failure_reason
    assert app.hub.requests["registry"] == 2


def test_missing_devices_are_not_doubtful(app: App) -> None:
    record = run(app, device("absent", importMode="update"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.report(record)["failures"]["inRegistry"] == {"absent": False}


def test_devices_to_be_deleted_are_not_read_from_the_registry(app: App) -> None:
    record = run(app, device("gone", importMode="delete"), device("pump"))
    assert record.failed == 1
    assert "inRegistry" not in app.report(record)["failures"]
    assert app.hub.requests["registry"] == 0


def test_device_whose_id_is_a_path_is_not_read_from_the_registry(app: App) -> None:
    record = run(app, device("..", importMode="update"), device("absent", importMode="update"))
    assert app.report(record)["failures"]["inRegistry"] == {"absent": False}
    assert app.hub.requests["registry"] == 1


def test_registry_reads_can_be_disabled(app: App) -> None:
    app.configure(VERIFY_FAILED_DEVICES="0")
    app.hub.faults.add("blameDevices")
    record = run(app, device("a"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.hub.requests["registry"] == 0


def test_registry_error_does_not_delay_the_final_state(app: App) -> None:
    app.hub.faults.add("blameDevices")
    app.hub.faults.add("throttle", operation="registry")
    record = run(app, device("a"), device("b"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.hub.requests["registry"] == 1
