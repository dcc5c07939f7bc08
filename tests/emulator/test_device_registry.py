"""Attributes of identities, and what a hub adds that is linked to a device registry."""

from __future__ import annotations

from typing import Any

import pytest

from iothub_emulator import HubEmulator
from iothub_emulator.choices import Choices
from tests.emulator.support import HubClient, JobContainer, StartHub

LATEST, FIRST, BEFORE = "2026-11-01-preview", "2025-08-01-preview", "2024-03-31"
ATTRIBUTES = {"owner": "north", "adrDeviceProperties": {"of": "the user"}, "list": [1, None]}
OWNED = {"adrDeviceProperties", "deviceResourceId"}
PATHS = pytest.mark.parametrize("path", ["/devices/pump", "/devices/pump/modules/sensor"])


def version(text: str) -> str:
    return f"?api-version={text}"


def get(client: HubClient, path: str, text: str = LATEST) -> dict[str, Any]:
    document: dict[str, Any] = client.send("GET", path, query=version(text)).json()
    return document


@pytest.fixture
def linked(start_hub: StartHub) -> HubEmulator:
    hub = start_hub(choices=Choices(device_registry="linked"))
    hub.registry.put({"id": "pump"})
    return hub


@PATHS
def test_attributes(hub: HubEmulator, client: HubClient, path: str) -> None:
    hub.registry.put({"id": "pump"})
    body = {"attributes": ATTRIBUTES}
    headers = {"If-Match": "*"} if path == "/devices/pump" else {}
    client.send("PUT", path, body, headers=headers, query=version(LATEST))

    assert get(client, path)["attributes"] == get(client, path, FIRST)["attributes"] == ATTRIBUTES
    assert "attributes" not in get(client, path, BEFORE)

    client.send("PUT", path, {}, headers={"If-Match": "*"}, query=version(BEFORE))
    assert get(client, path)["attributes"] == ATTRIBUTES, "an older client does not know them"
    client.send("PUT", path, {"attributes": {}}, headers={"If-Match": "*"}, query=version(LATEST))
    assert get(client, path)["attributes"] == {}


def test_attributes_of_lines(
    hub: HubEmulator, client: HubClient, job_container: JobContainer
) -> None:
    job_container.write({"id": "pump", "status": "enabled", "attributes": ATTRIBUTES})
    client.create_job(job_container.request())
    hub.wait_idle()
    assert get(client, "/devices/pump")["attributes"] == ATTRIBUTES

    body = {"type": "export", "outputBlobContainerUri": job_container.uri()}
    client.create_job(body)
    hub.wait_idle()
    (line,) = job_container.lines("devices.txt")
    assert line["attributes"] == ATTRIBUTES


@pytest.mark.parametrize(
    ("text", "shown"), [(LATEST, OWNED), (FIRST, {"deviceResourceId"}), (BEFORE, set())]
)
def test_a_linked_hub(linked: HubEmulator, text: str, shown: set[str]) -> None:
    client = HubClient(linked.connection_string())
    device = get(client, "/devices/pump", text)

    assert device.keys() & OWNED == shown
    (listed,) = client.send("GET", "/devices", query=version(text)).json()
    assert listed == device
    if "adrDeviceProperties" in shown:
        owned = device["adrDeviceProperties"]
        assert owned.keys() == {"uuid", "name", "etag", "systemData"}
        assert device["deviceResourceId"].endswith(f"/devices/{owned['name']}")


def test_the_registry_owns_its_properties(linked: HubEmulator, job_container: JobContainer) -> None:
    client = HubClient(linked.connection_string())
    before = get(client, "/devices/pump")
    forged = {"adrDeviceProperties": {"uuid": "forged"}, "deviceResourceId": "forged"}
    client.send("PUT", "/devices/pump", forged, headers={"If-Match": "*"}, query=version(LATEST))
    job_container.write({"id": "pump", "status": "enabled", **forged})
    client.create_job(job_container.request())
    linked.wait_idle()

    after = get(client, "/devices/pump")
    assert job_container.log() == []
    assert after["adrDeviceProperties"]["uuid"] == before["adrDeviceProperties"]["uuid"]
    assert after["deviceResourceId"] == before["deviceResourceId"]
    linked.registry.put({"id": "pump", "moduleId": "sensor"})
    client.create_job({"type": "export", "outputBlobContainerUri": job_container.uri()})
    linked.wait_idle()
    device, module = job_container.lines("devices.txt")
    assert device.items() >= {name: after[name] for name in OWNED}.items()
    assert not module.keys() & OWNED


def test_a_hub_that_is_not_linked(hub: HubEmulator, client: HubClient) -> None:
    hub.registry.put({"id": "pump"})

    assert not get(client, "/devices/pump").keys() & (OWNED | {"attributes"})
