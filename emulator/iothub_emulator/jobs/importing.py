"""Applying the lines of import files, each by its import mode.

Lines are independent: a refused line changes nothing, and the lines after it are applied.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from typing import Any

from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.errors import ErrorCode, HubError, compact, invalid
from iothub_emulator.json_net import STRING, Contract, JsonNetError, JsonObject, parse_object
from iothub_emulator.registry.configurations import MEMBERS, Configurations, read_configuration
from iothub_emulator.registry.identity import ANY_ETAG, Key, not_registered
from iothub_emulator.registry.lines import IMPORT_MODE, ImportLine, ImportMode, parse_line
from iothub_emulator.registry.registry import Registry

_CONFIGURATION = Contract(
    "Microsoft.Azure.Devices.Configuration",
    {"id": STRING, "importMode": IMPORT_MODE, "etag": STRING, **MEMBERS},
    required=("id",),
)

#: Modes that overwrite an identity with its twin.
_UPDATES = (
    ImportMode.CREATE_OR_UPDATE,
    ImportMode.UPDATE,
    ImportMode.UPDATE_IF_MATCH_ETAG,
    ImportMode.CREATE_OR_UPDATE_IF_MATCH_ETAG,
)


class DeviceImport:
    """Applies lines of devices.txt.

    Parameters
    ----------
    blame
        Log DeviceNotFound for each line, although it is applied (fault ``blameDevices``).
    """

    def __init__(
        self, registry: Registry, choices: Choices = DEFAULT_CHOICES, *, blame: bool = False
    ) -> None:
        self._registry = registry
        self._choices = choices
        self._blame = blame
        self._seen: set[Key] = set()
        self._waiting: list[ImportLine] = []

    def apply(self, lines: Iterable[str]) -> list[str]:
        """Apply lines in one transaction, for speed; return lines for the log."""
        with self._registry.transaction():
            return [error for text in lines if (error := self._read_and_apply(text)) is not None]

    def finish(self) -> list[str]:
        """Apply the modules that waited for their devices (``module_before_device=wait``)."""
        with self._registry.transaction():
            errors = [self._apply(line) for line in self._waiting]
        return [error for error in errors if error is not None]

    def _read_and_apply(self, text: str) -> str | None:
        try:
            line = parse_line(text, self._choices)
        except HubError as error:
            return _error_line(None, error)
        if line is None:
            return None
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
            if error.code is ErrorCode.PreconditionFailed:
                self._apply_without_twin(line)
            return _error_line(line, self._with_logged_code(error))
        return _error_line(line, not_registered(line.key)) if self._blame else None

    def _apply_without_twin(self, line: ImportLine) -> None:
        """The switch ``other_twin_etag``: update the identity of a line with another twinETag."""
        if self._choices.other_twin_etag == "twin" and line.mode in _UPDATES:
            etag = line.etag if line.mode.checks_etag else None
            with contextlib.suppress(HubError):
                self._registry.update_identity(line.identity, if_match=etag or ANY_ETAG)

    def _with_logged_code(self, error: HubError) -> HubError:
        """The switch ``etag_mismatch`` decides the code of a mismatch in the log."""
        if error.code is not ErrorCode.PreconditionFailed:
            return error
        return HubError(ErrorCode[self._choices.etag_mismatch], error.message)


def apply_line(registry: Registry, line: ImportLine) -> None:
    """Apply a line; HubError if the hub refuses it.

    The modes with ``IfMatchETag`` accept every device if the line has no ETag: recorded from a live
    hub for a bulk request that deletes, and assumed for the others.
    """
    identity, twin = line.identity, line.twin
    etag = line.etag or ANY_ETAG
    # Modes that write the identity check a twinETag if the line has one.
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
            registry.update_twin(line.key, twin, if_match=if_twin)
        case _:  # A number without a name.
            raise invalid(f"The import mode {line.mode} is unknown.")


def _error_line(line: ImportLine | None, error: HubError) -> str:
    """Format an error; a line that cannot be read has no ids, and the log has no line numbers."""
    if line is None:
        return _log_line({}, error)
    names = {"deviceId": line.key.device_id}
    if line.key.module_id is not None:
        names["moduleId"] = line.key.module_id
    return _log_line(names, error)


class ConfigurationImport:
    """Applies lines of configurations.txt; names of properties match in any case."""

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def apply(self, lines: Iterable[str]) -> list[str]:
        return [error for text in lines if (error := self._apply(text)) is not None]

    def finish(self) -> list[str]:
        return []

    def _apply(self, text: str) -> str | None:
        id_ = None
        try:
            line = parse_object(text, _CONFIGURATION)
            id_ = line["id"]
            self._write(id_, line)
        except JsonNetError as error:
            message = f"Invalid configuration format in line: {text}. {error}"
            return _log_line({}, HubError(ErrorCode.DeserializationError, message))
        except HubError as error:
            return _log_line({"configurationId": id_}, error)
        return None

    def _write(self, id_: str, line: JsonObject) -> None:
        mode = line.enum("importMode", ImportMode) or ImportMode.CREATE_OR_UPDATE
        etag = (line.string("etag") or "").strip('"')
        if_match = etag if mode.checks_etag else ANY_ETAG
        match mode:
            case ImportMode.DELETE | ImportMode.DELETE_IF_MATCH_ETAG:
                self._configurations.delete(id_, if_match)
            case ImportMode.CREATE:
                self._configurations.create(id_, read_configuration(line))
            case ImportMode.UPDATE | ImportMode.UPDATE_IF_MATCH_ETAG:
                self._configurations.update(id_, read_configuration(line), if_match)
            case ImportMode.CREATE_OR_UPDATE | ImportMode.CREATE_OR_UPDATE_IF_MATCH_ETAG:
                self._configurations.create_or_update(id_, read_configuration(line), if_match)
            case _:
                message = f"A configuration has no twin, so no {mode}."
                raise HubError(ErrorCode.InvalidOperation, message)


def _log_line(names: Mapping[str, Any], error: HubError) -> str:
    """Format a line of importErrors.log or importConfigErrors.log."""
    return compact({**names, "errorCode": int(error.code), "errorStatus": error.message})
