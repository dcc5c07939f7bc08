"""How the hub says no: its error codes, and which shape of body goes with a refusal.

The hub has no single error format. Which shape an operation uses was recorded from a live hub
(api-version 2021-04-12); codes and names are those of the learn page on IoT Hub errors.
"""

from __future__ import annotations

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
    EtagDoesNotMatch = 400023
    ManagedIdentityNotEnabled = 400032
    IotHubNotFound = 401001
    IotHubUnauthorizedAccess = 401002
    IotHubUnauthorized = 401003
    SystemModuleModifyUnauthorizedAccess = 401100
    IotHubSuspended = 403001
    IotHubQuotaExceeded = 403002
    JobQuotaExceeded = 403003
    OperationNotAvailableInCurrentTier = 403010
    DeviceNotFound = 404001
    JobNotFound = 404002
    ModuleNotFound = 404010
    IotHubFailingOver = 404012
    #: Its number is not published, nor that of ConfigurationAlreadyExists.
    ConfigurationNotFound = 404301
    DeviceAlreadyExists = 409001
    ModuleAlreadyExistsOnDevice = 409301
    ConfigurationAlreadyExists = 409302
    PreconditionFailed = 412001
    TooManyDevices = 413002
    TooManyModulesOnDevice = 413003
    ThrottlingBacklogTimeout = 429003
    ServerError = 500001

    @property
    def status(self) -> int:
        return self.value // 1000


class Shape(StrEnum):
    """The forms of an error body seen on live hubs."""

    #: Most registry errors: code and text in one string, tracking id in ``ExceptionMessage``.
    E1 = "E1"
    #: Module paths and newer ones: numeric code and text in members of their own.
    E2 = "E2"
    #: An E2 document as a string inside an E1 document.
    E3 = "E3"
    #: Jobs: an E1 document with a text of several lines and an empty ``ExceptionMessage``.
    E4 = "E4"
    #: Gateways: no JSON at all.
    E7 = "E7"


class HubError(Exception):
    """A refusal, either of a request or of one line of a file."""

    def __init__(self, code: ErrorCode, message: str, shape: Shape = Shape.E1) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.shape = shape
