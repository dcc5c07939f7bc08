"""Ways to validate a file in one call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from shared.device_files.limits import Limits
from shared.device_files.rules import Rule
from shared.device_files.validation import Validation

KEY = "bWFkZSB1cCBrZXkgb2YgdGhpcnR5LXR3byBieXRlcyE="
OTHER_KEY = "YW5vdGhlciBtYWRlIHVwIGtleSBvZiAzMiBieXRlcyE="


def device(**members: object) -> dict[str, Any]:
    """A valid line without problems."""
    return {"id": "pump-1", "status": "enabled", "authentication": keys(), **members}


def keys(primary: object = KEY, secondary: object = OTHER_KEY) -> dict[str, Any]:
    return {"type": "sas", "symmetricKey": {"primaryKey": primary, "secondaryKey": secondary}}


def nested(depth: int, value: object = 1) -> object:
    """A value nested in `depth` objects."""
    for _ in range(depth):
        value = {"a": value}
    return value


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def ndjson(*lines: object) -> bytes:
    return b"\n".join(
        line if isinstance(line, bytes) else json.dumps(line, ensure_ascii=False).encode()
        for line in lines
    )


def validate_file(
    data: bytes, limits: Limits | None = None, *, chunk_bytes: int = 1 << 20, **options: Any
) -> tuple[list[Any], Validation]:
    """The staged lines, read again, and the finished validation."""
    validation = Validation(limits, **options)
    staged = b"".join(validation.run(cut(data, chunk_bytes)))
    assert staged.count(b"\n") == validation.report.valid
    return [json.loads(line) for line in staged.splitlines()], validation


def file_problems(
    data: bytes, limits: Limits | None = None, **options: Any
) -> list[tuple[Any, ...]]:
    """Line, field and code of each problem except those of severity info."""
    _, validation = validate_file(data, limits, **options)
    return [
        (problem.line, problem.field, problem.code)
        for problem in validation.report.problems
        if problem.severity != "info"
    ]


def problems(*lines: object, **options: Any) -> list[tuple[Any, ...]]:
    return file_problems(ndjson(*lines), **options)


class Dropped:
    """A sink that records the problems that readers report."""

    def __init__(self) -> None:
        self.codes: list[tuple[int | None, str]] = []

    def note(self, line: int | None, rule: Rule, detail: str = "", field: str = "") -> None:
        self.codes.append((line, rule.code))

    def name_sources(self, sources: Any) -> None:
        pass

    def drop(self, line: int, findings: Any, members: dict[str, Any] | None = None) -> None:
        self.codes += [(line, finding.rule.code) for finding in findings]
