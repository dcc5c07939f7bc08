"""From the bytes of an uploaded file to its devices, whatever form it has.

The form is recognised from the content; the file's name is asked only where the content leaves it
open.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.devices.compression import MAGIC, bounded, unzipped
from shared.devices.csvtable import CsvDefaults, csv_batches, header_cells
from shared.devices.hints import in_documented_case
from shared.devices.jsonarray import array_batches
from shared.devices.members import MEMBERS
from shared.devices.ndjson import ndjson_batches
from shared.devices.rules import Rule
from shared.devices.source import Batch, Limits, Sink, UnusableFileError
from shared.devices.strictjson import Finding

__all__ = ["Source", "open_source"]

#: What is looked at to recognise the form: enough for the first lines of any sensible file.
_HEAD_BYTES = 64 * 1024
_PIECE_BYTES = 128 * 1024

_BOM = b"\xef\xbb\xbf"
#: The signs of UTF-32 begin or end with those of UTF-16.
_UTF_16_OR_32 = (b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_BINARY = {
    b"PK\x03\x04": "a zip archive or an Excel workbook",
    b"\xd0\xcf\x11\xe0": "an Excel workbook",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"%PDF": "PDF",
}


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
    compressed = head.startswith(MAGIC)
    if compressed:
        packed = bounded(chunks, limits.max_file_bytes)
        head, chunks = _head(unzipped(packed, limits.max_expansion))
        if head.startswith(MAGIC):
            raise UnusableFileError(Rule.FILE_FORMAT, "it is gzipped twice")
    _refuse_other_files(head)
    chunks = _pieces(bounded(chunks, limits.max_file_bytes))
    has_bom = head.startswith(_BOM)
    if has_bom:
        head = head.removeprefix(_BOM)
        chunks = _without(len(_BOM), chunks)
    first, second = _first_lines(head)
    suffix = "+gzip" if compressed else ""
    if first.startswith(b"["):
        form, batches = "json", array_batches(chunks, limits.max_line_bytes, sink)
    elif separator := _csv_separator(first, name):
        form = "csv"
        batches = csv_batches(chunks, separator, limits.max_line_bytes, defaults, sink)
    else:
        form, batches = "ndjson", ndjson_batches(chunks, limits.max_line_bytes, sink)
        if not first.startswith(b"{") and second.startswith(b"{"):
            batches = _without_note(batches, sink)
    if has_bom and form != "csv":
        # Spreadsheets write one in front of each CSV file, and all is well.
        sink.note(1, Finding("", Rule.FILE_BOM))
    return Source(form + suffix, batches)


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
    for sign, what in _BINARY.items():
        if head.startswith(sign):
            raise UnusableFileError(Rule.FILE_FORMAT, f"it looks like {what}")
    if head.startswith(_UTF_16_OR_32) or b"\0" in head[:4]:
        raise UnusableFileError(Rule.FILE_ENCODING)


def _first_lines(head: bytes) -> tuple[bytes, bytes]:
    """The first two lines that are not blank; empty if there are none."""
    lines = (line for line in map(bytes.strip, head[:_HEAD_BYTES].split(b"\n")) if line)
    return next(lines, b""), next(lines, b"")


def _csv_separator(first_line: bytes, name: str) -> str:
    """The separator of a CSV file; "" if it is none."""
    if not first_line or first_line.startswith(b"{"):
        return ""
    separator, cells = header_cells(first_line.decode("utf-8", "replace"))
    named_csv = name.lower().removesuffix(".gz").endswith((".csv", ".tsv"))
    return separator if named_csv or any(map(_is_column, cells)) else ""


def _is_column(cell: str) -> bool:
    root = cell.strip().partition(":")[0].partition(".")[0]
    return in_documented_case(root, (*MEMBERS, "deviceId")) is not None


def _without_note(batches: Iterator[Batch], sink: Sink) -> Iterator[Batch]:
    """Leaves out the first line that is not blank, which only tells that keys were left out."""
    found = False
    for numbers, lines in batches:
        if not found:
            for number, line in zip(numbers, lines, strict=True):
                if line.strip():
                    found = True
                    sink.drop(number, [Finding("", Rule.FILE_EXPORT_WITHOUT_KEYS)])
                    skip = list(numbers).index(number) + 1
                    numbers, lines = list(numbers)[skip:], lines[skip:]
                    break
        yield numbers, lines
