"""Properties of the validation of whole files, for generated valid and invalid lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iothub_emulator.registry.entries import Kind
from iothub_emulator.registry.identity import SYSTEM_MODULES, Key
from iothub_emulator.registry.lines import parse_line
from iothub_emulator.registry.registry import Registry
from shared.device_files.rules import Rule, Severity
from shared.device_files.validation import Validation
from tests.device_files import fuzz, strategies, writing
from tests.device_files.mutations import BREAKINGS, NOT_OF_MEMBERS, Breaking
from tests.device_files.support import cut
from tests.device_files.writing import FORMS, Written, gzipped, small_pieces
from tests.emulator.support import import_line

Device = dict[str, Any]

_SETTINGS = settings(
    max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

fleets = strategies.fleets()
chunk_sizes = st.sampled_from([1, 7, 64, 1000, 1 << 20])


def run(data: bytes, chunk_bytes: int = 1 << 20) -> tuple[list[bytes], Validation]:
    """The staged lines and the finished validation of a file read in small chunks."""
    validation = Validation()
    with small_pieces():
        staged = b"".join(validation.run(cut(data, chunk_bytes)))
    return staged.split(b"\n")[:-1], validation


def errors(validation: Validation) -> list[tuple[int | None, str, str]]:
    """Line, field and code of each error."""
    return [
        (problem.line, problem.field, problem.code)
        for problem in validation.report.problems
        if problem.severity is Severity.ERROR
    ]


def exactly(values: list[Any]) -> list[str]:
    """Distinguish 1 from 1.0 and true."""
    return [json.dumps(value, sort_keys=True) for value in values]


def in_form(name: str, devices: list[Device], is_gzipped: bool) -> Written:
    written = FORMS[name](devices)
    return gzipped(written) if is_gzipped else written


@pytest.mark.slow
@_SETTINGS
@given(fleets)
def test_valid_lines_are_staged_and_accepted_by_the_hub(devices: list[Device]) -> None:
    staged, validation = run(writing.ndjson(devices).data)
    assert errors(validation) == []
    assert staged == list(map(writing.line, devices))
    registry = Registry()
    registered: set[tuple[str, str | None]] = set()
    for device, line in zip(devices, staged, strict=True):
        parse_line(line.decode())
        refusal = import_line(registry, line.decode())
        device_id, module_id = strategies.key(device)
        creates = (device.get("importMode") or "createOrUpdate").startswith("create")
        if creates and (module_id is None or (device_id, None) in registered):
            assert refusal is None
            registered.add((device_id, module_id))
    stored = (entry.identity.key for entry in registry.scan(Kind.ALL, Key(""), limit=1000))
    made_by_clients = {
        (key.device_id, key.module_id) for key in stored if key.module_id not in SYSTEM_MODULES
    }
    assert made_by_clients == registered


@pytest.mark.parametrize("form", FORMS)
@settings(_SETTINGS, max_examples=40)
@given(devices=fleets, is_gzipped=st.booleans(), chunk_bytes=chunk_sizes)
def test_all_formats_give_the_same_devices(
    form: str, devices: list[Device], is_gzipped: bool, chunk_bytes: int
) -> None:
    written = in_form(form, devices, is_gzipped)
    staged, validation = run(written.data, chunk_bytes)
    assert errors(validation) == []
    assert exactly(list(map(json.loads, staged))) == exactly(written.devices)
    if not form.startswith("csv"):
        assert exactly(written.devices) == exactly(devices)
    numbers = range(1, len(staged) + 1)
    assert [validation.lines.upload_line(number) for number in numbers] == written.lines
    family = {"array": "json", "pretty": "json"}.get(form.split("-")[0], form.split("-")[0])
    assert validation.report.format == family + ("+gzip" if is_gzipped else "")


@_SETTINGS
@given(st.lists(st.sampled_from(["good", "good", "good", "bad", "", "}"]), min_size=1), chunk_sizes)
def test_line_numbers_after_skipped_lines(kinds: list[str], chunk_bytes: int) -> None:
    good = writing.line({"id": "pump-%d", "status": "enabled"})
    texts = {"good": good, "bad": good[:-1], "": b"", "}": b"}"}
    data = b"\n".join(texts[kind].replace(b"%d", b"%d" % n) for n, kind in enumerate(kinds))
    staged, validation = run(b'{"id":"the-first","status":"enabled"}\n' + data, chunk_bytes)
    numbers = [validation.lines.upload_line(n + 1) for n in range(len(staged))]
    assert numbers == [1, *(n + 2 for n, kind in enumerate(kinds) if kind == "good")]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["ndjson", "pretty-array", "csv-commas"])
@settings(_SETTINGS, max_examples=60)
@given(data=st.data(), devices=fleets, chunk_bytes=chunk_sizes)
def test_an_error_is_reported_at_its_line_and_property(
    form: str, data: st.DataObject, devices: list[Device], chunk_bytes: int
) -> None:
    usable = [breaking for breaking in BREAKINGS if breaking.in_csv or "csv" not in form]
    breaking = data.draw(st.sampled_from(usable))
    index = data.draw(st.integers(0, len(devices) - 1))
    changed = [*devices[:index], breaking.of(devices[index]), *devices[index + 1 :]]
    written = FORMS[form](changed)
    staged, validation = run(written.data, chunk_bytes)
    expected = (written.lines[index], breaking.field, breaking.rule.code)
    assert errors(validation) == [expected]
    del written.devices[index]
    assert exactly(list(map(json.loads, staged))) == exactly(written.devices)
    _, again = run(written.data, chunk_bytes)
    assert again.report.problems == validation.report.problems


@pytest.mark.parametrize("breaking", BREAKINGS, ids=repr)
def test_each_mutation(breaking: Breaking) -> None:
    """In a line like the previous ones, which take the fast path."""
    base = {"id": "a", "status": "enabled", "authentication": {"type": "certificateAuthority"}}
    lines = [{**base, "id": f"pump-{n}", "tags": {"a": "x"}} for n in range(8)]
    lines[6] = breaking.of(lines[6])
    _, validation = run(writing.ndjson(lines).data)
    assert errors(validation) == [(7, breaking.field, breaking.rule.code)]


def test_each_property_rule_has_a_mutation() -> None:
    broken = {breaking.rule for breaking in BREAKINGS}
    assert broken == {rule for rule in Rule if rule.severity is Severity.ERROR} - NOT_OF_MEMBERS


@pytest.mark.slow
@_SETTINGS
@given(fleets, st.data())
def test_the_same_device_twice(devices: list[Device], data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(devices) - 1))
    second = data.draw(st.integers(first + 1, len(devices)))
    device_id, module_id = strategies.key(devices[first])
    again = data.draw(strategies.devices(st.just(device_id), st.just(module_id)))
    devices.insert(second, again)
    _, validation = run(writing.ndjson(devices).data)
    field = "id" if module_id is None else "moduleId"
    assert errors(validation) == [(second + 1, field, "id-duplicate")]


@pytest.mark.parametrize("member", ["tags", "properties"])
@settings(_SETTINGS, max_examples=20)
@given(count=st.integers(0, 1200), warning=st.sampled_from(["null", "unknown"]))
def test_warnings_never_hide_an_error(member: str, count: int, warning: str) -> None:
    nulls = dict.fromkeys(map(str, range(count)), None)
    twin = {**(nulls if warning == "null" else {}), "a b": 1}
    line = {
        "id": "a",
        "status": "enabled",
        **(nulls if warning == "unknown" else {}),
        member: {"desired": twin} if member == "properties" else twin,
    }
    staged, validation = run(writing.ndjson([line]).data)
    assert staged == []
    path = "tags" if member == "tags" else "properties.desired"
    assert errors(validation) == [(1, f"{path}.a b", "twin-key-characters")]


def test_a_wide_table_is_fast() -> None:
    names = [f"tags.{n:x}" for n in range(20_000)]
    data = ",".join(["id", "status", *names]).encode() + b"\nx,enabled,y\n"
    with fuzz.time_limit():
        staged, _ = run(data)
    assert json.loads(staged[0])["tags"] == {"0": "y"}


_damages = st.lists(
    st.tuples(
        st.sampled_from(["flip", "insert", "delete", "truncate", "duplicate"]),
        st.integers(0, 10_000),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def damage(data: bytes, damages: list[tuple[str, int, int]]) -> bytes:
    for kind, place, value in damages:
        place %= len(data) + 1
        start, rest = data[:place], data[place:]
        match kind:
            case "flip" if rest:
                data = start + bytes([rest[0] ^ (value or 1)]) + rest[1:]
            case "insert":
                data = start + bytes([value]) + rest
            case "delete":
                data = start + rest[value:]
            case "truncate":
                data = start
            case "duplicate":
                data = start + rest[:value] + rest
    return data


@pytest.mark.slow
@settings(_SETTINGS, max_examples=120)
@given(fleets, _damages, st.sampled_from(["ndjson", "ndjson-crlf-bom", "array", "csv-tabs"]))
def test_damaged_files_cause_no_exception(
    devices: list[Device], damages: list[tuple[str, int, int]], form: str
) -> None:
    with small_pieces():
        fuzz.examine(damage(FORMS[form](devices).data, damages), fuzz.Tally())


def test_the_fuzzer_runs() -> None:
    tally = fuzz.fuzz(seed=7, numbers=range(300))
    assert not tally.failed
    assert tally.inputs == 300
    assert tally.accepted_lines > 300
    assert len(tally.codes) > 25
