"""Applying one line to the registry, by its import mode.

Lines are independent of each other: one that is refused changes nothing and stops nothing.
"""

from __future__ import annotations

import json
from typing import Any

from local.hub.errors import HubError
from local.hub.registry.lines import ImportLine, ImportMode, parse_line
from local.hub.registry.registry import ANY_ETAG, Registry, not_registered

#: Stands in for the ETag of an "if match" line that has none; no stored ETag is empty.
_NO_ETAG = ""


def import_line(registry: Registry, text: str) -> str | None:
    """Carry out a line; returns the line for importErrors.log if it was refused."""
    line = None
    try:
        line = parse_line(text)
        _apply(registry, line)
    except HubError as error:
        return _error_line(line, error)
    return None


def blame(text: str) -> str:
    """The log's line for a device that is said to be missing (seen in a live hub's log)."""
    line = parse_line(text)
    return _error_line(line, not_registered(line.key))


def _apply(registry: Registry, line: ImportLine) -> None:
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
    fields: dict[str, Any] = {}
    if line is not None:
        fields["deviceId"] = line.key.device_id
        if line.key.module_id is not None:
            fields["moduleId"] = line.key.module_id
    fields |= {"errorCode": int(error.code), "errorStatus": error.message}
    return json.dumps(fields)
