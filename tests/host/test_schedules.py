"""The host's own parser of schedules against the recording that also tests the app's parser."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.host.schedule import NEVER, Schedule
from shared.schedules import Schedule as AppSchedule

CASES = [
    json.loads(line)
    for line in Path(__file__).parents[1].joinpath("ncrontab.jsonl").read_text("utf-8").splitlines()
]
AFTER = datetime(2026, 11, 26, 13, tzinfo=UTC)


def next_runs(expression: str) -> list[str] | None:
    try:
        schedule = Schedule(expression)
    except ValueError:
        return None
    runs = [AFTER]
    while len(runs) < 5:
        runs.append(schedule.next_after(runs[-1]))
    return [f"{run:%Y-%m-%dT%H:%M:%S}" for run in runs[1:]]


def test_recorded_expressions() -> None:
    expected = {case["expression"]: case["next"] for case in CASES if "next" in case}
    assert len(expected) > 1300
    assert {expression: next_runs(expression) for expression in expected} == expected


def test_recorded_time_spans() -> None:
    def dotnet(span: timedelta | None) -> str:
        assert span is not None
        days, clock = divmod(abs(span), timedelta(days=1))
        sign = "-" if span < timedelta() else ""
        return f"{sign}{f'{days}.' if days else ''}{datetime.min + clock:%H:%M:%S}"

    expected = {case["expression"]: case["every"] for case in CASES if "every" in case}
    assert len(expected) == 7
    assert {text: dotnet(Schedule(text).every) for text in expected} == expected


@pytest.mark.parametrize(
    ("text", "every"),
    [
        (" 1:02:03:04.5 ", timedelta(1, 7384.5)),
        ("2.03:04", timedelta(2, 11040)),
        ("00:00:00.0000010", timedelta(microseconds=1)),
    ],
)
def test_other_time_spans(text: str, every: timedelta) -> None:
    schedule = Schedule(text)
    assert schedule.every == every
    assert schedule.next_after(AFTER) == AFTER + every


@pytest.mark.parametrize(
    "text", ["24:00", "00:60", "00:00:60", "1.", ":30", "1:2:3:4:5", "10675200", "-", "99.24:00:00"]
)
def test_refused_time_spans(text: str) -> None:
    with pytest.raises(ValueError, match="TimeSpan"):
        Schedule(text)


def test_the_calendar_ends() -> None:
    assert Schedule("* * * * * *").next_after(NEVER) == NEVER
    assert Schedule("1").next_after(NEVER) == NEVER
    assert Schedule("0 0 0 29 2 *").next_after(datetime(9996, 3, 1, tzinfo=UTC)) == NEVER


LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
NAMES = ("jan", "JULY", "Sept", "sun", "w", "FRIDAY")
NONSENSE = ("", "-1", "61", "?", "1-", "*-2", "2/", "/2", "x", "1,,2", "+1", "0")


def fields(first: int, last: int) -> st.SearchStrategy[str]:
    value = st.integers(first, last).map(str)
    spans = st.one_of(st.just("*"), value, st.tuples(value, value).map("-".join))
    steps = st.one_of(st.just(""), st.integers(0, last + 1).map("/{}".format))
    items = st.lists(st.tuples(spans, steps).map("".join), min_size=1, max_size=3)
    rare = st.one_of(st.sampled_from(NAMES), st.sampled_from(NONSENSE))
    # A flat choice, so that most expressions are accepted.
    return st.integers(0, 19).flatmap(
        lambda choice: rare if choice == 0 else st.just("*") if choice < 8 else items.map(",".join)
    )


EXPRESSIONS = st.tuples(*(fields(*limits) for limits in LIMITS), st.integers(0, 9)).map(
    # One in ten without a second.
    lambda parts: " ".join(parts[:6] if parts[6] else parts[1:6])
)


@given(
    EXPRESSIONS, st.datetimes(datetime(2000, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC))
)
def test_app_and_host_agree(expression: str, moment: datetime) -> None:
    try:
        expected = AppSchedule.parse(expression).next(moment)
    except ValueError:
        with pytest.raises(ValueError, match=r"."):
            Schedule(expression)
    else:
        assert Schedule(expression).next_after(moment) == expected
