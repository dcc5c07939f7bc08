"""Jobs start in order and once; temporary errors are retried."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app import App, device


def start(app: App, name: str = "pumps.ndjson", device_id: str = "pump-1") -> None:
    app.upload(name, device(device_id))
    app.deliver(name)


def test_uploads_are_applied_in_order_one_job_at_a_time(app: App) -> None:
    app.hub.faults.add("hangJob")
    for number in range(4):
        app.upload(f"{9 - number}.ndjson", device("pump-1", tags={"n": number}))
        app.deliver(f"{9 - number}.ndjson")
    assert [record.state.value for record in app.records()].count("queued") == 3
    app.hub.jobs.cancel(app.record("9.ndjson").job.id)
    app.finish()
    stored = app.hub.registry.get("pump-1")
    assert stored is not None
    assert stored["tags"] == {"n": 3}
    starts = sorted(
        (record.job.start_time_utc, record.file)
        for record in app.records()
        if record.job.start_time_utc
    )
    assert [file for _, file in starts] == [f"{9 - number}.ndjson" for number in range(4)]


def test_import_waits_for_a_foreign_job(app: App) -> None:
    app.hub.occupy_slot()
    start(app)
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "queued"
    assert "job slot" in record.failure_reason
    app.clock.ahead_hours(24)
    app.tick()
    assert app.record("pumps.ndjson").state == "queued"
    app.hub.free_slot()
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.failure_reason) == ("completed", "")


def test_import_waits_while_the_hub_throttles(app: App) -> None:
    app.hub.faults.add("throttle", operation="createJob", times=2)
    start(app)
    assert "throttles" in app.record("pumps.ndjson").failure_reason
    app.tick()
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


def test_import_waits_while_the_hub_is_unreachable(app: App) -> None:
    app.hub.stop()
    start(app)
    record = app.record("pumps.ndjson")
    assert record.state == "queued"
    assert "No connection to the hub:" in record.failure_reason


SHAPES = ("E1", "E2", "E3", "E4")


@pytest.mark.parametrize("shape", SHAPES)
def test_bad_request_fails_the_import_immediately(app: App, shape: str) -> None:
    fault: dict[str, Any] = {"status": 400, "code": "ArgumentInvalid", "message": "No such thing."}
    app.hub.faults.add("error", operation="createJob", shape=shape, **fault)
    start(app)
    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert "HTTP 400 ArgumentInvalid" in record.failure_reason
    assert "No such thing." in record.failure_reason
    assert len(app.hub.jobs) == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (403, "JobQuotaExceeded", "job slot"),
        (401, "IotHubUnauthorizedAccess", "IoT Hub Data Contributor"),
        (401, "IotHubUnauthorized", "registryReadWrite or iothubowner"),
        (400, "BlobContainerValidationError", "Storage Blob Data Contributor"),
        (404, "IotHubFailingOver", "HTTP 404 IotHubFailingOver"),
        (503, "ServerBusy", "HTTP 503 ServerBusy"),
    ],
)
def test_temporary_rejection_keeps_the_queue_position(
    app: App, shape: str, status: int, code: str, expected: str
) -> None:
    app.hub.faults.add("error", operation="createJob", shape=shape, status=status, code=code)
    start(app)
    record = app.record("pumps.ndjson")
    assert record.state in ("queued", "starting")
    assert expected in record.failure_reason
    app.finish()
    record = app.record("pumps.ndjson")
    assert (record.state, record.failure_reason) == ("completed", "")
    assert len(app.hub.jobs) == 1


def test_import_waits_after_an_empty_gateway_error(app: App) -> None:
    app.hub.faults.add("error", operation="createJob", shape="E7", status=502)
    start(app)
    assert "HTTP 502" in app.record("pumps.ndjson").failure_reason
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (401, "IotHubUnauthorizedAccess", "IoT Hub Data Contributor"),
        (400, "BlobContainerValidationError", "Storage Blob Data Contributor"),
    ],
)
def test_permanent_rejection_fails_the_import_after_the_deadline(
    app: App, status: int, code: str, expected: str
) -> None:
    app.hub.faults.add("error", operation="createJob", status=status, code=code, times=99)
    start(app)
    app.clock.ahead_minutes(29)
    app.tick()
    assert app.record("pumps.ndjson").state == "queued"
    app.clock.ahead_minutes(31)
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert expected in record.failure_reason
    assert code in record.failure_reason


def test_policy_without_the_required_permission(app: App) -> None:
    app.configure(IOTHUB=app.hub.connection_string("registryRead"))
    start(app)
    assert "registryReadWrite or iothubowner" in app.record("pumps.ndjson").failure_reason
    app.configure(IOTHUB=app.hub.connection_string("registryReadWrite"))
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


def test_record_states_the_hub_error(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.hub.faults.add("error", operation="getJob", status=500)
    app.tick()
    record = app.record("pumps.ndjson")
    assert record.state == "running"
    assert "HTTP 500 ServerError" in record.failure_reason
    app.tick()
    record = app.record("pumps.ndjson")
    assert (record.state, record.failure_reason, record.back_off.hub_retries) == ("running", "", 0)


def test_record_names_the_missing_role(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.configure(IOTHUB=app.hub.connection_string("registryRead"))
    app.tick()
    assert "IoT Hub Data Contributor" in app.record("pumps.ndjson").failure_reason


def test_failing_hub_does_not_block_another_hub(app: App) -> None:
    absent = "HostName=127.0.0.1:9;SharedAccessKeyName=a;SharedAccessKey=YWJj"
    app.configure(
        IOTHUB=f'{{"a": "{absent};UseDevelopmentEmulator=true", '
        f'"b": "{app.hub.connection_string()}"}}'
    )
    start(app, "a/pumps.ndjson")
    start(app, "b/pumps.ndjson")
    app.hub.wait_idle()
    app.tick()
    assert [record.state for record in app.records("127.0.0.1:9")] == ["queued"]
    assert [record.state for record in app.records(app.hub.address)] == ["completed"]


def test_identity_based_storage_access_uses_no_sas(app: App) -> None:
    app.configure(JOB_STORAGE_AUTHENTICATION="identityBased")
    start(app)
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
    [job] = app.hub.jobs
    assert "sig=" not in job["inputBlobContainerUri"]
    assert job["storageAuthenticationType"] == "identityBased"


def test_hub_receives_a_sas_for_one_container(app: App) -> None:
    start(app)
    app.finish()
    [job] = app.hub.jobs
    uri, _, sas = job["inputBlobContainerUri"].partition("?")
    assert uri.endswith("/" + app.record("pumps.ndjson").staged.container)
    assert "sr=c" in sas.split("&")
    assert "sp=rwdl" in sas.split("&")


def test_waiting_for_a_slot_does_not_count_as_rejection(app: App) -> None:
    app.hub.occupy_slot()
    start(app)
    app.clock.ahead_hours(5)
    app.hub.free_slot()
    code = "BlobContainerValidationError"
    app.hub.faults.add("error", operation="createJob", status=400, code=code)
    app.tick()
    assert app.record("pumps.ndjson").state == "queued"
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"
