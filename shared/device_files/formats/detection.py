"""Detects the format of an uploaded file and starts its reader.

The content decides; the file's name is used only where the content is ambiguous.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial

from shared.device_files import characters
from shared.device_files.formats import byte_stream, containers
from shared.device_files.formats.comments import (
    COMMENT_STARTS,
    match_between_tokens,
    note_between_tokens,
    without_comments,
)
from shared.device_files.formats.csv_layout import PROPERTY, detect_layout
from shared.device_files.formats.csv_table import csv_batches
from shared.device_files.formats.foreign import foreign_kind
from shared.device_files.formats.json_array import ArrayReader
from shared.device_files.formats.ndjson import ndjson_batches
from shared.device_files.formats.reader import Batch, Sink, UnusableFileError
from shared.device_files.formats.wrapper import find_wrapper, reject_other_wrappers
from shared.device_files.limits import CsvDefaults, Limits
from shared.device_files.lines.strict_json import read_sound
from shared.device_files.mapping.file_mapping import NO_MAPPING, FileMapping
from shared.device_files.rules import Rule

__all__ = ["DeviceFile", "open_file"]

#: What is examined: enough for the first lines of any sensible file.
_HEAD_BYTES = 64 * 1024
#: Blank lines and comments before them, at most.
_MAX_START_BYTES = 1024 * 1024
#: Readers hold all lines of a piece at once.
_PIECE_BYTES = 128 * 1024

_BOM = b"\xef\xbb\xbf"
#: The first line of an export without keys.
_NO = r"\b(?:not|no|without|exclud\w*|omit\w*|left out|remov\w*|redact\w*|missing)\b"
_KEYS = r"\bkeys?\b"
_WITHOUT_KEYS = re.compile(f"{_KEYS}.*{_NO}|{_NO}.*{_KEYS}", re.IGNORECASE)
_MAX_NOTE_BYTES = 1024
_BLANKS = re.compile(rb"\s*+")
_SAVE_AS_CSV = (
    "; save its sheet as CSV (UTF-8). If its columns are not named after properties, map them in a "
    "_mapping.json of the folder; device-importer template --from FILE writes one"
)


@dataclass(frozen=True)
class DeviceFile:
    #: ndjson, json or csv, followed by +gzip if it is compressed.
    format: str
    batches: Iterator[Batch]


def open_file(
    chunks: Iterable[bytes],
    name: str,
    limits: Limits,
    defaults: CsvDefaults,
    sink: Sink,
    mapping: FileMapping = NO_MAPPING,
) -> DeviceFile:
    """Detect the format of a file and begin to read it.

    Args:
        mapping: for CSV. Its defaults are not added to the lines of other formats.

    Raises:
        UnusableFileError: it is no device file; also while the batches are read.
    """
    head, chunks = _head(chunks)
    suffix = "+gzip" if head.startswith(byte_stream.GZIP_MAGIC) else ""
    if suffix:
        packed = byte_stream.bounded(chunks, limits.max_file_bytes)
        head, chunks = _head(byte_stream.unzipped(packed, limits.max_expansion))
        if head.startswith(byte_stream.GZIP_MAGIC):
            raise UnusableFileError(Rule.FILE_FORMAT, "it is gzipped twice")
    if container := containers.container_of(head):
        detail = f"it looks like {container}"
        if container in containers.SPREADSHEETS:
            detail += _SAVE_AS_CSV
        raise UnusableFileError(Rule.FILE_FORMAT, detail)
    if containers.is_utf_16_or_32(head):
        raise UnusableFileError(Rule.FILE_ENCODING)
    if containers.is_binary(head):
        raise UnusableFileError(Rule.FILE_FORMAT, "it looks like binary data")
    chunks = byte_stream.without_padding(byte_stream.bounded(chunks, limits.max_file_bytes), sink)
    head, chunks = _head(chunks, skips_start=True)
    chunks = byte_stream.pieces(chunks, _PIECE_BYTES)
    has_bom = head.startswith(_BOM)
    if has_bom:
        head = head.removeprefix(_BOM)
        chunks = byte_stream.without_start(len(_BOM), chunks)
    format_, batches = _detect(head, chunks, name, limits, defaults, sink, mapping)
    if has_bom and format_ != "csv":
        # Spreadsheets write one to each CSV file.
        sink.note(1, Rule.FILE_BOM)
    return DeviceFile(format_ + suffix, batches)


def _detect(
    head: bytes,
    chunks: Iterator[bytes],
    name: str,
    limits: Limits,
    defaults: CsvDefaults,
    sink: Sink,
    mapping: FileMapping,
) -> tuple[str, Iterator[Batch]]:
    max_bytes = limits.max_line_bytes
    start, between = _start(head)
    head = head[: start + _HEAD_BYTES]
    body = head[start:]
    if _is_device(body.partition(b"\n")[0]):
        return "ndjson", ndjson_batches(chunks, max_bytes, sink)
    if body.startswith((b"{", b"[")) and (kind := foreign_kind(without_comments(body)[0])):
        raise UnusableFileError(Rule.FILE_FOREIGN, f"it contains {kind.name}; {kind.remedy}")
    if body.startswith(b"["):
        return "json", ArrayReader(max_bytes, sink).batches(chunks)
    line = 1 + head.count(b"\n", 0, start)
    if wrapper := find_wrapper(body, line):
        wrapper.check()
        skipped = start + len(wrapper.start)
        _note_comments(head, between, [start + offset for offset in wrapper.comments()], sink)
        sink.note(None, Rule.FILE_WRAPPER)
        first_line = 1 + head.count(b"\n", 0, skipped)
        reader = ArrayReader(max_bytes, sink, first_line, partial(wrapper.check_end, sink=sink))
        return "json", reader.batches(byte_stream.without_start(skipped, chunks))
    if body.startswith(b"{"):
        reject_other_wrappers(body, line)
    _reject_line_ends(head, body)
    if _is_export_without_keys(body):
        # Importing what follows would give new keys to every device.
        raise UnusableFileError(Rule.FILE_EXPORT_WITHOUT_KEYS, line=line)
    if not body.startswith(b"{"):
        if layout := detect_layout(head, start, name, mapping):
            return "csv", csv_batches(chunks, layout, max_bytes, defaults, sink, mapping)
        if containers.is_yaml(head):
            raise UnusableFileError(Rule.FILE_FORMAT, "it looks like YAML")
    return "ndjson", ndjson_batches(chunks, max_bytes, sink)


def _is_device(line: bytes) -> bool:
    value = read_sound(line.strip())
    return isinstance(value, dict) and "id" in value and isinstance(value.get("status"), str)


def _note_comments(
    head: bytes, between: Iterable[re.Match[bytes]], others: Iterable[int], sink: Sink
) -> None:
    """Report what is skipped together with the beginning of a file."""
    line, counted = 1, 0
    comments = [
        *((match.start(), match) for match in between),
        *((start, None) for start in others),
    ]
    for offset, match in comments:
        line += head.count(b"\n", counted, offset)
        counted = offset
        if match:
            note_between_tokens(match, line, sink)
        else:
            sink.note(line, Rule.JSON_COMMENT)


def _head(chunks: Iterable[bytes], *, skips_start: bool = False) -> tuple[bytes, Iterator[bytes]]:
    """Return the beginning of a file, and the whole file.

    Args:
        skips_start: read more of a file that begins with many blank lines or comments.
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


def _shows_start(head: bytes) -> bool:
    """Whether it contains enough of the first lines."""
    start, _ = _start(head)
    return len(head) - start >= _HEAD_BYTES and not head.startswith(COMMENT_STARTS, start)


def _start(head: bytes) -> tuple[int, list[re.Match[bytes]]]:
    """Return where the first line of a file begins, and what precedes it besides blanks."""
    position = 0
    between: list[re.Match[bytes]] = []
    while True:
        blanks = _BLANKS.match(head, position)
        assert blanks is not None
        position = blanks.end()
        match = match_between_tokens(head, position)
        if not match:
            return position, between
        between.append(match)
        position = match.end()


def _reject_line_ends(head: bytes, body: bytes) -> None:
    """Reject a file whose only line ends are CR (old Macs) or other characters."""
    text = head.rstrip()
    if b"\n" in text or not (match := characters.ODD_LINE_END.search(text)):
        return
    between_objects = characters.OBJECTS_BY_ODD_LINE_END.search(body)
    if not between_objects and body.startswith(b"{"):
        return
    end = (between_objects or match)["end"]
    if end == b"\r":
        raise UnusableFileError(Rule.FILE_LINE_ENDS)
    raise UnusableFileError(Rule.LINE_END, characters.describe_character(end.decode()))


def _is_export_without_keys(body: bytes) -> bool:
    """Whether the first line says that keys are omitted, and an object follows."""
    first, _, rest = body.partition(b"\n")
    text = first[:_MAX_NOTE_BYTES].decode("utf-8", "replace")
    if not _WITHOUT_KEYS.search(text) or PROPERTY.search(text):
        return False
    return rest.startswith(b"{", _start(rest)[0])
