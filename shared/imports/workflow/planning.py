"""The comparison of an import with the registry, before its job: only what changes is sent.

It is a job of its own kind, whose only member is the import: so it stands in the hub's queue, and
one look tells what occupies the hub's slot. It changes nothing at the hub. So there is no harm in
asking for an export twice, and a comparison that fails again and again ends in sending all lines.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable
from dataclasses import replace

from azure.core.exceptions import ResourceNotFoundError

from shared.errors import ImporterError, PermanentError, RefusedForNowError, first_line
from shared.hub.exceptions import (
    HubAnswerError,
    HubError,
    HubUnauthorizedError,
    JobNotFoundError,
    JobSlotBusyError,
    OutcomeUnknownError,
)
from shared.hub.jobs import JobStatus
from shared.imports.model.job import JobKind, JobRecord, JobState
from shared.imports.model.parts import NO_BACK_OFF, NO_JOB, NO_LEASE, Lease, StagedFile
from shared.imports.model.record import CancelReason, ImportRecord
from shared.imports.model.safeguards import When
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import StagedFileChangedError, snapshot_name
from shared.imports.store.import_store import ConflictError
from shared.imports.store.rows import NewerRowError, UnreadableRowError
from shared.imports.tracing import traced_job
from shared.imports.workflow import job_reasons
from shared.imports.workflow import plan_reasons as reasons
from shared.imports.workflow.backup_making import BackupError, wants_backup
from shared.imports.workflow.completion import end_import
from shared.imports.workflow.export_jobs import (
    MemberLostError,
    cancel_export,
    delete_export,
    member_of,
)
from shared.imports.workflow.holds import reason_to_hold
from shared.imports.workflow.job_request import export_request
from shared.imports.workflow.job_starter import reported_job
from shared.imports.workflow.job_traces import LOG_GRACE
from shared.imports.workflow.kept_lease import KeptLease
from shared.imports.workflow.plan_making import Planner
from shared.imports.workflow.planning_ends import PlanningEnds
from shared.imports.workflow.registry_reading import Lookups, ReadingWay, read_by_lookups
from shared.imports.workflow.upload_reasons import unexpected_error
from shared.logs import logger
from shared.plan.entries import RegistryLineError
from shared.plan.snapshot import ExportError, Snapshot
from shared.storage.blobs import StoredFile
from shared.storage.client import IncompleteReadError, is_outage

__all__ = ["Planning"]

log = logger(__name__)

#: What became of it: the job of a comparison that goes on, or the import that was compared; None if
#: its record was deleted or edited.
Result = JobRecord | ImportRecord | None


class Planning:
    """Compares imports with the registry. Each write is guarded."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._settings = services.settings
        self._jobs = services.jobs
        self._planner = Planner(services)
        self._ends = PlanningEnds(services)
        #: Of the leases of this process.
        self._owner = uuid.uuid4().hex
        self._way = ReadingWay(services)

    def start(self, record: ImportRecord) -> Result:
        """Begin with the head of a queue.

        Returns:
            The import if it was compared at once: queued again, or final if there is nothing to
            send or its staged file was changed.

        Raises:
            ConflictError: another process was first.
            AzureError: storage is unavailable.
        """
        try:
            self._services.container_of(record).check_staged(record.staged)
        except StagedFileChangedError as error:
            return self._ends.end_changed(record, error)
        now = self._services.clock()
        job = JobRecord(
            kind=JobKind.PLAN,
            hub=record.hub,
            id=record.id,
            members=(record.row_key,),
            staged=StagedFile(container=snapshot_name(record.id)),
            state=JobState.PREPARING,
            attempts=1,
            created_at=now,
            updated_at=now,
            lease=self._new_lease(),
        )
        job = self._jobs.seal(job, [record])
        return self._safely(job, lambda: self._begin(job, record.devices or 0))

    def advance(self, job: JobRecord) -> Result:
        """Take a comparison one step further.

        Raises:
            ConflictError: another process was first.
            AzureError: storage is unavailable.
        """
        now = self._services.clock()
        if job.is_backing_off(now) or job.is_leased(now):
            return job
        return self._safely(job, lambda: self._advance(job))

    def _advance(self, job: JobRecord) -> Result:
        if job.cancel_reason is CancelReason.OPERATOR:
            return self._cancelled(job)
        match job.state:
            case JobState.PREPARING:
                # The process that looked the devices up is gone.
                return self._ask_again(replace(job, attempts=job.attempts + 1))
            case JobState.ACCEPTED if job.lease.owner:
                return self._try_again(job, reasons.terminated())
            case JobState.ACCEPTED:
                return self._follow(job)
        return self._ask_again(job)

    def _safely(self, job: JobRecord, step: Callable[[], Result]) -> Result:
        """Do a step; an unexpected error counts as an attempt."""
        try:
            return self._counting_errors(job, step)
        except MemberLostError:
            log.error("%s was deleted or edited: its comparison is over", job.members[0])
            current = self._jobs.find(job.hub, job.id)
            if current is not None:
                self._jobs.close(current)
                delete_export(self._services, current)
            return None

    def _counting_errors(self, job: JobRecord, step: Callable[[], Result]) -> Result:
        try:
            return step()
        except (ConflictError, NewerRowError, UnreadableRowError, MemberLostError):
            raise
        except Exception as error:
            current = self._jobs.find(job.hub, job.id)
            if current is None or current.lease.owner not in ("", self._owner):
                raise
            if is_outage(error):
                # The step is taken again from its beginning.
                self._jobs.update(replace(current, lease=NO_LEASE))
                raise
            log.error("unexpected: %s", first_line(error), exc_info=error)
            return self._try_again(current, unexpected_error(error))

    @traced_job("plan")
    def _begin(self, job: JobRecord, lines: int) -> Result:
        if self._way.prefers_lookups(job.hub, lines):
            keeper = KeptLease(self._services, job, self._jobs.update)
            try:
                record = member_of(self._services, job)
                lookups = Lookups(self._services.hubs[job.hub])
                with read_by_lookups(
                    *(self._services, record, lookups, keeper.check),
                    with_modules=wants_backup(record)
                    or record.safeguards.approval is not When.NEVER,
                ) as snapshot:
                    return self._compare(keeper, record, snapshot, lookups)
            except (HubError, RegistryLineError) as error:
                log.info("the registry is exported: %s", first_line(error))
                if isinstance(error, HubUnauthorizedError):
                    self._way.note_refusal(job.hub)
                job = keeper.release()
            except BackupError as error:
                return self._ends.give_up(keeper.release(), str(error))
            except StagedFileChangedError as error:
                return self._ends.end_changed(
                    member_of(self._services, job), error, keeper.release()
                )
            finally:
                keeper.stop()
        return self._ask_again(job)

    def _ask_again(self, job: JobRecord) -> Result:
        """Ask the hub for an export, into a container that nobody has used before."""
        delete_export(self._services, job)
        staged = StagedFile(container=snapshot_name(job.id))
        job = replace(job, staged=staged, job=NO_JOB, lease=self._new_lease())
        if job.state is JobState.ASKED:
            # The process that asked is gone.
            return self._ask(self._jobs.update(job))
        return self._ask(self._jobs.transition(job, JobState.ASKED))

    @traced_job("export")
    def _ask(self, job: JobRecord) -> Result:
        record = member_of(self._services, job)
        owner = self._services.owner_of_snapshot(record)
        self._services.container_of(job).create(owner)
        with_keys = self._planner.needs_keys(record)
        try:
            answer = self._services.hubs[job.hub].create_job(
                export_request(self._services, job.staged.container, with_keys=with_keys)
            )
        except PermanentError as error:
            return self._ends.give_up(job, job_reasons.rejection(error))
        except ImporterError as error:
            return self._wait_or_give_up(job, error)
        accepted = replace(
            job,
            failure_reason="",
            job=reported_job(answer.job_id, answer),
            last_start_at=self._services.clock(),
            back_off=NO_BACK_OFF,
            lease=NO_LEASE,
        )
        return self._jobs.transition(accepted, JobState.ACCEPTED)

    def _follow(self, job: JobRecord) -> Result:
        try:
            answer = self._services.hubs[job.hub].get_job(job.job.id)
        except JobNotFoundError:
            return self._await_status(job, reasons.export_not_found())
        except HubAnswerError as error:
            return self._await_status(job, job_reasons.unexpected_answer(error))
        except HubError as error:
            log.warning("%s", error)
            return self._wait(job, job_reasons.hub_unreadable(error))
        reported = replace(job, job=reported_job(job.job.id, answer))
        if answer.status is JobStatus.COMPLETED:
            return self._read_export(reported)
        if answer.status.is_final:
            reason = reasons.export_failed(answer.status_text, answer.failure_reason)
            return self._try_again(job, reason)
        if answer.status is JobStatus.UNKNOWN:
            return self._await_status(job, job_reasons.unknown_status(answer.status_text))
        if self._services.clock() >= job.started_at + self._settings.jobs.deadline:
            with contextlib.suppress(HubError):
                cancel_export(self._services, job)
            return self._ends.give_up(job, reasons.export_takes_too_long())
        changed = replace(reported, failure_reason="", back_off=NO_BACK_OFF)
        if changed == job:
            return job
        log.info("export %s, %s %%", answer.status_text, answer.progress)
        return self._jobs.update(changed)

    @traced_job("plan")
    def _read_export(self, job: JobRecord) -> Result:
        """Compare the import with an export that is complete."""
        job = self._jobs.update(
            replace(job, failure_reason=reasons.comparing(), lease=self._new_lease())
        )
        record = member_of(self._services, job)
        keeper = KeptLease(self._services, job, self._jobs.update)
        try:
            self._services.container_of(record).check_staged(record.staged)
            file = self._services.container_of(job).export_file()
            as_of = job.job.start_time_utc or job.started_at
            if not file.size:
                self._way.check_emptiness(job.hub)
            with Snapshot(as_of, has_keys=self._planner.needs_keys(record)) as snapshot:
                return self._compare(keeper, record, snapshot, file)
        except StagedFileChangedError as error:
            return self._ends.end_changed(record, error, keeper.release())
        except BackupError as error:
            return self._ends.give_up(keeper.release(), str(error))
        except (ExportError, ResourceNotFoundError, IncompleteReadError) as error:
            return self._try_again(keeper.release(), reasons.export_unreadable(first_line(error)))
        finally:
            keeper.stop()

    def _compare(
        self,
        keeper: KeptLease[JobRecord],
        record: ImportRecord,
        snapshot: Snapshot,
        source: StoredFile | Lookups,
    ) -> ImportRecord:
        """Write the plan; the import is queued again or held, or ends if nothing is to be sent."""
        hub_devices: int | None = None
        if isinstance(source, Lookups) and record.safeguards.approval is When.DESTRUCTIVE:
            # Where the hub does not say it, the registry is exported, and its devices are counted.
            hub_devices = self._services.hubs[record.hub].count_devices()
            if hub_devices is None:
                raise HubAnswerError("The hub does not say how many devices it has.")
        planned, counts = self._planner.plan(record, snapshot, source, keeper.check)
        if hub_devices is None:
            hub_devices = snapshot.devices
        job = keeper.release()
        self._way.note_export(job, snapshot)
        return self._ends.end(job, record, planned, reason_to_hold(planned, counts, hub_devices))

    def _try_again(self, job: JobRecord, cause: str) -> Result:
        """Read the registry again after a back-off, or give up after some attempts."""
        log.warning("%s", cause)
        if job.attempts >= self._settings.retries.max_attempts:
            return self._ends.give_up(job, cause)
        next_try_at = self._services.next_try_at(job.attempts - 1)
        waiting = replace(
            job,
            attempts=job.attempts + 1,
            job=NO_JOB,
            failure_reason=reasons.begun_again(cause),
            back_off=replace(NO_BACK_OFF, next_try_at=next_try_at),
            lease=NO_LEASE,
        )
        return self._jobs.transition(waiting, JobState.REFUSED)

    def _wait_or_give_up(self, job: JobRecord, error: ImporterError) -> Result:
        """Ask again after a back-off, unless the cause was not fixed before the deadline."""
        now, deadline = self._services.clock(), self._settings.retries.refusal_deadline
        unresolved_since, refused_since = job.back_off.unresolved_since, None
        if isinstance(error, OutcomeUnknownError):
            # The export that may run is waited for; then the hub is asked again.
            unresolved_since, waited = job.unresolved(now)
            if waited >= deadline:
                return self._ends.give_up(job, first_line(error))
        elif isinstance(error, RefusedForNowError) and not isinstance(error, JobSlotBusyError):
            refused_since = min(job.back_off.refused_since or now, now)
            if now - refused_since >= deadline:
                return self._ends.give_up(job, job_reasons.rejection(error))
        log.info("waiting: %s", first_line(error))
        back_off = self._services.backing_off(
            replace(job.back_off, refused_since=refused_since, unresolved_since=unresolved_since)
        )
        waiting = replace(
            job, failure_reason=job_reasons.waiting(error), back_off=back_off, lease=NO_LEASE
        )
        return self._jobs.transition(waiting, JobState.REFUSED)

    def _await_status(self, job: JobRecord, cause: str) -> Result:
        """The status of the export is not known: wait for it, then export the registry again."""
        since, waited = job.unresolved(self._services.clock())
        if waited >= LOG_GRACE:
            return self._try_again(job, cause)
        job = replace(job, back_off=replace(job.back_off, unresolved_since=since))
        return self._wait(job, reasons.status_awaited(cause, LOG_GRACE))

    def _wait(self, job: JobRecord, reason: str) -> JobRecord:
        back_off = self._services.backing_off(job.back_off)
        return self._jobs.update(replace(job, failure_reason=reason, back_off=back_off))

    def _cancelled(self, job: JobRecord) -> Result:
        """End an import that an operator cancelled, once its export does not occupy the slot."""
        if job.may_be_at_hub:
            try:
                cancel_export(self._services, job)
            except HubError as error:
                since, waited = job.unresolved(self._services.clock())
                if waited < self._settings.retries.refusal_deadline:
                    back_off = replace(job.back_off, unresolved_since=since)
                    job = replace(job, back_off=back_off)
                    return self._wait(job, job_reasons.hub_unreadable(error))
        record = replace(
            job.ending(member_of(self._services, job)),
            failure_reason=reasons.cancelled(),
            imported=0,
            failed=0,
        )
        delete_export(self._services, job)
        return end_import(self._services, record, ImportState.CANCELLED, job=job)

    def _new_lease(self) -> Lease:
        until = self._services.clock() + self._settings.retries.lease
        return Lease(owner=self._owner, until=until)
