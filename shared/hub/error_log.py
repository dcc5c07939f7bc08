"""importErrors.log, in which a hub lists the failed lines of an import.

One JSON object per line: `deviceId`, `errorCode`, `errorStatus`, sometimes `moduleId`. It has no
line numbers, may repeat a failure many times, and quotes a line that the hub could not parse in
full, including keys. It may contain anything: anyone with the SAS can write it.
"""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.hub.explain import code_name
from shared.hub.parsing import parse_json, text_of
from shared.redaction import redact_id
from shared.text import clean, well_formed

__all__ = ["LOG_NAME", "FailedLine", "Key", "read_error_log"]

#: The hub chooses this name (Azure SDK for .NET, CommonConstants).
LOG_NAME = "importErrors.log"

#: Maximum length of a failure's text and of an id, in characters.
MAX_TEXT = 300
MAX_ID = 256

#: Bytes that are read of a line; the rest is skipped. The hub quotes lines of device files, whose
#: twins have at most 40 KB.
MAX_LINE = 1024 * 1024

#: Device id and module id (or ""), or the text of a line that the hub could not parse.
Key = tuple[str, str] | str

_UNPARSABLE = re.compile(r"in line:\s*(?=\{)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FailedLine:
    """A line that the hub rejected. The ids and `raw_line` are not redacted."""

    #: "" if the hub could not parse the line. For comparison; show `shown_id`.
    device_id: str
    #: "" for a device.
    module_id: str
    #: The symbolic name if it is known, else the hub's code.
    code: str
    text: str
    #: The line itself, including keys, if the hub could not parse it. For comparison only.
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
        """Whether the log identifies the line."""
        return bool(self.device_id or self.raw_line)

    @property
    def key(self) -> Key:
        """The line's identity, as far as the log shows it."""
        if self.device_id:
            return (self.device_id, self.module_id)
        return self.raw_line or self.text


def read_error_log(chunks: Iterable[bytes], seen: set[int]) -> Iterator[FailedLine]:
    """Yield each rejected device, module or unparsable line once, in the order of the log.

    Args:
        seen: collects the hashes of their keys; a million use about 60 MB.
    """
    for line, is_complete in _lines(chunks):
        failed = _parse(line) if is_complete else _cut_off(line)
        key = hash(failed.key)
        if key not in seen:
            seen.add(key)
            yield failed


def _lines(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield lines that are not blank, each with whether it is complete."""
    line, is_complete = bytearray(), True
    for chunk in _without_mark(chunks):
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


def _without_mark(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks without the mark that some writers of UTF-8 put first."""
    chunks = iter(chunks)
    yield next(chunks, b"").removeprefix(BOM_UTF8)
    yield from chunks


def _extend(line: bytearray, part: bytes) -> bool:
    """Append what fits to a line; return whether all of it did."""
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
    message = status if isinstance(status, str) else text_of(status)
    raw_line = ""
    if match := _UNPARSABLE.search(message):
        raw_line, rest = _split_quoted(message[match.end() :])
        message = f"{message[: match.start()]}: {rest}"
    return FailedLine(
        _id(members.get("deviceid")),
        _id(members.get("moduleid")),
        code_name(members.get("errorcode")),
        clean(message, MAX_TEXT),
        raw_line,
    )


def _id(value: object) -> str:
    """Return the hub's id. A valid id (ASCII, up to 128 characters) is not changed."""
    text = value if isinstance(value, str) else text_of(value)
    return well_formed(text[:MAX_ID])


def _split_quoted(text: str) -> tuple[str, str]:
    """Split the text after the JSON object that it starts with."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text, ""
    return text[:end], text[end:].lstrip(". ")
