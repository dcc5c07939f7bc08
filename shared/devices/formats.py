"""From the bytes of an uploaded file to its devices, whatever form it has.

The form is recognised from the content; the file's name is asked only where the content leaves it
open.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.devices.characters import INVISIBLE
from shared.devices.comments import (
    COMMENT_STARTS,
    between_tokens,
    note_between_tokens,
    without_comments,
)
from shared.devices.compression import MAGIC, bounded, unzipped
from shared.devices.containers import container_of, is_yaml
from shared.devices.csvlayout import Layout, csv_layout
from shared.devices.csvtable import CsvDefaults, csv_batches
from shared.devices.foreign import foreign_kind
from shared.devices.jsonarray import array_batches
from shared.devices.ndjson import ndjson_batches
from shared.devices.padding import without_padding
from shared.devices.rules import Rule
from shared.devices.source import Batch, Limits, Sink, UnusableFileError
from shared.devices.strictjson import Finding
from shared.devices.wrapper import find_wrapper

__all__ = ["Source", "open_source"]

#: What is looked at to recognise the form: enough for the first lines of any sensible file.
_HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 128 * 1024
#: Lines of it that are judged.
_MAX_LINES = 50

_BOM = b"\xef\xbb\xbf"
#: The signs of UTF-32 begin or end with those of UTF-16.
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
#: How a line with an object begins, and what no header of CSV has: the name of a member.
_OBJECT = re.compile(r"""\{\s*["'}]""")
_MEMBER = re.compile(r'"\s*:')
#: What an export begins with that leaves keys out.
_NO = r"\b(?:not|no|without|exclud\w*|omit\w*|left out|remov\w*|redact\w*|missing)\b"
_KEYS = r"\bkeys?\b"
_NOTE = re.compile(f"{_KEYS}.*{_NO}|{_NO}.*{_KEYS}", re.IGNORECASE)
#: A line end between two objects or rows that is CR alone.
_OBJECTS_BY_CR = re.compile(rb"\}[ \t]*\r\s*\{")
_BLANKS = re.compile(rb"\s*+")


@dataclass(frozen=True)
class Source:
    """A file whose form is known."""

    #: ndjson, json or csv, followed by +gzip if it is compressed.
    format: str
    batches: Iterator[Batch]


def open_source(
    chunks: Iterable[bytes], name: str, limits: Limits, defaults: CsvDefaults, sink: Sink
) -> Source:
    """Recognise the form of a file and begin to read it.

    Raises:
        UnusableFileError: it is no device file; also while the batches are read.
    """
    head, chunks = _head(chunks)
    suffix = "+gzip" if head.startswith(MAGIC) else ""
    if suffix:
        packed = bounded(chunks, limits.max_file_bytes)
        head, chunks = _head(unzipped(packed, limits.max_expansion))
        if head.startswith(MAGIC):
            raise UnusableFileError(Rule.FILE_FORMAT, "it is gzipped twice")
    _refuse_other_files(head)
    head, chunks = _head(without_padding(bounded(chunks, limits.max_file_bytes), sink))
    head = head[:_HEAD_BYTES]
    chunks = _pieces(chunks)
    has_bom = head.startswith(_BOM)
    if has_bom:
        head = head.removeprefix(_BOM)
        chunks = _without(len(_BOM), chunks)
    form, batches = _recognised(head, chunks, name, limits, defaults, sink)
    if has_bom and form != "csv":
        # Spreadsheets write one in front of each CSV file, and all is well.
        sink.note(1, Finding("", Rule.FILE_BOM))
    return Source(form + suffix, batches)


def _recognised(
    head: bytes,
    chunks: Iterator[bytes],
    name: str,
    limits: Limits,
    defaults: CsvDefaults,
    sink: Sink,
) -> tuple[str, Iterator[Batch]]:
    max_bytes = limits.max_line_bytes
    start, between = _start(head)
    body = head[start:]
    if body.startswith((b"{", b"[")) and (kind := foreign_kind(without_comments(body)[0])):
        raise UnusableFileError(Rule.FILE_FOREIGN, f"it contains {kind.name}; {kind.remedy}")
    if body.startswith(b"["):
        return "json", array_batches(chunks, max_bytes, sink)
    if wrapper := find_wrapper(body):
        wrapper.check()
        skipped = start + len(wrapper.start)
        _note_comments(head, between, [start + offset for offset in wrapper.comments()], sink)
        sink.note(None, Finding("", Rule.FILE_WRAPPER))
        return "json", array_batches(
            _without(skipped, chunks),
            max_bytes,
            sink,
            first_line=1 + head.count(b"\n", 0, skipped),
            check_rest=wrapper.check,
        )
    lines = _lines(head)
    _refuse_line_ends(head, body)
    if layout := _csv_layout(lines, body, name):
        return "csv", csv_batches(chunks, layout, max_bytes, defaults, sink)
    if not body.startswith(b"{") and is_yaml(head):
        raise UnusableFileError(Rule.FILE_FORMAT, "it looks like YAML")
    batches = ndjson_batches(chunks, max_bytes, sink)
    if _begins_with_note(lines):
        # Importing what follows would give new keys to every device.
        raise UnusableFileError(Rule.FILE_EXPORT_WITHOUT_KEYS, line=lines[0][0])
    return "ndjson", batches


def _note_comments(
    head: bytes, between: Iterable[re.Match[bytes]], others: Iterable[int], sink: Sink
) -> None:
    """Report what is skipped with the beginning of a file."""
    for match in between:
        note_between_tokens(match, 1 + head.count(b"\n", 0, match.start()), sink)
    for offset in others:
        sink.note(1 + head.count(b"\n", 0, offset), Finding("", Rule.JSON_COMMENT))


def _head(chunks: Iterable[bytes]) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of a file, and the whole file."""
    rest = iter(chunks)
    head = bytearray()
    for chunk in rest:
        head += chunk
        if len(head) >= _HEAD_BYTES:
            break
    whole = bytes(head)
    return whole, itertools.chain([whole] if whole else [], rest)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Readers hold all lines of a piece at once."""
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]


def _without(count: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    yield next(chunks)[count:]
    yield from chunks


def _refuse_other_files(head: bytes) -> None:
    if container := container_of(head):
        raise UnusableFileError(Rule.FILE_FORMAT, f"it looks like {container}")
    # Only padding begins with many NULs.
    if head.startswith(_UTF_16_OR_32) or (b"\0" in head[:4] and head[:4].strip(b"\0")):
        raise UnusableFileError(Rule.FILE_ENCODING)


def _start(head: bytes) -> tuple[int, list[re.Match[bytes]]]:
    """Where the first line of a file begins, and the comments and the like before it."""
    position = 0
    between: list[re.Match[bytes]] = []
    while True:
        blanks = _BLANKS.match(head, position)
        assert blanks is not None
        position = blanks.end()
        match = between_tokens(head, position)
        if not match:
            return position, between
        between.append(match)
        position = match.end()


def _lines(head: bytes) -> list[tuple[int, str]]:
    """The first lines that are not blank, with their numbers."""
    texts = head.decode("utf-8", "replace").split("\n", _MAX_LINES)[:_MAX_LINES]
    # A tab at the end of a line may be what separates cells.
    stripped = (text.lstrip().rstrip(" \r") for text in texts)
    return [(number, text) for number, text in enumerate(stripped, 1) if text.strip()]


def _refuse_line_ends(head: bytes, body: bytes) -> None:
    """For files of old Macs, and of tools that take CR for a line end."""
    if b"\n" in head.rstrip() or b"\r" not in head.rstrip():
        return
    if not body.startswith(b"{") or _OBJECTS_BY_CR.search(body):
        raise UnusableFileError(Rule.FILE_LINE_ENDS)


def _csv_layout(lines: list[tuple[int, str]], body: bytes, name: str) -> Layout | None:
    """How a CSV file is laid out; None if it is none.

    A single line decides nothing: where most others hold objects, the first one is only broken.
    """
    if body.startswith(b"{") or not lines:
        return None
    others = [text.strip(INVISIBLE) for _, text in lines[1:]]
    objects = sum(1 for text in others if _OBJECT.match(text))
    comments = sum(1 for text in others if text.encode().startswith(COMMENT_STARTS))
    if objects > (len(others) - comments) / 2 or _MEMBER.search(lines[0][1]):
        return None
    is_named_csv = name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return csv_layout(lines, is_named_csv)


def _begins_with_note(lines: list[tuple[int, str]]) -> bool:
    """Whether the first line tells that keys were left out, and an object follows."""
    (_, first), (_, second) = (*lines, (0, ""), (0, ""))[:2]
    return bool(_NOTE.search(first)) and not _MEMBER.search(first) and second.startswith("{")
