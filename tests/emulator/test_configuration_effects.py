"""The effect of configurations and deployments on twins, from the recordings and learn pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from iothub_emulator import HubEmulator
from tests.emulator.support import HubClient, JobContainer

RATE = {"properties.desired.rate": 5}


def configure(
    client: HubClient,
    id_: str,
    content: dict[str, Any],
    condition: str = "*",
    priority: int = 1,
    *,
    kind: str = "deviceContent",
    update: bool = False,
) -> dict[str, Any]:
    body = {"content": {kind: content}, "targetCondition": condition, "priority": priority}
    headers = {"If-Match": "*"} if update else {}
    response = client.send("PUT", f"/configurations/{id_}", body, headers=headers)
    assert response.status_code == 200, response.text
    written: dict[str, Any] = response.json()
    return written


def deploy(client: HubClient, id_: str, content: dict[str, Any], priority: int = 1) -> None:
    configure(client, id_, content, "*", priority, kind="modulesContent")


def layer(**modules: Any) -> dict[str, Any]:
    """Content that adds modules, with their desired properties."""
    listed = {f"properties.desired.modules.{name}": {"type": "docker"} for name in modules}
    sections = {name: {"properties.desired": values} for name, values in modules.items()}
    return {"$edgeAgent": listed, **sections}


def base(**modules: Any) -> dict[str, Any]:
    """Content that defines everything."""
    listed = {name: {"type": "docker"} for name in modules}
    agent = {"properties.desired": {"schemaVersion": "1.1", "modules": listed}}
    return layer(**modules) | {"$edgeAgent": agent}


def twin(client: HubClient, path: str = "pump") -> dict[str, Any]:
    read: dict[str, Any] = client.send("GET", f"/twins/{path}").json()
    return read


def patch(client: HubClient, path: str, **sections: Any) -> None:
    body = {name: value for name, value in sections.items() if name != "desired"}
    body["properties"] = {"desired": sections.get("desired", {})}
    assert client.send("PATCH", f"/twins/{path}", body).status_code == 200


def desired(client: HubClient, path: str = "pump") -> dict[str, Any]:
    values = twin(client, path)["properties"]["desired"]
    return {name: value for name, value in values.items() if not name.startswith("$")}


def statuses(client: HubClient, path: str = "pump") -> dict[str, str]:
    configurations = twin(client, path).get("configurations", {})
    return {id_: configuration["status"] for id_, configuration in configurations.items()}


def counts(client: HubClient, id_: str) -> tuple[int, int]:
    results = client.send("GET", f"/configurations/{id_}").json()["systemMetrics"]["results"]
    return results["targetedCount"], results["appliedCount"]


def modules(client: HubClient) -> list[str]:
    ids = [module["moduleId"] for module in client.send("GET", "/devices/gate/modules").json()]
    return sorted(id_ for id_ in ids if not id_.startswith("$"))


@pytest.fixture(autouse=True)
def fleet(hub: HubEmulator) -> None:
    hub.registry.put({"id": "pump", "tags": {"site": "north"}})
    hub.registry.put({"id": "gate", "capabilities": {"iotEdge": True}})


def test_the_twin_of_a_target(client: HubClient) -> None:
    """As recorded: marks on leaves only, one version more, and statuses in queries too."""
    before = client.send("PUT", "/devices/new", {"deviceId": "new"}).json()
    written = configure(client, "rates", {"properties.desired.a.b": 1}, "deviceId = 'new'")

    after = twin(client, "new")
    metadata = after["properties"]["desired"]["$metadata"]
    stamp = {name: metadata[name] for name in ("$lastUpdated", "$lastUpdatedVersion")}
    leaf = metadata["a"]["b"]
    assert (after["version"], after["etag"]) == (3, "AAAAAAAAAAI=")
    assert after["deviceEtag"] == before["etag"]
    assert after["properties"]["desired"]["$version"] == stamp["$lastUpdatedVersion"] == 2
    assert leaf == stamp | {
        "$lastUpdatedBy": "rates",
        "$lastUpdatedByDigest": leaf["$lastUpdatedByDigest"],
    }
    assert len(leaf["$lastUpdatedByDigest"]) == len("637612875243436232")
    assert metadata == {**stamp, "a": {**stamp, "b": leaf}}
    assert after["configurations"] == {"rates": {"status": "Applied"}}
    query = written["systemMetrics"]["queries"]["appliedCount"]
    assert client.send("POST", "/devices/query", {"query": query}).json() == [{"deviceId": "new"}]
    assert counts(client, "rates") == (1, 1)
    assert "configurations" not in twin(client)


def test_other_properties_keep_their_metadata(client: HubClient) -> None:
    patch(client, "pump", desired={"own": 1, "a": {"own": 2}})
    own = twin(client)["properties"]["desired"]["$metadata"]["own"]
    configure(client, "rates", {"properties.desired.a.rate": 5})

    after = twin(client)["properties"]["desired"]["$metadata"]
    assert after["own"] == own
    assert after["a"]["own"] == own
    assert after["$lastUpdatedVersion"] == own["$lastUpdatedVersion"] + 1
    again = twin(client)
    configure(client, "idle", RATE, "deviceId = 'none'")
    patch(client, "gate", tags={"a": 1})
    assert twin(client) == again


def test_the_highest_priority_wins_and_the_youngest_of_equal_ones(client: HubClient) -> None:
    configure(client, "high", {"properties.desired.rate": "high"}, priority=2)
    configure(client, "low", {"properties.desired.rate": "low", "properties.desired.unit": "s"})
    configure(client, "old", {"properties.desired.unit": "old"}, priority=0)
    configure(client, "young", {"properties.desired.unit": "young"}, priority=1)

    assert desired(client) == {"rate": "high", "unit": "young"}
    assert statuses(client) == {
        "high": "Applied",
        "low": "Targeted",
        "old": "Targeted",
        "young": "Applied",
    }
    assert client.send("DELETE", "/configurations/young").status_code == 204
    assert desired(client) == {"rate": "high", "unit": "s"}
    configure(client, "high", {"properties.desired.rate": "high"}, priority=0, update=True)
    assert desired(client) == {"rate": "low", "unit": "s"}
    assert counts(client, "high") == (2, 0)


def test_settings_leave_with_the_target(client: HubClient) -> None:
    patch(client, "pump", desired={"own": 1})
    configure(client, "rates", {"properties.desired.a.rate": 5}, "tags.site = 'north'")
    assert desired(client) == {"own": 1, "a": {"rate": 5}}

    patch(client, "pump", tags={"site": "south"})
    assert desired(client) == {"own": 1}
    assert "configurations" not in twin(client)
    assert counts(client, "rates") == (0, 0)
    configure(client, "rates", {"properties.desired.a": 6}, "tags.site = 'south'", update=True)
    assert desired(client) == {"own": 1, "a": {"rate": 5}}, "the content cannot change"
    client.send("DELETE", "/configurations/rates")
    assert desired(client) == {"own": 1}
    assert "configurations" not in twin(client)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"properties.desired": {"rate": 5}}, {"rate": 5}),
        ({"properties.desired": {}}, {}),
        ({"properties.desired.a": {"c": 2}}, {"a": {"c": 2}, "b": 1, "s": 1}),
        ({"properties.desired.a": {}}, {"a": {}, "b": 1, "s": 1}),
        ({"properties.desired.a": 5}, {"a": 5, "b": 1, "s": 1}),
        ({"properties.desired.s.t": 5}, {"a": {"b": {"c": 1}}, "b": 1, "s": {"t": 5}}),
        ({"properties.desired.a.b": None}, {"b": 1, "s": 1}),
        ({"properties.desired.b": 1.0}, {"a": {"b": {"c": 1}}, "b": 1.0, "s": 1}),
        ({"properties.desired.b": True}, {"a": {"b": {"c": 1}}, "b": True, "s": 1}),
    ],
)
def test_a_setting_replaces_what_is_at_its_path(
    client: HubClient, content: dict[str, Any], expected: dict[str, Any]
) -> None:
    patch(client, "pump", desired={"a": {"b": {"c": 1}}, "b": 1, "s": 1})
    configure(client, "rates", content)

    assert desired(client) == expected
    assert [type(value) for value in desired(client).values()] == [
        type(value) for value in expected.values()
    ]
    assert statuses(client) == {"rates": "Applied"}
    version = twin(client)["version"]
    patch(client, "pump", tags={"a": 1})
    assert twin(client)["version"] == version + 1, "nothing is written again"


def test_other_changes_of_settings_are_reverted(client: HubClient) -> None:
    configure(client, "rates", RATE)
    patch(client, "pump", desired={"rate": 6, "own": 1})
    assert desired(client) == {"rate": 5, "own": 1}
    body = {"properties": {"desired": {"own": 2}}}
    assert client.send("PUT", "/twins/pump", body).status_code == 200
    assert desired(client) == {"rate": 5, "own": 2}


def test_new_devices_of_requests_and_jobs(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    configure(client, "rates", RATE)
    client.send("PUT", "/devices/a", {"deviceId": "a"})
    client.send("POST", "/devices", [{"id": "b", "importMode": "create", "status": "enabled"}])
    job_container.write({"id": "c", "status": "enabled"})
    client.create_job(job_container.request())
    hub.wait_idle()

    for device_id in "abc":
        assert desired(client, device_id) == {"rate": 5}
    assert counts(client, "rates") == (5, 5)


def test_configurations_of_jobs(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    job_container.write({"id": "c", "status": "enabled"})
    line = {"id": "rates", "content": {"deviceContent": RATE}, "targetCondition": "*"}
    job_container.write(line, name="configurations.txt")
    client.create_job(job_container.request(includeConfigurations=True))
    hub.wait_idle()

    assert counts(client, "rates") == (3, 3)


def test_settings_that_a_twin_cannot_hold_leave_it_as_it_is(client: HubClient) -> None:
    configure(client, "large", {f"properties.desired.n{n}": "x" * 4000 for n in range(9)})
    configure(client, "names", {"properties.desired": {"a b": 1}}, "deviceId = 'gate'", 2)
    configure(client, "number", {"properties.desired.n": 10**40}, "deviceId = 'pump'", 3)

    assert desired(client) == desired(client, "gate") == {}
    assert counts(client, "large") == (2, 0)
    patch(client, "pump", tags={"a": 1})
    assert twin(client)["tags"]["a"] == 1


def test_modules(hub: HubEmulator, client: HubClient) -> None:
    for id_, role in (("filter", "a"), ("meter", "b")):
        hub.registry.put({"id": "pump", "moduleId": id_, "tags": {"role": role}})
    condition = "from devices.modules where tags.role = 'a'"
    configure(client, "rates", RATE, condition, kind="moduleContent")

    assert desired(client, "pump/modules/filter") == {"rate": 5}
    assert statuses(client, "pump/modules/filter") == {"rates": "Applied"}
    assert desired(client, "pump/modules/meter") == {}
    patch(client, "pump/modules/filter", tags={"role": "b"})
    assert desired(client, "pump/modules/filter") == {}
    assert counts(client, "rates") == (0, 0)


def test_a_deployment_creates_and_deletes_modules(client: HubClient) -> None:
    deploy(client, "first", base(sensor={"period": 5}))
    assert modules(client) == ["sensor"]
    assert desired(client, "gate/modules/sensor") == {"period": 5}
    assert statuses(client, "gate/modules/$edgeAgent") == {"first": "Applied"}
    assert statuses(client, "gate/modules/sensor") == {"first": "Applied"}
    assert counts(client, "first") == (1, 1)
    assert "configurations" not in twin(client, "gate"), "only the modules have the statuses"

    deploy(client, "second", base(meter={}), priority=2)
    assert modules(client) == ["meter"]
    assert statuses(client, "gate/modules/$edgeAgent") == {"first": "Targeted", "second": "Applied"}
    assert counts(client, "first") == (1, 0)
    client.send("DELETE", "/configurations/second")
    assert modules(client) == ["sensor"]


def test_without_a_deployment_the_modules_stay(client: HubClient) -> None:
    deploy(client, "only", base(sensor={"period": 5}))
    client.send("DELETE", "/configurations/only")

    assert modules(client) == ["sensor"]
    assert desired(client, "gate/modules/sensor") == {"period": 5}
    assert statuses(client, "gate/modules/sensor") == {}
    deploy(client, "next", base())
    assert modules(client) == []
    assert desired(client, "gate/modules/$edgeAgent") == {"schemaVersion": "1.1", "modules": {}}


def test_layers_need_a_base_of_lower_priority(client: HubClient) -> None:
    deploy(client, "below", layer(below={}), 1)
    deploy(client, "meters", layer(meter={"unit": "l"}), 3)
    agent = "gate/modules/$edgeAgent"
    assert (modules(client), statuses(client, agent)) == (
        [],
        {"below": "Targeted", "meters": "Targeted"},
    )

    deploy(client, "base", base(sensor={"period": 5, "unit": "s"}), 2)
    sensor = {"$edgeAgent": {}, "sensor": {"properties.desired.period": 9}}
    deploy(client, "sensors", sensor, 4)
    assert modules(client) == ["meter", "sensor"]
    assert desired(client, "gate/modules/sensor") == {"period": 9, "unit": "s"}
    assert desired(client, "gate/modules/meter") == {"unit": "l"}
    assert statuses(client, agent) == {
        "base": "Applied",
        "below": "Targeted",
        "meters": "Applied",
        "sensors": "Targeted",
    }, "a layer without modules is not applied to $edgeAgent (Azure/iotedge#5299)"
    assert statuses(client, "gate/modules/sensor") == {"base": "Applied", "sensors": "Applied"}
    client.send("DELETE", "/configurations/meters")
    client.send("DELETE", "/configurations/sensors")
    assert modules(client) == ["sensor"]
    assert desired(client, "gate/modules/sensor") == {"period": 5, "unit": "s"}


def test_a_new_edge_device_and_applied_content(client: HubClient) -> None:
    deploy(client, "only", base(sensor={"period": 5}))
    client.send("PUT", "/devices/door", {"deviceId": "door", "capabilities": {"iotEdge": True}})
    assert desired(client, "door/modules/sensor") == {"period": 5}

    content = {"modulesContent": base(other={})}
    response = client.send("POST", "/devices/gate/applyConfigurationContent", content)
    assert response.status_code == 204
    assert modules(client) == ["sensor"], "the deployment wins"


def test_statuses_survive_a_restart(tmp_path: Path) -> None:
    with HubEmulator(state=tmp_path) as hub:
        client = HubClient(hub.connection_string())
        hub.registry.put({"id": "pump"})
        configure(client, "rates", RATE)
        before = twin(client)

    with HubEmulator(state=tmp_path) as hub:
        client = HubClient(hub.connection_string())
        assert twin(client) == before
        assert before["configurations"] == {"rates": {"status": "Applied"}}
        hub.registry.put({"id": "valve"})
        assert desired(client, "valve") == {"rate": 5}


@pytest.mark.parametrize(
    "content",
    [
        {"properties.desired.s": {"a": 1}},
        {"properties.desired.x.y.z": 1},
        {"properties.desired.s": {"a": {"b": 1}, "c": 2}},
    ],
    ids=["object", "path", "nested"],
)
@pytest.mark.parametrize("own", [{}, {"own": 1}], ids=["nothing else", "another property"])
def test_nothing_of_a_deleted_configuration_stays(
    client: HubClient, content: dict[str, Any], own: dict[str, Any]
) -> None:
    client.send("PUT", "/devices/pump", {})
    patch(client, "pump", desired=own)
    configure(client, "rates", content)
    assert desired(client) != own
    client.send("DELETE", "/configurations/rates")

    assert desired(client) == own
