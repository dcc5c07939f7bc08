"""The join of lines with what is known of some of them, without storage."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.device_files.rules import Rule
from shared.device_files.validation_report import Problem
from shared.imports.operate.line_results import (
    LineFailure,
    LinesEditedError,
    PlannedLine,
    Rest,
    Result,
    invalid_lines,
    merged,
    results_csv,
    staged_lines,
)
from shared.plan.model import Action

SENT = Rest(Result.IMPORTED)
UNKNOWN = Rest(Result.UNKNOWN, "perhaps", "look")
FAILURE = LineFailure("code", "message", "remedy")


@dataclass(frozen=True)
class Fate:
    """What becomes of a line, and how many lines are skipped before it."""

    result: Result
    gap: int
    module: bool


FATES = st.lists(
    st.builds(Fate, st.sampled_from(Result), st.integers(0, 3), st.booleans()), max_size=30
)


def lines_of(fates: list[Fate]) -> list[bytes]:
    modules = [{"moduleId": "m"} if fate.module else {} for fate in fates]
    return [
        json.dumps({"id": f"d{number}", **module}).encode() for number, module in enumerate(modules)
    ]


def numbers_of(fates: list[Fate]) -> list[int]:
    numbers, number = [], 0
    for fate in fates:
        number += 1 + fate.gap
        numbers.append(number)
    return numbers


def plan_of(fates: list[Fate]) -> list[PlannedLine]:
    actions = {Result.UNCHANGED: Action.UNCHANGED, Result.LEFT_OUT: Action.LEFT_OUT}
    return [
        PlannedLine(number, actions.get(fate.result, Action.UPDATE), "", "", "")
        for number, fate in zip(numbers_of(fates), fates, strict=True)
    ]


@given(FATES, st.booleans())
def test_each_line_has_its_own_result(fates: list[Fate], is_known: bool) -> None:
    lines, numbers = lines_of(fates), numbers_of(fates)
    failed = [line for line, fate in zip(lines, fates, strict=True) if fate.result == "failed"]
    rows = list(
        staged_lines(
            lines,
            lambda number: numbers[number - 1],
            SENT if is_known else UNKNOWN,
            failed=failed,
            failure_of=lambda *_: FAILURE,
            plan=plan_of(fates),
        )
    )
    rest = Result.IMPORTED if is_known else Result.UNKNOWN
    sent = (Result.IMPORTED, Result.UNKNOWN)
    assert [(row.line, row.id, row.module_id, row.result) for row in rows] == [
        (
            number,
            f"d{index}",
            "m" if fate.module else "",
            rest if fate.result in sent else fate.result,
        )
        for index, (number, fate) in enumerate(zip(numbers, fates, strict=True))
    ]


@given(FATES.filter(bool), st.data())
def test_sources_that_do_not_fit_are_noticed(fates: list[Fate], data: st.DataObject) -> None:
    lines, numbers, plan = lines_of(fates), numbers_of(fates), plan_of(fates)
    failed: list[bytes] = []
    match data.draw(st.sampled_from(["failed", "order", "short", "long", "other", "json"])):
        case "failed":
            failed = [b'{"id":"nobody"}']
        case "order":
            failed = [lines[-1], lines[-1]]
        case "short":
            plan = plan[:-1]
        case "long":
            plan = [*plan, plan[-1]]
        case "other":
            plan = [row._replace(line=row.line + 1) for row in plan]
        case "json":
            lines[-1] = b"[]"
    with pytest.raises(LinesEditedError):
        list(
            staged_lines(lines, lambda number: numbers[number - 1], SENT, failed=failed, plan=plan)
        )


def test_device_that_stands_for_one_of_its_modules() -> None:
    """Where the counts are known, it is that one; otherwise it may be another."""
    line = b'{"id":"d","moduleId":"m"}'
    failure = FAILURE._replace(is_of_line=False)
    for rest, expected in ((SENT, Result.FAILED), (UNKNOWN, Result.UNKNOWN)):
        [row] = staged_lines(
            [line], int, rest, failed=[line], failure_of=lambda *_, found=failure: found
        )
        assert (row.result, row.code) == (expected, "code")
        [row] = staged_lines([line], int, rest, failed=[line])
        assert (row.result, row.code) == (expected, "")


def problem(line: int | None, rule: Rule, device_id: str = "") -> Problem:
    return Problem(line, device_id, "", rule.severity, rule.code, rule.meaning, rule.remedy)


def test_problems_of_lines() -> None:
    problems = [
        problem(None, Rule.FILE_WRAPPER_MEMBERS),
        problem(2, Rule.JSON_COMMENT),
        problem(3, Rule.JSON_COMMENT),
        problem(3, Rule.STATUS_MISSING, "d3"),
        problem(3, Rule.ID_CHARACTERS, "d3"),
        problem(5, Rule.VALUE_DAMAGED, "d5"),
    ]
    [row] = invalid_lines(problems, is_rejected=False)
    assert (row.line, row.id, row.code) == (3, "d3", "status-missing")
    assert row.message.endswith("(and 1 more; see problems.csv)")
    lines = [row.line for row in invalid_lines(problems, is_rejected=True)]
    assert lines == [None, 2, 3, 3]


def test_elements_of_an_array_on_one_line() -> None:
    staged = staged_lines(
        [b'{"id":"a"}', b'{"id":"b"}', b'{"id":"c"}'], [0, 1, 1, 3].__getitem__, SENT
    )
    problems = [problem(1, Rule.STATUS_MISSING, name) for name in ("x", "y")]
    rows = merged(staged, invalid_lines(problems, is_rejected=False))
    assert sorted((row.line, row.id) for row in rows) == [
        (1, "a"),
        (1, "b"),
        (1, "x"),
        (1, "y"),
        (3, "c"),
    ]


def test_memory_does_not_grow_with_the_lines() -> None:
    def lines() -> Iterator[bytes]:
        for number in range(50_000):
            yield b'{"id":"pump-%d"}' % number

    tracemalloc.start()
    try:
        size = sum(map(len, results_csv(staged_lines(lines(), int, SENT, failed=lines()))))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 2_000_000
    assert peak < 1_500_000
