"""Bulk requests: up to 100 import lines in one request."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from iothub_emulator import HubEmulator
from iothub_emulator.errors import ErrorCode
from iothub_emulator.registry.registry import Limits
from tests.emulator.support import HubClient, StartHub, error_code, stored

SUCCESS = {"isSuccessful": True, "errors": [], "warnings": []}
STALE = "c3RhbGU="


def bulk(client: HubClient, *lines: dict[str, Any]) -> requests.Response:
    return client.send("POST", "/devices", lines)


def only_error(response: requests.Response) -> dict[str, Any]:
    assert response.status_code == 400
    result = response.json()
    assert (result["isSuccessful"], result["warnings"]) == (False, [])
    [error] = result["errors"]
    assert isinstance(error, dict)
    return error


def test_lines_are_applied_in_order(hub: HubEmulator, client: HubClient) -> None:
    response = bulk(
        client,
        {"id": "pump", "importMode": "create", "status": "disabled", "tags": {"site": "north"}},
        {"id": "pump", "moduleId": "sensor", "properties": {"desired": {"rate": 5}}},
        {"id": "valve"},
    )

    assert response.status_code == 200
    assert response.json() == SUCCESS
    assert stored(hub.registry, "pump")["status"] == "disabled"
    assert stored(hub.registry, "pump")["tags"] == {"site": "north"}
    assert stored(hub.registry, "pump", "sensor")["properties"]["desired"] == {"rate": 5}
    assert stored(hub.registry, "valve")["status"] == "enabled", "an omitted property is kept"


@pytest.mark.parametrize(
    ("mode", "if_absent", "if_present"),
    [
        (None, None, None),
        ("createOrUpdate", None, None),
        ("create", None, "DeviceAlreadyExists"),
        ("update", "DeviceNotFound", None),
        ("updateIfMatchETag", "DeviceNotFound", None),
        ("createOrUpdateIfMatchETag", None, None),
        ("delete", "DeviceNotFound", None),
        ("deleteIfMatchETag", "DeviceNotFound", None),
        ("updateTwin", "DeviceNotFound", None),
        ("updateTwinIfMatchETag", "DeviceNotFound", None),
    ],
)
def test_all_import_modes(
    hub: HubEmulator,
    client: HubClient,
    mode: str | None,
    if_absent: str | None,
    if_present: str | None,
) -> None:
    hub.registry.put({"id": "there"})
    there = stored(hub.registry, "there")
    if mode is None or not mode.endswith("IfMatchETag"):
        there["eTag"] = None

    for device_id, expected in [("absent", if_absent), ("there", if_present)]:
        etags = {"eTag": there["eTag"], "twinETag": there["twinETag"]}
        response = bulk(client, {"id": device_id, "importMode": mode, "tags": {"a": 1}, **etags})
        if expected is None:
            assert response.json() == SUCCESS
        else:
            assert only_error(response)["errorCode"] == ErrorCode[expected]
    deleted = mode in ("delete", "deleteIfMatchETag")
    assert (hub.registry.get("there") is None) == deleted


def test_a_rejected_line_does_not_affect_others(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    response = bulk(
        client,
        {"id": "a b"},
        {"id": "pump", "importMode": "create"},
        {"id": "pump", "moduleId": "sensor", "importMode": "update"},
        {"id": "valve"},
    )

    assert response.status_code == 400
    assert response.headers["IotHubErrorCode"] == "BulkRegistryOperationFailure"
    assert response.json() == {
        "isSuccessful": False,
        "errors": [
            {
                "deviceId": "a b",
                "errorCode": int(ErrorCode.ArgumentInvalid),
                "errorStatus": "The device identifier a b is invalid.",
            },
            {
                "deviceId": "pump",
                "errorCode": int(ErrorCode.DeviceAlreadyExists),
                "errorStatus": "A device with ID 'pump' is already registered.",
            },
            {
                "deviceId": "pump",
                "moduleId": "sensor",
                "errorCode": int(ErrorCode.ModuleNotFound),
                "errorStatus": "pump/sensor",
            },
        ],
        "warnings": [],
    }
    assert hub.registry.get("valve") is not None


@pytest.mark.parametrize("mode", ["updateIfMatchETag", "deleteIfMatchETag"])
def test_a_stale_etag_is_an_error(hub: HubEmulator, client: HubClient, mode: str) -> None:
    hub.registry.put({"id": "pump"})
    before = stored(hub.registry, "pump")
    error = only_error(bulk(client, {"id": "pump", "importMode": mode, "eTag": STALE}))

    assert (error["deviceId"], error["errorCode"]) == ("pump", ErrorCode.PreconditionFailed)
    assert stored(hub.registry, "pump") == before


def test_a_twin_requires_its_own_etag(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})
    line = {"id": "pump", "importMode": "updateTwinIfMatchETag", "twinETag": "AAAAAAAAAAk="}

    assert only_error(bulk(client, line))["errorCode"] == ErrorCode.PreconditionFailed


@pytest.mark.parametrize("etag", [None, ""], ids=["none", "empty"])
@pytest.mark.parametrize(
    "mode",
    [
        *("updateIfMatchETag", "createOrUpdateIfMatchETag"),
        *("deleteIfMatchETag", "updateTwinIfMatchETag"),
    ],
)
def test_without_an_etag_every_device_matches(
    hub: HubEmulator, client: HubClient, mode: str, etag: str | None
) -> None:
    hub.registry.put({"id": "pump"})
    line = {"id": "pump", "importMode": mode, "eTag": etag, "twinETag": etag, "tags": {"a": 1}}

    assert bulk(client, line).json() == SUCCESS
    pump = hub.registry.get("pump")
    assert pump is None if mode == "deleteIfMatchETag" else pump and pump["tags"] == {"a": 1}


def test_an_etag_is_forbidden_in_a_creation(hub: HubEmulator, client: HubClient) -> None:
    error = only_error(bulk(client, {"id": "pump", "importMode": "create", "eTag": STALE}))

    assert error["errorCode"] == ErrorCode.ArgumentInvalid
    assert error["errorStatus"].startswith("The ETag should ")
    assert len(hub.registry) == 0


def test_a_request_with_an_identity_twice_is_refused(hub: HubEmulator, client: HubClient) -> None:
    """Modules differ from their devices, and ids are case-sensitive."""
    pump, sensor = {"id": "pump"}, {"id": "pump", "moduleId": "sensor"}
    assert bulk(client, pump, {"id": "Pump"}, sensor).json() == SUCCESS

    for twice in (pump, sensor):
        response = bulk(client, {"id": "valve"}, twice, {**twice, "status": "disabled"})
        assert error_code(response) == (400, "DeviceDefinedMultipleTimes")
        assert response.json()["Message"].endswith(", device ID pump")
    assert len(hub.registry) == 3


def test_100_devices_are_accepted(hub: HubEmulator, client: HubClient) -> None:
    lines = [{"id": f"pump-{number}"} for number in range(100)]

    assert bulk(client, *lines).json() == SUCCESS
    assert len(hub.registry) == 100


def test_more_than_100_devices_are_rejected(hub: HubEmulator, client: HubClient) -> None:
    lines = [{"id": f"pump-{number}"} for number in range(101)]

    assert error_code(bulk(client, *lines)) == (413, "TooManyDevices")
    assert len(hub.registry) == 0


@pytest.mark.parametrize(
    "body",
    [
        {"devices": [{"id": "pump"}]},
        "",
        "null",
        "[",
        [None],
        [{"id": "pump"}, {"status": "enabled"}],
        [{"id": "pump"}, {"id": "valve", "importMode": "merge"}],
        [{"id": "pump"}, {"id": "valve", "status": "sleepy"}],
    ],
    ids=["object", "empty", "null", "syntax", "null item", "no id", "mode", "status"],
)
def test_a_body_that_is_not_an_array_of_lines_is_rejected(
    hub: HubEmulator, client: HubClient, body: Any
) -> None:
    """Including the wrapper object of the REST documentation (live hub)."""
    assert error_code(client.send("POST", "/devices", body)) == (400, "GenericBadRequest")
    assert len(hub.registry) == 0


def test_devices_beyond_the_quota_are_errors(start_hub: StartHub) -> None:
    hub = start_hub(limits=Limits(identities=1))
    response = bulk(HubClient(hub.connection_string()), {"id": "pump"}, {"id": "valve"})

    error = only_error(response)
    assert (error["deviceId"], error["errorCode"]) == ("valve", ErrorCode.IotHubQuotaExceeded)


@pytest.mark.parametrize(
    ("policy", "is_allowed"),
    [("registryReadWrite", True), ("registryRead", False), ("service", False)],
)
def test_rights(hub: HubEmulator, policy: str, is_allowed: bool) -> None:
    response = bulk(HubClient(hub.connection_string(policy)), {"id": "pump"})

    assert response.status_code == (200 if is_allowed else 401)
    assert len(hub.registry) == is_allowed
