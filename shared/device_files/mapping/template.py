"""A mapping to begin with, guessed from the header of a CSV file."""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from shared.device_files.formats.byte_stream import GZIP_MAGIC
from shared.device_files.formats.containers import container_of
from shared.device_files.formats.csv_columns import Column, overlap, parse_column
from shared.device_files.lines.damage import holds_key, is_secret
from shared.device_files.lines.hints import meant_property
from shared.device_files.mapping.file_mapping import column_key

__all__ = ["MAX_HEAD_BYTES", "NoHeaderError", "TemplateMapping", "guess_mapping", "read_header_row"]

#: What is read of a file.
MAX_HEAD_BYTES = 64 * 1024
_BOM = b"\xef\xbb\xbf"
#: A row with so many of the cells of the fullest one may be the header.
_FULL_SHARE = 0.8
_SEPARATORS = ",;\t|"
#: Rows that may contain the header.
_MAX_ROWS = 10
#: Lines that may precede a header.
_NO_TITLE = re.compile(r'"?(?:sep ?=|#type\b)', re.IGNORECASE)

_THUMBPRINT = "authentication.x509Thumbprint.primaryThumbprint"
#: Common names of columns besides those of `hints`, the best first, compared as there.
_NAMES = {
    "id": (
        *("deviceid", "device", "deviceno", "devicenumber", "serialnumber", "serialno", "serial"),
        *("serialnr", "sn", "sno", "seriennummer", "seriennr", "numerodeserie", "numeroserie"),
        *(
            "assetid",
            "imei",
            "macaddress",
            "mac",
            "hardwareid",
            "uid",
            "uuid",
            "devicename",
            "name",
        ),
    ),
    "tags.site": (
        *("site", "location", "standort", "plant", "werk", "building", "facility", "lieu"),
        *("ubicacion", "sede"),
    ),
    "tags.model": ("model", "modell", "modele", "modelo", "modelno", "modelnumber", "devicetype"),
    "tags.manufacturer": ("manufacturer", "vendor", "hersteller", "fabricant", "fabricante"),
    _THUMBPRINT: (*("thumbprint", "thumb", "fingerprint", "fingerabdruck", "empreinte", "huella"),),
}
_RANKS = {
    name: (target, rank) for target, names in _NAMES.items() for rank, name in enumerate(names)
}
_KEYS = "authentication.symmetricKey."
#: What names of thumbprints may contain besides, and what of a hash alone may.
_OF_THUMBPRINTS = re.compile("primary|zertifikats?|certificat[eo]?|cert|device|client|x509")
_HASH = re.compile("sha(?:1|256)")


class NoHeaderError(ValueError):
    """A file has no header that can be read; says what to do."""


@dataclass
class TemplateMapping:
    """A guessed mapping, and what is to be done about it."""

    document: dict[str, Any] = field(default_factory=dict)
    #: Sentences for the operator.
    notes: list[str] = field(default_factory=list)


class HeaderRow(NamedTuple):
    """The header of a CSV file."""

    #: From 1.
    line: int
    names: list[str]
    #: Whether lines before it have to be deleted.
    has_titles: bool


def read_header_row(head: bytes) -> HeaderRow:
    """Return the header of a CSV file.

    Args:
        head: the beginning of the file.

    Raises:
        NoHeaderError: there is none.
    """
    if head.startswith(GZIP_MAGIC):
        raise NoHeaderError("It is gzipped. Unpack it first.")
    if container := container_of(head):
        raise NoHeaderError(f"It looks like {container}. Save it as CSV (UTF-8).")
    if len(head) >= MAX_HEAD_BYTES:
        # Its last line, and the last character, may be cut.
        head = head[: head.rfind(b"\n") + 1]
        if not head:
            limit = f"{MAX_HEAD_BYTES:,} bytes"
            raise NoHeaderError(
                f"Its first line has more than {limit}. Delete columns in the file."
            )
    try:
        text = head.removeprefix(_BOM).decode()
    except UnicodeDecodeError:
        raise NoHeaderError("It is not UTF-8. Save it as CSV (UTF-8).") from None
    if text.lstrip().startswith(("{", "[")):
        raise NoHeaderError("It looks like JSON, whose properties cannot be mapped.")
    number, names = _header_row(text)
    names = [" ".join(name.split()) for name in names]
    while names and not names[-1]:
        names.pop()
    if any(is_secret(name) or holds_key(name) for name in names):
        raise NoHeaderError(f"Line {number:,} is no header: it contains a key (not shown).")
    before = text.split("\n")[: number - 1]
    has_titles = any(line.strip() and not _NO_TITLE.match(line) for line in before)
    return HeaderRow(number, names, has_titles)


def _header_row(text: str) -> tuple[int, list[str]]:
    """Return the line and the cells of the first of the fullest rows; before it may be titles."""
    by_separator = [_first_rows(text, separator) for separator in _SEPARATORS]
    rows = max(by_separator, key=lambda rows: max(map(_filled, rows), default=0))
    if not rows:
        raise NoHeaderError("It is empty, or its quotes cannot be read.")
    fullest = max(map(_filled, rows))
    return next(row for row in rows if _filled(row) >= _FULL_SHARE * fullest)


def _first_rows(text: str, separator: str) -> list[tuple[int, list[str]]]:
    # Cells may contain line ends.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, line = [], 1
    with contextlib.suppress(csv.Error):
        for cells in reader:
            if any(map(str.strip, cells)):
                rows.append((line, cells))
            if len(rows) == _MAX_ROWS:
                break
            line = reader.line_num + 1
    return rows


def _filled(row: tuple[int, list[str]]) -> int:
    return sum(map(bool, row[1]))


def guess_mapping(names: Sequence[str]) -> TemplateMapping:
    """Guess what each column of a file is for; what is not recognised is ignored."""
    template = TemplateMapping()
    own = {column.path for name in names if isinstance(column := parse_column(name), Column)}
    columns: dict[str, str] = {}
    candidates = sorted(dict.fromkeys(filter(None, names)), key=_rank)
    for name in candidates:
        target = _guess(name)
        if not (target and target not in own) or column_key(name) in map(column_key, columns):
            continue
        if not overlap([*own, *columns.values(), target]):
            columns[name] = target
    ignored = [
        name
        for name in dict.fromkeys(filter(None, names))
        if name not in columns and not isinstance(parse_column(name), Column)
    ]
    template.document = {
        "columns": {name: columns[name] for name in names if name in columns},
        "defaults": {} if "status" in {*own, *columns.values()} else {"status": "enabled"},
        "ignore": ignored,
    }
    template.notes = [*_notes(names, own, columns, ignored)]
    return template


def _notes(
    names: Sequence[str], own: set[str], columns: dict[str, str], ignored: Sequence[str]
) -> list[str]:
    targets = {*own, *columns.values()}
    notes = []
    if columns:
        guesses = ", ".join(
            f'"{name}" as {columns[name]}' for name in dict.fromkeys(names) if name in columns
        )
        notes.append(f"Check the guesses: {guesses}.")
    if ignored:
        quoted = ", ".join(f'"{name}"' for name in ignored)
        notes.append(f"Ignored: {quoted}. Move what you need from ignore to columns.")
    if "id" not in targets:
        notes.append(
            "To fill in: no column of the device id was recognised. Add it to columns, such as "
            '"Serial No": "id", or to values, such as "id": "pump-{Serial No}".'
        )
    keys = {f"{_KEYS}primaryKey", f"{_KEYS}secondaryKey"} - targets
    if len(keys) == 1:
        notes.append(f"To fill in: {keys.pop()} is required where the other key is given.")
    if len({*map(column_key, names)}) < len(names):
        notes.append("Two columns have the same name, or none. Rename them in the file.")
    return notes


def _letters(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def _known(name: str) -> tuple[str, int]:
    """The property that a name is a common one for, and how good that is (0: best)."""
    letters = _letters(name)
    if letters in _RANKS:
        return _RANKS[letters]
    # Such as "Thumbprint SHA-1" or "Cert. fingerprint (SHA-256)", but not "Firmware SHA-1".
    rest = _OF_THUMBPRINTS.sub("", letters)
    noun = _HASH.sub("", rest) or (rest and "thumbprint")
    found = _RANKS.get(noun, ("", 0))
    return found if found[0] == _THUMBPRINT else ("", len(_RANKS))


def _rank(name: str) -> int:
    return _known(name)[1]


def _guess(name: str) -> str:
    """The property that a column is probably for; "" if it is unknown, or has its own name."""
    if isinstance(parse_column(name), Column):
        return ""
    target = _known(name)[0] or meant_property(name)
    # Such as `authentication`, an object.
    return target if isinstance(parse_column(target), Column) else ""
