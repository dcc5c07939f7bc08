"""Shared access signatures and api-versions."""

from __future__ import annotations

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.auth.sas import CLOCK_SKEW
from tests.emulator.support import HubClient, StartHub, error_code, sas_token

WRONG_KEY = "d3Jvbmcga2V5IHdyb25nIGtleSB3cm9uZyBrZXk="


def status(client: HubClient, authorization: str) -> tuple[int, str]:
    return error_code(client.send("GET", "/jobs", headers={"Authorization": authorization}))


def test_error_responses_have_the_format_of_the_hub(client: HubClient) -> None:
    response = client.send("GET", "/jobs", headers={"Authorization": ""})

    assert error_code(response) == (401, "IotHubUnauthorized")
    assert response.json()["Message"] == "ErrorCode:IotHubUnauthorized;Authorization header missing"
    assert response.json()["ExceptionMessage"].startswith("Tracking ID:")
    assert response.headers["x-ms-request-id"]


@pytest.mark.parametrize("authorization", ["", "Basic x"])
def test_no_token(client: HubClient, authorization: str) -> None:
    assert status(client, authorization) == (401, "IotHubUnauthorized")


@pytest.mark.parametrize("token", ["Bearer \xe9", "SharedAccessSignature sr=\xe9&sig=x&se=1"])
def test_token_that_is_not_ascii(client: HubClient, token: str) -> None:
    assert status(client, f"{token}&skn=iothubowner") == (401, "IotHubUnauthorizedAccess")


def test_wrong_key(client: HubClient) -> None:
    token = sas_token(client.host, "iothubowner", WRONG_KEY)
    response = client.send("GET", "/jobs", headers={"Authorization": token})

    assert error_code(response) == (401, "IotHubUnauthorizedAccess")
    assert response.json()["Message"] == "ErrorCode:IotHubUnauthorizedAccess;Unauthorized"


def test_key_of_another_policy(hub: HubEmulator, client: HubClient) -> None:
    key = HubClient(hub.connection_string("service")).parts["SharedAccessKey"]
    token = sas_token(client.host, "iothubowner", key)
    assert status(client, token) == (401, "IotHubUnauthorizedAccess")


def test_unknown_policy(client: HubClient) -> None:
    token = sas_token(client.host, "nobody", client.parts["SharedAccessKey"])
    assert status(client, token) == (401, "IotHubUnauthorizedAccess")


@pytest.mark.parametrize("broken", ["sr", "sig", "se", "skn"])
def test_token_without_a_part(client: HubClient, broken: str) -> None:
    scheme, _, fields = client.token().partition(" ")
    kept = [field for field in fields.split("&") if not field.startswith(f"{broken}=")]
    assert status(client, f"{scheme} {'&'.join(kept)}") == (401, "IotHubUnauthorizedAccess")


def test_changed_expiry(client: HubClient) -> None:
    token = client.token().replace("&se=1", "&se=2")
    assert status(client, token) == (401, "IotHubUnauthorizedAccess")


def test_expired_token(client: HubClient) -> None:
    assert status(client, client.token(expires_in=-CLOCK_SKEW - 5)) == (
        401,
        "IotHubUnauthorizedAccess",
    )
    within_skew = {"Authorization": client.token(expires_in=-5)}
    assert client.send("GET", "/jobs", headers=within_skew).status_code == 200


@pytest.mark.parametrize("suffix", ["0", "x", ".example/jobs"])
def test_token_for_another_host(client: HubClient, suffix: str) -> None:
    assert status(client, client.token(client.host + suffix)) == (401, "IotHubUnauthorizedAccess")


@pytest.mark.parametrize("suffix", ["", "/", "/jobs", "/JOBS/", "/devices/query"])
def test_token_for_any_path(client: HubClient, suffix: str) -> None:
    """Azure IoT Explorer signs one path for all its requests."""
    headers = {"Authorization": client.token(client.host + suffix)}
    assert client.send("GET", "/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("policy", "path", "permitted"),
    [
        ("iothubowner", "/jobs", True),
        ("registryReadWrite", "/jobs", True),
        ("registryRead", "/jobs", False),
        ("service", "/jobs", False),
        ("device", "/jobs", False),
        ("registryRead", "/devices", True),
        ("service", "/devices", False),
        ("service", "/twins/pump", True),
        ("registryReadWrite", "/twins/pump", False),
    ],
)
def test_rights_of_policies(hub: HubEmulator, policy: str, path: str, permitted: bool) -> None:
    hub.registry.put({"id": "pump"})
    response = HubClient(hub.connection_string(policy)).send("GET", path)

    assert response.status_code == (200 if permitted else 401)
    if not permitted:
        assert error_code(response) == (401, "IotHubUnauthorized")
        assert response.json()["Message"] == (
            "ErrorCode:IotHubUnauthorized;"
            f"Authorization rule '{policy}' does not allow access for '{path}'"
        )


def test_reader_cannot_write(hub: HubEmulator) -> None:
    reader = HubClient(hub.connection_string("registryRead"))

    assert reader.send("PUT", "/devices/pump", {}).status_code == 401
    assert reader.create_job({}).status_code == 401


def test_local_auth_can_be_disabled(start_hub: StartHub) -> None:
    hub = start_hub(local_auth=False)
    client = HubClient(hub.connection_string())

    assert status(client, client.token()) == (401, "IotHubUnauthorizedAccess")
    assert status(client, "") == (401, "IotHubUnauthorized")
    headers = {"Authorization": f"Bearer {hub.token()}"}
    assert client.send("GET", "/jobs", headers=headers).status_code == 200


@pytest.mark.parametrize("query", ["", "?api-version=", "?api-version=2099-01-01"])
def test_unknown_api_version(client: HubClient, query: str) -> None:
    response = client.send("GET", "/jobs", query=query)
    assert error_code(response) == (400, "InvalidProtocolVersion")


@pytest.mark.parametrize("version", ["2018-06-30", "2020-05-31-preview", "2024-03-31"])
def test_known_api_version(client: HubClient, version: str) -> None:
    assert client.send("GET", "/jobs", query=f"?api-version={version}").status_code == 200


def test_unknown_policy_has_no_connection_string(hub: HubEmulator) -> None:
    with pytest.raises(KeyError, match="nobody"):
        hub.connection_string("nobody")
