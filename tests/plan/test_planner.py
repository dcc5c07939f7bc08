"""The plan of a line, and what is sent of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shared.plan.entries import RegistryLineError, read_file_line
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action, NewKeys, Note
from shared.plan.planner import PlanCounts, PlannedText, plan_file
from shared.plan.snapshot import Snapshot
from tests.plan.outcome import AS_OF

KEY = "bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
OTHER_KEY = "YW5vdGhlciBtYWRlIHVwIGtleSBvZiAzMiBieXRlcyE="
PRINT, OTHER_PRINT = "aB" * 20, "cd" * 20
SCOPE = "ms-azure-iot-edge://gateway-1"

Line = dict[str, Any]


def sas(primary: str | None = KEY, secondary: str | None = KEY) -> Line:
    return {"type": "sas", "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def signed(primary: str = PRINT) -> Line:
    return {"type": "selfSigned", "x509Thumbprint": {"primaryThumbprint": primary}}


def entry(**members: Any) -> Line:
    return {
        **{"id": "a", "eTag": "MQ==", "twinETag": "AAAAAAAAAAE=", "status": "enabled"},
        **{"authentication": sas(), "tags": {}, "properties": {"desired": {}, "reported": {}}},
        **members,
    }


def line(**members: Any) -> Line:
    return {"id": "a", "status": "enabled", "authentication": sas(), **TWIN, **members}


TWIN: Line = {"tags": {}, "properties": {"desired": {}}}


def plan(
    lines: list[Line], *entries: Line, has_keys: bool = True, is_recent: bool = False
) -> list[PlannedText]:
    texts = [json.dumps(line).encode() for line in lines]
    devices = FileDevices(texts)
    with Snapshot(AS_OF, has_keys=has_keys) as snapshot:
        export = [json.dumps(entry).encode() for entry in entries]
        snapshot.read_export(export, devices.__contains__)
        return list(plan_file(texts, devices, snapshot, lambda _: is_recent))


def planned(line: Line, *entries: Line, **options: Any) -> PlannedText:
    [one] = plan([line], *entries, **options)
    return one


def fields(one: PlannedText) -> list[str]:
    return [change.field for change in one.planned.changes]


@pytest.mark.parametrize(
    ("mode", "absent", "present"),
    [
        (None, "create", "unchanged"),
        ("createOrUpdate", "create", "unchanged"),
        ("create", "create", "DeviceAlreadyExists"),
        ("update", "DeviceNotFound", "unchanged"),
        ("updateIfMatchETag", "DeviceNotFound", "unchanged"),
        ("createOrUpdateIfMatchETag", "create", "unchanged"),
        ("delete", "DeviceNotFound", "delete"),
        ("deleteIfMatchETag", "DeviceNotFound", "delete"),
        ("updateTwin", "DeviceNotFound", "unchanged"),
        ("updateTwinIfMatchETag", "DeviceNotFound", "unchanged"),
    ],
)
def test_modes(mode: str | None, absent: str, present: str) -> None:
    wanted = line(importMode=mode, eTag="MQ==", twinETag='"AAAAAAAAAAE="')
    for expected, one in ((absent, planned(wanted)), (present, planned(wanted, entry()))):
        assert expected == (one.planned.code or one.planned.action)
        assert bool(one.guarded) == one.planned.action.is_sent


@pytest.mark.parametrize(
    ("mode", "etags", "is_refused"),
    [
        ("update", {"eTag": "c3RhbGU="}, False),
        ("updateIfMatchETag", {"eTag": "c3RhbGU="}, True),
        ("updateIfMatchETag", {"eTag": "*"}, False),
        ("createOrUpdateIfMatchETag", {"eTag": "c3RhbGU="}, True),
        ("update", {"twinETag": "c3RhbGU="}, True),
        ("createOrUpdate", {"twinETag": "c3RhbGU="}, True),
        ("createOrUpdate", {"twinETag": ""}, False),
        ("delete", {"eTag": "c3RhbGU=", "twinETag": "c3RhbGU="}, False),
        ("deleteIfMatchETag", {"eTag": "c3RhbGU="}, True),
        ("deleteIfMatchETag", {"eTag": "MQ==", "twinETag": "c3RhbGU="}, False),
        ("updateTwin", {"eTag": "c3RhbGU=", "twinETag": "c3RhbGU="}, False),
        ("updateTwinIfMatchETag", {"twinETag": "c3RhbGU="}, True),
        ("updateTwinIfMatchETag", {"eTag": "c3RhbGU=", "twinETag": "*"}, False),
    ],
)
def test_etags_of_the_line(mode: str, etags: Line, *, is_refused: bool) -> None:
    one = planned(line(importMode=mode, **etags), entry()).planned
    assert (one.code == "PreconditionFailed") == is_refused


@pytest.mark.parametrize(
    ("given", "present", "new_keys", "names"),
    [
        (sas(OTHER_KEY), sas(), NewKeys.REPLACED, ["symmetricKey"]),
        (None, sas(), NewKeys.MADE_BY_HUB, ["symmetricKey"]),
        ({"type": "sas"}, sas(), NewKeys.MADE_BY_HUB, ["symmetricKey"]),
        (sas(), signed(), NewKeys.OTHER_TYPE, ["type", "symmetricKey", "x509Thumbprint"]),
        (signed(), sas(), NewKeys.OTHER_TYPE, ["type", "symmetricKey", "x509Thumbprint"]),
        (signed(), signed(), None, []),
        (signed(PRINT.swapcase()), signed(), None, ["x509Thumbprint"]),
        (signed(OTHER_PRINT), signed(), NewKeys.OTHER_THUMBPRINT, ["x509Thumbprint"]),
        ({"type": "selfSigned"}, signed(), None, []),
        ({"type": "selfSigned"}, sas(), NewKeys.OTHER_TYPE, ["type"]),
        (
            *({"type": "certificateAuthority"}, signed()),
            *(NewKeys.OTHER_TYPE, ["type", "x509Thumbprint"]),
        ),
        ({"type": "certificateAuthority"}, {"type": "certificateAuthority"}, None, []),
    ],
)
def test_credentials(
    given: Line | None, present: Line, new_keys: NewKeys | None, names: list[str]
) -> None:
    one = planned(line(authentication=given), entry(authentication=present))
    assert one.planned.new_keys == new_keys
    assert fields(one) == [f"authentication.{name}" for name in names]
    assert not [
        change
        for change in one.planned.changes
        if change.field != "authentication.type" and change.is_shown
    ]


@pytest.mark.parametrize(
    ("given", "present", "is_known"),
    [(sas(), sas(None, None), False), (None, sas(None, None), True), (sas(), signed(), True)],
)
def test_keys_that_are_not_in_the_export(given: Line, present: Line, *, is_known: bool) -> None:
    one = planned(line(authentication=given), entry(authentication=present), has_keys=False)
    assert one.planned.action is Action.UPDATE
    assert (one.planned.notes == ()) == is_known
    assert (one.planned.new_keys is not None) == is_known


@pytest.mark.parametrize(
    ("given", "present", "names"),
    [
        ({"status": "disabled"}, {}, ["status"]),
        ({"statusReason": "x"}, {}, ["statusReason"]),
        ({}, {"statusReason": "x"}, ["statusReason"]),
        ({"deviceScope": SCOPE}, {}, ["deviceScope", "parentScopes"]),
        ({"deviceScope": ""}, {}, []),
        ({"parentScopes": [SCOPE]}, {}, []),
        ({"capabilities": {"iotEdge": True}}, {}, ["capabilities.iotEdge", "deviceScope"]),
        ({"capabilities": {"iotEdge": False}}, {}, []),
        ({"attributes": {"a": None}}, {"attributes": {}}, ["attributes"]),
        ({"attributes": {}}, {}, ["attributes"]),
        ({}, {"attributes": {"a": 1}}, []),
        ({"managedBy": "x"}, {}, ["managedBy"]),
        ({"tags": {"a": {"b": 1}}}, {"tags": {"a": {"b": 2, "c": 3}}}, ["tags.a.b", "tags.a.c"]),
        ({"tags": {"a": 1}}, {"tags": {"a": True}}, ["tags.a"]),
        ({"tags": {"a": [1]}}, {"tags": {"a": [1.0]}}, ["tags.a"]),
        ({"tags": {"a": {}}}, {}, ["tags.a"]),
        ({"tags": {"a": None}}, {}, []),
        ({"properties": {"desired": {"a": 1e2}}}, {}, ["properties.desired.a"]),
    ],
)
def test_properties_that_change(given: Line, present: Line, names: list[str]) -> None:
    one = planned(line(**given), entry(**present))
    assert fields(one) == names
    assert one.planned.action is (Action.UPDATE if names else Action.UNCHANGED)


def test_an_edge_device_keeps_its_scope() -> None:
    edge = {"capabilities": {"iotEdge": True}}
    present = entry(**edge, deviceScope=SCOPE)
    assert planned(line(**edge), present).planned.action is Action.UNCHANGED
    assert fields(planned(line(), present)) == ["capabilities.iotEdge", "deviceScope"]
    one = planned(line(**edge, deviceScope=SCOPE), entry())
    assert one.planned.code == "ServiceUnavailable"


@pytest.mark.parametrize(
    ("given", "present", "note"),
    [
        ({"tags": None}, {"tags": {"a": 1}}, Note.MAY_CLEAR_TWIN),
        ({"properties": {}}, {"properties": {"desired": {"a": 1}}}, Note.MAY_CLEAR_TWIN),
        ({"properties": {"desired": {}, "reported": {"a": 1}}}, {}, Note.MAY_WRITE_REPORTED),
        ({"properties": {"desired": {"$metadata": {}}}}, {}, Note.METADATA_NOT_COMPARED),
        (
            *({"importMode": "updateTwin", "properties": {"desired": {"$metadata": {}}}}, {}),
            Note.METADATA_NOT_COMPARED,
        ),
        ({"attributes": {}}, {}, Note.NOT_IN_EXPORT),
    ],
)
def test_what_nobody_knows_is_an_uncertain_change(given: Line, present: Line, note: Note) -> None:
    one = planned(line(**given), entry(**present)).planned
    assert one.action is Action.UPDATE
    assert one.notes == (note,)
    assert not any(change.is_certain for change in one.changes)


def test_reported_properties_that_are_equal_or_omitted() -> None:
    present = entry(properties={"desired": {}, "reported": {"a": 1}})
    omitted: Line = {"desired": {}}
    for properties in (omitted, {**omitted, "reported": {"a": 1, "b": None}}):
        assert planned(line(properties=properties), present).planned.action is Action.UNCHANGED


def test_metadata_in_an_export_is_no_change() -> None:
    desired = {"a": 1, "$metadata": {"$lastUpdated": "2026-01-02T03:04:05Z"}, "$version": 3}
    present = entry(properties={"desired": desired})
    wanted = line(properties={"desired": {"a": 1}})
    assert planned(wanted, present).planned.action is Action.UNCHANGED


def test_a_patch_merges() -> None:
    present = entry(tags={"a": {"b": 1, "c": 2}, "d": 3})
    patch = {"importMode": "updateTwin", "status": "disabled", "authentication": None}
    one = planned(line(**patch, tags={"a": {"b": None}, "d": 3, "e": None}), present)
    assert fields(one) == ["tags.a.b"]
    assert not one.planned.disables
    assert planned(line(**patch, tags={"d": 3}), present).planned.action is Action.UNCHANGED


def test_notes_of_lines_that_may_fail() -> None:
    with_null = line(tags={"a": None, "b": 1})
    assert planned(with_null).planned.notes == (Note.NULL_MAY_FAIL,)
    assert planned(with_null, entry()).planned.notes == (Note.NULL_MAY_FAIL,)
    assert planned(with_null, entry(tags={"b": 1})).planned.notes == ()
    large = {"tags": {"a": "x" * 4000, "b": "y" * 4000}}
    patch = line(importMode="updateTwin", tags={"c": "z" * 300})
    assert planned(patch, entry(**large)).planned.notes == (Note.TOO_LARGE_MAY_FAIL,)
    assert planned(line(importMode="updateTwin", tags={"c": 1}), entry(**large)).planned.notes == ()


def test_a_device_that_was_imported_a_short_time_ago_is_sent() -> None:
    one = planned(line(), entry(), is_recent=True)
    assert (one.planned.action, one.planned.notes) == (Action.UPDATE, (Note.IMPORTED_RECENTLY,))
    assert one.guarded
    one = planned(line(importMode="update"), is_recent=True)
    assert (one.planned.code, one.planned.notes) == ("DeviceNotFound", (Note.IMPORTED_RECENTLY,))


def module(name: str = "m", **members: Any) -> Line:
    return {**line(**members), "moduleId": name}


@pytest.mark.parametrize(
    ("device", "present", "mode", "expected"),
    [
        (None, [], "createOrUpdate", "DeviceNotFound"),
        (None, [], "update", "DeviceNotFound"),
        (None, [entry()], "createOrUpdate", "create"),
        (None, [entry()], "update", "ModuleNotFound"),
        (None, [entry(), entry(moduleId="m")], "create", "ModuleAlreadyExistsOnDevice"),
        (None, [entry(), entry(moduleId="m")], "delete", "delete"),
        ("create", [], "createOrUpdate", "create, depends"),
        ("create", [], "update", "ModuleNotFound, depends"),
        ("update", [], "createOrUpdate", "DeviceNotFound"),
        ("delete", [entry()], "createOrUpdate", "create, depends"),
        ("delete", [entry(), entry(moduleId="m")], "createOrUpdate", "update, depends"),
        ("update", [entry(), entry(moduleId="m")], "createOrUpdate", "unchanged"),
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_module_and_its_device(
    device: str | None, present: list[Line], mode: str, expected: str, *, is_first: bool
) -> None:
    lines = [module(importMode=mode)]
    if device:
        lines.insert(0 if is_first else 1, line(importMode=device))
    [one] = [one.planned for one in plan(lines, *present) if one.planned.module_id]
    depends = ", depends" if Note.DEPENDS_ON_ORDER in one.notes else ""
    assert f"{one.code or one.action}{depends}" == expected


def test_modules_are_deleted_with_their_device() -> None:
    modules = [entry(moduleId=name) for name in ("m", "n")]
    one = planned(line(importMode="delete"), entry(), *modules, entry(id="b", moduleId="m"))
    assert one.planned.deleted_modules == 2


def test_too_many_modules() -> None:
    present = [entry(), *(entry(moduleId=f"m{number}") for number in range(49))]
    two = plan([module("x"), module("y")], *present)
    assert [one.planned.notes for one in two] == [(Note.TOO_MANY_MODULES_MAY_FAIL,)] * 2
    assert plan([module("x")], *present)[0].planned.notes == ()


@pytest.mark.parametrize(
    ("mode", "present", "expected"),
    [
        ("createOrUpdateIfMatchETag", None, ("create", None, None)),
        ("create", None, ("create", None, None)),
        ("createOrUpdate", entry(), ("updateIfMatchETag", "MQ==", "AAAAAAAAAAE=")),
        ("updateIfMatchETag", entry(), ("updateIfMatchETag", "MQ==", "AAAAAAAAAAE=")),
        ("delete", entry(), ("deleteIfMatchETag", "MQ==", "*")),
        ("updateTwin", entry(), ("updateTwinIfMatchETag", "*", "AAAAAAAAAAE=")),
        ("update", entry(twinETag=None), ("updateIfMatchETag", "MQ==", "*")),
    ],
)
def test_guards(mode: str, present: Line | None, expected: tuple[str | None, ...]) -> None:
    wanted = line(importMode=mode, eTag="*", twinETag="*", status="disabled", tags={"a": 1.0})
    one = planned(wanted, *([present] if present else []))
    sent = json.loads(one.guarded)
    assert tuple(map(sent.get, ("importMode", "eTag", "twinETag"))) == expected
    rest = ("importMode", "eTag", "twinETag")
    assert {**wanted, **dict.fromkeys(rest)} == {**sent, **dict.fromkeys(rest)}
    assert one.text == json.dumps(wanted).encode()


def test_counts() -> None:
    lines = [
        line(id="new"),
        line(importMode="delete"),
        line(id="b", status="disabled", authentication=None),
        line(id="c"),
        line(id="d", importMode="update"),
    ]
    counts = PlanCounts()
    for one in plan(lines, entry(), entry(moduleId="m"), entry(id="b"), entry(id="c")):
        counts.add(one.planned)
    assert dict(counts.actions) == dict.fromkeys(
        ("create", "delete", "update", "unchanged", "fail"), 1
    )
    assert (counts.sent, counts.new_keys, counts.disables, counts.deleted_modules) == (3, 1, 1, 1)
    assert counts.codes == {"DeviceNotFound": 1}


def test_what_a_file_touches() -> None:
    lines = [module(), line(id="b", importMode="delete"), module("n", importMode="delete")]
    devices = FileDevices([json.dumps(line).encode() for line in lines])
    assert (devices.lines, len(devices)) == (3, 2)
    assert [name in devices for name in ("a", "b", "c")] == [True, True, False]
    assert (devices.mode_of("a"), devices.mode_of("b")) == (None, "delete")
    assert (devices.added_modules("a"), devices.added_modules("b")) == (1, 0)


@pytest.mark.parametrize("text", [b"", b"{}", b'{"id":1}', b'{"id":"a","importMode":"secret"}'])
def test_lines_that_were_not_validated(text: bytes) -> None:
    with pytest.raises(RegistryLineError) as caught:
        read_file_line(text)
    assert "secret" not in str(caught.value)
