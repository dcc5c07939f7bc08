"""The error codes of a hub: what each means, and what to do. The one place for this knowledge.

The answer to a request, the failure reason of a job and importErrors.log use the same codes. Names
and numbers are those of learn, "Troubleshoot Azure IoT Hub error codes", and of the enum ErrorCode
of the service REST API. `shared.hub.refusals` finds the entry of a code.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BY_STATUS", "CODES", "LOCAL_AUTHENTICATION", "NO_TOKEN", "Refusal"]

ROLE = "IoT Hub Data Contributor"
POLICIES = "registryReadWrite or iothubowner"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A code of a hub, or an HTTP status without a code (its name is empty)."""

    #: Six digits, the HTTP status first; None if it is not published.
    number: int | None
    name: str
    #: What the hub means: a clause without a capital and a full stop.
    reason: str
    #: What to do: a clause of the same form.
    remedy: str

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
_OTHER_HUB = "use another hub, or create the devices with another tool"
_SLOW_DOWN = "wait a minute; if it persists, raise JOB_POLL_SECONDS, or find who else calls the hub"
_WAIT = "wait a few minutes; if it persists, check the hub's Resource Health in the Azure portal"
_CHANGED = "the device has changed since its eTag was read"
_NOT_NOW = "the state of the hub does not allow the operation"
_NO_BULK = "the hub does not support import jobs"
_BUSY = "another import or export job holds the hub's only job slot"
_UNAUTHORIZED = "the hub does not authorize the app"
_THROTTLED = "the hub throttles these calls"
_FAULT = "the hub has an internal error"
_UNAVAILABLE = "the hub is not available"

CODES = (
    Refusal(400000, "GenericBadRequest", "the request is malformed", _CORRECT),
    Refusal(400001, "InvalidProtocolVersion", "the hub does not support the API version", _VERSION),
    Refusal(400003, "InvalidOperation", "the operation is invalid", _CORRECT),
    Refusal(
        400004, "ArgumentInvalid", "an id, key, thumbprint or other value is invalid", _CORRECT
    ),
    Refusal(400005, "ArgumentNull", "a required value is missing", _CORRECT),
    Refusal(400006, "IotHubFormatError", "a value has the wrong format", _CORRECT),
    Refusal(
        400007,
        "DeviceStorageEntitySerializationError",
        "the hub cannot read the blob, or cannot store the device",
        "check that the hub can read the storage account, then correct the device that the hub's "
        "message names",
    ),
    Refusal(400008, "BlobContainerValidationError", "the hub cannot use the container", _STORAGE),
    Refusal(
        400009,
        "ImportWarningExistsError",
        "the hub has warnings about an import",
        "resolve the warnings that the hub's message names",
    ),
    Refusal(400010, "InvalidSchemaVersion", "the schema version is invalid", _VERSION),
    Refusal(400011, "DeviceDefinedMultipleTimes", "a device is repeated", "keep one of its lines"),
    Refusal(
        400012,
        "DeserializationError",
        "the hub cannot parse the line",
        "correct the property that the hub's message names",
    ),
    Refusal(
        400013,
        "BulkRegistryOperationFailure",
        "some devices of a bulk operation failed",
        "correct the devices that the hub's message names",
    ),
    Refusal(
        400023, "EtagDoesNotMatch", _CHANGED, "export the device again and use its current eTag"
    ),
    Refusal(
        400028,
        "InvalidDeviceScope",
        "a device scope is invalid",
        "correct deviceScope and parentScopes of the line",
    ),
    Refusal(400032, "ManagedIdentityNotEnabled", "the hub has no managed identity", _IDENTITY),
    Refusal(
        400035,
        "InvalidPolicyKey",
        "the key of the shared access policy is invalid",
        "copy the connection string of the policy from the hub to IOTHUB",
    ),
    Refusal(
        400301,
        "CannotRegisterModuleToModule",
        "a module cannot have modules",
        "set id to the id of a device",
    ),
    Refusal(
        401001,
        "IotHubNotFound",
        "there is no hub with this host name",
        "correct the host name in IOTHUB; if the hub was deleted, remove it from IOTHUB",
    ),
    Refusal(401002, "IotHubUnauthorizedAccess", _UNAUTHORIZED, _GRANT),
    Refusal(401003, "IotHubUnauthorized", _UNAUTHORIZED, _GRANT),
    Refusal(
        401100,
        "SystemModuleModifyUnauthorizedAccess",
        "the hub manages $edgeAgent and $edgeHub itself",
        "remove their lines; the hub creates these modules with the edge device",
    ),
    Refusal(
        403001,
        "IotHubSuspended",
        "the hub is suspended",
        "reactivate the hub's subscription in the Azure portal, or contact Azure support",
    ),
    Refusal(
        403002,
        "IotHubQuotaExceeded",
        "the hub has reached its quota of devices or of messages per day",
        f"{_QUOTA}; the quota of messages is reset at 00:00 UTC",
    ),
    Refusal(403003, "JobQuotaExceeded", _BUSY, "wait until that job has ended"),
    Refusal(
        403010,
        "OperationNotAvailableInCurrentTier",
        "the tier of the hub does not include the operation",
        "upgrade the hub to a standard tier (S1, S2 or S3); a free hub cannot be upgraded, so use "
        "another hub",
    ),
    Refusal(
        404001,
        "DeviceNotFound",
        "the device does not exist",
        "create the device first, or use importMode createOrUpdate",
    ),
    Refusal(
        404002,
        "JobNotFound",
        "the hub does not know the job",
        "compare some of the devices with the hub",
    ),
    Refusal(
        404010,
        "ModuleNotFound",
        "the module does not exist",
        "create the module first, or use importMode createOrUpdate",
    ),
    Refusal(404012, "IotHubFailingOver", "the hub is failing over to another region", _WAIT),
    Refusal(405102, "OperationNotAllowedInCurrentState", _NOT_NOW, _WAIT),
    Refusal(405103, "ImportDevicesNotSupported", _NO_BULK, _OTHER_HUB),
    Refusal(405104, "BulkAddDevicesNotSupported", _NO_BULK, _OTHER_HUB),
    Refusal(
        409001,
        "DeviceAlreadyExists",
        "the device exists",
        "use importMode createOrUpdate or update for devices that exist",
    ),
    Refusal(409104, "JobAlreadyExists", "a job with this id exists", "wait until it has ended"),
    Refusal(
        409301,
        "ModuleAlreadyExistsOnDevice",
        "the module exists",
        "use importMode createOrUpdate or update for modules that exist",
    ),
    Refusal(
        412001,
        "PreconditionFailed",
        _CHANGED,
        "export the device again and use its current eTag or twinETag",
    ),
    Refusal(
        412003,
        "JobRunPreconditionFailed",
        "a condition for the job is not met",
        "meet the condition that the hub's message names",
    ),
    Refusal(413002, "TooManyDevices", "the hub has reached its limit of devices", _QUOTA),
    Refusal(
        413003,
        "TooManyModulesOnDevice",
        "the device has reached its limit of 50 modules",
        "remove modules of the device",
    ),
    Refusal(429000, "GenericTooManyRequests", _THROTTLED, _SLOW_DOWN),
    Refusal(429001, "ThrottlingException", _THROTTLED, _SLOW_DOWN),
    Refusal(429002, "ThrottleBacklogLimitExceeded", _THROTTLED, _SLOW_DOWN),
    Refusal(429003, "ThrottlingBacklogTimeout", _THROTTLED, _SLOW_DOWN),
    Refusal(429004, "ThrottlingMaxActiveJobCountExceeded", _THROTTLED, _SLOW_DOWN),
    Refusal(429005, "DeviceThrottlingLimitExceeded", _THROTTLED, _SLOW_DOWN),
    Refusal(500001, "ServerError", _FAULT, _WAIT),
    Refusal(500002, "JobCancelled", "the job was cancelled", "ask who cancelled it"),
    Refusal(500008, "GenericTimeout", "the hub did not finish the operation in time", _WAIT),
    Refusal(
        500401,
        "UnableToFetchCredentials",
        "the hub cannot get a token for its managed identity",
        _IDENTITY,
    ),
    Refusal(502000, "GenericBadGateway", _UNAVAILABLE, _WAIT),
    Refusal(503000, "GenericServiceUnavailable", _UNAVAILABLE, _WAIT),
    Refusal(503001, "ServiceUnavailable", _UNAVAILABLE, _WAIT),
    Refusal(503003, "PartitionNotFound", _UNAVAILABLE, _WAIT),
    Refusal(503004, "IotHubActivationFailed", "the activation of the hub failed", _WAIT),
    Refusal(503005, "ServerBusy", "the hub is busy", _WAIT),
    Refusal(503006, "IotHubRestoring", "the hub is being restored", _WAIT),
    Refusal(504000, "GenericGatewayTimeout", "the hub did not answer in time", _WAIT),
    Refusal(504101, "GatewayTimeout", "the hub did not answer in time", _WAIT),
    Refusal(None, "ImportExportJobQuotaExceeded", _BUSY, "wait until that job has ended"),
    Refusal(
        None,
        "InvalidBlobState",
        "a blob of the import's container is in the wrong state",
        "check who else writes into the container of the import",
    ),
    Refusal(
        None,
        "AzureStorageTimeout",
        "the storage account did not answer the hub in time",
        "check the storage account's Resource Health in the Azure portal",
    ),
)

#: For an answer without a known code, by its HTTP status.
BY_STATUS = {
    400: Refusal(None, "", "the hub rejects the request", _CORRECT),
    401: Refusal(None, "", _UNAUTHORIZED, _GRANT),
    403: Refusal(None, "", _UNAUTHORIZED, _GRANT),
    404: Refusal(
        None,
        "",
        "the hub does not know the address",
        "check the host name in IOTHUB, and IOTHUB_API_VERSION",
    ),
    429: Refusal(None, "", _THROTTLED, _SLOW_DOWN),
    500: Refusal(None, "", _FAULT, _WAIT),
}

#: For a 401 to a request that was signed with the key of a connection string.
LOCAL_AUTHENTICATION = Refusal(
    None,
    "",
    "the hub rejects the connection string: its key or policy is wrong, or local authentication is "
    "disabled on the hub, which is the default of newer tools",
    "use the app's managed identity: set IOTHUB to the host name of the hub and grant the identity "
    f"the role {ROLE} on the hub; or enable local authentication on the hub and use a connection "
    f"string of the policy {POLICIES} in IOTHUB",
)

#: For a request that was not sent, because Microsoft Entra ID gave no token.
NO_TOKEN = Refusal(
    None,
    "",
    "the app has no token of Microsoft Entra ID",
    "enable the app's managed identity; if it is user-assigned, set IOTHUB_CLIENT_ID to its client "
    "id",
)
