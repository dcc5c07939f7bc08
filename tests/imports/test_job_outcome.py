"""The log of a job of several imports: each entry is told to its line's import alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.device_files.line_map import LineMap
from shared.hub.error_log import FailedLine
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.store.import_container import ImportContainer
from shared.imports.workflow.job_outcome import (
    JobOutcome,
    UnreadableLogError,
    read_outcomes,
)
from shared.imports.workflow.line_owners import LineOwners
from shared.storage.blobs import BlockWriter, StoredFile
from tests.records import import_record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class Log(StoredFile):
    """A log in memory, in two chunks."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def chunks(self) -> Iterator[bytes]:
        middle = len(self.data) // 2
        yield from (self.data[:middle], self.data[middle:])


class Rejected(BlockWriter):
    def __init__(self) -> None:
        self.data = b""
        self.is_committed = False

    def write(self, data: bytes) -> None:
        self.data += data

    def commit(self, overwrite: bool = True) -> str:
        self.is_committed = True
        return "0x3"


class Container(ImportContainer):
    """What one import staged, in memory."""

    def __init__(self, lines: list[bytes]) -> None:
        self.lines = lines
        self.rejected = Rejected()

    def staged_lines(self, staged: StagedFile, count: int) -> Iterator[bytes]:
        assert count == len(self.lines)
        return iter(self.lines)

    def line_map(self, staged: StagedFile) -> LineMap:
        return LineMap()

    def write_rejected_lines(self) -> tuple[BlockWriter, str]:
        self.rejected = Rejected()
        return self.rejected, "import-a/retry.ndjson"


@dataclass
class Member:
    """An import of a job, and what a hub rejected of it."""

    lines: list[bytes]
    has_ended: bool = False
    #: Numbers of the rejected lines, from 0.
    rejected: set[int] = field(default_factory=set)
    entries: list[bytes] = field(default_factory=list)

    @property
    def record(self) -> ImportRecord:
        return import_record("hub", "a.ndjson", "0x1", NOW, devices=len(self.lines))


def entry(device_id: str = "", module_id: str = "", text: str = "No.", code: int = 1) -> bytes:
    members: dict[str, Any] = {"deviceId": device_id, "errorCode": code, "errorStatus": text}
    if module_id:
        members["moduleId"] = module_id
    return json.dumps(members).encode()


def quoted(line: bytes) -> bytes:
    return entry(text=f"Could not parse JSON in line: {line.decode()}. It is bad.")


@st.composite
def member(draw: st.DrawFn, number: int) -> Member:
    """Lines of devices that no other member has, and what the log says of some of them."""
    keys: list[tuple[str, str]] = []
    for device in draw(st.lists(st.integers(0, 4), min_size=1, max_size=4, unique=True)):
        device_id = draw(st.sampled_from([f"Pump-{number}-{device}", f"pump-{number}-{device}"]))
        kinds = ["device", "module", "both", "two cases"]
        match draw(st.sampled_from(kinds)):
            case "device":
                keys.append((device_id, ""))
            case "module":
                keys.append((device_id, "m"))
            case "both":
                keys += [(device_id, "m"), (device_id, "")]
            case _:
                keys += [(device_id, ""), (device_id.upper(), "")]
    keys = draw(st.permutations(keys))
    made = Member([line_of(*key) for key in keys], has_ended=draw(st.integers(0, 4)) == 0)
    for index, (device_id, module_id) in enumerate(keys):
        if not draw(st.booleans()):
            continue
        made.rejected.add(index)
        same = [key for key in keys if key[0].lower() == device_id.lower()]
        forms = [entry(device_id, module_id)]
        if len({key[0] for key in same}) == 1:
            forms += [entry(device_id.upper(), module_id), entry(device_id.lower(), module_id)]
        if module_id and len(same) == 1:
            forms = [entry(device_id), entry(device_id.upper())] if draw(st.booleans()) else forms
        if draw(st.integers(0, 3)) == 0:
            forms = [quoted(made.lines[index])]
        made.entries += draw(st.lists(st.sampled_from(forms), min_size=1, max_size=3))
    return made


def line_of(device_id: str, module_id: str = "") -> bytes:
    line = {"id": device_id, "status": "enabled", "tags": {"é": 1}}
    if module_id:
        line["moduleId"] = module_id
    return json.dumps(line, ensure_ascii=False).encode()


@st.composite
def groups(draw: st.DrawFn) -> list[Member]:
    return [draw(member(number)) for number in range(draw(st.integers(2, 4)))]


FOREIGN = [entry("nobody"), entry("NOBODY", "m"), entry("pump-77"), entry("pump-0")]
NAMELESS = [b"not JSON", b"[1]", entry(text="Something broke."), quoted(b'{"id": 5}')]


def outcomes_of(
    group: list[Member], entries: list[bytes], max_failures: int = 100
) -> tuple[list[JobOutcome], list[Container]]:
    containers = [Container(each.lines) for each in group]

    def owners() -> LineOwners:
        lines = [line for each in group for line in each.lines]
        return LineOwners(lines, [len(each.lines) for each in group])

    outcomes = read_outcomes(
        Log(b"\n".join(entries)),
        [
            None if each.has_ended else (each.record, container)
            for each, container in zip(group, containers, strict=True)
        ],
        owners,
        max_failures,
        is_last_try=True,
    )
    return list(outcomes), containers


@settings(max_examples=300)
@given(groups(), st.lists(st.sampled_from(FOREIGN), max_size=3), st.randoms(use_true_random=False))
def test_each_entry_is_told_to_its_import_alone(
    group: list[Member], foreign: list[bytes], random: Any
) -> None:
    entries = [*foreign, *(one for each in group for one in each.entries)]
    random.shuffle(entries)
    outcomes, containers = outcomes_of(group, entries)
    for each, outcome, container in zip(group, outcomes, containers, strict=True):
        # Repeated, an entry counts once.
        assert outcome.unattributed == len(set(foreign))
        if each.has_ended:
            assert not outcome.retry
            continue
        # Once, however often and in whatever form the log says it.
        assert outcome.failed == len(each.rejected)
        assert outcome.codes.total() == len(each.rejected)
        assert outcome.unidentified == 0
        wanted = sorted(each.rejected)
        assert [failure.line for failure in outcome.failures] == [line + 1 for line in wanted]
        assert bool(outcome.retry) == container.rejected.is_committed == bool(wanted)
        assert container.rejected.data == b"".join(each.lines[line] + b"\n" for line in wanted)


@given(groups(), st.sampled_from(NAMELESS), st.randoms(use_true_random=False))
def test_an_entry_that_names_nothing_may_be_anybodys(
    group: list[Member], nameless: bytes, random: Any
) -> None:
    entries = [nameless, *(one for each in group for one in each.entries)]
    random.shuffle(entries)
    outcomes, containers = outcomes_of(group, entries)
    for each, outcome, container in zip(group, outcomes, containers, strict=True):
        if each.has_ended:
            continue
        assert outcome.unattributed == 1
        assert outcome.failed == len(each.rejected)
        wanted = sorted(each.rejected)
        assert container.rejected.data == b"".join(each.lines[line] + b"\n" for line in wanted)
        # Another import's line is never shown.
        assert b'"id": 5' not in json.dumps(outcome.to_json()).encode()


@given(groups())
def test_a_small_limit_keeps_all_counts_and_lines(group: list[Member]) -> None:
    entries = [one for each in group for one in each.entries]
    outcomes, containers = outcomes_of(group, entries, max_failures=1)
    for each, outcome, container in zip(group, outcomes, containers, strict=True):
        if not each.has_ended:
            assert outcome.failed == len(each.rejected)
            assert len(outcome.failures) == min(1, len(each.rejected))
            assert container.rejected.data.count(b"\n") == len(each.rejected)


def test_log_without_entries_reads_no_lines() -> None:
    def owners() -> LineOwners:
        raise AssertionError("the lines are not needed")

    group = [Member([line_of("a")]), Member([line_of("b")])]
    outcomes = read_outcomes(
        Log(b"\n \n"),
        [(each.record, Container(each.lines)) for each in group],
        owners,
        10,
        is_last_try=False,
    )
    assert [outcome.failed for outcome in outcomes] == [0, 0]


def test_quoted_line_that_the_hub_changed_is_found_by_its_id() -> None:
    """Which line it is is not known then, but whose."""
    group = [Member([line_of("a")]), Member([line_of("b"), line_of("c")])]
    first, second = outcomes_of(group, [quoted(b'{"id": "B", "status": 1}')])[0]
    assert (first.failed, first.unidentified) == (0, 0)
    assert (second.failed, second.unidentified) == (1, 1)


@pytest.mark.parametrize("counts", [(1,), (1, 2), (3, 0), ()])
def test_lines_that_do_not_add_up_tell_nothing(counts: tuple[int, ...]) -> None:
    lines = [line_of("a"), line_of("b")]
    with pytest.raises(UnreadableLogError):
        read_outcomes(
            Log(entry("a")),
            [(Member([line]).record, Container([line])) for line in lines],
            lambda: LineOwners(lines, counts),
            10,
            is_last_try=True,
        )


def test_owners_know_devices_by_their_folded_id() -> None:
    owners = LineOwners([line_of("Pump"), line_of("valve", "m")], [1, 1])
    failed = FailedLine("PUMP", "", "code", "text")
    assert owners.find(failed) == (0, replace(failed, device_id="Pump"))
    assert owners.find(replace(failed, device_id="VALVE", module_id="m"))[0] == 1
    assert owners.find(replace(failed, device_id="pum"))[0] is None
    assert owners.find(replace(failed, device_id=""))[0] is None
