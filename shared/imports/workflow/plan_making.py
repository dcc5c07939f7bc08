"""The plan of one import from a snapshot of the registry: its files, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from shared.errors import ImporterError
from shared.hub.client import HubClient
from shared.hub.exceptions import HubUnauthorizedError
from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord, Plan
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.workflow import job_reasons
from shared.imports.workflow import plan_reasons as reasons
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.job_outcome import outcome_without_job
from shared.imports.workflow.recent_imports import RecentImports
from shared.imports.workflow.registry_reading import Lookups
from shared.logs import logger
from shared.plan.entries import RegistryLineError
from shared.plan.file_devices import FileDevices
from shared.plan.model import Action
from shared.plan.planner import plan_file
from shared.plan.report import PlanReport
from shared.plan.snapshot import Snapshot, export_lines
from shared.storage.blobs import StoredFile

__all__ = ["Planner"]

log = logger(__name__)

#: Lines after which it is checked whether another process took over.
CHECKED_LINES = 1000


class Planner:
    """Plans imports."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def compares_keys(self, record: ImportRecord) -> bool:
        """Whether the file may contain symmetric keys, so that the export must, too."""
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
        export: StoredFile | None,
        check: Callable[[], None],
    ) -> ImportRecord:
        """Write the plan of an import.

        Args:
            snapshot: the state of its devices, unless there is an export to read.
            check: raises if another process took over.

        Returns:
            The record with its plan, not written yet.

        Raises:
            ExportError: the export is incomplete.
            StagedFileChangedError: the staged file is not what was validated.
            AzureError: storage is unavailable.
        """
        container = self._services.container_of(record)
        numbers = container.line_map(record.staged)
        devices = FileDevices(self._lines(record, check))
        may_be_stale: Callable[[str], bool] = lambda _: False  # noqa: E731
        if export is not None:
            lines = export_lines(export.chunks())
            snapshot.read_export(lines, devices.__contains__, lambda _: check())
            recent = RecentImports(self._services, record, devices, snapshot.as_of)
            may_be_stale = _Refresher(recent, snapshot, self._services.hubs[record.hub])
        source = "lookups" if export is None else "export"
        report = PlanReport(snapshot, source=source)
        files = container.plan_files()
        for line in plan_file(self._lines(record, check), devices, snapshot, may_be_stale):
            number = numbers.upload_line(line.number)
            report.add(line, number)
            files.add(line, number)
        plan, file = files.commit(
            Plan(as_of=snapshot.as_of, digest=report.digest), report.to_json()
        )
        unchanged = report.counts.actions[Action.UNCHANGED]
        log.info(
            "planned by %s: %d lines are sent, %d unchanged, %d would fail",
            *(source, plan.sent, unchanged, plan.failed),
        )
        return replace(record, plan=plan, planned=file, unchanged=unchanged)

    def end_without_job(self, record: ImportRecord, job: JobRecord) -> ImportRecord:
        """End an import of which no line is sent."""
        container = self._services.container_of(record)
        limit = self._services.settings.validation.max_reported_problems
        outcome = outcome_without_job(record, container, limit)
        state, reason = ImportState.COMPLETED, reasons.nothing_to_send(record)
        if outcome.failed or record.invalid_lines:
            state = ImportState.COMPLETED_WITH_ERRORS
            reason = job_reasons.not_all_imported(record, outcome)
        ended = replace(
            job.ending(record),
            failure_reason=reason,
            imported=0,
            failed=outcome.failed,
            retry=outcome.retry,
        )
        return end_import(self._services, ended, state, outcome, job=job)

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

    def __init__(self, recent: RecentImports, snapshot: Snapshot, hub: HubClient) -> None:
        self._recent = recent
        self._snapshot = snapshot
        self._lookups = Lookups(hub)
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
