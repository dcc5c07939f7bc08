"""What a configuration may contain, its metrics, and POST /configurations/testQueries."""

from __future__ import annotations

from typing import Any

import pytest

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, error_code

RATES = "/configurations/rates"
CONTENT = {"deviceContent": {"properties.desired.rate": 5}}
MODULE_CONTENT = {"moduleContent": {"properties.desired": {"rate": 5}}}
AGENT = {"$edgeAgent": {"properties.desired": {"schemaVersion": "1.1", "modules": {}}}}
EDGE_DEVICES = "select deviceId from devices where capabilities.iotEdge = true"


@pytest.mark.parametrize(
    "content",
    [
        None,
        {"other": {"properties.desired.a": 1}},
        CONTENT | {"modulesContent": AGENT},
        {"deviceContent": 5},
        {"deviceContent": {"tags.a": 1}},
        {"deviceContent": {"properties.desiredly": 1}},
        {"deviceContent": {"properties.desired": 1}},
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
        (CONTENT, 'tags.site="north"'),
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
    results = {name: 0 if name.startswith("reported") else count for name in queries}

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


@pytest.mark.parametrize("content", [{}, {"deviceContent": None}], ids=str)
def test_an_empty_content_has_no_effect(client: HubClient, content: Any) -> None:
    """End-to-end tests of the C# client create such configurations."""
    body = {"content": content, "targetCondition": "*"}
    client.send("PUT", "/devices/pump", {})
    created = client.send("PUT", "/configurations/rates", body)

    assert created.status_code == 200, created.text
    results = client.send("GET", "/configurations/rates").json()["systemMetrics"]["results"]
    assert results == {"targetedCount": 1, "appliedCount": 0}


def test_the_id_of_the_body_is_that_of_the_path(client: HubClient) -> None:
    refused = client.send("PUT", "/configurations/rates", {"id": "other", "content": {}})
    assert error_code(refused) == (400, "ArgumentInvalid")
    assert client.send("PUT", "/configurations/rates", {"id": "rates", "content": {}}).ok
