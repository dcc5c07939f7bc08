"""One line of an import file (ExportImportDevice of the service swagger 2021-04-12)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from iothub_emulator.choices import DEFAULT_CHOICES, Choices
from iothub_emulator.errors import ErrorCode, HubError
from iothub_emulator.json_net import (
    DOCUMENT,
    STRING,
    Contract,
    Enumeration,
    JsonNetError,
    JsonObject,
    read_as,
)
from iothub_emulator.registry.identity import MEMBERS, DeviceStatus, Identity, Key
from iothub_emulator.registry.twin import TwinChange


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


IMPORT_MODE = Enumeration(ImportMode, "Microsoft.Azure.Devices.Cloud.ImportMode")
_TYPE = "Microsoft.Azure.Devices.ExportImportDevice"
_LINE_MEMBERS = {
    "id": STRING,
    "moduleId": STRING,
    "eTag": STRING,
    "twinETag": STRING,
    "importMode": IMPORT_MODE,
    **MEMBERS,
    "tags": DOCUMENT,
    "properties": Contract(
        f"{_TYPE}+PropertyContainer", {"desired": DOCUMENT, "reported": DOCUMENT}
    ),
}
#: The status is required, also for delete and updateTwin (live hub, and the C# SDK).
LINE = Contract(_TYPE, _LINE_MEMBERS, required=("id", "status"))
#: Clients omit the status where it has no effect, for example in a delete.
BULK_LINE = Contract(_TYPE, _LINE_MEMBERS, required=("id",))


@dataclass(frozen=True, slots=True)
class ImportLine:
    """A parsed line; mode, ids, keys and twin are not checked yet."""

    mode: ImportMode
    identity: Identity
    twin: TwinChange
    etag: str | None
    twin_etag: str | None

    @property
    def key(self) -> Key:
        return self.identity.key


def parse_line(text: str, choices: Choices = DEFAULT_CHOICES) -> ImportLine | None:
    """Parse a line; HubError with the message that the hub writes to importErrors.log.

    A line that Json.NET reads as nothing, such as ``null`` or a comment, is None like a blank line,
    unless the switch ``blank_lines`` refuses them.
    """
    try:
        line = read_as(
            text,
            LINE,
            lenient=choices.json_syntax == "lenient",
            exact_case=choices.letter_case == "exact",
        )
        if line is None and choices.blank_lines == "refuse":
            raise JsonNetError("The line contains no device.")
    except JsonNetError as error:
        message = f"Invalid device format in line: {text}. {error}"
        raise HubError(ErrorCode.DeserializationError, message) from None
    return None if line is None else read_line(line)


def read_line(line: JsonObject) -> ImportLine:
    """Read a line of a file or of a bulk request; the latter may omit the status."""
    properties = line.child("properties")
    return ImportLine(
        mode=line["importMode"] or ImportMode.CREATE_OR_UPDATE,
        identity=Identity.read(line)(
            key=Key(line["id"], line.string("moduleId")),
            status=line["status"] or DeviceStatus.ENABLED,
        ),
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
