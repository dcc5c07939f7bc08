"""Which imports the next job takes, against a slow and obvious reference."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.device_files.footprint import FootprintBuilder
from shared.imports.model.parts import BackOff, StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.workflow.job_choice import choose, queue_positions
from shared.settings import JobSettings
from tests.records import import_record

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
SCOPE = "ms-azure-iot-edge://{}-637107633862345678"

Line = dict[str, Any]


@dataclass
class File:
    """A file in the queue, and what is known of it."""

    lines: list[Line]
    record: ImportRecord
    has_footprint: bool


@st.composite
def file_lines(draw: st.DrawFn) -> list[Line]:
    names = st.sampled_from(["a", "A", "b", "B", "b-1", "c", "c-7-7", "d", "e", "f", "g", "h"])
    lines: list[Line] = []
    for device_id in draw(st.lists(names, min_size=1, max_size=2)):
        line: Line = {"id": device_id, "status": "enabled"}
        if draw(st.booleans()):
            line["importMode"] = draw(
                st.sampled_from(["create", "update", "update", "delete", "deleteIfMatchETag"])
            )
        if draw(st.integers(0, 3)) == 0:
            line["moduleId"] = "m"
        elif draw(st.integers(0, 3)) == 0:
            line["deviceScope"] = SCOPE.format(draw(names))
        if draw(st.integers(0, 5)) == 0:
            line["parentScopes"] = [SCOPE.format(draw(names)), None][: draw(st.integers(0, 2))]
        lines.append(line)
    return lines


@st.composite
def files(draw: st.DrawFn) -> File:
    lines = draw(file_lines())
    builder = FootprintBuilder()
    builder.add(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    has_footprint = draw(st.integers(0, 9)) > 0
    rarely = st.sampled_from([False] * 9 + [True])
    back_off = BackOff(
        next_try_at=NOW + timedelta(seconds=30) if draw(rarely) else None,
        unexpected_errors=draw(st.sampled_from([0] * 9 + [1, 2, 3])),
    )
    record = import_record(
        "hub",
        f"{draw(st.integers(0, 10**9))}.ndjson",
        "0x1",
        NOW,
        state=ImportState.VALIDATING if draw(rarely) else ImportState.QUEUED,
        devices=draw(st.sampled_from([len(lines), 3, 4000])),
        staged=StagedFile(container="import-a", etag="0x2", size=draw(st.integers(100, 2000))),
        footprint=builder.build() if has_footprint else b"",
        back_off=back_off,
    )
    return File(lines, record, has_footprint)


def queues(max_size: int = 8) -> st.SearchStrategy[list[File]]:
    return st.lists(files(), min_size=1, max_size=max_size, unique_by=lambda file: file.record.id)


def job_settings(**limits: int) -> JobSettings:
    return JobSettings.model_validate(
        {f"JOB_{name.upper()}": value for name, value in limits.items()}
    )


SETTINGS = st.builds(
    job_settings,
    files=st.integers(1, 6),
    lines=st.sampled_from([1, 6, 4001, 10_000]),
    bytes=st.sampled_from([1024, 4000, 16 * 1024 * 1024]),
)


# The reference: from the lines, with plain loops.


def devices_of(file: File) -> set[str]:
    return {line["id"].lower() for line in file.lines}


def parents_of(file: File) -> set[str]:
    parents = set()
    for line in file.lines:
        for scope in [line.get("deviceScope"), *(line.get("parentScopes") or [])]:
            if scope:
                parents.add(scope.removeprefix("ms-azure-iot-edge://").rpartition("-")[0].lower())
    return parents


def modes_of(file: File) -> set[str]:
    return {line.get("importMode", "createOrUpdate") for line in file.lines}


def may_share(first: File, later: File) -> bool:
    """Whether both may be in one job; the order matters for deletes before creates alone."""
    if devices_of(first) & (devices_of(later) | parents_of(later)):
        return False
    if devices_of(later) & parents_of(first):
        return False
    deletes = any("delete" in mode for mode in modes_of(first))
    return not (deletes and any("create" in mode for mode in modes_of(later)))


def is_alone(file: File) -> bool:
    return not file.has_footprint or file.record.back_off.unexpected_errors >= 2


def expected_members(queue: list[File], limits: JobSettings) -> list[File]:
    """The longest head of the queue that may be one job."""
    for count in range(len(queue), 1, -1):
        head = queue[:count]
        records = [file.record for file in head]
        pairs = [(head[a], head[b]) for b in range(count) for a in range(b)]
        if (
            count <= limits.files
            and sum(record.devices or 0 for record in records) <= limits.lines
            and sum(record.staged.size or 0 for record in records) <= limits.bytes
            and not any(is_alone(file) for file in head)
            and all(may_share(first, later) for first, later in pairs)
            and all(record.state is ImportState.QUEUED for record in records[1:])
            and all(record.back_off.next_try_at is None for record in records[1:])
        ):
            return head
    return queue[:1]


@settings(max_examples=500)
@given(queues(), SETTINGS)
def test_job_takes_the_longest_head_that_may_share_it(
    queue: list[File], limits: JobSettings
) -> None:
    members = choose((file.record for file in queue), limits, NOW)
    expected = expected_members(queue, limits)
    assert list(members) == [file.record for file in expected]
    touched = [devices_of(file) for file in expected]
    assert sum(map(len, touched)) == len(set().union(*touched))


@settings(max_examples=200)
@given(queues(12), SETTINGS)
def test_queue_position_is_the_number_of_the_job(queue: list[File], limits: JobSettings) -> None:
    expected: list[int] = []
    rest, job = queue, 0
    while rest:
        job += 1
        taken = len(expected_members(rest, limits))
        expected += [job] * taken
        rest = rest[taken:]
    records = [file.record for file in queue]
    assert list(queue_positions(records, limits, NOW)) == list(zip(records, expected, strict=True))


@given(queues(), st.integers(1, 8), SETTINGS)
def test_members_of_one_job_have_one_position(
    queue: list[File], count: int, limits: JobSettings
) -> None:
    """Whatever they touch, and whatever the limits are now."""
    records = [file.record for file in queue]
    shared = [
        replace(record, job_record="5f", state=ImportState.RUNNING) for record in records[:count]
    ]
    positions = [number for _, number in queue_positions([*shared, *records[count:]], limits, NOW)]
    assert positions[: len(shared)] == [1] * len(shared)
    assert [number - 1 for number in positions[len(shared) :]] == [
        number for _, number in queue_positions(records[count:], limits, NOW)
    ]


def small_file(number: int, size: int = 100, devices: int = 1) -> ImportRecord:
    builder = FootprintBuilder()
    builder.add(json.dumps({"id": f"pump-{number}"}).encode() + b"\n")
    return import_record(
        "hub",
        f"{number}.ndjson",
        "0x1",
        NOW,
        state=ImportState.QUEUED,
        devices=devices,
        staged=StagedFile(container="import-a", etag="0x2", size=size),
        footprint=builder.build(),
    )


@pytest.mark.parametrize(
    ("record", "limits", "expected"),
    [
        ({}, {}, 96),
        ({}, {"files": 1}, 1),
        ({}, {"files": 96}, 96),
        ({"devices": 100}, {"lines": 1000}, 10),
        ({"devices": 100}, {"lines": 999}, 9),
        # The first is taken whatever it is.
        ({"devices": 100}, {"lines": 99}, 1),
        ({"size": 1024}, {"bytes": 4096}, 4),
        ({"size": 1024}, {"bytes": 4095}, 3),
        ({"size": 2**25}, {}, 1),
    ],
)
def test_limits(record: dict[str, int], limits: dict[str, int], expected: int) -> None:
    queue = [small_file(number, **record) for number in range(100)]
    assert len(choose(queue, job_settings(**limits), NOW)) == expected


def test_back_off_in_the_past_is_over() -> None:
    past = BackOff(next_try_at=NOW - timedelta(seconds=1))
    queue = [replace(small_file(number), back_off=past) for number in range(3)]
    assert len(choose(queue, job_settings(), NOW)) == 3
