"""One line of a device file: its members, their constraints, and the import modes.

Sources: the service REST API's ExportImportDevice (2021-04-12), "Import and export IoT Hub device
identities in bulk", and for the identifiers "Understand the identity registry" of learn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from shared.devices.report import Problem, Severity

__all__ = ["DeviceLine", "ImportMode", "problems_of"]


class ImportMode(StrEnum):
    """What to do with the line; a file may mix modes."""

    CREATE_OR_UPDATE = "createOrUpdate"  # the default
    CREATE = "create"
    UPDATE = "update"
    UPDATE_IF_MATCH_ETAG = "updateIfMatchETag"
    CREATE_OR_UPDATE_IF_MATCH_ETAG = "createOrUpdateIfMatchETag"
    DELETE = "delete"
    DELETE_IF_MATCH_ETAG = "deleteIfMatchETag"
    UPDATE_TWIN = "updateTwin"
    UPDATE_TWIN_IF_MATCH_ETAG = "updateTwinIfMatchETag"


class Status(StrEnum):
    ENABLED = "enabled"
    DISABLED = "disabled"


#: 1 to 128 ASCII characters. The registry's page lacks ':' and ';', which the SDKs accept.
Identifier = Annotated[
    str, StringConstraints(max_length=128, pattern=r"^[A-Za-z0-9\-.+%_#*?!(),:;=@$']+$")
]


class DeviceLine(BaseModel):
    """The members that every line is judged by; those of one mode or type come with their rules."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")

    id: Identifier
    module_id: Identifier | None = Field(None, alias="moduleId")
    #: The hub demands it on every line, also for delete.
    status: Status
    import_mode: ImportMode = Field(ImportMode.CREATE_OR_UPDATE, alias="importMode")


_REMEDIES = {
    "id": "has to be a text of 1 to 128 of A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '",
    "moduleId": "has to be a text of 1 to 128 of A-Z a-z 0-9 - . + % _ # * ? ! ( ) , : ; = @ $ '",
    "status": "has to be enabled or disabled; every line needs it, also one that deletes",
    "importMode": f"has to be one of {', '.join(ImportMode)}; leave it out for createOrUpdate",
}


def problems_of(error: ValidationError, line_number: int, line: bytes) -> Iterator[Problem]:
    """What a line's failed validation means, in the order of the members above."""
    for detail in error.errors(include_input=False, include_url=False, include_context=False):
        field = str(detail["loc"][0]) if detail["loc"] else ""
        match detail["type"]:
            case "json_invalid":
                code = "json-invalid"
                message = f"{detail['msg']}; each line has to be one complete JSON object"
            case "model_type":
                code = "json-not-an-object"
                message = "each line has to be a JSON object, { … }"
            case "missing":
                code = f"{field}-missing"
                message = f"{field} is missing: it {_REMEDIES[field]}"
            case _:
                code = f"{field}-invalid"
                message = f"{field} {_REMEDIES[field]}"
        yield Problem(line_number, _id_of(line), field, Severity.ERROR, code, message)


def _id_of(line: bytes) -> str:
    """The id of a line that broke a rule, for the person who looks for it; "" if it has none."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    device_id = value.get("id") if isinstance(value, dict) else None
    return device_id[:128] if isinstance(device_id, str) else ""
