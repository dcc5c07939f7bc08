"""Applying the lines of a file to the registry, each by its import mode.

Lines are independent of each other: one that is refused changes nothing and stops nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from iothub_emulator.choices import ASSUMED, Choices
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.registry.identity import Key
from iothub_emulator.registry.lines import ImportLine, ImportMode, parse_line
from iothub_emulator.registry.registry import ANY_ETAG, Registry, not_registered

#: Stands in for the ETag of an "if match" line that has none; no stored ETag is empty.
_NO_ETAG = ""


class DeviceImport:
    """Lines of devices.txt."""

    def __init__(
        self, registry: Registry, choices: Choices = ASSUMED, *, blame: bool = False
    ) -> None:
        self._registry = registry
        self._choices = choices
        # Whether each line is logged as of a missing device, though it is carried out.
        self._blame = blame
        self._seen: set[Key] = set()
        self._waiting: list[ImportLine] = []

    def apply(self, lines: Iterable[str]) -> list[str]:
        """Carry out lines, as one transaction for speed."""
        with self._registry.transaction():
            return [error for text in lines if (error := self._read_and_apply(text)) is not None]

    def finish(self) -> list[str]:
        """Carry out the modules that waited for their devices, if that is what the hub does."""
        with self._registry.transaction():
            errors = [self._apply(line) for line in self._waiting]
        return [error for error in errors if error is not None]

    def _read_and_apply(self, text: str) -> str | None:
        try:
            line = parse_line(text, self._choices)
        except HubError as error:
            return _error_line(None, error)
        if self._choices.repeated_device == "refuse":
            if line.key in self._seen:
                message = f"Device {line.key} is defined multiple times."
                return _error_line(line, HubError(ErrorCode.DeviceDefinedMultipleTimes, message))
            self._seen.add(line.key)
        if self._must_wait(line):
            self._waiting.append(line)
            return None
        return self._apply(line)

    def _must_wait(self, line: ImportLine) -> bool:
        return (
            self._choices.module_before_device == "wait"
            and line.key.module_id is not None
            and self._registry.find(line.key.parent) is None
        )

    def _apply(self, line: ImportLine) -> str | None:
        try:
            apply_line(self._registry, line)
        except HubError as error:
            return _error_line(line, self._logged(error))
        return _error_line(line, not_registered(line.key)) if self._blame else None

    def _logged(self, error: HubError) -> HubError:
        """As single requests know it, but for the code of a mismatch."""
        if error.code is not ErrorCode.PreconditionFailed:
            return error
        return HubError(ErrorCode[self._choices.etag_mismatch], error.message)


def apply_line(registry: Registry, line: ImportLine) -> None:
    """Carry out a line, or raise the hub's refusal."""
    identity, twin = line.identity, line.twin
    etag = line.etag or _NO_ETAG
    # Modes that write the identity look at a twinETag if there is one.
    if_twin = line.twin_etag or ANY_ETAG
    match line.mode:
        case ImportMode.CREATE_OR_UPDATE:
            registry.create_or_update(identity, twin, if_twin_match=if_twin)
        case ImportMode.CREATE:
            registry.create(identity, twin)
        case ImportMode.UPDATE:
            registry.update(identity, twin, if_twin_match=if_twin)
        case ImportMode.UPDATE_IF_MATCH_ETAG:
            registry.update(identity, twin, if_match=etag, if_twin_match=if_twin)
        case ImportMode.CREATE_OR_UPDATE_IF_MATCH_ETAG:
            registry.create_or_update(identity, twin, if_match=etag, if_twin_match=if_twin)
        case ImportMode.DELETE:
            registry.delete(line.key)
        case ImportMode.DELETE_IF_MATCH_ETAG:
            registry.delete(line.key, if_match=etag)
        case ImportMode.UPDATE_TWIN:
            registry.update_twin(line.key, twin)
        case ImportMode.UPDATE_TWIN_IF_MATCH_ETAG:
            registry.update_twin(line.key, twin, if_match=line.twin_etag or _NO_ETAG)


def _error_line(line: ImportLine | None, error: HubError) -> str:
    """A line that could not be read has no id to name; a line number there never is."""
    if line is None:
        return log_line({}, error)
    names = {"deviceId": line.key.device_id}
    if line.key.module_id is not None:
        names["moduleId"] = line.key.module_id
    return log_line(names, error)


def log_line(names: Mapping[str, Any], error: HubError) -> str:
    """A line of importErrors.log."""
    return json.dumps({**names, "errorCode": int(error.code), "errorStatus": error.message})
