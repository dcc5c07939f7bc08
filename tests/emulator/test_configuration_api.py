"""Configurations over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, error_code

RATES = "/configurations/rates"
CONTENT = {"deviceContent": {"properties.desired.rate": 5}}
OTHER_CONTENT = {"deviceContent": {"properties.desired.rate": 6}}
CALLS = [("GET", "/configurations"), ("GET", RATES), ("PUT", RATES), ("DELETE", RATES)]


@pytest.fixture
def rates(client: HubClient) -> dict[str, Any]:
    body = {
        "content": CONTENT,
        "schemaVersion": "1.0",
        "targetCondition": "tags.site='north'",
        "priority": 7,
        "labels": {"team": "a"},
        "metrics": {"queries": {"slow": "SELECT deviceId FROM devices"}},
    }
    created: dict[str, Any] = client.send("PUT", RATES, body).json()
    return created


def test_create_sets_defaults(client: HubClient) -> None:
    response = client.send("PUT", RATES, {"id": "rates", "content": CONTENT})

    assert response.status_code == 200
    created = response.json()
    assert created["createdTimeUtc"] == created["lastUpdatedTimeUtc"]
    assert (
        created.items()
        >= {
            "id": "rates",
            "content": CONTENT,
            "schemaVersion": None,
            "labels": None,
            "targetCondition": "",
            "priority": 0,
            "metrics": {"results": {}, "queries": {}},
        }.items()
    )


def test_the_etag_is_bare_in_the_body_and_quoted_in_the_header(
    client: HubClient, rates: dict[str, Any]
) -> None:
    response = client.send("GET", RATES)

    assert response.json() == rates
    assert '"' not in rates["etag"]
    assert response.headers["ETag"] == f'"{rates["etag"]}"'


@pytest.mark.parametrize("form", [None, "{}"], ids=["none", "bare"])
def test_without_a_quoted_if_match_put_only_creates(
    client: HubClient, rates: dict[str, Any], form: str | None
) -> None:
    headers = {} if form is None else {"If-Match": form.format(rates["etag"])}
    rejected = client.send("PUT", RATES, {"content": CONTENT, "priority": 9}, headers=headers)

    assert error_code(rejected) == (409, "ConfigurationAlreadyExists")
    assert client.send("GET", RATES).json() == rates


@pytest.mark.parametrize("form", ["*", '"*"', '"{}"'], ids=["any", "quoted any", "quoted"])
def test_update_replaces_everything_except_the_content(
    hub: HubEmulator, client: HubClient, rates: dict[str, Any], form: str
) -> None:
    hub.clock.advance(3600)
    headers = {"If-Match": form.format(rates["etag"])}
    updated = client.send("PUT", RATES, {"content": OTHER_CONTENT}, headers=headers)

    assert updated.status_code == 200
    configuration = updated.json()
    assert configuration["content"] == CONTENT, "a changed content is silently ignored (live hub)"
    assert configuration["createdTimeUtc"] == rates["createdTimeUtc"]
    assert configuration["lastUpdatedTimeUtc"] > rates["lastUpdatedTimeUtc"]
    assert configuration["etag"] != rates["etag"]
    assert configuration["labels"] is configuration["schemaVersion"] is None
    assert (configuration["priority"], configuration["targetCondition"]) == (0, "")
    assert configuration["metrics"]["queries"] == {}
    assert client.send("GET", RATES).json() == configuration


def test_update_requires_an_existing_configuration_an_etag_and_content(
    client: HubClient, rates: dict[str, Any]
) -> None:
    def update(path: str, body: dict[str, Any], etag: str) -> tuple[int, str]:
        return error_code(client.send("PUT", path, body, headers={"If-Match": etag}))

    full = {"content": CONTENT}
    assert update("/configurations/none", full, "*") == (404, "ConfigurationNotFound")
    assert update(RATES, full, '"MA=="') == (412, "PreconditionFailed")
    assert update(RATES, {"priority": 9}, "*") == (400, "ArgumentInvalid")
    assert client.send("GET", RATES).json() == rates


@pytest.mark.usefixtures("rates")
def test_delete_checks_an_optional_etag(client: HubClient) -> None:
    stale = client.send("DELETE", RATES, headers={"If-Match": '"MA=="'})
    assert error_code(stale) == (412, "PreconditionFailed")
    assert client.send("DELETE", RATES).status_code == 204
    for method in ("GET", "DELETE"):
        assert error_code(client.send(method, RATES)) == (404, "ConfigurationNotFound")
    assert client.send("GET", "/configurations").json() == []


def test_list_ignores_top(client: HubClient, rates: dict[str, Any]) -> None:
    other = client.send("PUT", "/configurations/alarms", {"content": CONTENT}).json()
    listed = client.send("GET", "/configurations", query="?api-version=2021-04-12&top=1")

    assert listed.json() == [rates, other]


@pytest.mark.parametrize(
    ("id_", "is_valid"),
    [
        ("abcxyz0189-+%_*!'", True),
        ("x" * 128, True),
        ("x" * 129, False),
        ("Rates", False),
        ("a.b", False),
        ("a b", False),
        ("a\n", False),
        ("ü", False),
    ],
    ids=["all", "long", "too long", "capital", "point", "blank", "line end", "letter"],
)
def test_ids(client: HubClient, id_: str, is_valid: bool) -> None:
    response = client.send("PUT", f"/configurations/{quote(id_, safe='')}", {"content": CONTENT})

    if is_valid:
        assert response.json()["id"] == id_
    else:
        assert error_code(response) == (400, "ArgumentInvalid")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{", "GenericBadRequest"),
        ([], "GenericBadRequest"),
        ({"content": 5}, "GenericBadRequest"),
        ({"content": CONTENT, "priority": 2**31}, "GenericBadRequest"),
        ({"content": CONTENT, "labels": ["a"]}, "GenericBadRequest"),
        ({}, "ArgumentInvalid"),
        ({"content": None}, "ArgumentInvalid"),
        ({"content": {}}, "ArgumentInvalid"),
    ],
    ids=["syntax", "array", "number", "priority", "labels", "none", "null", "empty"],
)
def test_invalid_configurations(client: HubClient, body: Any, code: str) -> None:
    assert error_code(client.send("PUT", RATES, body)) == (400, code)
    assert client.send("GET", "/configurations").json() == []


@pytest.mark.parametrize(
    ("policy", "allowed"),
    [
        ("registryRead", {"GET"}),
        ("registryReadWrite", {"GET", "PUT", "DELETE"}),
        ("service", set()),
    ],
)
@pytest.mark.usefixtures("rates")
def test_rights_of_policies(hub: HubEmulator, policy: str, allowed: set[str]) -> None:
    client = HubClient(hub.connection_string(policy))
    for method, path in CALLS:
        response = client.send(method, path, {"content": CONTENT}, headers={"If-Match": "*"})
        assert response.ok if method in allowed else response.status_code == 401


@pytest.mark.parametrize(
    ("role", "allowed"),
    [("IoT Hub Data Reader", {"GET"}), ("IoT Hub Registry Contributor", set())],
)
@pytest.mark.usefixtures("rates")
def test_rights_of_roles(hub: HubEmulator, client: HubClient, role: str, allowed: set[str]) -> None:
    hub.assign_role("someone", role)
    headers = {"Authorization": f"Bearer {hub.token('someone')}", "If-Match": "*"}
    for method, path in CALLS:
        response = client.send(method, path, {"content": CONTENT}, headers=headers)
        assert response.ok if method in allowed else response.status_code == 401
