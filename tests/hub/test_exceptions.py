"""Each known error response becomes the right exception with the hub's message."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PermanentError, RefusedForNowError, TemporaryError
from shared.hub.exceptions import (
    HubRequestError,
    HubThrottledError,
    HubUnauthorizedError,
    HubUnavailableError,
    JobNotFoundError,
    JobSlotBusyError,
    StorageRefusedError,
    error_from_response,
    parse_error,
)

E4 = (
    "ErrorCode:JobQuotaExceeded\r\nError: 403 ErrorCode: JobQuotaExceeded\r\n"
    "Message: Total number of jobs exceeds the quota.\r\n"
    "Timestamp: 2026-08-15T10:00:00Z\r\nTracking ID: 1234-G:0"
)


def body(**members: object) -> str:
    return json.dumps(members)


E2 = body(
    errorCode=404002, message="Job not found.", trackingId="abc", timestampUtc="now", info=None
)


@pytest.mark.parametrize(
    ("status", "headers", "text", "kind", "name", "message"),
    [
        (
            401,
            {},
            body(
                Message="ErrorCode:IotHubUnauthorizedAccess;Unauthorized",
                ExceptionMessage="Tracking ID:77-G:0-TimeStamp:08/15/2026",
            ),
            HubUnauthorizedError,
            "IotHubUnauthorizedAccess",
            "Unauthorized",
        ),
        (404, {}, E2, JobNotFoundError, "JobNotFound", "Job not found."),
        (404, {}, body(Message=E2, ExceptionMessage=""), JobNotFoundError, "JobNotFound", "Job"),
        (
            403,
            {},
            body(Message=E4, ExceptionMessage=""),
            JobSlotBusyError,
            "JobQuotaExceeded",
            "Total number of jobs exceeds the quota.",
        ),
        (
            403,
            {},
            body(Message=E4.replace("\r\n", "\n"), ExceptionMessage=""),
            JobSlotBusyError,
            "JobQuotaExceeded",
            "Total number of jobs exceeds the quota.",
        ),
        (
            400,
            {},
            body(
                isSuccessful=False,
                errors=[{"deviceId": "a", "errorCode": 400011, "errorStatus": "twice"}],
            ),
            HubRequestError,
            "DeviceDefinedMultipleTimes",
            "twice",
        ),
        (400, {}, body(errorCode=400999, message="new"), HubRequestError, "400999", "new"),
        (403, {"iothub-errorcode": "403001"}, "", HubUnauthorizedError, "IotHubSuspended", ""),
        (500, {}, body(code="InternalServerError", message="?"), HubUnavailableError, "Int", "?"),
        (502, {}, "<html>Bad gateway</html>", HubUnavailableError, "", ""),
        (503, {}, "", HubUnavailableError, "", ""),
        (429, {}, "slow down", HubThrottledError, "", "slow down"),
        (404, {"iothub-errorcode": "IotHubFailingOver"}, "", HubUnavailableError, "IotHubF", ""),
        (
            400,
            {"iothub-errorcode": "BlobContainerValidationError"},
            body(Message="Unauthorized to write to output blob container.", ExceptionMessage=""),
            StorageRefusedError,
            "BlobContainerValidationError",
            "Unauthorized to write to output blob container.",
        ),
        (400, {}, body(errorCode=400032, message="no identity"), StorageRefusedError, "Man", "no"),
        (403, {}, body(Message="ErrorCode:IotHubSuspended;x"), HubUnauthorizedError, "IotHubS", ""),
        (404, {}, "", HubRequestError, "", ""),
        (409, {}, "[]", HubRequestError, "", "[]"),
    ],
)
def test_body_shapes(
    status: int, headers: dict[str, str], text: str, kind: type[Exception], name: str, message: str
) -> None:
    error = error_from_response(status, headers, text)
    assert type(error) is kind
    details = parse_error(status, headers, text)
    assert details.name.startswith(name)
    assert details.text.startswith(message)
    assert str(status) in str(error)


@pytest.mark.parametrize(
    ("kind", "family"),
    [
        (HubThrottledError, TemporaryError),
        (HubUnavailableError, TemporaryError),
        (JobSlotBusyError, RefusedForNowError),
        (StorageRefusedError, RefusedForNowError),
        (HubUnauthorizedError, RefusedForNowError),
        (HubRequestError, PermanentError),
        (JobNotFoundError, PermanentError),
    ],
)
def test_each_error_has_one_base_type(kind: type[Exception], family: type[Exception]) -> None:
    families = {TemporaryError, RefusedForNowError, PermanentError}
    assert {base for base in families if issubclass(kind, base)} == {family}


def test_the_header_has_precedence() -> None:
    text = body(Message="ErrorCode:ArgumentInvalid;x", ExceptionMessage="")
    assert parse_error(403, {"iothub-errorcode": "JobQuotaExceeded"}, text).name == (
        "JobQuotaExceeded"
    )


def test_signatures_are_redacted() -> None:
    text = body(Message="https://a.blob/c?sv=1&sig=TOPSECRET%3D&se=2", ExceptionMessage="")
    assert "TOPSECRET" not in str(error_from_response(400, {}, text))


@given(st.integers(400, 599), st.text(max_size=200))
def test_any_body_is_accepted(status: int, text: str) -> None:
    assert parse_error(status, {}, text).status == status


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["Message", "errorCode", "errors", "message", "code"]), inner
            )
        ),
    )
)
def test_any_json_is_accepted(value: object) -> None:
    assert parse_error(400, {}, json.dumps(value)).status == 400
