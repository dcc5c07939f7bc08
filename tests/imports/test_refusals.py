"""Rejections by the hub: the record contains a reason and a remedy for each cause."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.hub.error_codes import BY_STATUS, EXPLANATIONS, Explanation
from shared.hub.explain import code_name, remedy_of
from tests.app import App, device

SHAPES = ("E1", "E2", "E3", "E4")

FIRST = "'pump-1' on line 1"

#: Status, code and part of the remedy.
RETRIED = [
    (403, "IotHubSuspended", "Reactivate the hub's subscription"),
    (403, "OperationNotAvailableInCurrentTier", "Upgrade the hub to a standard tier"),
    (401, "IotHubNotFound", "Correct the host name in IOTHUB"),
    (400, "ManagedIdentityNotEnabled", "Enable the hub's managed identity"),
    (401, "IotHubUnauthorized", "enable local authentication on the hub"),
    (401, "IotHubUnauthorizedAccess", "Use the app's managed identity"),
]


def start(app: App) -> None:
    app.upload("pumps.ndjson", device("pump-1"))
    app.deliver("pumps.ndjson")


def refuse(app: App, status: int, code: str, **fault: Any) -> None:
    app.hub.faults.add("error", operation="createJob", status=status, code=code, **fault)


def reason_of(app: App) -> str:
    return app.record("pumps.ndjson").failure_reason


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("status", "code", "remedy"), RETRIED)
def test_rejection_that_operators_can_resolve(
    app: App, shape: str, status: int, code: str, remedy: str
) -> None:
    refuse(app, status, code, message="No.", shape=shape)
    start(app)
    assert app.record("pumps.ndjson").state == "queued"
    assert reason_of(app).startswith(
        "Waiting up to REFUSAL_DEADLINE_MINUTES for the cause to be fixed. "
        f"The hub rejected the job (HTTP {status} {code}: No.). "
    )
    assert remedy in reason_of(app)
    app.finish()
    assert app.record("pumps.ndjson").state == "completed"


@pytest.mark.parametrize(("status", "code", "remedy"), RETRIED)
def test_rejection_that_is_not_resolved(app: App, status: int, code: str, remedy: str) -> None:
    app.configure(REFUSAL_DEADLINE_MINUTES="0")
    refuse(app, status, code)
    start(app)
    assert app.record("pumps.ndjson").state == "failed"
    assert reason_of(app).startswith(f"The hub rejected the job (HTTP {status} {code}: ")
    assert remedy in reason_of(app)
    assert reason_of(app).endswith(". Then retry the import.")


def test_unsupported_api_version(app: App) -> None:
    app.configure(IOTHUB_API_VERSION="2099-01-01")
    start(app)
    record = app.record("pumps.ndjson")
    assert record.state == "failed"
    assert record.failure_reason == (
        "The hub rejected the job (HTTP 400 InvalidProtocolVersion: The api-version '2099-01-01' "
        f"is not supported.). {EXPLANATIONS['InvalidProtocolVersion']} Then retry the import."
    )
    assert "IOTHUB_API_VERSION" in record.failure_reason
    [finding] = [item for item in app.importer.health.examine() if not item.is_well]
    assert finding.detail.endswith(f"supported. {EXPLANATIONS['InvalidProtocolVersion']}")


def test_unknown_rejection(app: App) -> None:
    refuse(app, 400, "400999", message="A new rule.", shape="E2")
    start(app)
    assert reason_of(app) == (
        "The hub rejected the job (HTTP 400 400999: A new rule.). The hub rejects the request. "
        "Correct the value that the hub's message names. Then retry the import."
    )


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (403010, f"403010 OperationNotAvailableInCurrentTier ({{}}). The first is {FIRST}."),
        (400999, f"400999 ({BY_STATUS[400].remedy}). The first is {FIRST}: New; sig=REDACTED."),
        ("NewRule", f"NewRule. The first is {FIRST}: New; sig=REDACTED."),
    ],
)
def test_error_code_in_the_log(app: App, code: object, expected: str) -> None:
    app.hub.faults.add("noLog")
    start(app)
    app.hub.wait_idle()
    entry = {"deviceId": "pump-1", "errorCode": code, "errorStatus": "New; sig=abcdefgh."}
    container = app.container_of(app.record("pumps.ndjson"))
    container.upload_blob("importErrors.log", json.dumps(entry).encode())
    app.finish()
    expected = expected.format(EXPLANATIONS["OperationNotAvailableInCurrentTier"].remedy)
    assert reason_of(app).startswith(f"1 of 1 devices failed: 1 x {expected}")
    [listed] = app.report(app.record("pumps.ndjson"))["failures"]["codes"]
    assert listed.get("remedy", "") == remedy_of(str(code_name(code)))


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("ErrorCode:ManagedIdentityNotEnabled;x", EXPLANATIONS["ManagedIdentityNotEnabled"]),
        ("(error code 400008)", EXPLANATIONS["BlobContainerValidationError"]),
    ],
)
def test_job_that_fails_with_an_error_code(app: App, message: str, refusal: Explanation) -> None:
    app.hub.faults.add("failJob", reason=message)
    start(app)
    app.finish()
    assert reason_of(app).startswith(
        f"The hub failed the job: {message}. {refusal} It is not known"
    )


def test_running_job_whose_status_request_is_rejected(app: App) -> None:
    app.hub.faults.add("hangJob")
    start(app)
    app.hub.faults.add("error", operation="getJob", status=403, code="IotHubSuspended")
    app.tick()
    assert reason_of(app).startswith("The job is running, but its status cannot be read (HTTP")
    assert reason_of(app).endswith(f" {EXPLANATIONS['IotHubSuspended']}")
    app.configure(IOTHUB_API_VERSION="2099-01-01")
    app.tick()
    assert reason_of(app).startswith("The hub's answer is not about the job (HTTP 400 Invalid")
    assert str(EXPLANATIONS["InvalidProtocolVersion"]) in reason_of(app)
