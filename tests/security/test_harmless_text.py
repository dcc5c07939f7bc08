"""Redaction keeps codes, ids, dates, addresses and prose."""

from __future__ import annotations

import re
from datetime import datetime

import pytest
from azure.data.tables import TableErrorCode
from azure.storage.blob import StorageErrorCode
from hypothesis import given
from hypothesis import strategies as st

from shared.redaction import redact

#: Symbolic error codes of hubs, Storage and libraries.
CODES = re.findall(
    r"\w+",
    """
    GenericBadRequest InvalidProtocolVersion InvalidOperation InvalidPolicyKey ArgumentInvalid
    StringIsNotThumbprint DeviceAuthenticationTypeIsMissing ArgumentNull IotHubFormatError
    DeviceStorageEntitySerializationError BlobContainerValidationError ImportWarningExistsError
    InvalidSchemaVersion DeviceDefinedMultipleTimes DeserializationError
    BulkRegistryOperationFailure EtagDoesNotMatch InvalidDeviceScope ManagedIdentityNotEnabled
    CannotRegisterModuleToModule IotHubNotFound IotHubUnauthorizedAccess IotHubUnauthorized
    SystemModuleModifyUnauthorizedAccess IotHubSuspended IotHubQuotaExceeded JobQuotaExceeded
    OperationNotAvailableInCurrentTier ImportExportJobQuotaExceeded DeviceNotFound JobNotFound
    ModuleNotFound OperationNotAllowedInCurrentState ImportDevicesNotSupported
    BulkAddDevicesNotSupported DeviceAlreadyExists JobAlreadyExists ModuleAlreadyExistsOnDevice
    PreconditionFailed JobRunPreconditionFailed TooManyDevices TooManyModulesOnDevice
    GenericTooManyRequests ThrottlingException ThrottleBacklogLimitExceeded
    ThrottlingBacklogTimeout ThrottlingMaxActiveJobCountExceeded DeviceThrottlingLimitExceeded
    ServerError JobCancelled GenericTimeout UnableToFetchCredentials GenericBadGateway
    ServiceUnavailable PartitionNotFound IotHubActivationFailed ServerBusy IotHubRestoring
    IotHubFailingOver InvalidBlobState AzureStorageTimeout DeviceRegisteredWithoutTwin
    AuthorizationPermissionMismatch InsufficientAccountPermissions
    KeyBasedAuthenticationNotPermitted ClientAuthenticationError ServiceRequestTimeoutError
    createOrUpdateIfMatchETag updateTwinIfMatchETag defaultToOAuthAuthentication
    IoTHubConfigurationManager ContainerCpkScopeInfo ErrorDocument404Path
    """,
)
CODES += sorted({code.value for code in (*StorageErrorCode, *TableErrorCode)})

#: Other text without secrets.
HARMLESS = [
    "import-0123456789abcdef01234567",
    "import-0123456789abcdef01234567-2/devices-1-0123456789ab.txt",
    "5c4d1a5e-9d1f-4b0a-8a51-0c5d6e7f8091",
    "5C4D1A5E-9D1F-4B0A-8A51-0C5D6E7F8091",
    "Tracking ID:0f1e2d3c4b5a69788796a5b4c3d2e1f0-G:0-TimeStamp:08/15/2026 10:11:12",
    "Tracking ID: 5C4D1A5E9D1F4B0A8A510C5D6E7F8091-G:0",
    "RequestId:5c4d1a5e-701e-0042-1234-5f6a7b000000\nTime:2026-08-15T10:11:12.1234567Z",
    "AbCdEf0123456789AbCdEf0123456789AbCdEf01",
    "/subscriptions/5c4d1a5e-9d1f-4b0a-8a51-0c5d6e7f8091/resourceGroups/PumpsWest2/providers/"
    "Microsoft.ManagedIdentity/userAssignedIdentities/ImporterIdentity",
    "https://fleetdata001.blob.core.windows.net/uploads/Plant7/NorthWest/Building12/Pumps2026.csv",
    "https://fleet-west.azure-devices.net/jobs/create?api-version=2021-04-12",
    "http://127.0.0.1:10000/devstoreaccount1/import-0123456789abcdef01234567/importErrors.log",
    "/home/site/wwwroot/.python_packages/lib/site-packages/azure/core/pipeline/policies",
    "2026-08-15T10:11:12.123456+00:00",
    "20260815T101112Z-Export-NorthWest.ndjson",
    "My-Devices-2026-08-15_Plant7.ndjson.gz",
    "0x8DB1C2D3E4F5A6B",
    "JOB_STORAGE_AUTHENTICATION=identityBased",
    "HTTPSConnectionPool(host='fleet.azure-devices.net', port=443): Max retries exceeded",
    'Error converting value "X" to type \'System.Nullable`1[Microsoft.Azure.Devices.Cloud.'
    "AuthenticationType]'. Path 'authentication.symmetricKey.primaryKey', line 1, position 249.",
    "ms-azure-iot-edge://gateway-12-637012345678901234",
    "/subscriptions/5c4d1a5e-9d1f-4b0a-8a51-0c5d6e7f8091/resourceGroups/"
    "MC_rgAKS42prod_westeurope/providers/Microsoft.Devices/IotHubs/MyFleetHub2xProdEU",
    "fleetWest/DevicesBatchNo12of40.ndjson",
    "IMPORT_SETTING_FILE=/home/site/settings.json",
    "pumpA1 pumpB2 pumpC3 pumpD4 pumpE5",
    "Rejected: DeviceNotFound 404001, DeviceAlreadyExists 409001, ThrottlingException 429001",
    "AB12CD34 EF56GH78 IJ90KL12",
    "5c4d1a5e 9d1f4b0a 8a510c5d 6e7f8091",
    "Every import needs four lines from each file that fails there",
    "The quick Import Tool runs\nas Job 12 of the Hub West2 with IPv4 and SHA256 only",
]


@pytest.mark.parametrize("text", [*CODES, *HARMLESS])
def test_harmless_text_is_kept(text: str) -> None:
    assert redact(text) == text
    assert redact(f"the '{text}', or ({text})") == f"the '{text}', or ({text})"


segments = st.lists(
    st.sampled_from(["Plant", "North", "west", "Building", "pumps", "Valve", "Sensors", "Area"]),
    min_size=1,
    max_size=3,
).map("".join)
numbered = st.tuples(segments, st.integers(0, 99999)).map(lambda parts: f"{parts[0]}{parts[1]}")


@given(
    st.uuids(),
    st.binary(min_size=12, max_size=12),
    st.binary(min_size=20, max_size=20) | st.binary(min_size=32, max_size=32),
    st.lists(st.booleans(), min_size=64, max_size=64),
    st.datetimes(),
    st.lists(segments | numbered, min_size=1, max_size=8),
)
def test_ids_dates_and_addresses_are_kept(
    guid: object,
    import_id: bytes,
    thumbprint: bytes,
    capitals: list[bool],
    moment: datetime,
    path: list[str],
) -> None:
    signs = zip(thumbprint.hex(), capitals, strict=False)
    mixed = "".join(sign.upper() if capital else sign for sign, capital in signs)
    texts = [
        str(guid),
        str(guid).upper(),
        f"{guid}-G:0-TimeStamp:{moment:%m/%d/%Y %H:%M:%S}",
        f"import-{import_id.hex()}",
        thumbprint.hex(),
        thumbprint.hex().upper(),
        mixed,
        moment.isoformat(),
        f"https://fleet.blob.core.windows.net/import-{import_id.hex()}/{'/'.join(path)}.ndjson",
        f"/subscriptions/{guid}/resourceGroups/{path[0]}/providers/Microsoft.Devices/IotHubs/"
        f"{path[-1]}",
        "-".join(path),
    ]
    for text in texts:
        assert redact(text) == text
