"""One line of an import file (ExportImportDevice of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.json_net import JsonNetError, JsonObject, parse_object
from iothub_emulator.registry.identity import DeviceStatus, Identity, Key
from iothub_emulator.registry.twin import TwinChange

_STATUS_TYPE = "Microsoft.Azure.Devices.Cloud.DeviceStatus"
_PROPERTIES_TYPE = "Microsoft.Azure.Devices.ExportImportDevice+PropertyContainer"
MODE_TYPE = "Microsoft.Azure.Devices.Cloud.ImportMode"


class ImportMode(StrEnum):
    """The operation of a line (learn page on bulk import)."""

    CREATE_OR_UPDATE = "createOrUpdate"
    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    CREATE_OR_UPDATE_IF_MATCH_ETAG = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH_ETAG = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH_ETAG = "updateTwinIfMatchETag"

    @property
    def checks_etag(self) -> bool:
        return self.value.endswith("IfMatchETag")


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A parsed line; ids, keys and twin are not checked yet."""

    mode: ImportMode
    identity: Identity
    twin: TwinChange
    etag: str | None
    twin_etag: str | None

    @property
    def key(self) -> Key:
        return self.identity.key


def parse_line(text: str, choices: Choices = DEFAULT_CHOICES) -> ImportLine:
    """Parse a line; HubError with the message that the hub writes to importErrors.log."""
    try:
        line = parse_object(
            text,
            lenient=choices.json_syntax == "lenient",
            exact_case=choices.letter_case == "exact",
        )
        return read_line(line)
    except JsonNetError as error:
        message = f"Invalid device format in line: {text}. {error}"
        raise HubError(ErrorCode.DeserializationError, message) from None


def read_line(line: JsonObject, default_status: DeviceStatus | None = None) -> ImportLine:
    """Read a line of a file or of a bulk request.

    Without ``default_status`` the status is required, also for delete and updateTwin (live hub, and
    the model of the C# SDK).
    """
    mode = line.enum("importMode", ImportMode, MODE_TYPE)
    identity = Identity.read(line)
    properties = line.child("properties", _PROPERTIES_TYPE)
    twin = TwinChange(
        tags=line.document("tags"),
        desired=properties.document("desired"),
        reported=properties.document("reported"),
    )
    etag, twin_etag = line.string("eTag"), line.string("twinETag")
    module_id = line.string("moduleId")
    status = line.enum("status", DeviceStatus, _STATUS_TYPE) or default_status
    return ImportLine(
        mode=mode or ImportMode.CREATE_OR_UPDATE,
        identity=identity(
            key=Key(line.required_string("id"), module_id),
            status=status or line.required_enum("status", DeviceStatus, _STATUS_TYPE),
        ),
        twin=twin,
        etag=_unquoted(etag),
        twin_etag=_unquoted(twin_etag),
    )


def _unquoted(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None
