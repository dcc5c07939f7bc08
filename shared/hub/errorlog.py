"""importErrors.log, the file in which a hub tells which lines of an import failed.

One JSON object a line: `deviceId`, `errorCode`, `errorStatus`, at times `moduleId`. It has no line
numbers, may hold the same failure many times over, and quotes a line that the hub could not parse
in full, keys included. It may hold anything: the holder of the SAS can write it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.hub.answers import parse_json, text_of
from shared.hub.refusals import code_name
from shared.redaction import redact_id
from shared.texts import clean, well_formed

__all__ = ["LOG_NAME", "FailedLine", "Key", "read_error_log"]

#: The hub chooses this name (Azure SDK for .NET, CommonConstants).
LOG_NAME = "importErrors.log"

#: Longest text of one failure and longest id that are kept, in characters.
MAX_TEXT = 300
MAX_ID = 256

#: Bytes of a line of the log that are read; the rest of a longer one is skipped. A hub quotes lines
#: of device files, in which a twin has 40 KB at most.
MAX_LINE = 1024 * 1024

#: A device's id with a module's or "", or the text of a line that the hub could not parse.
Key = tuple[str, str] | str

_UNPARSABLE = re.compile(r"in line:\s*(?=\{)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FailedLine:
    """One line that the hub refused. All texts but the ids and `raw_line` are redacted."""

    #: "" when the hub could not parse the line. For comparing; show `shown_id`.
    device_id: str
    #: "" for a device.
    module_id: str
    #: The symbolic name where it is known, else what the hub wrote.
    code: str
    text: str
    #: The refused line itself, keys included, when the hub could not parse it: for comparing only.
    raw_line: str = ""

    @property
    def shown_id(self) -> str:
        """The device's id, redacted."""
        return redact_id(self.device_id)

    @property
    def shown_module_id(self) -> str:
        """The module's id, redacted."""
        return redact_id(self.module_id)

    @property
    def is_identified(self) -> bool:
        """Whether the log tells which line it was."""
        return bool(self.device_id or self.raw_line)

    @property
    def key(self) -> Key:
        """What the log tells of the line's identity."""
        if self.device_id:
            return (self.device_id, self.module_id)
        return self.raw_line or self.text


def read_error_log(chunks: Iterable[bytes], seen: set[int]) -> Iterator[FailedLine]:
    """Each refused device, module or unparsable line once, in the order of the log.

    Args:
        seen: takes the hashes of their keys; a million take some 60 MB.
    """
    for line, is_complete in _lines(chunks):
        failed = _parse(line) if is_complete else _cut_off(line)
        key = hash(failed.key)
        if key not in seen:
            seen.add(key)
            yield failed


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Lines that are not blank, each with whether it is complete."""
    line, is_complete = bytearray(), True
    for chunk in chunks:
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            is_complete = _extend(line, end) and is_complete
            if line.strip():
                yield bytes(line), is_complete
            line.clear()
            is_complete = True
        is_complete = _extend(line, rest) and is_complete
    if line.strip():
        yield bytes(line), is_complete


def _extend(line: bytearray, part: bytes) -> bool:
    """Append what fits to a line; returns whether all of the part did."""
    room = MAX_LINE - len(line)
    line += part[:room]
    return len(part) <= room


def _cut_off(line: bytes) -> FailedLine:
    start = clean(line[: 10 * MAX_TEXT].decode("utf-8", "replace"), MAX_TEXT)
    return FailedLine("", "", "", f"line of the log over {MAX_LINE:,} bytes, truncated: {start}")


def _parse(line: bytes) -> FailedLine:
    text = line.decode("utf-8", "replace")
    try:
        entry = parse_json(text)
    except ValueError:
        entry = None
    if not isinstance(entry, dict):
        return FailedLine("", "", "", clean(text, MAX_TEXT))
    members = {key.lower(): value for key, value in entry.items()}
    status = members.get("errorstatus")
    said = status if isinstance(status, str) else text_of(status)
    raw_line = ""
    if match := _UNPARSABLE.search(said):
        raw_line, rest = _split_quoted(said[match.end() :])
        said = f"{said[: match.start()]}: {rest}"
    return FailedLine(
        _id(members.get("deviceid")),
        _id(members.get("moduleid")),
        code_name(members.get("errorcode")),
        clean(said, MAX_TEXT),
        raw_line,
    )


def _id(value: object) -> str:
    """An id as the hub gives it. A valid id (ASCII, up to 128 characters) does not change."""
    text = value if isinstance(value, str) else text_of(value)
    return well_formed(text[:MAX_ID])


def _split_quoted(text: str) -> tuple[str, str]:
    """The JSON object that the text begins with, and what follows it."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text, ""
    return text[:end], text[end:].lstrip(". ")
