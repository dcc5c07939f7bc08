"""From the bytes of an uploaded file to its devices, whatever form it has.

The form is recognised from the content; the file's name is asked only where the content leaves it
open.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from shared.device_files.characters import (
    INVISIBLE,
    OBJECTS_BY_ODD_LINE_END,
    ODD_LINE_END,
    describe_character,
)
from shared.device_files.formats.byte_stream import MAGIC, bounded, unzipped, without_padding
from shared.device_files.formats.comments import (
    COMMENT_STARTS,
    between_tokens,
    note_between_tokens,
    without_comments,
)
from shared.device_files.formats.containers import container_of, is_binary, is_utf_16_or_32, is_yaml
from shared.device_files.formats.csv_layout import Layout, csv_layout, is_header_line
from shared.device_files.formats.csv_table import csv_batches
from shared.device_files.formats.foreign import foreign_kind
from shared.device_files.formats.json_array import array_batches
from shared.device_files.formats.ndjson import ndjson_batches
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.formats.wrapper import find_wrapper, refuse_other_wrappers
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.strict_json import read_sound
from shared.device_files.rules import Finding, Rule

__all__ = ["Source", "open_source"]

#: What is looked at to recognise the form: enough for the first lines of any sensible file.
_HEAD_BYTES = 64 * 1024
#: Blank lines and comments in front of them, at most.
_MAX_START_BYTES = 1024 * 1024
_PIECE_BYTES = 128 * 1024
#: Lines of it that are judged, and lines with comments in front of them.
_MAX_LINES = 50
_MAX_COMMENTS = 5

_BOM = b"\xef\xbb\xbf"
#: How a line with an object begins, and what no header of CSV has: the name of a member.
_OBJECT = re.compile(r"""\{\s*["'}]""")
_MEMBER = re.compile(r'"\s*:')
#: What an export begins with that leaves keys out.
_NO = r"\b(?:not|no|without|exclud\w*|omit\w*|left out|remov\w*|redact\w*|missing)\b"
_KEYS = r"\bkeys?\b"
_NOTE = re.compile(f"{_KEYS}.*{_NO}|{_NO}.*{_KEYS}", re.IGNORECASE)
_MAX_NOTE_BYTES = 1024
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
    chunks = without_padding(bounded(chunks, limits.max_file_bytes), sink)
    head, chunks = _head(chunks, skips_start=True)
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
    head = head[: start + _HEAD_BYTES]
    body = head[start:]
    if body.startswith((b"{", b"[")) and (kind := foreign_kind(without_comments(body)[0])):
        raise UnusableFileError(Rule.FILE_FOREIGN, f"it contains {kind.name}; {kind.remedy}")
    if body.startswith(b"["):
        return "json", array_batches(chunks, max_bytes, sink)
    line = 1 + head.count(b"\n", 0, start)
    if wrapper := find_wrapper(body, line):
        wrapper.check()
        skipped = start + len(wrapper.start)
        _note_comments(head, between, [start + offset for offset in wrapper.comments()], sink)
        sink.note(None, Finding("", Rule.FILE_WRAPPER))
        return "json", array_batches(
            _without(skipped, chunks),
            max_bytes,
            sink,
            first_line=1 + head.count(b"\n", 0, skipped),
            check_rest=partial(wrapper.check_end, sink=sink),
        )
    if body.startswith(b"{"):
        refuse_other_wrappers(body, line)
    _refuse_line_ends(head, body)
    if _begins_with_note(body):
        # Importing what follows would give new keys to every device.
        raise UnusableFileError(Rule.FILE_EXPORT_WITHOUT_KEYS, line=line)
    lines = _lines(head, start)
    if layout := _csv_layout(lines, body, name):
        return "csv", csv_batches(chunks, layout, max_bytes, defaults, sink)
    if not body.startswith(b"{") and is_yaml(head):
        raise UnusableFileError(Rule.FILE_FORMAT, "it looks like YAML")
    return "ndjson", ndjson_batches(chunks, max_bytes, sink)


def _note_comments(
    head: bytes, between: Iterable[re.Match[bytes]], others: Iterable[int], sink: Sink
) -> None:
    """Report what is skipped with the beginning of a file."""
    line, counted = 1, 0
    for match in between:
        line += head.count(b"\n", counted, match.start())
        counted = match.start()
        note_between_tokens(match, line, sink)
    for offset in others:
        line += head.count(b"\n", counted, offset)
        counted = offset
        sink.note(line, Finding("", Rule.JSON_COMMENT))


def _head(chunks: Iterable[bytes], *, skips_start: bool = False) -> tuple[bytes, Iterator[bytes]]:
    """The beginning of a file, and the whole file.

    Args:
        skips_start: read on where a file begins with many blank lines or comments.
    """
    rest = iter(chunks)
    head = bytearray()
    enough = _HEAD_BYTES
    for chunk in rest:
        head += chunk
        if len(head) < enough:
            continue
        if not skips_start or len(head) >= _MAX_START_BYTES or _shows_start(bytes(head)):
            break
        enough = 2 * len(head)
    whole = bytes(head)
    return whole, itertools.chain([whole] if whole else [], rest)


def _pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Readers hold all lines of a piece at once."""
    for chunk in chunks:
        for start in range(0, len(chunk), _PIECE_BYTES):
            yield chunk[start : start + _PIECE_BYTES]


def _without(count: int, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if count < len(chunk):
            yield chunk[count:]
            break
        count -= len(chunk)
    yield from chunks


def _refuse_other_files(head: bytes) -> None:
    if container := container_of(head):
        raise UnusableFileError(Rule.FILE_FORMAT, f"it looks like {container}")
    if is_utf_16_or_32(head):
        raise UnusableFileError(Rule.FILE_ENCODING)
    if is_binary(head):
        raise UnusableFileError(Rule.FILE_FORMAT, "it looks like binary data")


def _shows_start(head: bytes) -> bool:
    """Whether enough of the first lines is there."""
    start, _ = _start(head)
    return len(head) - start >= _HEAD_BYTES and not head.startswith(COMMENT_STARTS, start)


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


def _lines(head: bytes, start: int) -> list[tuple[int, str]]:
    """The first lines that are not blank, with their numbers.

    Args:
        start: where the first line begins that is no comment.
    """
    start = head.rfind(b"\n", 0, start) + 1
    comments = _numbered(head[:start], 1, _MAX_COMMENTS)
    return [*comments, *_numbered(head[start:], 1 + head.count(b"\n", 0, start), _MAX_LINES)]


def _numbered(data: bytes, first: int, count: int) -> list[tuple[int, str]]:
    # A tab at the end of a line may be what separates cells.
    lines = (
        (number, text.lstrip().rstrip(" \r"))
        for number, text in enumerate(data.decode("utf-8", "replace").split("\n"), first)
        if text and not text.isspace()
    )
    return list(itertools.islice(lines, count))


def _refuse_line_ends(head: bytes, body: bytes) -> None:
    """For files of old Macs, and of tools that take other characters for line ends."""
    text = head.rstrip()
    if b"\n" in text or not ODD_LINE_END.search(text):
        return
    match = OBJECTS_BY_ODD_LINE_END.search(body)
    if not match and body.startswith(b"{"):
        return
    match = match or ODD_LINE_END.search(text)
    assert match is not None
    if match["end"] == b"\r":
        raise UnusableFileError(Rule.FILE_LINE_ENDS)
    raise UnusableFileError(Rule.LINE_END, describe_character(match["end"].decode()))


def _csv_layout(lines: list[tuple[int, str]], body: bytes, name: str) -> Layout | None:
    """How a CSV file is laid out; None if it is none.

    A single line decides nothing: where most others hold objects, the first one is only broken.
    """
    if body.startswith(b"{") or not lines:
        return None
    others = [text.strip(INVISIBLE) for _, text in lines[1:]]
    objects = sum(1 for text in others if _OBJECT.match(text))
    if any(is_header_line(text) for _, text in lines[:_MAX_COMMENTS]):
        # Rows may begin with a cell of JSON.
        objects = sum(1 for text in others if isinstance(read_sound(text.encode()), dict))
    comments = sum(1 for text in others if text.encode().startswith(COMMENT_STARTS))
    if objects > (len(others) - comments) / 2 or _MEMBER.search(lines[0][1]):
        return None
    is_named_csv = name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return csv_layout(lines, is_named_csv)


def _begins_with_note(body: bytes) -> bool:
    """Whether the first line tells that keys were left out, and an object follows."""
    first, _, rest = body.partition(b"\n")
    text = first[:_MAX_NOTE_BYTES].decode("utf-8", "replace")
    if not _NOTE.search(text) or _MEMBER.search(text):
        return False
    return rest.startswith(b"{", _start(rest)[0])
