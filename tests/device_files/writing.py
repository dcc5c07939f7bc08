"""Write devices as files of every format, with the first line of each device."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple
from unittest import mock

from shared.device_files import validation
from shared.device_files.formats import detection, json_array

BOM = b"\xef\xbb\xbf"

Devices = Sequence[dict[str, Any]]


class Written(NamedTuple):
    data: bytes
    #: First line of each device.
    lines: list[int]
    #: The devices as in the file: CSV has no empty properties, only absent ones.
    devices: list[dict[str, Any]]


def line(device: dict[str, Any]) -> bytes:
    """Serialize a line; a lone surrogate must be escaped."""
    try:
        return json.dumps(device, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(device).encode()


def ndjson(devices: Devices, start: bytes = b"", line_end: bytes = b"\n") -> Written:
    data = start + b"".join(line(device) + line_end for device in devices)
    return Written(data, [*range(1, len(devices) + 1)], list(devices))


def array(devices: Devices, separator: bytes = b",") -> Written:
    data = b"[" + separator.join(map(line, devices)) + b"]"
    lines = [1 + n * separator.count(b"\n") for n in range(len(devices))]
    return Written(data, lines, list(devices))


def pretty_array(devices: Devices, line_end: bytes = b"\n") -> Written:
    data = b"["
    lines: list[int] = []
    for device in devices:
        data += (b"," if lines else b"") + line_end
        lines.append(1 + data.count(b"\n"))
        try:
            text = json.dumps(device, ensure_ascii=False, indent=2).encode()
        except UnicodeEncodeError:
            text = json.dumps(device, indent=2).encode()
        data += text.replace(b"\n", line_end)
    return Written(data + line_end + b"]" + line_end, lines, list(devices))


def csv_table(devices: Devices, separator: str, start: bytes = b"") -> Written:
    """Write CSV with a column per property, of the simplest type that fits all values."""
    columns = _columns(devices)
    rows = [[name for _, _, name in columns]]
    for device in devices:
        values = ((kind, _at(device, path)) for path, kind, _ in columns)
        rows.append([_cell(kind, value) for kind, value in values])
    data, lines = start, []
    for row in rows:
        lines.append(1 + data.count(b"\n"))
        data += separator.join(_quoted(cell, separator) for cell in row).encode() + b"\r\n"
    rows_as_devices = []
    for row in rows[1:]:
        members: dict[str, Any] = {}
        for (path, kind, _), cell in zip(columns, row, strict=True):
            if cell:
                _put(members, path, cell if kind == "string" else json.loads(cell))
        rows_as_devices.append(members)
    return Written(data, lines[1:], rows_as_devices)


def gzipped(written: Written) -> Written:
    """Compress to two gzip members, as after appending to a gzip file."""
    half = len(written.data) // 2
    parts = written.data[:half], written.data[half:]
    return written._replace(data=b"".join(gzip.compress(part, mtime=0) for part in parts))


FORMS: dict[str, Callable[[Devices], Written]] = {
    "ndjson": ndjson,
    "ndjson-crlf-bom": lambda devices: ndjson(devices, BOM, b"\r\n"),
    "array": array,
    "array-of-lines": lambda devices: array(devices, b"\r\n , \n"),
    "pretty-array": pretty_array,
    "pretty-array-crlf": lambda devices: pretty_array(devices, b"\r\n"),
    "csv-commas": lambda devices: csv_table(devices, ","),
    "csv-semicolons": lambda devices: csv_table(devices, ";", BOM),
    "csv-tabs": lambda devices: csv_table(devices, "\t"),
}


@contextmanager
def small_pieces(head_bytes: int = 4096) -> Iterator[None]:
    """Read small files in several chunks too."""
    with (
        mock.patch.object(detection, "_HEAD_BYTES", head_bytes),
        mock.patch.object(json_array, "_STEP_BYTES", 64),
        mock.patch.object(validation, "BLOCK_LINES", 4),
    ):
        yield


#: Paths that have no type in a header, or always one.
_OBJECTS = re.compile(
    r"tags|properties(\.\w+)?|authentication(\.\w+Key|\.x509\w+)?|capabilities"
    r"|attributes|adrDeviceProperties"
)
_TYPED = ("capabilities.iotEdge", "parentScopes")
#: Names that need no quoting or escaping in a header.
_PLAIN = re.compile(r"\w*")

_Column = tuple[str, str, str]


def _columns(devices: Devices) -> list[_Column]:
    """Path, type and name of each column."""
    paths = dict.fromkeys(["id", *(path for device in devices for path in _leaves(device, ""))])
    columns = []
    for path in paths:
        steps = path.split(".")
        if any(".".join(steps[:count]) in paths for count in range(1, len(steps))):
            continue
        kind = _kind(path, [_at(device, path) for device in devices])
        bare = kind == "string" and path not in _TYPED
        columns.append((path, kind, path if bare else f"{path}:{kind}"))
    return columns


def _leaves(value: Any, path: str) -> Iterator[str]:
    is_open = isinstance(value, dict) and value and all(map(_PLAIN.fullmatch, value))
    if not is_open:
        yield path
        return
    for name, item in value.items():
        yield from _leaves(item, f"{path}.{name}" if path else name)


_ABSENT = object()


def _at(device: dict[str, Any], path: str) -> Any:
    value: Any = device
    for step in path.split("."):
        if not isinstance(value, dict) or step not in value:
            return _ABSENT
        value = value[step]
    return value


def _put(members: dict[str, Any], path: str, value: Any) -> None:
    *above, name = path.split(".")
    for step in above:
        members = members.setdefault(step, {})
    members[name] = value


def _kind(path: str, values: list[Any]) -> str:
    types = {type(value) for value in values if value is not _ABSENT}
    if _OBJECTS.fullmatch(path) or path == "parentScopes":
        return "json"
    if types <= {str, type(None)}:
        # An empty string is not an absent value, and NUL must be escaped.
        is_lossy = path in ("id", "moduleId") and "" in values
        if path.startswith(("tags.", "properties.", "attributes.", "adrDeviceProperties.")):
            is_lossy = not all(values)
        has_nul = any(isinstance(value, str) and "\0" in value for value in values)
        return "json" if is_lossy or has_nul else "string"
    if types == {bool}:
        return "boolean"
    return "number" if types <= {int, float} else "json"


def _cell(kind: str, value: Any) -> str:
    if value is _ABSENT or (kind == "string" and value is None):
        return ""
    return str(value) if kind == "string" else json.dumps(value, ensure_ascii=False)


def _quoted(cell: str, separator: str) -> str:
    if any(sign in cell for sign in (separator, '"', "\r", "\n")):
        return '"' + cell.replace('"', '""') + '"'
    return cell
