"""Malicious files are rejected within bounded memory, and the next import works."""

from __future__ import annotations

import gzip
import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import pytest

from shared.imports.store.rows import to_row
from tests.app import App, device

MIB = 1024 * 1024
#: Bytes; longer than the longest line and than a chunk.
LONG = 6 * MIB
#: Bytes that Python may allocate additionally. Files are read in chunks of 4 MiB.
MAX_PEAK = 64 * MIB
#: Memory tracing is slow: it is skipped for small files and for many lines.
SMALL = MIB // 2
MANY_LINES = "100,000 broken lines"
MAX_PROBLEMS = 50

TAG = b'{"id":"a","status":"enabled","tags":{"n":%s}}'


def bomb() -> bytes:
    return gzip.compress(b" " * (40 * MIB))


def numbered_lines(line: bytes, count: int) -> bytes:
    return b"\n".join(line % number for number in range(count))


#: Content, name and violated rule of each file.
FILES: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "gzip bomb": (bomb, "a.gz", "file-expansion"),
    "gzip bomb that is cut off": (lambda: bomb()[:-9], "a.gz", "file-expansion"),
    "gzip within gzip": (lambda: gzip.compress(bomb()), "a.gz", "file-format"),
    "gzip file of many empty parts": (lambda: gzip.compress(b"") * 2_000, "a.gz", "file-empty"),
    "large once it is unpacked": (
        lambda: gzip.compress(
            numbered_lines(
                b'{"id":"%%d","status":"enabled","tags":{"a":"%s"}}' % (b"x" * 800), 11_000
            )
        ),
        "a.gz",
        "file-too-large",
    ),
    "line without an end": (lambda: b'{"id":"' + b"x" * LONG, "a.ndjson", "line-too-long"),
    "array without an end": (lambda: b'[{"id":"' + b"x" * LONG, "a.json", "line-too-long"),
    "cell without an end": (lambda: b'id,status\n"' + b"x" * LONG, "a.csv", "line-too-long"),
    "cell of many lines without an end": (
        lambda: b'id,status\n"' + b"x\n" * MIB,
        "a.csv",
        "csv-quote",
    ),
    "many columns": (
        lambda: b"id," + b",".join(b"c%d" % number for number in range(1_000)),
        "a.csv",
        "member-unknown",
    ),
    "objects within objects": (lambda: b'{"a":' * 100_000, "a.ndjson", "json-nesting"),
    "arrays within arrays": (lambda: b"[" * 20_000, "a.json", "array-not-closed"),
    "arrays within arrays, closed": (
        lambda: TAG % (b"[" * 100_000 + b"]" * 100_000),
        "a.ndjson",
        "json-nesting",
    ),
    "number of a million digits": (lambda: TAG % (b"9" * 1_000_000), "a.ndjson", "json-number"),
    "number with a huge exponent": (lambda: TAG % b"1e999999999", "a.ndjson", "json-number"),
    "cell with a number of 100,000 digits": (
        lambda: b"id,status,tags.n:number\na,enabled," + b"9" * 100_000,
        "a.csv",
        "json-number",
    ),
    "one member again and again": (
        lambda: b"{%s}" % b",".join([b'"a":1'] * 100_000),
        "a.ndjson",
        "json-duplicate-member",
    ),
    "unknown properties": (
        lambda: b"{%s}" % b",".join(b'"m%d":1' % number for number in range(1_000)),
        "a.ndjson",
        "id-missing",
    ),
    "long names": (
        lambda: TAG % (b"{%s}" % b",".join(b'"%s":1e999' % (c * 900) for c in (b"a", b"b", b"c"))),
        "a.ndjson",
        "json-number",
    ),
    "long name of a column": (
        lambda: b"id,status,tags.%s:odd\na,enabled,1\n" % (b"x" * 100_000),
        "a.csv",
        "csv-header",
    ),
    "NULs": (lambda: b"\0" * LONG, "a.ndjson", "file-empty"),
    "NULs within a line": (lambda: b'{"id":"a"%s}' % (b"\0" * MIB), "a.ndjson", "line-too-long"),
    "NUL within a text": (lambda: TAG % b'"\0"', "a.ndjson", "line-nul"),
    "every byte": (lambda: bytes(range(1, 256)) * 500, "a.ndjson", "file-format"),
    "program": (lambda: b"MZ\x90\0\3\0\0\0" + b"\xff" * MIB, "a.ndjson", "file-format"),
    "only line ends": (lambda: b"\r\n" * 20_000, "a.ndjson", "file-empty"),
    "only commas": (lambda: b"[" + b"," * 10_000, "a.json", "array-comma"),
    "only braces": (lambda: b"{\n" * 3_000, "a.ndjson", "json-pretty-printed"),
    "empty objects": (lambda: b"{}\n" * 2_000, "a.ndjson", "id-missing"),
    MANY_LINES: (
        lambda: numbered_lines(b'{"id":"pump-%d","status":"on"}', 100_000),
        "a.ndjson",
        "status-invalid",
    ),
}


@contextmanager
def limited_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MAX_PEAK


@pytest.mark.parametrize("case", FILES)
def test_a_malicious_file_is_rejected_and_the_next_import_completes(app: App, case: str) -> None:
    make, name, rule = FILES[case]
    app.configure(MAX_FILE_BYTES=str(8 * MIB), MAX_REPORTED_PROBLEMS=str(MAX_PROBLEMS))
    content = make()
    app.upload(name, content)
    is_small = len(content) < SMALL and not name.endswith(".gz")
    del content
    with nullcontext() if is_small or case == MANY_LINES else limited_memory():
        app.deliver(name)

    record = app.record(name)
    assert (record.state, record.validation_attempts) == ("rejected", 1)
    assert 0 < len(record.failure_reason) <= 2_000
    columns = json.dumps(to_row(record), default=str)
    assert len(columns) < 8_000
    problems = app.report(record)["validation"]["problems"]
    assert rule in {problem["code"] for problem in problems}
    assert len(problems) <= 3 * MAX_PROBLEMS
    assert len(app.problems_csv(record)) < MIB
    report = record.report.removeprefix(f"{record.staged.container}/")
    assert re.fullmatch(r"report-[0-9a-f]{12}\.json", report)
    assert {blob.name for blob in app.container_of(record).list_blobs()} == {report, "problems.csv"}

    app.upload("good.ndjson", device("pump-1"))
    app.deliver("good.ndjson")
    assert app.record("good.ndjson").job.id
