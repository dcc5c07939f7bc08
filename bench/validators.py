"""What goes through a file line by line: the validation, what bounds it, and its peers.

Each prepares itself, with nothing else imported, and hands back what is then measured. The peers
have an advantage: they neither look for duplicates nor say what is wrong nor hand on a line.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

__all__ = ["CONTENDERS", "FLOOR", "OURS", "PEERS", "SLOW", "Counts"]

_CHUNK_BYTES = 1 << 20


class Counts(NamedTuple):
    lines: int
    good: int


Run = Callable[[BinaryIO], Counts]


def _floor() -> Run:
    from orjson import loads

    def run(lines: Iterable[bytes]) -> Counts:
        good = bad = 0
        for line in lines:
            try:
                loads(line)
            except json.JSONDecodeError:
                bad += 1
            else:
                good += 1
        return Counts(good + bad, good)

    return run


def _ours() -> Run:
    from shared.device_files.limits import Limits
    from shared.device_files.validation import Validation

    limits = Limits(max_devices=sys.maxsize, max_file_bytes=sys.maxsize)

    def run(file: BinaryIO) -> Counts:
        validation = Validation(limits)
        for _ in validation.run(iter(functools.partial(file.read, _CHUNK_BYTES), b"")):
            pass
        return Counts(validation.report.lines, validation.report.valid)

    return run


def _orjson_jsonschema_rs() -> Run:
    from jsonschema_rs import validator_for
    from orjson import loads

    from bench.json_schema_validator import SCHEMA

    return _by_schema(loads, validator_for(SCHEMA).is_valid)


def _json_jsonschema() -> Run:
    from jsonschema import Draft202012Validator

    from bench.json_schema_validator import SCHEMA

    return _by_schema(json.loads, Draft202012Validator(SCHEMA).is_valid)


def _by_schema(loads: Callable[[bytes], Any], is_valid: Callable[[Any], bool]) -> Run:
    def run(lines: Iterable[bytes]) -> Counts:
        good = bad = 0
        for line in lines:
            try:
                if is_valid(loads(line)):
                    good += 1
                else:
                    bad += 1
            except json.JSONDecodeError:
                bad += 1
        return Counts(good + bad, good)

    return run


def _pydantic() -> Run:
    from pydantic import ValidationError

    from bench.pydantic_validator import Device

    validate = Device.model_validate_json

    def run(lines: Iterable[bytes]) -> Counts:
        good = bad = 0
        for line in lines:
            try:
                validate(line)
            except ValidationError:
                bad += 1
            else:
                good += 1
        return Counts(good + bad, good)

    return run


FLOOR, OURS, SLOW = "floor: orjson.loads", "ours", "json + jsonschema"
PEERS = ("orjson + jsonschema-rs", "pydantic", SLOW)
CONTENDERS: Mapping[str, Callable[[], Run]] = dict(
    zip(
        (FLOOR, OURS, *PEERS),
        (_floor, _ours, _orjson_jsonschema_rs, _pydantic, _json_jsonschema),
        strict=True,
    )
)
