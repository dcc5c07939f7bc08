"""The plan of one import from a snapshot of the registry: its files, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from shared.errors import ImporterError
from shared.hub.exceptions import HubUnauthorizedError
from shared.imports.model.parts import Plan
from shared.imports.model.record import Apply, ImportRecord
from shared.imports.model.safeguards import When
from shared.imports.services import Services
from shared.imports.workflow.backup_making import back_up, keep_for_backup, wants_backup
from shared.imports.workflow.recent_imports import RecentImports
from shared.imports.workflow.registry_reading import Lookups
from shared.logs import logger
from shared.plan.approved import approved_line, print_of
from shared.plan.entries import RegistryLineError
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action
from shared.plan.planner import PlanCounts, PlannedText, plan_file
from shared.plan.report import PlanReport, counts_json
from shared.plan.snapshot import Snapshot, export_lines
from shared.plan.undo import SentLines, plan_undo
from shared.storage.blobs import StoredFile

__all__ = ["Planner"]

log = logger(__name__)

#: Lines after which it is checked whether another process took over.
CHECKED_LINES = 1000


class Planner:
    """Plans imports."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def needs_keys(self, record: ImportRecord) -> bool:
        """Whether the registry is to be read with keys: to compare them, or to back them up."""
        if wants_backup(record):
            return True
        types = record.validation.get("authenticationTypes")
        if not types or "sas" in types:
            return True
        # Keys without a type count as not given, as lines without any authentication do.
        codes = record.validation.get("codes") or {}
        return bool(types.get("notGiven", 0) > codes.get("authentication-missing", 0))

    def plan(
        self,
        record: ImportRecord,
        snapshot: Snapshot,
        source: StoredFile | Lookups,
        check: Callable[[], None],
    ) -> tuple[ImportRecord, PlanCounts]:
        """Write the plan of an import.

        Args:
            snapshot: the state of its devices, unless there is an export to read.
            source: the export, or by what the devices were looked up.
            check: raises if another process took over.

        Returns:
            The record with its plan, not written yet; and what the plan counts.

        Raises:
            ExportError: the export is incomplete.
            BackupError: no backup can be made.
            StagedFileChangedError: the staged file is not what was validated.
            AzureError: storage is unavailable.
        """
        container = self._services.container_of(record)
        numbers = container.line_map(record.staged)
        devices = FileDevices(self._lines(record, check))
        may_be_stale: Callable[[str], bool] = lambda _: False  # noqa: E731
        export: StoredFile | None = None
        if isinstance(source, Lookups):
            lookups = source
        else:
            export, lookups = source, Lookups(self._services.hubs[record.hub])
            lines = export_lines(export.chunks())
            snapshot.read_export(lines, devices.__contains__, lambda _: check())
            recent = RecentImports(self._services, record, devices, snapshot.as_of)
            may_be_stale = _Refresher(recent, snapshot, lookups)
        way = "export" if export else "lookups"
        report = PlanReport(snapshot, source=way)
        backs_up = wants_backup(record)
        keeps_prints = record.safeguards.approval is not When.NEVER
        files = container.plan_files(keeps_prints=keeps_prints)
        approved = container.approved_prints(record) if record.is_to_be_compared_again else None
        for line in self._planned(record, devices, snapshot, may_be_stale, check):
            number = numbers.upload_line(line.number)
            line_print = print_of(line, snapshot) if keeps_prints else ""
            if approved is not None:
                line = approved_line(line, next(approved), line_print)
            report.add(line, number)
            files.add(line, number, line_print)
            if backs_up:
                keep_for_backup(snapshot, line)
        plan, file, second = files.commit(
            Plan(as_of=snapshot.as_of, digest=report.digest, counts=counts_json(report.counts)),
            report.to_json(),
        )
        actions = report.counts.actions
        unchanged = 0 if record.apply is Apply.ALL else actions[Action.UNCHANGED]
        log.info(
            "planned by %s: %d lines are sent, %d unchanged, %d would fail",
            *(way, plan.sent, unchanged, plan.failed),
        )
        counts = report.counts
        backup, backup_lines = back_up(
            *(self._services, record, counts, snapshot, export, lookups.lines, check)
        )
        record = replace(
            record,
            plan=plan,
            hold=replace(record.hold, compared_again=approved is not None or None),
            planned=file,
            second=second,
            second_lines=files.second_lines or None,
            unchanged=unchanged,
            left_out=actions[Action.LEFT_OUT] if record.undo_of else None,
            backup=backup,
            backup_lines=backup_lines or None,
            creates=actions[Action.CREATE] if backup.container else None,
        )
        return record, counts

    def _planned(
        self,
        record: ImportRecord,
        devices: FileDevices,
        snapshot: Snapshot,
        is_recent: Callable[[str], bool],
        check: Callable[[], None],
    ) -> Iterator[PlannedText]:
        lines = self._lines(record, check)
        if not record.undo_of:
            sends_unchanged = record.apply is Apply.ALL
            yield from plan_file(
                lines, devices, snapshot, is_recent, sends_unchanged=sends_unchanged
            )
            return
        backup = self._services.container(record.undone.container)
        sent_lines = backup.staged_lines(record.undone, record.undone_lines or 0)
        with SentLines(sent_lines) as sent:
            yield from plan_undo(
                *(lines, devices, snapshot, sent, is_recent),
                also_changed=bool(record.also_changed),
            )

    def _lines(self, record: ImportRecord, check: Callable[[], None]) -> Iterator[bytes]:
        container = self._services.container_of(record)
        lines = container.staged_lines(record.staged, record.devices or 0)
        for number, line in enumerate(lines):
            if number % CHECKED_LINES == 0:
                check()
            yield line


class _Refresher:
    """Says which devices may have changed since an export; the first ones are looked up instead.

    An export may lag behind imports that ended shortly before, as queries do.
    """

    def __init__(self, recent: RecentImports, snapshot: Snapshot, lookups: Lookups) -> None:
        self._recent = recent
        self._snapshot = snapshot
        self._lookups = lookups
        self._current: set[str] = set()
        # Of what is not known, the first devices are no better than the others.
        self._may_look_up = recent.is_known

    def __call__(self, device_id: str) -> bool:
        if device_id not in self._recent or device_id in self._current:
            return False
        if not self._look_up(device_id):
            return True
        self._current.add(device_id)
        return False

    def _look_up(self, device_id: str) -> bool:
        """Read a device with its modules again; returns whether that was possible."""
        if not (self._may_look_up and self._lookups.may_refresh(len(self._recent))):
            return False
        try:
            self._lookups.refresh(self._snapshot, device_id)
        except (ImporterError, RegistryLineError) as error:
            log.info("a device that was imported recently cannot be looked up: %s", error)
            self._may_look_up = not isinstance(error, HubUnauthorizedError)
            return False
        return True
