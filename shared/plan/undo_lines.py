"""The lines of an undo, in the form of a device file: what its devices are to be again."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import Any

import msgspec

from shared.device_files.duplicates import fingerprint
from shared.device_files.lines.values import ImportMode, Status

__all__ = ["applied_lines", "is_of_hub", "removing_line", "restoring_line", "undo_lines"]

#: The properties of an export's line that an import can write.
_RESTORED = ("status", "statusReason", "capabilities", "attributes")
#: The credentials of a type of authentication.
_CREDENTIALS = {"sas": "symmetricKey", "selfSigned": "x509Thumbprint"}
_OF_THE_HUB = ("$metadata", "$version")


class _Ids(msgspec.Struct, rename="camel", gc=False):
    id: str
    module_id: str | None = None
    import_mode: ImportMode | None = None


_DECODER = msgspec.json.Decoder(_Ids)


def restoring_line(line: bytes) -> bytes:
    """The line of a device file that makes a device what it was.

    Args:
        line: of an export.

    Raises:
        ValueError: it is not such a line.
    """
    before = msgspec.json.decode(line, type=dict[str, Any])
    is_edge = bool((before.get("capabilities") or {}).get("iotEdge"))
    # The hub makes the scope of an edge device.
    scopes = ("parentScopes",) if is_edge else ("deviceScope", "parentScopes")
    desired = (before.get("properties") or {}).get("desired")
    authentication = before.get("authentication") or {}
    used = _CREDENTIALS.get(authentication.get("type") or "sas")
    restored = {
        "id": before["id"],
        **({"moduleId": before["moduleId"]} if before.get("moduleId") else {}),
        "importMode": ImportMode.CREATE_OR_UPDATE.value,
        **{
            name: before[name]
            for name in (*_RESTORED, *scopes)
            if before.get(name) not in (None, [])
        },
        # Hubs refuse credentials of another type, which some devices have from before.
        "authentication": {
            name: value for name, value in authentication.items() if name in ("type", used)
        },
        # Also where there is nothing: it takes away what was added.
        "tags": _own(before.get("tags")),
        "properties": {"desired": _own(desired)},
    }
    return msgspec.json.encode(restored)


def removing_line(device_id: str, module_id: str = "") -> bytes:
    """The line that removes what was not there before."""
    ids = {"id": device_id, **({"moduleId": module_id} if module_id else {})}
    # Hubs require the status of each line.
    required = {"status": Status.ENABLED.value, "importMode": ImportMode.DELETE.value}
    return msgspec.json.encode({**ids, **required})


def is_of_hub(module_id: str) -> bool:
    """Whether the hub itself makes the module, with its edge device."""
    return module_id.startswith("$")


def _own(section: Any) -> dict[str, Any]:
    members = section if isinstance(section, dict) else {}
    return {name: value for name, value in members.items() if name not in _OF_THE_HUB}


def undo_lines(
    backup: Callable[[], Iterable[bytes]], sent: Callable[[], Iterable[bytes]]
) -> Iterator[bytes]:
    """The lines of an undo; devices precede their modules.

    Args:
        backup: reads the lines of the backup.
        sent: reads the lines that the import sent.

    Raises:
        ValueError: one of them is not such a line.
    """
    there: set[tuple[int, str]] = set()
    for wants_modules in (False, True):
        for line in backup():
            ids = _DECODER.decode(line)
            module_id = ids.module_id or ""
            if bool(module_id) is wants_modules and not is_of_hub(module_id):
                there.add((fingerprint(ids.id), module_id))
                yield restoring_line(line)
    made: set[int] = set()
    for wants_modules in (False, True):
        for line in sent():
            ids = _DECODER.decode(line)
            device, module_id = fingerprint(ids.id), ids.module_id or ""
            if bool(module_id) is not wants_modules or is_of_hub(module_id):
                continue
            # What is deleted with its device needs no line of its own.
            if (device, module_id) in there or (module_id and device in made):
                continue
            if not module_id:
                made.add(device)
            yield removing_line(ids.id, module_id)


def applied_lines(
    sent: Iterable[bytes], made_by_others: Container[tuple[int, str]]
) -> Iterator[bytes]:
    """The lines that an import sent, but for those that would make what was there already.

    What could not be created was made by somebody else, and is not removed. Any other line that the
    hub's log reports may have been applied: live hubs reported devices as missing that they had
    deleted or updated.

    Args:
        made_by_others: fingerprints of the devices, and modules, of lines that the hub rejected
            since these were there already.
    """
    for line in sent:
        ids = _DECODER.decode(line)
        mode = ids.import_mode or ImportMode.CREATE_OR_UPDATE
        was_there = (fingerprint(ids.id), ids.module_id or "") in made_by_others
        if not (mode is ImportMode.CREATE and was_there):
            yield line
