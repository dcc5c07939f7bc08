"""An undo: a new import whose lines make the devices of an import what they were before it.

They are made of the backup of that import, and planned when their turn has come: what the registry
is by then decides what is sent. Nothing depends on how far the import came.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from azure.core.exceptions import ResourceNotFoundError

from shared.device_files.duplicates import fingerprint
from shared.device_files.footprint import FootprintBuilder
from shared.errors import ImporterError, NotPossibleError, first_line
from shared.hub.error_log import read_error_log
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import Apply, ImportRecord
from shared.imports.model.safeguards import ActName, Actor, When
from shared.imports.model.states import ImportState
from shared.imports.operate.new_import import new_import, requested_before
from shared.imports.services import Services
from shared.imports.store.import_container import (
    LinesLostError,
    StagedFileChangedError,
    backup_name,
    container_name,
    second_container_name,
)
from shared.imports.tracing import traced
from shared.imports.workflow.job_outcome import identified
from shared.logs import logger
from shared.plan.undo_lines import applied_lines, undo_lines

__all__ = ["Undo", "explained_loss", "latest_undo", "undo_id"]

log = logger(__name__)


#: Codes by which the hub rejects a line that creates what is there.
_EXIST_ALREADY = frozenset({"DeviceAlreadyExists", "ModuleAlreadyExistsOnDevice"})


def undo_id(import_id: str, number: int) -> str:
    """The id of an undo of an import: it can be undone again once the former undo has ended."""
    return hashlib.sha256(f"undo {number} of {import_id}".encode()).hexdigest()[:24]


def latest_undo(services: Services, import_id: str) -> tuple[int, ImportRecord | None]:
    """The number and the record of the last undo of an import; 0 and None if there is none."""
    number, latest = 0, None
    while record := requested_before(services, undo_id(import_id, number + 1)):
        number, latest = number + 1, record
    return number, latest


@contextmanager
def explained_loss(old: ImportRecord) -> Iterator[None]:
    """Raise NotPossibleError where a file is missing that an undo needs."""
    try:
        yield
    except (ResourceNotFoundError, StagedFileChangedError, LinesLostError, ValueError) as error:
        raise NotPossibleError(
            f"The backup of import {old.id} was deleted (IMPORT_RETENTION_DAYS) or edited, so it "
            "cannot be undone."
        ) from error


class Undo:
    """Creates undos of imports."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def create(
        self, old: ImportRecord, by: Actor, *, deletes: int, also_changed: bool
    ) -> ImportRecord:
        """The import that undoes an ended one: the one that is open, or a new one.

        Args:
            deletes: how many devices and modules may be deleted, as it was shown.
            also_changed: whether what was changed after the import is overwritten, too.

        Raises:
            NotPossibleError: the import has not ended, or there is nothing to undo it by.
            AzureError: storage is unavailable.
        """
        number, existing = latest_undo(self._services, old.id)
        if existing is not None and not existing.state.is_final:
            if bool(existing.also_changed) != also_changed:
                raise NotPossibleError(
                    f"Import {old.id} is being undone by import {existing.id}. Wait until that has "
                    "ended, or cancel it."
                )
            return existing
        self.check(old)
        created = old.creates or 0
        if deletes != created:
            raise NotPossibleError(
                f"The undo of import {old.id} deletes up to {created:,} devices and modules, which "
                f"it created. To confirm, use deletes={created} (--deletes {created})."
            )
        with explained_loss(old):
            return self._create(old, number + 1, by, also_changed=also_changed)

    def check(self, old: ImportRecord) -> None:
        """Check that an import can be undone.

        Raises:
            NotPossibleError: it has not ended, has no backup or changed nothing.
        """
        if not old.state.is_final:
            raise NotPossibleError(
                f"Import {old.id} is {old.state.label}. Only an import that has ended can be "
                "undone; cancel it first."
            )
        if not old.backup.container:
            raise NotPossibleError(
                f"Import {old.id} has no backup, so it cannot be undone. Set BACKUP to destructive "
                "or always, for the imports to come."
            )
        if not old.can_be_undone:
            raise NotPossibleError(f"Import {old.id} changed no device, so nothing can be undone.")

    @traced("undo")
    def _create(
        self, old: ImportRecord, number: int, by: Actor, *, also_changed: bool
    ) -> ImportRecord:
        """Stage the lines and write the record."""
        services = self._services
        record = new_import(services, undo_id(old.id, number), old, ActName.UNDO, by)
        name = container_name(record.id)
        target, own_backup = services.container(name), services.container(backup_name(record.id))
        services.known_hubs.add_guarded(record.hub)
        for container in (target, own_backup):
            container.create(services.owner_of(record))
        # What was sent is kept with the undo, however long the import that it undoes is.
        undone = StagedFile(
            container=backup_name(record.id), stem="undone", suffix=f"u{uuid.uuid4().hex[:12]}"
        )
        sent = own_backup.writer(undone)
        for line in self.applied_lines(old):
            sent.write(line + b"\n")
        writer, footprint = target.stage(), FootprintBuilder()
        for line in self.lines(old):
            writer.write(line + b"\n")
            footprint.add(line + b"\n")
        staged = StagedFile(
            container=name,
            # If another request was first, the hub may be reading what that one wrote.
            etag=target.commit_once(writer),
            size=writer.size,
        )
        log.info("undoing import %s: %d devices and modules", old.id, writer.lines)
        queued = replace(
            record,
            undo_of=old.id,
            undo_number=number,
            also_changed=also_changed,
            state=ImportState.QUEUED,
            lines=writer.lines,
            devices=writer.lines,
            invalid_lines=0,
            apply=Apply.CHANGES,
            safeguards=replace(record.safeguards, backup=When.ALWAYS),
            staged=staged,
            footprint=footprint.build(),
            undone=own_backup.committed(undone, sent),
            undone_lines=sent.lines,
        )
        return services.store.create(queued)[0]

    def applied_lines(self, old: ImportRecord) -> Iterator[bytes]:
        """The lines that an import sent, but for those that were not applied."""
        return applied_lines(self._sent_lines(old), self._made_by_others(old))

    def _sent_lines(self, old: ImportRecord) -> Iterator[bytes]:
        """The lines that an import sent, by its plan."""
        container = self._services.container_of(old)
        if old.first_lines:
            yield from container.staged_lines(old.planned, old.first_lines)
        if old.second_lines:
            yield from container.staged_lines(old.second, old.second_lines)

    def _made_by_others(self, old: ImportRecord) -> set[tuple[int, str]]:
        """The devices and modules that existed already by the hub's log, as far as it is kept."""
        container = self._services.container_of(old)
        logs = [container.error_log()]
        if old.is_in_second_job:
            logs.append(self._services.container(second_container_name(old.id)).error_log())
        try:
            return {
                (fingerprint(failed.device_id), failed.module_id)
                for file in logs
                if file is not None
                for failed in map(identified, read_error_log(file.chunks(), set()))
                if failed.code in _EXIST_ALREADY
            }
        except (ImporterError, ValueError, KeyError) as error:
            log.warning("the hub's log of import %s cannot be read: %s", old.id, first_line(error))
            return set()

    def lines(self, old: ImportRecord) -> Iterator[bytes]:
        """What the devices are to be again."""
        backup = self._services.container(old.backup.container)
        return undo_lines(
            lambda: backup.staged_lines(old.backup, old.backup_lines or 0),
            lambda: self.applied_lines(old),
        )
