"""Refusals: the hub's error codes, and the bodies of its error answers.

The hub has no single error format. Which shape an operation uses was recorded from a live hub
(api-version 2021-04-12); codes and names are those of the learn page on IoT Hub errors.
"""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from enum import IntEnum, StrEnum


class ErrorCode(IntEnum):
    """Hub error codes by their symbolic names; the number starts with the HTTP status."""

    GenericBadRequest = 400000
    InvalidProtocolVersion = 400001
    InvalidOperation = 400003
    ArgumentInvalid = 400004
    ArgumentNull = 400005
    BlobContainerValidationError = 400008
    DeviceDefinedMultipleTimes = 400011
    DeserializationError = 400012
    BulkRegistryOperationFailure = 400013
    EtagDoesNotMatch = 400023
    ManagedIdentityNotEnabled = 400032
    InvalidContentEncodingOrType = 400103
    InvalidConfigurationTargetCondition = 400401
    InvalidConfigurationContent = 400402
    InvalidConfigurationCustomMetricsQuery = 400404
    IotHubNotFound = 401001
    IotHubUnauthorizedAccess = 401002
    IotHubUnauthorized = 401003
    SystemModuleModifyUnauthorizedAccess = 401100
    IotHubSuspended = 403001
    IotHubQuotaExceeded = 403002
    JobQuotaExceeded = 403003
    OperationNotAvailableInCurrentTier = 403010
    GenericNotFound = 404000
    DeviceNotFound = 404001
    JobNotFound = 404002
    ModuleNotFound = 404010
    IotHubFailingOver = 404012
    ConfigurationNotFound = 404301
    GenericMethodNotAllowed = 405000
    DeviceAlreadyExists = 409001
    ModuleAlreadyExistsOnDevice = 409301
    ConfigurationAlreadyExists = 409401
    PreconditionFailed = 412001
    GenericRequestEntityTooLarge = 413000
    MessageTooLarge = 413001
    TooManyDevices = 413002
    TooManyModulesOnDevice = 413003
    ConfigurationCountLimitExceeded = 413101
    ThrottlingException = 429001
    ThrottlingBacklogTimeout = 429003
    ServerError = 500001
    ServiceUnavailable = 503001

    @property
    def status(self) -> int:
        return self.value // 1000


class Shape(StrEnum):
    """The forms of an error body that live hubs were seen to send."""

    #: Most registry errors: code and message in one string, tracking id in ``ExceptionMessage``.
    E1 = "E1"
    #: Module paths and newer operations: numeric code and message in separate properties.
    E2 = "E2"
    #: An E2 document as a string inside an E1 document.
    E3 = "E3"
    #: Jobs: an E1 document with a message of several lines and an empty ``ExceptionMessage``.
    E4 = "E4"
    #: Gateways: plain text instead of JSON.
    E7 = "E7"


class HubError(Exception):
    """A refusal, either of a request or of one line of a file."""

    def __init__(self, code: ErrorCode, message: str, shape: Shape = Shape.E1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.shape = shape


def invalid(message: str) -> HubError:
    """The most frequent refusal: 400 ArgumentInvalid."""
    return HubError(ErrorCode.ArgumentInvalid, message)


def server_error() -> HubError:
    """The refusal that gives no reason: 500 ServerError."""
    return HubError(ErrorCode.ServerError, "An error occurred. Please try again.")


def compact(value: object) -> str:
    """JSON as the hub writes it: without spaces, and not only in ASCII."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # Halves of surrogate pairs, which tests can put into an answer.
        text = json.dumps(value, separators=(",", ":"))
    return text


def error_body(shape: Shape, status: int, name: str, message: str) -> dict[str, object]:
    """Build the JSON body of an error answer, also for names that are not in ErrorCode."""
    now = datetime.now(UTC)
    tracking_id = uuid.uuid4().hex
    if shape is Shape.E2:
        known = ErrorCode.__members__.get(name)
        return {
            "errorCode": int(known) if known else status * 1000,
            "message": message,
            "trackingId": f"{tracking_id}-G:0-TimeStamp:{now:%Y-%m-%dT%H:%M:%SZ}",
            "timestampUtc": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            "info": None,
        }
    if shape is Shape.E3:
        inner = compact(error_body(Shape.E2, status, name, message))
        return {"Message": inner, "ExceptionMessage": ""}
    stamp = f"{now:%m/%d/%Y %H:%M:%S}"
    if shape is Shape.E4:
        text = (
            f"Error: {status} ErrorCode: {name}\n"
            f"Message: {message}\nTimestamp: {stamp}\nTracking ID: "
        )
        return {"Message": f"ErrorCode:{name};{text}", "ExceptionMessage": ""}
    return {
        "Message": f"ErrorCode:{name};{message}",
        "ExceptionMessage": f"Tracking ID:{tracking_id}-G:0-TimeStamp:{stamp}",
    }
