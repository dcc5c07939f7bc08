"""importErrors.log, the file in which a hub tells which lines of an import failed.

One JSON object a line: `deviceId`, `errorCode`, `errorStatus`, at times `moduleId`. It has no line
numbers, may hold the same failure many times over, and quotes a line that the hub could not parse
in full, keys included. So every text that leaves this module is stripped of what may be a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

__all__ = [
    "LOG_NAME",
    "REMEDIES",
    "FailedLine",
    "Key",
    "code_label",
    "code_name",
    "read_error_log",
]

#: The hub chooses this name (Azure SDK for .NET, CommonConstants).
LOG_NAME = "importErrors.log"

#: Longest text of one failure that is kept, in characters.
MAX_TEXT = 300

#: Name and number of the codes that import logs are known to hold, and what to do about each
#: (learn: "Troubleshooting Azure IoT Hub errors").
_CODES = {
    400004: "ArgumentInvalid",
    400012: "DeserializationError",
    400023: "EtagDoesNotMatch",
    403002: "IotHubQuotaExceeded",
    404001: "DeviceNotFound",
    404010: "ModuleNotFound",
    409001: "DeviceAlreadyExists",
    409301: "ModuleAlreadyExistsOnDevice",
    412001: "PreconditionFailed",
    413002: "TooManyDevices",
    413003: "TooManyModulesOnDevice",
}
_NUMBERS = {name: number for number, name in _CODES.items()}

REMEDIES = {
    "ArgumentInvalid": "correct the id, key or thumbprint of the line",
    "DeserializationError": "correct the member that the hub names",
    "DeviceAlreadyExists": "use importMode createOrUpdate or update for devices that exist",
    "DeviceNotFound": "create the device first, or use importMode createOrUpdate",
    "EtagDoesNotMatch": "export the device again and take its present eTag",
    "IotHubQuotaExceeded": "add units to the hub or remove devices, then import these lines again",
    "ModuleAlreadyExistsOnDevice": "use importMode createOrUpdate or update for modules that exist",
    "ModuleNotFound": "create the module first, or use importMode createOrUpdate",
    "PreconditionFailed": "export the device again and take its present eTag or twinETag",
    "TooManyDevices": "add units to the hub or remove devices, then import these lines again",
    "TooManyModulesOnDevice": "remove modules of the device: a device has 50 at most",
}

#: A device's id with a module's or "", or the text of a line that the hub could not parse.
Key = tuple[str, str] | str

_UNPARSABLE = re.compile(r"in line:\s*(?=\{)", re.IGNORECASE)
_MAYBE_KEY = re.compile(r"[A-Za-z0-9+/]{22,}={0,2}")


@dataclass(frozen=True, slots=True)
class FailedLine:
    """One line that the hub refused."""

    #: "" when the hub could not parse the line.
    device_id: str
    #: "" for a device.
    module_id: str
    #: The symbolic name where it is known, else what the hub wrote.
    code: str
    text: str
    #: The refused line itself, keys included, when the hub could not parse it: for comparing only.
    raw_line: str = ""

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
    for line in _lines(chunks):
        failed = _parse(line)
        key = hash(failed.key)
        if key not in seen:
            seen.add(key)
            yield failed


def code_name(code: object) -> str:
    """The symbolic name of a code that may be a number, its digits, or a name already."""
    text = str(code if code is not None else "")
    return _CODES.get(int(text), text) if text.isdigit() else text


def code_label(name: str) -> str:
    """The name with its number, as documentation has it: `409001 DeviceAlreadyExists`."""
    number = _NUMBERS.get(name)
    return f"{number} {name}" if number else name or "no code"


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    tail = b""
    for chunk in chunks:
        *lines, tail = (tail + chunk).split(b"\n")
        yield from (line for line in lines if line.strip())
    if tail.strip():
        yield tail


def _parse(line: bytes) -> FailedLine:
    text = line.decode("utf-8", "replace").lstrip("\ufeff")
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        return FailedLine("", "", "", _safe(text))
    members = {key.lower(): value for key, value in entry.items()}
    device_id = str(members.get("deviceid") or "")
    said = str(members.get("errorstatus") or "")
    raw_line = ""
    if match := _UNPARSABLE.search(said):
        raw_line, rest = _split_quoted(said[match.end() :])
        said = f"{said[: match.start()]}: {rest}"
    return FailedLine(
        device_id,
        str(members.get("moduleid") or ""),
        code_name(members.get("errorcode")),
        _safe(said, device_id),
        raw_line,
    )


def _split_quoted(text: str) -> tuple[str, str]:
    """The JSON object that the text begins with, and what follows it."""
    try:
        _, end = json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text, ""
    return text[:end], text[end:].lstrip(". ")


def _safe(text: str, device_id: str = "") -> str:
    masked = _MAYBE_KEY.sub(lambda m: m[0] if m[0] in device_id else "***", text)
    return " ".join(masked.split())[:MAX_TEXT]
