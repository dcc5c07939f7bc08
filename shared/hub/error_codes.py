"""The error codes of a hub: what each means, and what to do.

The answer to a request, the failure reason of a job and importErrors.log use the same codes. Names
and numbers are those of learn, "Troubleshoot Azure IoT Hub error codes", and of the enum ErrorCode
of the service REST API. `shared.hub.explain` looks codes up in this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "BY_STATUS",
    "EXPLANATIONS",
    "LOCAL_AUTHENTICATION",
    "NO_TOKEN",
    "Explanation",
]

ROLE = "IoT Hub Data Contributor"
POLICIES = "registryReadWrite or iothubowner"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Reason and remedy of an error code, or of an HTTP status without a code."""

    #: What the hub means: a clause without a capital and a full stop.
    reason: str
    #: What to do: a clause of the same form.
    remedy: str
    #: "" for an HTTP status.
    name: str = ""
    #: Six digits, the HTTP status first; None if it is not published.
    number: int | None = None
    #: Whether the hub rejects the same line again until somebody changes the line or the device.
    persists: bool = False

    @property
    def label(self) -> str:
        """The name with its number, as in Microsoft's documentation: `403001 IotHubSuspended`."""
        return f"{self.number} {self.name}" if self.number else self.name

    @property
    def awaits_role(self) -> bool:
        """Whether a role assignment, which takes minutes to take effect, can resolve it."""
        return self.remedy in (_GRANT, _STORAGE)

    def __str__(self) -> str:
        """Reason and remedy as two sentences."""
        return " ".join(f"{part[0].upper()}{part[1:]}." for part in (self.reason, self.remedy))


_GRANT = (
    f"grant the app's identity the role {ROLE} on the hub (Registry Contributor does not allow "
    f"jobs), or use a connection string of the policy {POLICIES} in IOTHUB"
)
_STORAGE = (
    "allow the hub in the firewall of the storage account; with "
    "JOB_STORAGE_AUTHENTICATION=identityBased, grant the hub's managed identity the role Storage "
    "Blob Data Contributor; with keyBased, allow SAS on the storage account"
)
_IDENTITY = (
    "enable the hub's managed identity, or assign the one in JOB_STORAGE_IDENTITY to the hub, and "
    "grant it the role Storage Blob Data Contributor on the storage account; or set "
    "JOB_STORAGE_AUTHENTICATION to keyBased"
)
_VERSION = "set IOTHUB_API_VERSION to a version that the hub supports, such as 2021-04-12"
_CORRECT = "correct the value that the hub's message names"
_QUOTA = "add units to the hub, or remove devices"
_SLOW_DOWN = "wait a minute; if it persists, raise JOB_POLL_SECONDS, or find who else calls the hub"
_WAIT = "wait a few minutes; if it persists, check the hub's Resource Health in the Azure portal"
_CHANGED = "the device has changed since its eTag was read"
_UNAUTHORIZED = "the hub does not authorize the app"
_THROTTLED = "the hub throttles these calls"
_FAULT = "the hub has an internal error"

#: Reason, remedy, and the codes that share them: number and name, or a name without a number.
_TABLE: tuple[tuple[str, ...], ...] = (
    ("the request is malformed", _CORRECT, "400000 GenericBadRequest"),
    ("the hub does not support the API version", _VERSION, "400001 InvalidProtocolVersion"),
    ("the operation is invalid", _CORRECT, "400003 InvalidOperation"),
    ("an id, key, thumbprint or other value is invalid", _CORRECT, "400004 ArgumentInvalid"),
    ("a required value is missing", _CORRECT, "400005 ArgumentNull"),
    ("a value has the wrong format", _CORRECT, "400006 IotHubFormatError"),
    (
        "the hub cannot read the blob, or cannot store the device",
        "check that the hub can read the storage account, then correct the device that "
        "the hub's message names",
        "400007 DeviceStorageEntitySerializationError",
    ),
    ("the hub cannot use the container", _STORAGE, "400008 BlobContainerValidationError"),
    (
        "the hub has warnings about an import",
        "resolve the warnings that the hub's message names",
        "400009 ImportWarningExistsError",
    ),
    ("the schema version is invalid", _VERSION, "400010 InvalidSchemaVersion"),
    ("a device is repeated", "keep one of its lines", "400011 DeviceDefinedMultipleTimes"),
    (
        "the hub cannot parse the line",
        "correct the property that the hub's message names",
        "400012 DeserializationError",
    ),
    (
        "some devices of a bulk operation failed",
        "correct the devices that the hub's message names",
        "400013 BulkRegistryOperationFailure",
    ),
    (_CHANGED, "export the device again and use its current eTag", "400023 EtagDoesNotMatch"),
    (
        "a device scope is invalid",
        "correct deviceScope and parentScopes of the line",
        "400028 InvalidDeviceScope",
    ),
    ("the hub has no managed identity", _IDENTITY, "400032 ManagedIdentityNotEnabled"),
    (
        "the key of the shared access policy is invalid",
        "copy the connection string of the policy from the hub to IOTHUB",
        "400035 InvalidPolicyKey",
    ),
    (
        "a module cannot have modules",
        "set id to the id of a device",
        "400301 CannotRegisterModuleToModule",
    ),
    (
        "there is no hub with this host name",
        "correct the host name in IOTHUB; if the hub was deleted, remove it from IOTHUB",
        "401001 IotHubNotFound",
    ),
    (_UNAUTHORIZED, _GRANT, "401002 IotHubUnauthorizedAccess", "401003 IotHubUnauthorized"),
    (
        "the hub manages $edgeAgent and $edgeHub itself",
        "remove their lines; the hub creates these modules with the edge device",
        "401100 SystemModuleModifyUnauthorizedAccess",
    ),
    (
        "the hub is suspended",
        "reactivate the hub's subscription in the Azure portal, or contact Azure support",
        "403001 IotHubSuspended",
    ),
    (
        "the hub has reached its quota of devices or of messages per day",
        f"{_QUOTA}; the quota of messages is reset at 00:00 UTC",
        "403002 IotHubQuotaExceeded",
    ),
    (
        "another import or export job holds the hub's only job slot",
        "wait until that job has ended",
        "403003 JobQuotaExceeded",
        "ImportExportJobQuotaExceeded",
    ),
    (
        "the tier of the hub does not include the operation",
        "upgrade the hub to a standard tier (S1, S2 or S3); a free hub cannot be "
        "upgraded, so use another hub",
        "403010 OperationNotAvailableInCurrentTier",
    ),
    (
        "the device does not exist",
        "create the device first, or use importMode createOrUpdate; ignore it for a delete",
        "404001 DeviceNotFound",
    ),
    (
        "the hub does not know the job",
        "compare some of the devices with the hub",
        "404002 JobNotFound",
    ),
    (
        "the module does not exist",
        "create the module first, or use importMode createOrUpdate; ignore it for a delete",
        "404010 ModuleNotFound",
    ),
    ("the hub is failing over to another region", _WAIT, "404012 IotHubFailingOver"),
    (
        "the state of the hub does not allow the operation",
        _WAIT,
        "405102 OperationNotAllowedInCurrentState",
    ),
    (
        "the hub does not support import jobs",
        "use another hub, or create the devices with another tool",
        "405103 ImportDevicesNotSupported",
        "405104 BulkAddDevicesNotSupported",
    ),
    (
        "the device exists",
        "use importMode createOrUpdate or update for devices that exist",
        "409001 DeviceAlreadyExists",
    ),
    ("a job with this id exists", "wait until it has ended", "409104 JobAlreadyExists"),
    (
        "the module exists",
        "use importMode createOrUpdate or update for modules that exist",
        "409301 ModuleAlreadyExistsOnDevice",
    ),
    (
        _CHANGED,
        "export the device again and use its current eTag or twinETag",
        "412001 PreconditionFailed",
    ),
    (
        "a condition for the job is not met",
        "meet the condition that the hub's message names",
        "412003 JobRunPreconditionFailed",
    ),
    ("the hub has reached its limit of devices", _QUOTA, "413002 TooManyDevices"),
    (
        "the device has reached its limit of 50 modules",
        "remove modules of the device",
        "413003 TooManyModulesOnDevice",
    ),
    (
        _THROTTLED,
        _SLOW_DOWN,
        "429000 GenericTooManyRequests",
        "429001 ThrottlingException",
        "429002 ThrottleBacklogLimitExceeded",
        "429003 ThrottlingBacklogTimeout",
        "429004 ThrottlingMaxActiveJobCountExceeded",
        "429005 DeviceThrottlingLimitExceeded",
    ),
    (_FAULT, _WAIT, "500001 ServerError"),
    ("the job was cancelled", "ask who cancelled it", "500002 JobCancelled"),
    ("the hub did not finish the operation in time", _WAIT, "500008 GenericTimeout"),
    (
        "the hub cannot get a token for its managed identity",
        _IDENTITY,
        "500401 UnableToFetchCredentials",
    ),
    (
        "the hub is not available",
        _WAIT,
        "502000 GenericBadGateway",
        "503000 GenericServiceUnavailable",
        "503001 ServiceUnavailable",
        "503003 PartitionNotFound",
    ),
    ("the activation of the hub failed", _WAIT, "503004 IotHubActivationFailed"),
    ("the hub is busy", _WAIT, "503005 ServerBusy"),
    ("the hub is being restored", _WAIT, "503006 IotHubRestoring"),
    (
        "the hub did not answer in time",
        _WAIT,
        "504000 GenericGatewayTimeout",
        "504101 GatewayTimeout",
    ),
    (
        "a blob of the import's container is in the wrong state",
        "check who else writes into the container of the import",
        "InvalidBlobState",
    ),
    (
        "the storage account did not answer the hub in time",
        "check the storage account's Resource Health in the Azure portal",
        "AzureStorageTimeout",
    ),
)

#: Of these, the codes of lines that fail again: a retry as it is does not help.
_PERSISTENT = frozenset(
    {
        "GenericBadRequest",
        "InvalidOperation",
        "ArgumentInvalid",
        "ArgumentNull",
        "IotHubFormatError",
        "DeviceStorageEntitySerializationError",
        "DeviceDefinedMultipleTimes",
        "DeserializationError",
        "EtagDoesNotMatch",
        "InvalidDeviceScope",
        "CannotRegisterModuleToModule",
        "SystemModuleModifyUnauthorizedAccess",
        "DeviceNotFound",
        "ModuleNotFound",
        "DeviceAlreadyExists",
        "ModuleAlreadyExistsOnDevice",
        "PreconditionFailed",
    }
)


def _explanations() -> dict[str, Explanation]:
    entries = []
    for reason, remedy, *codes in _TABLE:
        for code in codes:
            number, _, name = code.rpartition(" ")
            known_number = int(number) if number else None
            persists = name in _PERSISTENT
            entries.append(Explanation(reason, remedy, name, known_number, persists))
    entries.sort(key=lambda entry: entry.number or 1_000_000)
    return {entry.name: entry for entry in entries}


#: The known codes by name, in the order of their numbers.
EXPLANATIONS: Mapping[str, Explanation] = _explanations()

#: For an answer without a known code, by its HTTP status.
BY_STATUS = {
    400: Explanation("the hub rejects the request", _CORRECT, persists=True),
    401: Explanation(_UNAUTHORIZED, _GRANT),
    403: Explanation(_UNAUTHORIZED, _GRANT),
    404: Explanation(
        "the hub does not know the address", "check the host name in IOTHUB, and IOTHUB_API_VERSION"
    ),
    429: Explanation(_THROTTLED, _SLOW_DOWN),
    500: Explanation(_FAULT, _WAIT),
}

#: For a 401 to a request that was signed with the key of a connection string.
LOCAL_AUTHENTICATION = Explanation(
    "the hub rejects the connection string: its key or policy is wrong, or local authentication is "
    "disabled on the hub, which is the default of newer tools",
    "use the app's managed identity: set IOTHUB to the host name of the hub and grant the identity "
    f"the role {ROLE} on the hub; or enable local authentication on the hub and use a connection "
    f"string of the policy {POLICIES} in IOTHUB",
)

#: For a request that was not sent, because Microsoft Entra ID gave no token.
NO_TOKEN = Explanation(
    "the app has no token of Microsoft Entra ID",
    "enable the app's managed identity; if it is user-assigned, set IOTHUB_CLIENT_ID to its client "
    "id",
)
