"""Each documented error code has a reason and a remedy, independent of its source."""

from __future__ import annotations

import json

import pytest

from shared.hub.error_codes import (
    BY_STATUS,
    EXPLANATIONS,
    LOCAL_AUTHENTICATION,
    NO_TOKEN,
    Explanation,
)
from shared.hub.exceptions import HubError, HubUnauthorizedError, error_from_response
from shared.hub.explain import (
    code_label,
    code_name,
    explain,
    explain_text,
    remedy_of,
)

#: Microsoft's list of error codes (January 2026), the enum of the service REST API and the C# SDK,
#: as far as they concern registries and jobs.
DOCUMENTED = {
    400000: "GenericBadRequest",
    400001: "InvalidProtocolVersion",
    400003: "InvalidOperation",
    400004: "ArgumentInvalid",
    400005: "ArgumentNull",
    400006: "IotHubFormatError",
    400007: "DeviceStorageEntitySerializationError",
    400008: "BlobContainerValidationError",
    400009: "ImportWarningExistsError",
    400010: "InvalidSchemaVersion",
    400011: "DeviceDefinedMultipleTimes",
    400012: "DeserializationError",
    400013: "BulkRegistryOperationFailure",
    400023: "EtagDoesNotMatch",
    400028: "InvalidDeviceScope",
    400032: "ManagedIdentityNotEnabled",
    400035: "InvalidPolicyKey",
    400301: "CannotRegisterModuleToModule",
    401001: "IotHubNotFound",
    401002: "IotHubUnauthorizedAccess",
    401003: "IotHubUnauthorized",
    401100: "SystemModuleModifyUnauthorizedAccess",
    403001: "IotHubSuspended",
    403002: "IotHubQuotaExceeded",
    403003: "JobQuotaExceeded",
    403010: "OperationNotAvailableInCurrentTier",
    404001: "DeviceNotFound",
    404002: "JobNotFound",
    404010: "ModuleNotFound",
    404012: "IotHubFailingOver",
    405102: "OperationNotAllowedInCurrentState",
    405103: "ImportDevicesNotSupported",
    405104: "BulkAddDevicesNotSupported",
    409001: "DeviceAlreadyExists",
    409104: "JobAlreadyExists",
    409301: "ModuleAlreadyExistsOnDevice",
    412001: "PreconditionFailed",
    412003: "JobRunPreconditionFailed",
    413002: "TooManyDevices",
    413003: "TooManyModulesOnDevice",
    429000: "GenericTooManyRequests",
    429001: "ThrottlingException",
    429002: "ThrottleBacklogLimitExceeded",
    429003: "ThrottlingBacklogTimeout",
    429004: "ThrottlingMaxActiveJobCountExceeded",
    429005: "DeviceThrottlingLimitExceeded",
    500001: "ServerError",
    500002: "JobCancelled",
    500008: "GenericTimeout",
    500401: "UnableToFetchCredentials",
    502000: "GenericBadGateway",
    503000: "GenericServiceUnavailable",
    503001: "ServiceUnavailable",
    503003: "PartitionNotFound",
    503004: "IotHubActivationFailed",
    503005: "ServerBusy",
    503006: "IotHubRestoring",
    504000: "GenericGatewayTimeout",
    504101: "GatewayTimeout",
}
#: Names whose numbers are not published.
UNNUMBERED = {"InvalidBlobState", "AzureStorageTimeout", "ImportExportJobQuotaExceeded"}

KEY = "bWFkZS11cC1rZXktZm9yLXRlc3RzLW9ubHk="
ENTRIES = (*EXPLANATIONS.values(), *BY_STATUS.values(), LOCAL_AUTHENTICATION, NO_TOKEN)


@pytest.mark.parametrize(("number", "name"), DOCUMENTED.items())
def test_each_documented_code_has_an_entry(number: int, name: str) -> None:
    assert code_name(number) == code_name(str(number)) == code_name(name) == name
    assert code_label(name) == f"{number} {name}"
    refusal = explain(name)
    assert refusal is not None
    assert (refusal.number, refusal.name) == (number, name)
    assert refusal.reason
    assert refusal.remedy == remedy_of(name)


def test_each_code_has_exactly_one_entry() -> None:
    assert len(EXPLANATIONS.values()) == len(EXPLANATIONS)
    assert EXPLANATIONS.keys() == {*DOCUMENTED.values(), *UNNUMBERED}
    assert all(code_label(name) == name for name in UNNUMBERED)


@pytest.mark.parametrize("refusal", ENTRIES, ids=lambda refusal: refusal.label or "no code")
def test_an_entry_is_two_sentences(refusal: Explanation) -> None:
    for clause in (refusal.reason, refusal.remedy):
        assert clause[0].islower() or clause[0] == "$"
        assert clause[-1] not in ".;: "
    assert str(refusal).endswith(f"{refusal.remedy[1:]}.")


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (400, "the hub rejects the request"),
        (401, "the hub does not authorize the app"),
        (403, "the hub does not authorize the app"),
        (404, "the hub does not know the address"),
        (418, "the hub rejects the request"),
        (429, "the hub throttles these calls"),
        (500, "the hub has an internal error"),
        (599, "the hub has an internal error"),
    ],
)
def test_an_unknown_code_is_classified_by_its_status(status: int, reason: str) -> None:
    for name in ("", "SomethingNew", f"{status}999"):
        refusal = explain(name, status)
        assert refusal is not None
        assert refusal.reason == reason
    assert explain(f"{status}999") == explain("", status)


@pytest.mark.parametrize("name", ["", "SomethingNew", "7", "999999", "000000", "\u0664" * 6])
def test_other_text_has_no_explanation(name: str) -> None:
    assert explain(name) is None
    assert remedy_of(name) == ""


def test_an_unknown_code_is_shown_with_its_message_without_keys() -> None:
    body = json.dumps({"errorCode": 400999, "message": f"New rule; primaryKey={KEY}"})
    error = error_from_response(400, {}, body)
    assert str(error) == "HTTP 400 400999: New rule; primaryKey=REDACTED"
    assert isinstance(error, HubError)
    assert error.explanation == BY_STATUS[400]
    assert code_label(code_name(400999)) == "400999"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("ErrorCode:BlobContainerValidationError;Unauthorized to write", "BlobContainerValidation"),
        ("Error: 403 ErrorCode: IotHubSuspended", "IotHubSuspended"),
        ("failed with error code 400032.", "ManagedIdentityNotEnabled"),
        ('{"errorCode":403010,"message":"?"}', "OperationNotAvailableInCurrentTier"),
        ("IH400007: unable to access blob", "DeviceStorageEntitySerializationError"),
        ("SomethingNew, then InvalidBlobState", "InvalidBlobState"),
    ],
)
def test_a_code_in_a_failure_reason(text: str, name: str) -> None:
    refusal = explain_text(text)
    assert refusal is not None
    assert refusal.name.startswith(name)


@pytest.mark.parametrize(
    "text", ["", "400004 devices were read", "error code 400999", "MyServerErrors", "Odd: 403001"]
)
def test_no_code_in_a_failure_reason(text: str) -> None:
    assert explain_text(text) is None


@pytest.mark.parametrize("name", ["IotHubUnauthorized", "IotHubUnauthorizedAccess", "", "New"])
def test_a_401_for_a_connection_string_mentions_disabled_local_authentication(name: str) -> None:
    headers = {"iothub-errorcode": name}
    signed = error_from_response(401, headers, "", is_signed=True)
    assert isinstance(signed, HubUnauthorizedError)
    assert signed.explanation == LOCAL_AUTHENTICATION
    by_entra_id = error_from_response(401, headers, "")
    assert isinstance(by_entra_id, HubUnauthorizedError)
    assert by_entra_id.explanation is not None
    assert by_entra_id.explanation.awaits_role


@pytest.mark.parametrize("is_signed", [True, False])
def test_a_specific_code_has_precedence_over_401(is_signed: bool) -> None:
    headers = {"iothub-errorcode": "IotHubNotFound"}
    error = error_from_response(401, headers, "", is_signed=is_signed)
    assert isinstance(error, HubError)
    assert error.explanation == EXPLANATIONS["IotHubNotFound"]


def test_a_missing_token_is_not_reported_as_a_missing_role() -> None:
    assert HubUnauthorizedError("No Entra ID token for the hub: x").explanation == NO_TOKEN
    assert not NO_TOKEN.awaits_role
