"""Malformed responses of a hub: imports become final, and ticks do not fail."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.hub import client, parsing
from shared.imports.model.record import ImportRecord
from tests.app import NO_ECHO, App, device

LONE_SURROGATE = "\ud83d"


def alter(monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]) -> None:
    """Change each response of the hub about one or several jobs."""
    parse = parsing.parse_json

    def altered(data: bytes) -> Any:
        content = parse(data)
        return [*map(change, content)] if isinstance(content, list) else change(content)

    monkeypatch.setattr(client, "parse_json", altered)


def with_members(**members: object) -> Callable[[Any], Any]:
    return lambda job: {**job, **members}


def without_zones(job: dict[str, Any]) -> dict[str, Any]:
    """The .NET format of a time of unspecified kind."""
    times = {name: job[name] for name in ("startTimeUtc", "endTimeUtc") if job.get(name)}
    return {**job, **{name: text.removesuffix("Z").split("+")[0] for name, text in times.items()}}


def upload(app: App) -> None:
    app.upload("a.ndjson", device("pump-1"))
    app.deliver("a.ndjson")


def finish(app: App) -> str:
    for hours in range(4):
        app.hub.wait_idle()
        app.clock.ahead_hours(hours)
        app.tick()
    record = app.record("a.ndjson")
    assert record.state.is_final
    if record.report:
        assert app.report(record)["failureReason"] == record.failure_reason
    return record.state.value


ODD = {
    "no zone": without_zones,
    "year 9999": with_members(
        startTimeUtc="9999-12-31T23:59:59-02:00", endTimeUtc="9999-12-31T23:59:59-02:00"
    ),
    "year 1": with_members(startTimeUtc="0001-01-01T00:00:00+02:00", endTimeUtc="0001-01-01"),
    "year 1600": with_members(startTimeUtc="1600-01-01T00:00:00Z", endTimeUtc="1600-01-01"),
    "no times": with_members(startTimeUtc={}, endTimeUtc=[True]),
    "no progress": with_members(progress="²"),
    "endless progress": with_members(progress=float("inf")),
    "halves": with_members(
        failureReason=LONE_SURROGATE, type=f"import{LONE_SURROGATE}", inputBlobName=LONE_SURROGATE
    ),
    "megabytes": with_members(failureReason="x" * 3_000_000),
    "numbers": with_members(failureReason=7, inputBlobContainerUri=True, excludeKeysInExport=7),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
@pytest.mark.parametrize("end", ["completed", "failed"])
def test_invalid_properties_of_a_job(
    app: App, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any], end: str
) -> None:
    alter(monkeypatch, change)
    if end == "failed":
        app.hub.faults.add("failJob")
    upload(app)
    assert finish(app) == end


@pytest.mark.parametrize("hub", [{"choices": NO_ECHO}], indirect=True)
@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_invalid_properties_of_listed_jobs(
    app: App, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    alter(monkeypatch, change)
    app.hub.faults.add("dropReply", operation="createJob")
    upload(app)
    assert finish(app) == "completed"


@pytest.mark.parametrize("value", [None, 7, "job", [], {}, {"jobId": 7}, {"jobId": LONE_SURROGATE}])
def test_response_without_a_job_id(
    app: App, monkeypatch: pytest.MonkeyPatch, value: object
) -> None:
    """The first response has no id; the app then checks the list of jobs."""
    with monkeypatch.context() as patch:
        alter(patch, lambda _: value)
        upload(app)
    assert app.record("a.ndjson").state == "starting"
    assert finish(app) == "completed"


@pytest.mark.parametrize("member", [None, 7, "job", [], {}, {"jobId": [], "status": {}, "type": 7}])
def test_job_list_with_invalid_items(
    app: App, monkeypatch: pytest.MonkeyPatch, member: object
) -> None:
    parse = parsing.parse_json

    def altered(data: bytes) -> Any:
        content = parse(data)
        return [member, *content, member] if isinstance(content, list) else content

    monkeypatch.setattr(client, "parse_json", altered)
    app.hub.faults.add("dropReply", operation="createJob")
    upload(app)
    assert finish(app) == "completed"


NO_STATUSES: list[object] = [7, True, None, {}, "²", LONE_SURROGATE]


@pytest.mark.parametrize("status", NO_STATUSES)
def test_job_with_an_invalid_status_is_polled_again(
    app: App, monkeypatch: pytest.MonkeyPatch, status: object
) -> None:
    app.hub.faults.add("lateLog")
    with monkeypatch.context() as patch:
        alter(patch, with_members(status=status))
        upload(app)
        app.hub.wait_idle()
        app.tick()
        record = app.record("a.ndjson")
        assert record.state == "running"
        assert "unknown job status" in record.failure_reason
    app.hub.write_late_logs()
    assert finish(app) == "completed"


@pytest.mark.parametrize("status", NO_STATUSES)
def test_error_log_shows_that_a_job_without_a_status_has_ended(
    app: App, monkeypatch: pytest.MonkeyPatch, status: object
) -> None:
    alter(monkeypatch, with_members(status=status))
    upload(app)
    app.hub.wait_idle()
    app.tick()
    record = app.record("a.ndjson")
    assert (record.state, record.imported, record.failed) == ("completed", 1, 0)
    assert record.failure_reason == ""


ELSEWHERE = {
    "another job": with_members(jobId="somebody-s", status="failed", failureReason="not ours"),
    "no object": lambda _: 7,
    "an array": lambda _: [],
}


@pytest.mark.parametrize("change", ELSEWHERE.values(), ids=ELSEWHERE)
def test_response_about_another_job_does_not_complete_an_import(
    app: App, monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], Any]
) -> None:
    app.hub.faults.add("lateLog")
    upload(app)
    app.hub.wait_idle()
    alter(monkeypatch, change)
    app.tick()
    record = app.record("a.ndjson")
    assert (record.state, record.job.status) == ("running", "enqueued")
    assert "The hub's answer is not about the job" in record.failure_reason
    assert "not ours" not in record.failure_reason
    app.hub.write_late_logs()
    app.tick()
    record = app.record("a.ndjson")
    assert (record.state, record.imported, record.failed) == ("completed", 1, 0)


def test_import_with_unknown_job_status_can_be_cancelled(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    app.hub.faults.add("hangJob")
    upload(app)
    alter(monkeypatch, ELSEWHERE["another job"])
    app.tick()
    app.importer.actions.cancel(app.record("a.ndjson"))
    app.tick()
    assert app.record("a.ndjson").state == "running"
    assert app.hub.jobs[0]["status"] == "cancelled"
    app.clock.ahead += app.importer.services.settings.retries.refusal_deadline
    app.tick()
    record = app.record("a.ndjson")
    assert (record.state, record.imported, record.failed) == ("cancelled", None, None)


def test_job_deleted_by_the_hub_with_an_empty_404(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without code or message, like a gateway; the job's log still counts."""
    app.hub.faults.add("lateLog")
    upload(app)
    app.hub.wait_idle()
    app.hub.faults.add("error", operation="getJob", status=404, code="", message="", shape="E7")
    app.tick()
    record = app.record("a.ndjson")
    assert record.state == "running"
    assert record.failure_reason.startswith("The hub does not know the job")
    app.hub.write_late_logs()
    app.tick()
    assert app.record("a.ndjson").state == "completed"


@pytest.mark.parametrize("shape", ["E1", "E2", "E3", "E4"])
@pytest.mark.parametrize(
    "text",
    [LONE_SURROGATE, "\0\x1b[31m", "²", "x" * 1_000_000],
    ids=["half", "controls", "digit", "long"],
)
def test_malformed_message_of_a_rejection(app: App, shape: str, text: str) -> None:
    app.hub.faults.add(
        "error", operation="createJob", status=400, code="Odd", message=f"no {text}", shape=shape
    )
    upload(app)
    assert finish(app) == "failed"
    assert app.record("a.ndjson").failure_reason.startswith("The hub rejected the job (HTTP 400")


def test_reason_with_a_lone_surrogate(app: App) -> None:
    app.hub.faults.add("failJob", reason=f"broke at {LONE_SURROGATE}")
    upload(app)
    assert finish(app) == "failed"
    record = app.record("a.ndjson")
    assert record.job.failure_reason == "broke at \ufffd"
    assert app.report(record)["job"]["failureReason"] == "broke at \ufffd"


#: Each has one entry, with or without the line of the file.
NAMING_LOGS = [
    json.dumps(
        {"deviceId": "pump-1", "errorCode": 400004, "errorStatus": f"bad {LONE_SURROGATE}"}
    ).encode(),
    json.dumps(
        {"deviceId": "pump-1", "errorCode": "²", "errorStatus": {"a": [LONE_SURROGATE]}}
    ).encode(),
    b'{"deviceId":"pump-1","errorCode":%s}' % (b"9" * 5000),
    b'{"deviceId":"pump-1","errorCode":1e999,"errorStatus":NaN}',
]
NAMELESS_LOGS = [
    json.dumps(
        {"deviceId": LONE_SURROGATE, "moduleId": f"{LONE_SURROGATE}\0", "errorCode": 404001}
    ).encode(),
    b"\xff\xfe\0" * 100,
    b"[" * 100_000,
    b"x" * 3_000_000,
]


def end_with_log(app: App, log: bytes) -> ImportRecord:
    upload(app)
    app.hub.wait_idle()
    container = app.container_of(app.record("a.ndjson"))
    container.upload_blob("importErrors.log", log, overwrite=True)
    app.tick()
    record = app.record("a.ndjson")
    assert record.state == "completedWithErrors"
    assert len(app.report(record)["failures"]["devices"]) == 1
    return record


@pytest.mark.parametrize("log", NAMING_LOGS, ids=range(len(NAMING_LOGS)))
def test_malformed_log(app: App, log: bytes) -> None:
    record = end_with_log(app, log)
    assert (record.imported, record.failed) == (0, 1)


@pytest.mark.parametrize("log", NAMELESS_LOGS, ids=range(len(NAMELESS_LOGS)))
def test_malformed_log_that_names_no_line(app: App, log: bytes) -> None:
    record = end_with_log(app, log)
    assert (record.imported, record.failed) == (None, None)
    assert "name no line of the file" in record.failure_reason


def test_log_with_an_error_code_per_line(app: App) -> None:
    upload(app)
    app.hub.wait_idle()
    entries = [{"deviceId": f"d{n}", "errorCode": f"code {n}"} for n in range(1000)]
    container = app.container_of(app.record("a.ndjson"))
    log = "\n".join(map(json.dumps, entries)).encode()
    container.upload_blob("importErrors.log", log, overwrite=True)
    app.tick()
    codes = app.report(app.record("a.ndjson"))["failures"]["codes"]
    assert len(codes) == 201
    assert codes[0] == {"code": "other codes", "count": 800}
