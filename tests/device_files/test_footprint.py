"""Footprints: which files may be in one job, against what their lines say."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from shared.device_files.footprint import MAX_LINES, Footprint, FootprintBuilder
from shared.device_files.lines.values import ImportMode
from shared.device_files.validation import Validation
from tests.app import App
from tests.device_files.strategies import devices, fleets, ids
from tests.device_files.support import cut, device, ndjson

#: Few ids, so that files often meet: in another letter case, or with hyphens and digits.
IDS = ["pump", "Pump", "PUMP", "pump-1", "PUMP-1", "pump-1-2", "p-7-007", "a.b:c", "x=#$'1"]


def scope(device_id: str, number: str = "637107633862345678") -> str:
    return f"ms-azure-iot-edge://{device_id}-{number}"


@dataclass
class Touched:
    """What the lines of a file touch, by their values alone."""

    ids: set[str] = field(default_factory=set)
    parents: set[str] = field(default_factory=set)
    modes: set[str] = field(default_factory=set)

    @classmethod
    def by(cls, lines: list[dict[str, Any]]) -> Touched:
        touched = cls()
        for line in lines:
            touched.ids.add(line["id"].lower())
            touched.modes.add((line.get("importMode") or "createOrUpdate").lower())
            scopes = [line.get("deviceScope"), *(line.get("parentScopes") or [])]
            for one in filter(None, scopes):
                prefix, _, name = one.partition("://")
                assert prefix == "ms-azure-iot-edge"
                touched.parents.add(name.rpartition("-")[0].lower())
        return touched

    def may_precede(self, other: Touched) -> bool:
        for mine, theirs in (
            (self.ids, other.ids),
            (self.ids, other.parents),
            (self.parents, other.ids),
        ):
            if any(one == another for one in mine for another in theirs):
                return False
        creates = any(mode.startswith("create") for mode in other.modes)
        deletes = any(mode.startswith("delete") for mode in self.modes)
        return not (deletes and creates)


def staged_by(data: bytes, chunk_bytes: int = 1 << 20) -> tuple[list[dict[str, Any]], bytes]:
    """The accepted lines of a file, and its footprint."""
    builder, staged = FootprintBuilder(), b""
    # That files delete much is no matter here.
    validation = Validation(confirmed_deletes=1000)
    for batch in validation.run(cut(data, chunk_bytes)):
        builder.add(batch)
        staged += batch
    return [json.loads(line) for line in staged.splitlines()], builder.build()


def footprint_of(*lines: object) -> Footprint:
    _, data = staged_by(ndjson(*lines))
    footprint = Footprint.from_bytes(data)
    assert footprint is not None
    return footprint


@st.composite
def lines_of_few_devices(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Valid lines whose ids and scopes name a few devices, in any letter case."""
    few = st.sampled_from(IDS)
    scopes = st.builds(scope, few, st.sampled_from(["1", "007", "637107633862345678"]))
    lines = draw(st.lists(devices(id_=few), min_size=1, max_size=4))
    for line in lines:
        for name, value in (
            ("deviceScope", st.none() | st.just("") | scopes),
            ("parentScopes", st.none() | st.lists(scopes, max_size=1)),
        ):
            line.pop(name, None)
            if draw(st.booleans()):
                line[name] = draw(value)
    return lines


@pytest.mark.slow
@settings(max_examples=200)
@given(lines_of_few_devices(), lines_of_few_devices())
def test_two_files_may_share_a_job_only_if_no_device_meets(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    accepted, data = staged_by(ndjson(*first))
    others, other_data = staged_by(ndjson(*second))
    footprint, other = Footprint.from_bytes(data), Footprint.from_bytes(other_data)
    assert (footprint is None) == (not accepted)
    assert (other is None) == (not others)
    if footprint is None or other is None:
        return
    touched, touched_too = Touched.by(accepted), Touched.by(others)
    assert footprint.may_precede(other) == touched.may_precede(touched_too)
    assert other.may_precede(footprint) == touched_too.may_precede(touched)
    # What joins the two meets all that either does.
    joined = footprint.joined(other)
    for third in (footprint, other):
        assert not joined.may_precede(third)
    assert joined == Footprint.from_bytes(joined.to_bytes())
    if touched.ids.isdisjoint(touched_too.ids):
        # Else the second file's lines would be duplicates.
        assert joined == Footprint.from_bytes(staged_by(ndjson(*first, *second))[1])


@pytest.mark.slow
@given(fleets(), st.integers(1, 300))
def test_footprint_of_any_file_names_all_its_devices(
    fleet: list[dict[str, Any]], chunk_bytes: int
) -> None:
    """Whatever else its lines contain, and however they are cut."""
    accepted, data = staged_by(ndjson(*fleet), chunk_bytes)
    scopes = [
        one
        for line in accepted
        for one in (line.get("deviceScope"), *(line.get("parentScopes") or ()))
    ]
    if "gateway" in scopes:
        # A hub may know what that names.
        assert data == b""
        return
    footprint = Footprint.from_bytes(data)
    assert footprint is not None
    assert footprint.to_bytes() == data
    touched = Touched.by(accepted)
    assert len(footprint.ids) == len(touched.ids)
    assert len(footprint.references) == len(touched.parents)
    for line in accepted:
        # A line of its own with that id, in another case, meets it in both directions.
        meets = footprint_of(device(id=line["id"].swapcase(), importMode="update"))
        assert not footprint.may_precede(meets)
        assert not meets.may_precede(footprint)


@given(ids(), ids())
@example("pump-1", "pump")
@example("pump-1-2", "pump-1")
@example("7", "7-7")
@example("-", "--")
def test_scope_names_its_parent_whatever_is_in_the_id(device_id: str, other_id: str) -> None:
    parent = footprint_of(device(id=device_id))
    for line in (
        device(id="child", deviceScope=scope(device_id)),
        device(id="child", deviceScope=scope(device_id, "1")),
        device(id="child", deviceScope=scope(device_id.swapcase())),
        device(id="edge", capabilities={"iotEdge": True}, parentScopes=[scope(device_id)]),
    ):
        child = footprint_of(line)
        if line["id"] == device_id.lower():
            continue
        assert len(child.references) == 1
        assert not parent.may_precede(child)
        assert not child.may_precede(parent)
        if other_id.lower() not in (device_id.lower(), line["id"]):
            other = footprint_of(device(id=other_id))
            assert other.may_precede(child)
            assert child.may_precede(other)


@pytest.mark.parametrize("first", ImportMode)
@pytest.mark.parametrize("second", ImportMode)
def test_deletes_go_before_creates(first: ImportMode, second: ImportMode) -> None:
    """Behind a file that deletes none joins that creates, which may need the hub's room."""

    def file(mode: ImportMode, device_id: str) -> Footprint:
        etag = {"eTag": "x"} if mode.compares_etag and not mode.updates_twin else {}
        twin = {"twinETag": "x"} if mode.compares_etag and mode.updates_twin else {}
        tags = {"tags": {"a": 1}} if mode.updates_twin else {}
        line = device(id=device_id, importMode=mode.value, **etag, **twin, **tags)
        return footprint_of(line)

    is_delete = first.value.startswith("delete")
    is_create = second.value.startswith("create")
    assert file(first, "one").may_precede(file(second, "two")) == (not (is_delete and is_create))


def test_module_counts_as_its_device() -> None:
    module = footprint_of(device(id="gateway", moduleId="meter"))
    assert not module.may_precede(footprint_of(device(id="GATEWAY")))
    assert not module.may_precede(footprint_of(device(id="gateway", moduleId="another")))
    assert module.may_precede(footprint_of(device(id="meter")))


def test_siblings_may_share_a_job() -> None:
    first = footprint_of(device(id="one", deviceScope=scope("gateway")))
    assert first.may_precede(footprint_of(device(id="two", deviceScope=scope("gateway"))))


def test_wrong_case_of_a_name_or_mode_is_read_as_it_is_staged() -> None:
    line = {**device(importMode="DELETE"), "DeviceScope": scope("Gateway")}
    footprint = footprint_of(line)
    assert footprint.deletes
    assert not footprint.creates
    assert not footprint.may_precede(footprint_of(device(id="gateway", importMode="update")))


def test_file_without_valid_lines_has_no_footprint() -> None:
    assert staged_by(ndjson({"id": "no status"}))[1] == b""
    assert FootprintBuilder().build() == b""


@pytest.mark.parametrize("name", ["gateway", "ms-azure-iot-edge://-1", "ms-azure-iot-edge://a"])
def test_scope_of_another_form_makes_a_file_go_alone(name: str) -> None:
    accepted, data = staged_by(ndjson(device(id="one"), device(id="two", deviceScope=name)))
    assert len(accepted) == 2
    assert data == b""


def test_file_of_too_many_lines_has_no_footprint() -> None:
    line = json.dumps(device(id="pump-1")).encode() + b"\n"
    builder = FootprintBuilder()
    builder.add(line * (MAX_LINES - 1))
    builder.add(line)
    assert len(builder.build()) == 5 + 8
    builder.add(line)
    assert builder.build() == b""


def test_footprint_fits_a_column() -> None:
    """65,536 bytes: 4,000 devices, and as many parents as fit besides."""

    def built(devices_: int, parents: int) -> bytes:
        builder = FootprintBuilder()
        for number in range(devices_):
            line = device(id=f"d{number}")
            if number < parents:
                line["deviceScope"] = scope(f"p{number}")
            builder.add(json.dumps(line).encode() + b"\n")
        return builder.build()

    assert len(built(4000, 0)) == 5 + 8 * 4000
    assert len(built(4000, 4000)) == 5 + 8 * 8000 <= 64 * 1024
    # Several parents a line.
    builder = FootprintBuilder()
    for number in range(4000):
        parents = [scope(f"p{number}"), scope(f"q{number}")]
        line = {**device(id=f"d{number}"), "parentScopes": parents}
        builder.add(json.dumps(line).encode() + b"\n")
    assert builder.build() == b""


HASHES = st.sets(st.binary(min_size=8, max_size=8), max_size=6)


@given(HASHES.filter(bool), HASHES, st.booleans(), st.booleans())
def test_footprint_is_read_as_it_was_written(
    device_ids: set[bytes], references: set[bytes], creates: bool, deletes: bool
) -> None:
    footprint = Footprint(frozenset(device_ids), frozenset(references), creates, deletes)
    data = footprint.to_bytes()
    assert Footprint.from_bytes(data) == footprint
    for end in range(len(data)):
        # A part of it is none, or one that lost whole references.
        part = Footprint.from_bytes(data[:end])
        assert part is None or (part.ids == footprint.ids and (len(data) - end) % 8 == 0)
    assert Footprint.from_bytes(data + b"x") is None


@given(st.binary(max_size=60))
@example(b"")
@example(bytes(5))
@example(bytes(13))
@example(b"\x01\xff\xff\xff\xff" + bytes(16))
def test_damaged_bytes_are_no_footprint(data: bytes) -> None:
    footprint = Footprint.from_bytes(data)
    if footprint is not None:
        assert footprint.ids
        assert (len(data) - 5) % 8 == 0
        # An edited row may repeat or unsort them.
        assert len(footprint.ids) + len(footprint.references) <= (len(data) - 5) // 8


FORMS = {
    "a.csv": b"id,status,importMode,deviceScope\nPump-1,enabled,update,%b\nx,enabled,,\n"
    % scope("gw-1").encode(),
    "a.json": json.dumps(
        [
            device(id="PUMP-1", importMode="update", deviceScope=scope("GW-1")),
            device(id="X"),
        ],
        indent=1,
    ).encode(),
    "a.ndjson": ndjson(
        device(id="pump-1", importMode="update", deviceScope=scope("gw-1")), device(id="x")
    ),
}


def test_all_formats_get_a_footprint(app: App) -> None:
    app.hub.occupy_slot()
    for name, data in FORMS.items():
        app.upload(name, data)
        app.deliver(name)
    footprints = {app.record(name).footprint for name in FORMS}
    assert len(footprints) == 1
    footprint = Footprint.from_bytes(footprints.pop())
    assert footprint is not None
    assert (len(footprint.ids), len(footprint.references)) == (2, 1)
    assert (footprint.creates, footprint.deletes) == (True, False)
    assert not footprint.may_precede(footprint_of(device(id="gW-1", importMode="update")))
