"""The nine import modes, for devices that are absent and present, and for modules."""

from __future__ import annotations

from typing import Any

import pytest

from iothub_emulator.registry.registry import Registry
from tests.emulator.support import RunImport, codes, stored

ALL_MODES = [
    "createOrUpdate",
    "create",
    "update",
    "updateIfMatchETag",
    "createOrUpdateIfMatchETag",
    "delete",
    "deleteIfMatchETag",
    "updateTwin",
    "updateTwinIfMatchETag",
]
REGISTERING = {"createOrUpdate", "create", "createOrUpdateIfMatchETag"}
OVERWRITING = {"createOrUpdate", "update", "updateIfMatchETag", "createOrUpdateIfMatchETag"}
DELETING = {"delete", "deleteIfMatchETag"}

Ids = tuple[str, str | None]
PUMP: Ids = ("pump", None)


@pytest.fixture(params=[None, "sensor"], ids=["device", "module"])
def ids(request: pytest.FixtureRequest, registry: Registry) -> Ids:
    """The ids of a device, or of a module of an existing device."""
    if request.param is not None:
        registry.put({"id": "pump"})
    return "pump", request.param


def line(ids: Ids, mode: str, **members: Any) -> dict[str, Any]:
    device_id, module_id = ids
    return {
        "id": device_id,
        "moduleId": module_id,
        "importMode": mode,
        "status": "disabled",
        **members,
    }


@pytest.mark.parametrize("mode", ALL_MODES)
def test_absent(registry: Registry, run_import: RunImport, ids: Ids, mode: str) -> None:
    log = run_import(line(ids, mode, eTag="x", twinETag="x", tags={"site": "north"}))

    if mode in REGISTERING:
        assert log == []
        assert stored(registry, *ids)["tags"] == {"site": "north"}
        assert stored(registry, *ids)["status"] == "disabled"
    else:
        expected = 404010 if ids[1] else 404001
        assert codes(log) == [expected]
        assert registry.get(*ids) is None


@pytest.mark.parametrize("mode", ALL_MODES)
def test_present_with_matching_etags(
    registry: Registry, run_import: RunImport, ids: Ids, mode: str
) -> None:
    registry.put(line(ids, "create", status="enabled", tags={"site": "north", "line": 1}))
    before = stored(registry, *ids)

    log = run_import(
        line(
            ids,
            mode,
            eTag=before["eTag"],
            twinETag=before["twinETag"],
            tags={"site": "south", "line": None},
        )
    )

    after = registry.get(*ids)
    if mode == "create":
        assert codes(log) == [409301 if ids[1] else 409001]
        assert after == before
        return
    assert log == []
    if mode in DELETING:
        assert after is None
        return
    assert after is not None
    assert after["tags"] == {"site": "south"}
    assert after["twinETag"] != before["twinETag"]
    if mode in OVERWRITING:
        assert after["status"] == "disabled"
        assert after["eTag"] != before["eTag"]
        assert after["authentication"] != before["authentication"], "new keys are generated"
    else:
        assert after["status"] == "enabled"
        assert after["eTag"] == before["eTag"]
        assert after["authentication"] == before["authentication"]


@pytest.mark.parametrize(
    "mode", ["updateIfMatchETag", "createOrUpdateIfMatchETag", "deleteIfMatchETag"]
)
def test_etag_mismatch(registry: Registry, run_import: RunImport, ids: Ids, mode: str) -> None:
    registry.put(line(ids, "create"))
    before = stored(registry, *ids)

    assert codes(run_import(line(ids, mode, eTag="c3RhbGU="))) == [412001]
    assert stored(registry, *ids) == before
    assert run_import(line(ids, mode)) == [], "without an ETag every device matches"


@pytest.mark.parametrize(
    "mode", ["createOrUpdate", "update", "createOrUpdateIfMatchETag", "updateTwinIfMatchETag"]
)
def test_twin_etag_mismatch(registry: Registry, run_import: RunImport, ids: Ids, mode: str) -> None:
    registry.put(line(ids, "create"))
    before = stored(registry, *ids)
    stale = line(ids, mode, eTag=before["eTag"], twinETag="AAAAAAAAAAk=", tags={"a": 1})

    assert codes(run_import(stale)) == [412001]
    assert stored(registry, *ids) == before


@pytest.mark.parametrize("mode", ["create", "update", "delete", "updateTwin"])
def test_etag_is_ignored_by_other_modes(
    registry: Registry, run_import: RunImport, mode: str
) -> None:
    if mode != "create":
        registry.put({"id": "pump"})

    assert run_import({"id": "pump", "importMode": mode, "status": "enabled", "eTag": "old"}) == []


def test_etag_may_be_quoted(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "pump"})
    etag = f'"{stored(registry, "pump")["eTag"]}"'

    assert run_import(line(PUMP, "deleteIfMatchETag", eTag=etag)) == []


def test_module_requires_its_device(run_import: RunImport) -> None:
    module = line(("pump", "sensor"), "create")

    assert run_import(module) == [
        {
            "deviceId": "pump",
            "moduleId": "sensor",
            "errorCode": 404001,
            "errorStatus": "pump",
        }
    ]


def test_deleting_a_device_deletes_its_modules(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "pump"})
    registry.put({"id": "pump", "moduleId": "sensor"})
    registry.put({"id": "pump-2"})

    assert run_import(line(PUMP, "delete")) == []
    assert len(registry) == 1


def test_update_twin_merges(registry: Registry, run_import: RunImport) -> None:
    registry.put(
        {"id": "pump", "tags": {"a": {"x": 1, "y": 2}, "b": 1}, "properties": {"desired": {"d": 1}}}
    )
    patch = {"tags": {"a": {"x": None, "z": 3}}, "properties": {"desired": {"e": [1, {"f": "g"}]}}}

    assert run_import(line(PUMP, "updateTwin", **patch)) == []
    after = stored(registry, "pump")
    assert after["tags"] == {"a": {"y": 2, "z": 3}, "b": 1}
    assert after["properties"]["desired"] == {"d": 1, "e": [1, {"f": "g"}]}


def test_update_keeps_omitted_twin_parts(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "pump", "tags": {"a": 1}, "properties": {"desired": {"d": 1}}})

    assert run_import(line(PUMP, "update", tags={"b": 2})) == []
    after = stored(registry, "pump")
    assert after["tags"] == {"b": 2}
    assert after["properties"]["desired"] == {"d": 1}


def test_an_empty_status_reason_is_kept(registry: Registry) -> None:
    registry.put({"id": "pump", "statusReason": ""})

    assert stored(registry, "pump")["statusReason"] == ""


def test_exported_lines_can_be_imported_again(registry: Registry, run_import: RunImport) -> None:
    registry.put({"id": "gateway", "capabilities": {"iotEdge": True}, "tags": {"a": 1}})
    registry.put({"id": "pump", "deviceScope": "ms-azure-iot-edge://gateway-1"})
    registry.put({"id": "pump", "moduleId": "sensor"})
    names: list[Ids] = [("gateway", None), ("pump", None), ("pump", "sensor")]
    before = [stored(registry, *name) for name in names]

    assert run_import(*before) == []
    for old, new in zip(before, (stored(registry, *name) for name in names), strict=True):
        assert new == {**old, "eTag": new["eTag"]}


def test_lines_are_independent(registry: Registry, run_import: RunImport) -> None:
    log = run_import(
        {"id": "a", "importMode": "update", "status": "enabled"},
        {"id": "b", "importMode": "create", "status": "enabled"},
        {"id": "b", "importMode": "create", "status": "enabled"},
        {"id": "c", "status": "enabled"},
    )

    assert log == [
        {"deviceId": "a", "errorCode": 404001, "errorStatus": "a"},
        {
            "deviceId": "b",
            "errorCode": 409001,
            "errorStatus": "A device with ID 'b' is already registered.",
        },
    ]
    assert stored(registry, "c")["status"] == "enabled"
