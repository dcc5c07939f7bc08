"""retry.ndjson, the lines that the hub refused; and a log that blames devices that are there."""

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
    """An import whose hub leaves this log."""
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


def test_a_clean_import_leaves_no_lines(app: App) -> None:
    record = run(app, device("pump-1"))
    assert (record.state, record.retry) == ("completed", "")
    names = list(app.container_of(record).list_blob_names())
    assert [name for name in names if name.startswith("retry")] == []
    assert "importErrors.log" in names


def test_exactly_the_refused_lines_are_kept(app: App) -> None:
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


def test_a_log_may_repeat_itself(app: App) -> None:
    entry: dict[str, object] = {"deviceId": "b", "errorCode": 409001, "errorStatus": "again"}
    record = run_with_log(app, [entry] * 5, device("a"), device("b"), device("c"))
    assert (record.imported, record.failed) == (2, 1)
    assert retry_lines(app, record) == [device("b")]


def test_a_log_may_name_what_the_file_does_not_hold(app: App) -> None:
    """Then it is not known what became of the other lines either."""
    log: list[dict[str, object]] = [
        {"deviceId": "stranger", "errorCode": 400004, "errorStatus": "no"},
        {"deviceId": "b", "errorCode": 400004, "errorStatus": "no"},
    ]
    record = run_with_log(app, log, device("a"), device("b"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", None, None)
    assert "1 of them name no line of the file" in record.failure_reason
    assert retry_lines(app, record) == [device("b")]
    assert listed(app, record) == [(2, "b", ""), (None, "stranger", "")]


def test_a_log_that_names_only_strangers_leaves_no_lines(app: App) -> None:
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
def test_a_log_entry_that_names_nothing_leaves_the_counts_unknown(
    app: App, entry: dict[str, object]
) -> None:
    log: list[dict[str, object]] = [entry, {"deviceId": "b", "errorCode": 400004}]
    record = run_with_log(app, log, device("a"), device("b"), device("c"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", None, None)
    assert "1 of them name no line of the file" in record.failure_reason
    assert "not known which devices were applied" in record.failure_reason
    assert retry_lines(app, record) == [device("b")]
    assert [line for line, _, _ in listed(app, record)] == [2, None]


def test_a_log_may_name_the_device_of_a_module_alone(app: App) -> None:
    log: list[dict[str, object]] = [{"deviceId": "edge", "errorCode": 404010}]
    lines = [device("a"), module("edge", "m"), module("other", "m")]
    record = run_with_log(app, log, *lines)
    assert (record.imported, record.failed) == (2, 1)
    assert retry_lines(app, record) == [lines[1]]
    assert listed(app, record) == [(2, "edge", "")]


@pytest.mark.parametrize("device_comes", ["first", "last"])
def test_a_log_that_names_a_device_means_its_own_line(app: App, device_comes: str) -> None:
    log: list[dict[str, object]] = [{"deviceId": "edge", "errorCode": 404010}]
    app.hub.registry.put(device("edge"))
    lines = [device("edge"), module("edge", "m")]
    if device_comes == "last":
        lines.reverse()
    record = run_with_log(app, log, *lines)
    assert retry_lines(app, record) == [device("edge")]
    assert listed(app, record) == [(lines.index(device("edge")) + 1, "edge", "")]


def test_lines_that_the_hub_could_not_read_are_kept_as_they_were(app: App) -> None:
    authentication = {"type": "sas", "symmetricKey": KEYS}
    app.upload(NAME, device("a"), device("b", authentication=authentication), device("c"))
    odd = device("b", authentication={**authentication, "type": "SELF_SIGNED"})
    text = json.dumps(odd, separators=(" ,", ": ")).encode()
    app.deliver_unseen(NAME, device("a"), text, device("c"))
    app.finish()
    record = app.record(NAME)
    assert (record.imported, record.failed) == (2, 1)
    assert retry_file(app, record) == text + b"\n"
    assert [line for line, _, _ in listed(app, record)] == [2]


def test_all_are_kept_though_the_report_lists_only_the_first(app: App) -> None:
    app.configure(MAX_REPORTED_PROBLEMS="2")
    lines: list[object] = [device(f"gone-{n}", importMode="delete") for n in range(7)]
    record = run(app, device("pump"), *lines)
    assert (record.imported, record.failed) == (1, 7)
    assert len(listed(app, record)) == 2
    assert retry_lines(app, record) == lines


def test_the_lines_can_be_imported_once_the_cause_is_mended(app: App) -> None:
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


def test_lines_left_out_are_not_among_the_refused(app: App) -> None:
    app.configure(VALIDATION_POLICY="partial")
    gone = device("gone", importMode="delete")
    record = run(app, b"broken", gone, device("pump"))
    assert (record.invalid_lines, record.failed) == (1, 1)
    assert retry_lines(app, record) == [gone]
    assert listed(app, record) == [(2, "gone", "")]


def test_a_csv_row_is_kept_as_the_line_that_it_stands_for(app: App) -> None:
    app.upload("fleet.csv", b"id,status,importMode\npump,enabled,\ngone,enabled,delete\n")
    app.deliver("fleet.csv")
    app.finish()
    assert retry_lines(app, app.record("fleet.csv")) == [device("gone", importMode="delete")]


def test_a_log_that_blames_devices_that_are_there_is_doubted(app: App) -> None:
    app.hub.faults.add("blameDevices")
    record = run(app, device("a"), device("edge"), module("edge", "m"))
    assert (record.state, record.imported, record.failed) == ("completedWithErrors", 0, 3)
    assert "of 3 devices that it reports as missing, 3 are in the registry" in record.failure_reason
    assert app.report(record)["failures"]["inRegistry"] == {"a": True, "edge": True, "edge/m": True}
    assert app.hub.requests["registry"] == 3


def test_only_a_few_devices_are_looked_up(app: App) -> None:
    app.configure(VERIFY_FAILED_DEVICES="2")
    app.hub.faults.add("blameDevices")
    record = run(app, *(device(f"pump-{n}") for n in range(10)))
    assert "of 2 devices that it reports as missing, 2 are in the registry" in record.failure_reason
    assert app.hub.requests["registry"] == 2


def test_devices_that_are_missing_indeed_are_not_doubted(app: App) -> None:
    record = run(app, device("absent", importMode="update"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.report(record)["failures"]["inRegistry"] == {"absent": False}


def test_devices_that_are_to_go_are_not_looked_up(app: App) -> None:
    record = run(app, device("gone", importMode="delete"), device("pump"))
    assert record.failed == 1
    assert "inRegistry" not in app.report(record)["failures"]
    assert app.hub.requests["registry"] == 0


def test_a_device_whose_id_is_a_path_is_not_looked_up(app: App) -> None:
    record = run(app, device("..", importMode="update"), device("absent", importMode="update"))
    assert app.report(record)["failures"]["inRegistry"] == {"absent": False}
    assert app.hub.requests["registry"] == 1


def test_looking_up_can_be_turned_off(app: App) -> None:
    app.configure(VERIFY_FAILED_DEVICES="0")
    app.hub.faults.add("blameDevices")
    record = run(app, device("a"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.hub.requests["registry"] == 0


def test_a_registry_in_trouble_does_not_hold_up_the_end(app: App) -> None:
    app.hub.faults.add("blameDevices")
    app.hub.faults.add("throttle", operation="registry")
    record = run(app, device("a"), device("b"))
    assert record.state == "completedWithErrors"
    assert "may be wrong" not in record.failure_reason
    assert app.hub.requests["registry"] == 1
