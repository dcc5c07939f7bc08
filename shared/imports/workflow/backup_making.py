"""The backup of an import: what its devices were before it, with keys, twins and modules.

It is made of what the plan was made of, so a line that is applied under its guard has changed just
what the backup contains. The hub never gets a SAS of its container.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping

import msgspec

from shared.errors import PermanentError
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.model.safeguards import When
from shared.imports.services import Services
from shared.imports.store.import_container import backup_name
from shared.logs import logger
from shared.plan.model import Action, Note
from shared.plan.planner import PlanCounts, PlannedText
from shared.plan.snapshot import ExportError, Ids, Snapshot, export_lines
from shared.storage.blobs import StoredFile

__all__ = ["BackupError", "back_up", "keep_for_backup", "wants_backup"]

log = logger(__name__)


class BackupError(PermanentError):
    """No backup can be made of the devices."""


class _Ids(msgspec.Struct, rename="camel", gc=False):
    id: str
    module_id: str | None = None


_DECODER = msgspec.json.Decoder(_Ids)


def wants_backup(record: ImportRecord) -> bool:
    """Whether a backup of some of its devices may be made."""
    modes = record.validation.get("importModes") or {}
    return bool(record.undo_of) or record.safeguards.backup.concerns(modes)


def keep_for_backup(snapshot: Snapshot, line: PlannedText) -> None:
    """Note the device of a line, if it is there and the line is sent."""
    planned = line.planned
    if line.guarded and planned.action is not Action.CREATE:
        deletes = planned.action is Action.DELETE and not planned.module_id
        snapshot.keep(planned.id, planned.module_id, with_modules=deletes)


def back_up(
    services: Services,
    record: ImportRecord,
    counts: PlanCounts,
    snapshot: Snapshot,
    export: StoredFile | None,
    looked_up: Mapping[Ids, bytes],
    check: Callable[[], None],
) -> tuple[StagedFile, int]:
    """Write the backup of an import that was planned, if there is to be one.

    Args:
        snapshot: in which its devices were noted.
        export: that the snapshot was made of; None if all was looked up.
        looked_up: lines of what was looked up, instead of what the export says of it.
        check: raises if another process took over.

    Returns:
        The file, with an empty container if there is none; and its number of lines.

    Raises:
        BackupError: no backup can be made.
        ExportError: the export is not the same any more.
        AzureError: storage is unavailable.
    """
    if not _is_wanted(record, counts):
        return StagedFile(), 0
    if not snapshot.has_keys:
        raise BackupError("The hub exports no keys, so no backup can be made (BACKUP).")
    services.known_hubs.add_guarded(record.hub)
    container = services.container(backup_name(record.id))
    container.create(services.owner_of(record))
    file = StagedFile(
        container=backup_name(record.id), stem="devices", suffix=f"b{uuid.uuid4().hex[:12]}"
    )
    writer = container.writer(file)
    for line in _lines(export, looked_up, check):
        ids = _DECODER.decode(line)
        if snapshot.takes(ids.id, ids.module_id or ""):
            writer.write(line + b"\n")
    if left := snapshot.left():
        raise ExportError(
            snapshot.identities or 0, f"{left:,} devices are missing that it had before"
        )
    log.info("backed up: %d devices and modules", writer.lines)
    return container.committed(file, writer), writer.lines


def _is_wanted(record: ImportRecord, counts: PlanCounts) -> bool:
    backup = record.safeguards.backup
    if record.undo_of or backup is When.ALWAYS:
        return True
    # Where keys cannot be compared, they may be new.
    new_keys = counts.new_keys + counts.notes[Note.KEYS_NOT_COMPARED]
    destroys = bool(counts.actions[Action.DELETE] or counts.disables or new_keys)
    return backup is When.DESTRUCTIVE and destroys


def _lines(
    export: StoredFile | None, looked_up: Mapping[Ids, bytes], check: Callable[[], None]
) -> Iterator[bytes]:
    yield from looked_up.values()
    if export is None:
        return
    for number, line in enumerate(_exported(export_lines(export.chunks()))):
        if number % 1000 == 0:
            check()
        yield line


def _exported(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The devices of an export that was read before."""
    for number, line in enumerate(lines):
        if number == 0:
            line = line.removeprefix(b"\xef\xbb\xbf")
            if not line.lstrip().startswith(b"{"):
                # The sentence of an export without keys.
                continue
        if line.strip():
            yield line
