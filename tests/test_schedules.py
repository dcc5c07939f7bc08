"""Schedules are parsed as by the Functions host.

`ncrontab.jsonl` was recorded from host 4.1037 with its Timers extension: expressions, and the next
four runs after `AFTER`; null where the host refuses the expression, `every` where it reads a time
span.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.schedules import NEVER, Schedule

CASES = [
    json.loads(line)
    for line in Path(__file__).with_name("ncrontab.jsonl").read_text("utf-8").splitlines()
]
AFTER = datetime(2026, 11, 26, 13, tzinfo=UTC)

LIMITS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def field(first: int, last: int) -> st.SearchStrategy[str]:
    value = st.integers(first, last).map(str)
    ends = st.one_of(st.just("*"), value, st.tuples(value, value).map("-".join))
    steps = st.integers(1, last + 1).map(lambda step: f"/{step}")
    items = st.tuples(ends, st.one_of(st.just(""), steps)).map("".join)
    return st.lists(items, min_size=1, max_size=3).map(",".join)


schedules = st.tuples(*(field(*limits) for limits in LIMITS)).map(
    lambda fields: Schedule.parse(" ".join(fields))
)
moments = st.datetimes(datetime(2000, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC))


def next_runs(expression: str) -> list[str] | None:
    try:
        schedule = Schedule.parse(expression)
    except ValueError:
        return None
    runs = [AFTER]
    while len(runs) < 5:
        runs.append(schedule.next(runs[-1]))
    return [f"{run:%Y-%m-%dT%H:%M:%S}" for run in runs[1:]]


def test_recorded_expressions_are_parsed_as_by_the_host() -> None:
    expected = {case["expression"]: case["next"] for case in CASES if "next" in case}
    assert len(expected) > 1300
    assert {expression: next_runs(expression) for expression in expected} == expected


@pytest.mark.parametrize("span", [case["expression"] for case in CASES if "every" in case])
def test_time_spans_are_rejected(span: str) -> None:
    with pytest.raises(ValueError, match="NCRONTAB expression of six fields"):
        Schedule.parse(span)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("0 0 12 * * 7", "day of the week field, which allows 0 to 6 (0 is Sunday), or an English"),
        ("0 0 12 ? * *", "day field, which allows 1 to 31"),
        ("0 0 12 * 13 *", "month field, which allows 1 to 12, or an English name"),
        ("0 60 * * * *", "minute field, which allows 0 to 59"),
        ("*/x * * * * *", "invalid step in the second field"),
        ("0 0 12", "is not an NCRONTAB expression of six fields"),
    ],
)
def test_an_error_names_the_field(expression: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Schedule.parse(expression)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "same"),
    [
        # Numbers are those of int.Parse: white space other than spaces, and signs of steps.
        ("0\t 5\n */+5 * * *", "0 5 */5 * * *"),
        ("0 5 */-5 * * *", "0 5 * * * *"),
        ("0 0 0 * * */2147483647", "0 0 0 * * 0"),
    ],
)
def test_numbers_are_parsed_as_by_the_host(expression: str, same: str) -> None:
    assert Schedule.parse(expression).next(AFTER) == Schedule.parse(same).next(AFTER)


@pytest.mark.parametrize(
    "text",
    ["5/2147483647", "*/2147483648", "*/-2147483649", "99999999999", "+5", "٣", "1_0", "\t5"],
)
def test_invalid_numbers_of_the_host_are_rejected(text: str) -> None:
    with pytest.raises(ValueError, match="second field"):
        Schedule.parse(f"{text} * * * * *")


@given(st.text() | st.text("0123456789*/-, SMTWFAJNOD\t", max_size=30))
@example("0 0 0 0 0 0")
def test_any_text_is_parsed_or_raises_value_error(text: str) -> None:
    try:
        schedule = Schedule.parse(text)
    except ValueError:
        return
    assert schedule.next(AFTER) > AFTER


@given(schedules, moments)
def test_runs_are_in_order(schedule: Schedule, moment: datetime) -> None:
    runs = [moment]
    while len(runs) < 10 and runs[-1] != NEVER:
        runs.append(schedule.next(runs[-1]))
    for earlier, later in pairwise(runs):
        assert earlier < later
        # No run is skipped: starting one second earlier gives the same run.
        assert schedule.next(later - timedelta(seconds=1)) == later
        assert later == NEVER or includes(schedule, later)
    for earlier, later in pairwise(runs[1:]):
        assert later - earlier >= schedule.shortest_interval


@given(schedules, moments)
def test_no_run_is_skipped_at_the_end_of_a_minute(schedule: Schedule, moment: datetime) -> None:
    moment = moment.replace(second=59, microsecond=0)
    later = (moment + timedelta(seconds=number) for number in range(1, 300))
    expected = next((second for second in later if includes(schedule, second)), None)
    run = schedule.next(moment)
    assert run == expected if expected else run >= moment + timedelta(seconds=300)


def includes(schedule: Schedule, moment: datetime) -> bool:
    return (
        moment.second in schedule.seconds
        and moment.minute in schedule.minutes
        and moment.hour in schedule.hours
        and moment.day in schedule.days
        and moment.month in schedule.months
        and moment.isoweekday() % 7 in schedule.weekdays
    )


@given(st.sampled_from(["30 2", "31 2", "31 4", "30-31 feb", "31 4,6,9,11", "31 2-2"]), moments)
def test_nonexistent_dates_never_occur(date: str, moment: datetime) -> None:
    assert Schedule.parse(f"* * * {date} *").next(moment) == NEVER


def test_the_rarest_dates_are_found() -> None:
    schedule = Schedule.parse("0 0 0 29 2 1")
    assert schedule.next(datetime(2072, 2, 29, tzinfo=UTC)) == datetime(2112, 2, 29, tzinfo=UTC)


def test_other_time_zones_are_converted() -> None:
    there = AFTER.astimezone(timezone(timedelta(hours=-5)))
    assert Schedule.parse("0 0 14 * * *").next(there) == datetime(2026, 11, 26, 14, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "seconds"),
    [
        ("* * * * * *", 1),
        ("*/30 * * * * *", 30),
        ("0,50 * * * * *", 10),
        ("0 */7 * * * *", 240),
        ("30 * * * *", 3600),
        ("0 0 12 * * *", 24 * 3600),
        ("0 0 1,22 * * *", 3 * 3600),
        ("0,59 0,59 0,23 * * *", 1),
    ],
)
def test_the_shortest_interval(expression: str, seconds: int) -> None:
    assert Schedule.parse(expression).shortest_interval == timedelta(seconds=seconds)
