"""One line of an import file (ExportImportDevice of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from local.hub.choices import ASSUMED, Choices
from local.hub.errors import ErrorCode, HubError
from local.hub.json_net import JsonNetError, JsonObject, parse_object
from local.hub.registry.identity import DeviceStatus, Identity, Key
from local.hub.registry.twin import TwinChange

_STATUS_TYPE = "Microsoft.Azure.Devices.Cloud.DeviceStatus"
_PROPERTIES_TYPE = "Microsoft.Azure.Devices.ExportImportDevice+PropertyContainer"
_MODE_TYPE = "Microsoft.Azure.Devices.Cloud.ImportMode"


class ImportMode(StrEnum):
    """What to do with a line; the table is on the learn page about bulk import."""

    CREATE_OR_UPDATE = "createOrUpdate"
    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    CREATE_OR_UPDATE_IF_MATCH_ETAG = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH_ETAG = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH_ETAG = "updateTwinIfMatchETag"


@dataclass(frozen=True, slots=True)
class ImportLine:
    """What a line asks for; not yet checked against the rules for ids, keys and twins."""

    mode: ImportMode
    identity: Identity
    twin: TwinChange
    etag: str | None
    twin_etag: str | None

    @property
    def key(self) -> Key:
        return self.identity.key


def parse_line(text: str, choices: Choices = ASSUMED) -> ImportLine:
    """Read a line, or refuse it with the text that the hub writes to importErrors.log."""
    try:
        line = parse_object(
            text,
            lenient=choices.json_syntax == "lenient",
            exact_case=choices.letter_case == "exact",
        )
        # Mandatory even for delete and updateTwin (live hub, and the C# SDK's model).
        status = line.required_enum("status", DeviceStatus, _STATUS_TYPE)
        return read_line(line, status)
    except JsonNetError as error:
        message = f"Invalid device format in line: {text}. {error}"
        raise HubError(ErrorCode.DeserializationError, message) from None


def read_line(line: JsonObject, status: DeviceStatus) -> ImportLine:
    """Read the members that lines of files and of bulk requests have in common."""
    key = Key(line.required_string("id"), line.string("moduleId"))
    mode = line.enum("importMode", ImportMode, _MODE_TYPE)
    properties = line.child("properties", _PROPERTIES_TYPE)
    return ImportLine(
        mode=mode or ImportMode.CREATE_OR_UPDATE,
        identity=Identity.read(line, key, status),
        twin=TwinChange(
            tags=line.document("tags"),
            desired=properties.document("desired"),
            reported=properties.document("reported"),
        ),
        etag=_unquoted(line.string("eTag")),
        twin_etag=_unquoted(line.string("twinETag")),
    )


def _unquoted(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None
