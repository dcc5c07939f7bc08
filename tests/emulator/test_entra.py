"""Bearer tokens of the emulator's issuer and of others, and permissions of roles."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import jwt
import pytest
import requests
from azure.core.exceptions import ClientAuthenticationError
from azure.identity import ClientSecretCredential, DefaultAzureCredential

from iothub_emulator import HubEmulator
from iothub_emulator.auth.sas import CLOCK_SKEW
from tests.emulator.support import DEADLINE, StartHub, error_code

TENANT = "99999999-8888-7777-6666-555555555555"
SCOPE = "https://iothubs.azure.net/.default"
ENTRA = "https://sts.windows.net/"


@pytest.fixture(scope="module")
def hub() -> Iterator[HubEmulator]:
    """One hub for all tests, which use different principals."""
    with HubEmulator(tls=True) as hub:
        hub.registry.put({"id": "pump"})
        yield hub


@pytest.fixture
def trusted(hub: HubEmulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make clients without a TLS option trust the hub's certificate."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(hub.ca_file))


def send(
    hub: HubEmulator, token: str, path: str = "/devices/pump", method: str = "GET"
) -> requests.Response:
    return requests.request(
        method,
        f"{hub.url}{path}?api-version=2021-04-12",
        headers={"Authorization": f"Bearer {token}"},
        verify=str(hub.ca_file) if hub.url.startswith("https:") else None,
        timeout=DEADLINE,
    )


def ask_for_token(hub: HubEmulator, form: dict[str, str]) -> requests.Response:
    return requests.post(
        f"{hub.url}/{TENANT}/oauth2/v2.0/token",
        data=form,
        verify=str(hub.ca_file),
        timeout=DEADLINE,
    )


def unsigned(**claims: Any) -> str:
    """A token of another issuer, with any signature."""
    now = int(time.time())
    known = {
        "iss": f"{ENTRA}{TENANT}/",
        "aud": "https://iothubs.azure.net",
        "nbf": now - 60,
        "exp": now + 600,
        "oid": "somebody",
        "tid": TENANT,
    }
    return jwt.encode(known | claims, "a secret of thirty-two bytes or more", "HS256")


def assert_refused(response: requests.Response) -> None:
    assert error_code(response) == (401, "IotHubUnauthorizedAccess")
    body = response.json()
    assert (body["errorCode"], body["message"]) == (401002, "Unauthorized access")


def test_own_token(hub: HubEmulator) -> None:
    assert send(hub, hub.token()).json()["deviceId"] == "pump"


def test_own_token_over_plain_http(start_hub: StartHub) -> None:
    hub = start_hub()
    assert send(hub, hub.token(), "/jobs").json() == []


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"expires_in": -5}, id="just expired"),
        pytest.param({"nbf": None, "iat": None}, id="no start"),
        pytest.param({"audience": "https://iothubs.azure.net/"}, id="slash"),
        pytest.param({"tenant_id": TENANT}, id="another tenant"),
    ],
)
def test_good_token(hub: HubEmulator, changes: dict[str, Any]) -> None:
    assert send(hub, hub.token(**changes)).status_code == 200


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"expires_in": -CLOCK_SKEW - 5}, id="expired"),
        pytest.param({"audience": "https://storage.azure.com"}, id="audience"),
        pytest.param({"iss": f"{ENTRA}{TENANT}/"}, id="issuer"),
        pytest.param({"tid": TENANT}, id="issuer of another tenant"),
        pytest.param({"exp": None}, id="no expiry"),
        pytest.param({"aud": None}, id="no audience"),
        pytest.param({"iss": None}, id="no issuer"),
        pytest.param({"oid": None}, id="no principal"),
    ],
)
def test_invalid_claims(hub: HubEmulator, changes: dict[str, Any]) -> None:
    assert_refused(send(hub, hub.token(**changes)))


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_token_of_a_fast_clock(hub: HubEmulator, claim: str) -> None:
    limit = time.time() + CLOCK_SKEW
    within: dict[str, Any] = {claim: limit - 60}
    beyond: dict[str, Any] = {claim: limit + 60}

    assert send(hub, hub.token(**within)).status_code == 200
    assert_refused(send(hub, hub.token(**beyond)))


def test_invalid_signature(hub: HubEmulator) -> None:
    header, claims, signature = hub.token().split(".")
    _, others, _ = hub.token("another").split(".")
    own = jwt.decode(hub.token(), options={"verify_signature": False})

    for token in (
        "",
        "x",
        f"{header}.{claims}.",
        f"{header}.{others}.{signature}",
        HubEmulator().token(),
        jwt.encode(own, "", "none"),
        unsigned(**own),
    ):
        assert_refused(send(hub, token))


def test_no_token_is_shown_or_logged(hub: HubEmulator, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="iothub_emulator")
    for token in (hub.token(), hub.token(audience="https://storage.azure.com")):
        response = send(hub, token)
        shown = response.text + "".join(record.getMessage() for record in caplog.records)
        assert "GET /devices/pump -> " in shown
        assert not any(part in shown for part in token.split("."))


@pytest.mark.parametrize(
    ("role", "permitted"),
    [
        ("IoT Hub Data Contributor", {"read", "delete", "twin", "jobs", "cancel"}),
        ("IoT Hub Data Reader", {"read", "twin", "jobs"}),
        ("IoT Hub Registry Contributor", {"read", "delete"}),
        ("IoT Hub Twin Contributor", {"twin"}),
        ("Owner", set()),
        ("Contributor", set()),
        (None, set()),
    ],
)
def test_roles(hub: HubEmulator, role: str | None, permitted: set[str]) -> None:
    principal = f"principal with {role}"
    hub.assign_role(principal, role)
    token = hub.token(principal)
    answers = {
        "read": send(hub, token, "/devices/pump"),
        "delete": send(hub, token, "/devices/unknown", "DELETE"),
        "twin": send(hub, token, "/twins/pump"),
        "jobs": send(hub, token, "/jobs"),
        "cancel": send(hub, token, "/jobs/unknown", "DELETE"),
    }

    assert {name for name, answer in answers.items() if answer.status_code != 401} == permitted
    for name in answers.keys() - permitted:
        assert error_code(answers[name]) == (401, "IotHubUnauthorized")


def test_missing_role_is_explained(hub: HubEmulator) -> None:
    hub.assign_role("somebody", "IoT Hub Registry Contributor")

    assert send(hub, hub.token("somebody"), "/jobs/7", "DELETE").json()["Message"] == (
        "ErrorCode:IotHubUnauthorized;Principal somebody is not authorized for DELETE on /jobs/7 "
        "due to no assigned permissions"
    )


def test_role_is_assigned_and_withdrawn(start_hub: StartHub) -> None:
    hub = start_hub(default_role=None)
    token = hub.token("somebody")

    assert send(hub, token, "/jobs").status_code == 401
    hub.assign_role("somebody", "IoT Hub Data Reader")
    assert send(hub, token, "/jobs").status_code == 200
    assert send(hub, hub.token("another"), "/jobs").status_code == 401
    hub.assign_role("somebody", None)
    assert send(hub, token, "/jobs").status_code == 401


def test_unknown_role(hub: HubEmulator) -> None:
    with pytest.raises(ValueError, match=r"unknown role 'Reader'.* IoT Hub Data Reader, IoT"):
        hub.assign_role("somebody", "Reader")
    with pytest.raises(ValueError, match="unknown role 'IoT Hub Data Owner'"):
        HubEmulator(default_role="IoT Hub Data Owner")


def test_other_issuers_are_trusted_on_demand(hub: HubEmulator, start_hub: StartHub) -> None:
    trusting = start_hub(trusted_issuers=["https://login.example/", ENTRA])

    assert_refused(send(hub, unsigned()))
    assert send(trusting, unsigned(), "/jobs").status_code == 200
    assert send(trusting, trusting.token(), "/jobs").status_code == 200
    assert_refused(send(trusting, hub.token(), "/jobs"))
    for wrong in (
        {"iss": "https://sts.windows.example/"},
        {"aud": "https://storage.azure.com"},
        {"exp": time.time() - CLOCK_SKEW - 5},
        {"nbf": time.time() + CLOCK_SKEW + 60},
    ):
        assert_refused(send(trusting, unsigned(**wrong), "/jobs"))


@pytest.mark.usefixtures("trusted")
def test_client_secret_credential(hub: HubEmulator) -> None:
    hub.assign_role("the app", "IoT Hub Data Reader")
    with ClientSecretCredential(
        TENANT, "the app", "any", authority=hub.url, disable_instance_discovery=True
    ) as credential:
        token = credential.get_token(SCOPE)
        other = credential.get_token("https://storage.azure.com/.default")

    assert abs(token.expires_on - time.time() - 3600) < 60
    claims = jwt.decode(token.token, options={"verify_signature": False})
    assert (claims["oid"], claims["appid"], claims["tid"]) == ("the app", "the app", TENANT)
    assert send(hub, token.token, "/jobs").status_code == 200
    assert send(hub, token.token, "/jobs/7", "DELETE").status_code == 401
    assert_refused(send(hub, other.token, "/jobs"))


@pytest.mark.usefixtures("trusted")
def test_credential_with_instance_discovery(
    hub: HubEmulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tenant "adfs" needs no instance discovery on the internet."""
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", hub.url)
    monkeypatch.setenv("AZURE_TENANT_ID", "adfs")
    monkeypatch.setenv("AZURE_CLIENT_ID", "the app of the environment")
    monkeypatch.setenv("AZURE_CLIENT_SECRET", "any")
    with DefaultAzureCredential() as credential:
        assert send(hub, credential.get_token(SCOPE).token).status_code == 200


@pytest.mark.usefixtures("trusted")
def test_credential_reports_why_it_gets_no_token(hub: HubEmulator) -> None:
    with (
        ClientSecretCredential(
            TENANT, "the app", "any", authority=hub.url, disable_instance_discovery=True
        ) as credential,
        pytest.raises(ClientAuthenticationError, match="AADSTS1002012"),
    ):
        credential.get_token("https://iothubs.azure.net/jobs.read")


GRANT = {
    "grant_type": "client_credentials",
    "client_id": "the app",
    "client_secret": "any",
    "scope": SCOPE,
}


@pytest.mark.parametrize(
    ("changes", "status", "error", "number"),
    [
        ({"grant_type": ""}, 400, "invalid_request", 900144),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"client_id": ""}, 400, "invalid_request", 900144),
        ({"client_secret": ""}, 401, "invalid_client", 7000218),
        ({"scope": ""}, 400, "invalid_request", 900144),
        ({"scope": "/.default"}, 400, "invalid_scope", 1002012),
        ({"scope": "https://iothubs.azure.net"}, 400, "invalid_scope", 1002012),
        ({"scope": f"openid {SCOPE}"}, 400, "invalid_scope", 1002012),
    ],
)
def test_rejected_token_requests(
    hub: HubEmulator, changes: dict[str, str], status: int, error: str, number: int
) -> None:
    response = ask_for_token(hub, GRANT | changes)

    assert response.status_code == status
    body = response.json()
    assert body["error"] == error
    assert body["error_description"].startswith(f"AADSTS{number}: ")
    assert body["error_codes"] == [number]


def test_assertion_in_place_of_a_secret(hub: HubEmulator) -> None:
    form = GRANT | {"client_secret": "", "client_assertion": "any"}
    assert send(hub, ask_for_token(hub, form).json()["access_token"]).status_code == 200


def test_published_keys_verify_tokens(hub: HubEmulator) -> None:
    document = f"{hub.url}/{TENANT}/v2.0/.well-known/openid-configuration"
    configuration = requests.get(document, verify=str(hub.ca_file), timeout=DEADLINE).json()
    assert configuration["issuer"] == f"{hub.url}/{TENANT}/v2.0"

    keys = requests.get(configuration["jwks_uri"], verify=str(hub.ca_file), timeout=DEADLINE).json()
    token = hub.token()
    key = jwt.PyJWKSet.from_dict(keys)[jwt.get_unverified_header(token)["kid"]]
    assert jwt.decode(token, key, audience="https://iothubs.azure.net")["oid"]
