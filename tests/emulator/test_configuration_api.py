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
MODULE_CONTENT = {"moduleContent": {"properties.desired": {"rate": 5}}}
AGENT = {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {}}}}
EDGE_DEVICES = "select deviceId from devices where capabilities.iotEdge = true"
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


@pytest.mark.parametrize(
    "content",
    [
        None,
        {},
        {"deviceContent": None},
        {"other": {"properties.desired.a": 1}},
        CONTENT | {"modulesContent": AGENT},
        {"deviceContent": 5},
        {"deviceContent": {"tags.a": 1}},
        {"deviceContent": {"properties.desiredly": 1}},
        {"modulesContent": {"$edgeHub": {}}},
        {"modulesContent": AGENT | {"filter": 5}},
    ],
    ids=str,
)
def test_invalid_contents(client: HubClient, content: Any) -> None:
    response = client.send("PUT", RATES, {"content": content})

    assert error_code(response) == (400, "InvalidConfigurationContent")


@pytest.mark.parametrize(
    "content",
    [
        {"deviceContent": {"properties.desired": {"a": 1}}, "modulesContent": None},
        {"deviceContent": {}},
        {"moduleContent": {"properties.desired": {"a": 1}}, "deviceContent": {}},
        {"modulesContent": AGENT, "$schema": "http://schemas.example/1"},
        {"modulesContent": {"$edgeAgent": {"properties.desired.modules.a": {}}}},
    ],
    ids=str,
)
def test_valid_contents(client: HubClient, content: Any) -> None:
    assert client.send("PUT", RATES, {"content": content}).json()["content"] == content


@pytest.mark.parametrize(
    ("content", "condition"),
    [
        (CONTENT, "tags.site="),
        (CONTENT, "site = 'north'"),
        (CONTENT, "properties.desired.rate = 5"),
        (CONTENT, "status = 'enabled'"),
        (CONTENT, "deviceId = 'pump' GROUP BY deviceId"),
        (CONTENT, "deviceId = 'pump' OR " * 400 + "deviceId = 'pump'"),
        (CONTENT, "FROM devices WHERE deviceId = 'pump'"),
        (CONTENT, "FROM devices.modules WHERE deviceId = 'pump'"),
        (MODULE_CONTENT, "deviceId = 'pump'"),
        (MODULE_CONTENT, "*"),
    ],
)
def test_invalid_target_conditions(client: HubClient, content: Any, condition: str) -> None:
    body = {"content": content, "targetCondition": condition}

    assert error_code(client.send("PUT", RATES, body)) == (
        400,
        "InvalidConfigurationTargetCondition",
    )


@pytest.mark.parametrize(
    "metric",
    ["SELECT", "SELECT * FROM devices WHERE a = 1", "SELECT * FROM devices.jobs", None, 5],
)
def test_invalid_metrics(client: HubClient, metric: Any) -> None:
    body = {"content": CONTENT, "metrics": {"queries": {"m": metric}}}

    assert error_code(client.send("PUT", RATES, body)) == (
        400,
        "InvalidConfigurationCustomMetricsQuery",
    )


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


APPLIED = "configurations.[[rates]].status = 'Applied'"
EDGE_APPLIED = f"select deviceId from devices.modules where moduleId = '$edgeAgent' and {APPLIED}"
REPORTED = "properties.desired.$version = properties.reported.lastDesiredVersion"
CODE = "properties.reported.lastDesiredStatus.code"
EDGE_METRICS = {
    "appliedCount": EDGE_APPLIED,
    "reportedSuccessfulCount": f"{EDGE_APPLIED} and {REPORTED} and {CODE} = 200",
    "reportedFailedCount": f"{EDGE_APPLIED} and {REPORTED} and {CODE} != 200",
}


@pytest.mark.parametrize(
    ("content", "condition", "targets", "count"),
    [
        (CONTENT, "*", "select deviceId from devices", 4),
        (CONTENT, "", "select deviceId from devices where false", 0),
        (
            CONTENT,
            "Tags.site='north' and deviceId != 'pump-0'",
            "select deviceId from devices where Tags.site='north' and deviceId != 'pump-0'",
            1,
        ),
        (
            MODULE_CONTENT,
            "from devices.modules where tags.role='filter'",
            "select deviceId, moduleId from devices.modules where tags.role='filter'",
            2,
        ),
        ({"modulesContent": AGENT}, "*", f"{EDGE_DEVICES}", 1),
        (
            {"modulesContent": AGENT},
            "tags.site='north'",
            f"{EDGE_DEVICES} and tags.site='north'",
            0,
        ),
        (
            {"modulesContent": AGENT},
            "tags.site='north' or deviceId='gate'",
            f"{EDGE_DEVICES} and (tags.site='north' or deviceId='gate')",
            1,
        ),
    ],
)
def test_system_metrics(
    hub: HubEmulator,
    client: HubClient,
    content: dict[str, Any],
    condition: str,
    targets: str,
    count: int,
) -> None:
    body = {"content": content, "targetCondition": condition}
    created = client.send("PUT", RATES, body).json()
    for number in range(3):
        hub.registry.put(
            {"id": f"pump-{number}", "tags": {"site": "south" if number == 1 else "north"}}
        )
    hub.registry.put({"id": "gate", "capabilities": {"iotEdge": True}})
    for module_id in ("filter-1", "filter-2"):
        hub.registry.put({"id": "pump-0", "moduleId": module_id, "tags": {"role": "filter"}})
    queries = {
        "targetedCount": targets,
        "appliedCount": f"select deviceId from devices where {APPLIED}",
    }
    if content is MODULE_CONTENT:
        queries["appliedCount"] = f"select deviceId, moduleId from devices.modules where {APPLIED}"
    elif content is not CONTENT:
        queries |= EDGE_METRICS
    results = {name: count if name == "targetedCount" else 0 for name in queries}

    assert created["systemMetrics"] == {"results": {}, "queries": queries}
    assert client.send("GET", RATES).json()["systemMetrics"]["results"] == results
    [listed] = client.send("GET", "/configurations").json()
    assert listed["systemMetrics"] == {"results": results, "queries": queries}
    for name, query in queries.items():
        rows = client.send("POST", "/devices/query", {"query": query}).json()
        assert len(rows) == results[name]


def test_metrics_are_counted_at_each_get(hub: HubEmulator, client: HubClient) -> None:
    queries = {
        "north": "SELECT deviceId FROM devices WHERE tags.site = 'north'",
        "first": "SELECT TOP 1 deviceId FROM devices",
        "sites": "SELECT tags.site, COUNT() AS n FROM devices GROUP BY tags.site",
        "modules": "select moduleId from devices.modules",
    }
    client.send("PUT", RATES, {"content": CONTENT, "metrics": {"queries": queries}})

    def results() -> Any:
        return client.send("GET", RATES).json()["metrics"]["results"]

    assert results() == {"north": 0, "first": 0, "sites": 0, "modules": 0}
    for device_id, site in (("a", "north"), ("b", "north"), ("c", "south")):
        hub.registry.put({"id": device_id, "tags": {"site": site}})
    hub.registry.put({"id": "a", "moduleId": "m"})
    assert results() == {"north": 2, "first": 1, "sites": 2, "modules": 1}


def test_test_queries(client: HubClient) -> None:
    def test(condition: str, **metrics: str) -> Any:
        body = {"targetCondition": condition, "customMetricQueries": metrics}
        response = client.send("POST", "/configurations/testQueries", body)
        assert response.status_code == 200
        return response.json()

    valid: dict[str, Any] = {"targetConditionError": None, "customMetricQueryErrors": {}}
    assert test("tags.site='north'", m="SELECT deviceId FROM devices") == valid
    assert test("from devices.modules where tags.site='north'") == valid
    assert test("") == valid
    assert test("*")["targetConditionError"]
    wrong = test("site='north'", m="SELECT", n="SELECT deviceId FROM devices")
    assert "site is not a property of devices" in wrong["targetConditionError"]
    assert list(wrong["customMetricQueryErrors"]) == ["m"]


def test_test_queries_requires_json(client: HubClient) -> None:
    response = client.send("POST", "/configurations/testQueries", [])

    assert error_code(response) == (400, "GenericBadRequest")


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
