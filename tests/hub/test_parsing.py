"""Any data from a hub can be stored in a table row, as UTF-8, and on a log line."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.errors import ImporterError
from shared.hub.error_log import MAX_LINE, FailedLine, read_error_log
from shared.hub.exceptions import error_from_response
from shared.hub.explain import code_name
from shared.hub.jobs import JobProperties, JobStatus
from shared.hub.parsing import MAX_TEXT, code_of, parse_json, text_of, time_of
from shared.imports.store.rows import table_values
from shared.text import clean, well_formed

HALF = "\ud83d"
#: Numbers that cause errors in Python or JSON.
NUMBERS = ["²", "٤", "1e999", "NaN", "-1", "9" * 5000, 10**400, 1e308, float("inf"), float("nan")]

unexpected_strings = st.text(st.characters()) | st.sampled_from(
    [HALF, "\0", "\x1b[31m", "\ufeff", *map(str, NUMBERS[:6])]
)
unexpected_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | unexpected_strings
    | st.sampled_from(NUMBERS),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(unexpected_strings, inner, max_size=3)
    ),
    max_leaves=6,
)


def check_text(text: str, limit: int = MAX_TEXT) -> None:
    text.encode()
    assert len(text) <= limit
    assert "\0" not in text


def check_time(time: datetime | None) -> None:
    if time is not None:
        assert time.utcoffset() == timedelta(0)
        assert 1601 <= time.year <= 9999


@pytest.mark.parametrize(
    ("value", "time"),
    [
        ("2026-06-13T05:16:36.3", datetime(2026, 6, 13, 5, 16, 36, 300000, UTC)),
        ("2026-06-13T05:16:36.1234567Z", datetime(2026, 6, 13, 5, 16, 36, 123456, UTC)),
        ("2026-06-13T05:16:36+02:00", datetime(2026, 6, 13, 3, 16, 36, tzinfo=UTC)),
        ("2026-06-13", datetime(2026, 6, 13, tzinfo=UTC)),
        ("1601-01-01T00:00:00Z", datetime(1601, 1, 1, tzinfo=UTC)),
        ("1601-01-01T00:00:00+02:00", None),
        ("1600-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+02:00", None),
        ("9999-12-31T23:59:59.9999999Z", None),
        ("9999-12-31T23:59:59-02:00", None),
        ("10000-01-01T00:00:00Z", None),
        ("2026-02-30T00:00:00Z", None),
        ("2026-06-13T05:16:36+99:00", None),
        ("99999999999999999999", None),
        ("²²²²-01-01", None),
        ("", None),
        (f"2026-06-13{HALF}", None),
        (1718255796, None),
        (True, None),
        ({"a": 1}, None),
    ],
)
def test_times(value: object, time: datetime | None) -> None:
    assert time_of(value) == time


@given(unexpected_values | st.datetimes(timezones=st.timezones()).map(datetime.isoformat))
def test_times_are_utc_and_valid_for_table_storage(value: object) -> None:
    check_time(time_of(value))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (f"a {HALF} b", "a \ufffd b"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ude00\ud83d", "\ufffd\ufffd"),
        ("a\0\x1b[31m\x9b2J\x7f", "a\ufffd\ufffd[31m\ufffd2J\ufffd"),
        ("a\r\n\t b\u2028c\x85d", "a b c d"),
        (7, "7"),
        (1.5, "1.5"),
        pytest.param(10**5000, "", id="huge"),
        (True, ""),
        (None, ""),
        ({"a": 1}, ""),
        ([], ""),
    ],
)
def test_strings(value: object, text: str) -> None:
    assert text_of(value) == text


def test_a_long_string_is_truncated() -> None:
    text = text_of("ab " * 1_000_000)
    assert len(text) == MAX_TEXT
    assert text.endswith("…")


@given(unexpected_strings)
def test_clean_strings_are_unchanged(text: str) -> None:
    check_text(clean(text, 20), 20)
    assert clean(clean(text, 50), 50) == clean(text, 50)
    assert well_formed(well_formed(text)) == well_formed(text)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (409001, 409001),
        ("409001", 409001),
        ("DeviceNotFound", "DeviceNotFound"),
        ("²", "²"),
        ("٤", "٤"),
        (-1, "-1"),
        pytest.param(10**5000, "", id="huge"),
        ("9" * 20, "9" * 20),
        (True, ""),
        (None, ""),
        ([409001], ""),
    ],
)
def test_codes(value: object, code: object) -> None:
    assert code_of(value) == code
    assert isinstance(code_name(value), str)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\xef\xbb\xbf{}", {}),
        (b'{"a":1,"A":2,"a":3}', {"a": 3, "A": 2}),
        (b'{"a":"\xff"}', {"a": "\ufffd"}),
        (b'{"a":%s}' % (b"9" * 5000), {"a": float("inf")}),
        (b'{"a":1e999}', {"a": float("inf")}),
    ],
)
def test_lenient_json(data: bytes, value: object) -> None:
    assert parse_json(data) == value


@pytest.mark.parametrize("data", [b"", b"{", b"[" * 200_000, b'{"a":' * 200_000, b"\xff\xfe{\0}\0"])
def test_invalid_json_raises_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(data)


@given(st.binary(max_size=40))
def test_any_bytes_are_json_or_a_value_error(data: bytes) -> None:
    try:
        parse_json(data)
    except ValueError:
        return


@pytest.mark.parametrize(
    ("progress", "percent"),
    [(40, 40), ("40", 40), (40.5, 40), ("40.0", 40), (-3, 0), (10**30, 100), ("٤", 4)]
    + [
        (unexpected, None)
        for unexpected in ("²", "1e999", float("nan"), float("inf"), True, "", [4])
    ]
    + [pytest.param(10**5000, None, id="huge")],
)
def test_progress(progress: object, percent: int | None) -> None:
    assert JobProperties.model_validate({"progress": progress}).progress == percent


@pytest.mark.parametrize("job_id", [5, True, None, {}, "", "a\0", HALF, "x" * 300, "a  b"])
def test_an_invalid_job_id_is_empty(job_id: object) -> None:
    assert JobProperties.model_validate({"jobId": job_id}).job_id == ""


@pytest.mark.parametrize("status", [5, True, None, {}, [], "", "²", HALF])
def test_an_invalid_status_is_unknown(status: object) -> None:
    assert JobProperties.model_validate({"status": status}).status is JobStatus.UNKNOWN


MEMBERS = [field.alias or name for name, field in JobProperties.model_fields.items()]


@given(
    unexpected_values
    | st.dictionaries(st.sampled_from(MEMBERS) | unexpected_strings, unexpected_values)
)
@example({"status": "9" * 5000, "failureReason": "x" * 3_000_000, "progress": 10**5000})
def test_any_job_can_be_stored(answer: object) -> None:
    job = JobProperties.model_validate(answer)
    for value in job.model_dump().values():
        if isinstance(value, str):
            check_text(value)
    assert job.progress is None or 0 <= job.progress <= 100
    check_time(job.start_time_utc)
    check_time(job.end_time_utc)


headers = st.dictionaries(st.sampled_from(["iothub-errorcode", "x"]), unexpected_strings)
bodies = (
    st.binary(max_size=60)
    | unexpected_values.map(json.dumps).map(str.encode)
    | st.dictionaries(
        st.sampled_from(
            ["Message", "message", "MESSAGE", "errorCode", "code", "errors", "trackingId"]
        ),
        unexpected_values
        | unexpected_values.map(json.dumps)
        | st.just("ErrorCode:²;\r\nMessage:\r\n"),
    )
    .map(json.dumps)
    .map(str.encode)
)


@given(st.integers(100, 999), headers, bodies)
@example(400, {"iothub-errorcode": "JobQuotaExceeded\0" * 1000}, b"[" * 100_000)
@example(400, {}, b'{"Message":"%s"}' % (rb"\n" * 500_000))
@example(400, {}, b'{"Message":"Message: %sx"}' % (b" " * 500_000))
@example(400, {}, b'{"errorCode":%s}' % (b"9" * 5000))
def test_any_error_response_is_a_hub_error(
    status: int, headers: dict[str, str], body: bytes
) -> None:
    error = error_from_response(status, headers, body)
    assert isinstance(error, ImporterError)
    check_text(str(error))
    details: Any = error.details  # type: ignore[attr-defined]
    check_text(details.name)
    check_text(details.text)


def check_failed(failed: FailedLine) -> None:
    for text in (failed.text, failed.code, failed.shown_id, failed.shown_module_id):
        text.encode()
        assert len(text) <= 400
    hash(failed.key)


def read(data: bytes, size: int = 1 << 20) -> list[FailedLine]:
    chunks = (data[start : start + size] for start in range(0, len(data), size))
    failures = list(read_error_log(chunks, set()))
    for failed in failures:
        check_failed(failed)
    return failures


LOG = b"\n".join(
    json.dumps(entry).encode()
    for entry in (
        {"deviceId": "pump-1", "errorCode": 409001, "errorStatus": "A device with ID 'pump-1'"},
        {"deviceId": "pump-2", "moduleId": "m", "errorCode": "404010", "errorStatus": "m"},
        {"errorCode": 400012, "errorStatus": 'Invalid device format in line: {"id":"a"}. Path'},
    )
)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_a_log(data: bytes, size: int) -> None:
    read(data, size)


@given(st.lists(st.tuples(st.integers(0, len(LOG)), st.binary(max_size=4)), max_size=5))
def test_a_damaged_log_is_read(changes: list[tuple[int, bytes]]) -> None:
    data = bytearray(LOG)
    for place, change in changes:
        data[place : place + len(change)] = change
    read(bytes(data))


@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["deviceId", "DEVICEID", "moduleId", "errorCode", "errorStatus"]),
            unexpected_values
            | unexpected_strings.map("Invalid device format in line: {{{}".format),
        ),
        max_size=3,
    )
)
def test_unexpected_values_in_a_log(entries: list[dict[str, object]]) -> None:
    read(b"\n".join(json.dumps(entry).encode() for entry in entries))


@pytest.mark.parametrize(
    "line",
    [
        b'{"deviceId":"a","errorCode":"\xc2\xb2","errorStatus":"\\ud83d"}',
        b'{"deviceId":"\\ud83d","moduleId":"\\ud83d","errorCode":%s}' % (b"9" * 5000),
        b'{"deviceId":{"a":[1]},"errorStatus":%s%s}' % (b"[" * 500, b"]" * 500),
        b"[" * 100_000,
        b'{"errorStatus":"in line: %s"}' % (b"{" * 100_000),
        b'{"errorStatus":"%s{"}' % (b"in line: " * 50_000),
        b"\xef\xbb\xbf\xff\xfe\0",
    ],
)
def test_hostile_lines_of_a_log(line: bytes) -> None:
    first, second = read(b"%s\n%s" % (line, LOG.splitlines()[0]))
    assert second.device_id == "pump-1"
    assert first != second


def test_an_endless_line_takes_constant_memory_and_is_reported() -> None:
    """1 GB, by repeating a single chunk."""
    chunk = b"x" * 1_000_000
    rest = b'"}\n%s\n' % LOG.splitlines()[0]

    def chunks() -> Iterator[bytes]:
        yield b'{"deviceId":"a","errorStatus":"'
        yield from itertools.repeat(chunk, 1000)
        yield rest

    endless, failed = read_error_log(chunks(), set())
    check_failed(endless)
    assert endless.text.startswith(f"line of the log over {MAX_LINE:,} bytes, truncated: ")
    assert endless.device_id == ""
    assert failed.device_id == "pump-1"


@pytest.mark.parametrize("length", [MAX_LINE - 1, MAX_LINE, MAX_LINE + 1])
def test_the_longest_line_of_a_log(length: int) -> None:
    start, end = b'{"deviceId":"a","x":"', b'"}'
    line = start + b"y" * (length - len(start) - len(end)) + end
    [failed] = read(line)
    assert (failed.device_id == "a") is (length <= MAX_LINE)
    assert ("truncated" in failed.text) is (length > MAX_LINE)


def test_columns_can_be_written() -> None:
    columns = table_values(
        {"file": HALF, "failureReason": "sig=abc " + "x" * 100_000, "devices": 1, "a": None}
    )
    assert columns == {
        "file": "\ufffd",
        "failureReason": columns["failureReason"],
        "devices": 1,
        "a": None,
    }
    assert columns["failureReason"].startswith("sig=REDACTED xx")
    assert len(columns["failureReason"]) == 16_000
