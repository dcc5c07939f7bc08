from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.hub.error_log import FailedLine, read_error_log
from shared.hub.explain import code_label

KEY = "bWFkZS11cC1rZXktZm9yLXRlc3RzLW9ubHk="


def read(*entries: object) -> list[FailedLine]:
    data = "\n".join(e if isinstance(e, str) else json.dumps(e) for e in entries).encode()
    return list(read_error_log([data], set()))


def test_a_device_that_exists() -> None:
    text = "A device with ID 'pump-001' is already registered."
    assert read({"deviceId": "pump-001", "errorCode": 409001, "errorStatus": text}) == [
        FailedLine("pump-001", "", "DeviceAlreadyExists", text)
    ]


@pytest.mark.parametrize("code", [404001, "404001", "DeviceNotFound"])
def test_codes_are_numbers_digits_or_names(code: object) -> None:
    [failed] = read({"deviceId": "a", "errorCode": code, "errorStatus": "a"})
    assert code_label(failed.code) == "404001 DeviceNotFound"


def test_an_unknown_code_is_kept() -> None:
    [failed] = read({"deviceId": "a", "errorCode": 499123, "errorStatus": "?"})
    assert code_label(failed.code) == "499123"


def test_a_module() -> None:
    [failed] = read({"deviceId": "a", "moduleId": "m", "errorCode": 404010, "errorStatus": "m"})
    assert (failed.device_id, failed.module_id) == ("a", "m")


def test_repeated_lines_count_once() -> None:
    entry = {"deviceId": "a", "errorCode": 404001, "errorStatus": "a"}
    other = {"deviceId": "b", "errorCode": 404001, "errorStatus": "b"}
    assert [failed.device_id for failed in read(*[entry, other] * 20)] == ["a", "b"]


def test_an_unparsable_line_is_kept_and_its_keys_are_redacted() -> None:
    line = json.dumps(
        {"id": "a", "authentication": {"type": "X", "symmetricKey": {"primaryKey": KEY}}}
    )
    message = (
        "Error converting value \"X\" to type 'AuthenticationType'. "
        "Path 'authentication.type', line 1, position 40."
    )
    entry = {
        "errorCode": 400012,
        "errorStatus": f"Invalid device format in line: {line}. {message}",
    }
    [failed] = read(entry, entry)
    assert failed.raw_line == line
    assert failed.code == "DeserializationError"
    assert message in failed.text
    assert KEY not in failed.text


def test_possible_keys_are_redacted_but_ids_are_not() -> None:
    device_id = "0123456789abcdef0123456789abcdef"
    [failed] = read({"deviceId": device_id, "errorCode": 1, "errorStatus": f"{device_id} {KEY}"})
    assert failed.text == f"{device_id} REDACTED"
    assert failed.shown_id == device_id


def test_an_id_that_is_a_key_is_not_shown() -> None:
    [failed] = read({"deviceId": KEY, "moduleId": KEY, "errorCode": 1, "errorStatus": KEY})
    assert failed.key == (KEY, KEY)
    assert (failed.shown_id, failed.shown_module_id, failed.text) == ("REDACTED",) * 3


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\r\n"])
def test_an_empty_log_has_no_failure(data: bytes) -> None:
    assert list(read_error_log([data], set())) == []


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_reading_never_raises(chunks: list[bytes]) -> None:
    for failed in read_error_log(chunks, set()):
        assert len(failed.text) <= 300


@given(st.integers(1, 40))
def test_chunk_sizes_do_not_matter(size: int) -> None:
    data = b"".join(
        b'{"deviceId":"d%d","errorCode":404001,"errorStatus":"d%d"}\r\n' % (n, n) for n in range(5)
    )
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    assert [failed.device_id for failed in read_error_log(chunks, set())] == [
        "d0",
        "d1",
        "d2",
        "d3",
        "d4",
    ]
