"""Applying the lines of configurations.txt, each by its import mode."""

from __future__ import annotations

from collections.abc import Iterable

from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.jobs.importing import log_line
from iothub_emulator.json_net import JsonNetError, JsonObject, parse_object
from iothub_emulator.registry.configurations import ANY_ETAG, Configurations, read_configuration
from iothub_emulator.registry.lines import MODE_TYPE, ImportMode


class ConfigurationImport:
    """Lines of configurations.txt, whose members are matched in any case too."""

    def __init__(self, configurations: Configurations) -> None:
        self._configurations = configurations

    def apply(self, lines: Iterable[str]) -> list[str]:
        return [error for text in lines if (error := self._apply(text)) is not None]

    def finish(self) -> list[str]:
        return []

    def _apply(self, text: str) -> str | None:
        id_ = None
        try:
            line = parse_object(text, dotnet_type="Microsoft.Azure.Devices.Configuration")
            id_ = line.required_string("id")
            self._write(id_, line)
        except JsonNetError as error:
            message = f"Invalid configuration format in line: {text}. {error}"
            return log_line({}, HubError(ErrorCode.DeserializationError, message))
        except HubError as error:
            return log_line({"configurationId": id_}, error)
        return None

    def _write(self, id_: str, line: JsonObject) -> None:
        mode = line.enum("importMode", ImportMode, MODE_TYPE) or ImportMode.CREATE_OR_UPDATE
        etag = (line.string("etag") or "").strip('"')
        if_match = etag if mode.looks_at_etag else ANY_ETAG
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
