"""One line of an import file (ExportImportDevice of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from local.hub.errors import ErrorCode, HubError
from local.hub.json_net import JsonNetError, parse_object
from local.hub.registry.identity import DeviceStatus, Identity, Key
from local.hub.registry.twin import TwinChange


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


@dataclass(frozen=True)
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


def parse_line(text: str) -> ImportLine:
    """Read a line, or refuse it with the text that the hub writes to importErrors.log."""
    try:
        return _read(text)
    except JsonNetError as error:
        message = f"Invalid device format in line: {text}. {error}"
        raise HubError(ErrorCode.DeserializationError, message) from None


def _read(text: str) -> ImportLine:
    line = parse_object(text)
    # ``status`` is mandatory even for delete and updateTwin (live hub, and the C# SDK's model).
    key = Key(line.required_string("id"), line.string("moduleId"))
    status = line.required_enum(
        "status", DeviceStatus, "Microsoft.Azure.Devices.Cloud.DeviceStatus"
    )
    mode = line.enum("importMode", ImportMode, "Microsoft.Azure.Devices.Cloud.ImportMode")
    return ImportLine(
        mode=mode or ImportMode.CREATE_OR_UPDATE,
        identity=Identity.read(line, key, status),
        twin=TwinChange(
            tags=line.document("tags"),
            desired=line.child("properties").document("desired"),
        ),
        etag=_unquoted(line.string("eTag")),
        twin_etag=_unquoted(line.string("twinETag")),
    )


def _unquoted(etag: str | None) -> str | None:
    return etag.strip('"') if etag else None
