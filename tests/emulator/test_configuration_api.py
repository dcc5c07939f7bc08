"""Configurations over HTTP."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
import requests

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


def stored(client: HubClient) -> Any:
    """The configuration as the answer to its PUT has it, without results of metrics."""
    response = client.send("GET", RATES)
    assert response.status_code == 200, response.text
    return without_results(response.json())


def without_results(configuration: dict[str, Any]) -> dict[str, Any]:
    for metrics in ("systemMetrics", "metrics"):
        configuration[metrics]["results"] = {}
    return configuration


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

    assert response.json()["etag"] == rates["etag"]
    assert '"' not in rates["etag"]
    assert response.headers["ETag"] == f'"{rates["etag"]}"'


@pytest.mark.parametrize("form", [None, "{}", '""'], ids=["none", "bare", "empty"])
def test_without_a_quoted_if_match_put_only_creates(
    client: HubClient, rates: dict[str, Any], form: str | None
) -> None:
    headers = {} if form is None else {"If-Match": form.format(rates["etag"])}
    rejected = client.send("PUT", RATES, {"content": CONTENT, "priority": 9}, headers=headers)

    assert error_code(rejected) == (409, "ConfigurationAlreadyExists")
    assert stored(client) == rates


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
    assert stored(client) == configuration


def test_update_requires_an_existing_configuration_an_etag_and_content(
    client: HubClient, rates: dict[str, Any]
) -> None:
    def update(path: str, body: dict[str, Any], etag: str) -> tuple[int, str]:
        return error_code(client.send("PUT", path, body, headers={"If-Match": etag}))

    full = {"content": CONTENT}
    assert update("/configurations/none", full, "*") == (404, "ConfigurationNotFound")
    assert update(RATES, full, '"MA=="') == (412, "PreconditionFailed")
    assert update(RATES, {"priority": 9}, "*") == (400, "InvalidConfigurationContent")
    assert stored(client) == rates


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

    assert list(map(without_results, listed.json())) == [rates, other]


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
    ],
    ids=["syntax", "array", "number", "priority", "labels"],
)
def test_malformed_configurations(client: HubClient, body: Any, code: str) -> None:
    assert error_code(client.send("PUT", RATES, body)) == (400, code)
    assert client.send("GET", "/configurations").json() == []


def test_a_hub_has_at_most_100_configurations(client: HubClient) -> None:
    def create(number: int) -> requests.Response:
        return client.send("PUT", f"/configurations/rates-{number}", {"content": CONTENT})

    assert all(create(number).status_code == 200 for number in range(100))
    assert error_code(create(100)) == (413, "ConfigurationCountLimitExceeded")
    headers = {"If-Match": "*"}
    updated = client.send("PUT", "/configurations/rates-1", {"content": CONTENT}, headers=headers)
    assert updated.status_code == 200
    assert client.send("DELETE", "/configurations/rates-1").status_code == 204
    assert create(100).status_code == 200


def test_the_requests_of_the_az_cli(hub: HubEmulator, client: HubClient) -> None:
    """`az iot hub configuration` create, update, show-metric, list and delete."""
    hub.registry.put({"id": "pump", "tags": {"building": 9}})
    body = {
        "id": "rates",
        "schemaVersion": "2.0",
        "labels": {"key0": "value0"},
        "content": CONTENT,
        "metrics": {"queries": {"mine": "select deviceId from devices where tags.building=9"}},
        "targetCondition": "tags.building=9 and tags.environment='test'",
        "etag": "*",
        "priority": 3,
    }
    created = client.send("PUT", RATES, body)
    assert created.status_code == 200
    assert created.json()["labels"] == {"key0": "value0"}
    again = client.send("PUT", RATES, body)
    assert error_code(again) == (409, "ConfigurationAlreadyExists")

    del body["etag"]
    body |= {"priority": 4, "targetCondition": "tags.building=9"}
    updated = client.send("PUT", RATES, body, headers={"If-Match": '"*"'}).json()
    assert (updated["priority"], updated["targetCondition"]) == (4, "tags.building=9")

    shown = client.send("GET", RATES).json()
    for metrics in ("metrics", "systemMetrics"):
        for name, query in shown[metrics]["queries"].items():
            rows = client.send("POST", "/devices/query", {"query": query}).json()
            assert rows == [{"deviceId": "pump"}], name
    assert client.send("GET", "/configurations").json() == [shown]
    assert client.send("DELETE", RATES, headers={"If-Match": '"*"'}).status_code == 204


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
