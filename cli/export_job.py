"""An export job of a hub by the operator's own rights, as `az` runs it.

It writes into a container of its own. To the app, it is the job of another program.
"""

from __future__ import annotations

import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NoReturn

from azure.core.exceptions import AzureError, ResourceNotFoundError

from cli.errors import CommandError, Exit
from cli.hub_access import THROTTLED_SECONDS, Show
from cli.output import PROGRAM, Output
from shared.hub.exceptions import (
    HubAnswerError,
    HubError,
    HubThrottledError,
    HubUnavailableError,
    JobSlotBusyError,
    OutcomeUnknownError,
)
from shared.hub.explain import explain_text
from shared.hub.jobs import JobProperties, JobStatus
from shared.imports.services import Services
from shared.imports.store.import_container import PREFIX
from shared.imports.workflow.job_request import export_request
from shared.storage.blobs import StoredFile
from shared.text import format_duration

__all__ = ["Export", "exported"]

EXPORT_NAME = "devices.txt"

#: Seconds between two requests for a job while another one holds the slot.
BUSY_SECONDS = 10.0
#: Seconds between two reads of the job: the first ones, and the last.
_FIRST_POLL, _LAST_POLL = 0.5, 5.0
#: Seconds for which the status of the job may be unreadable.
_UNREADABLE_SECONDS = 180.0
#: How often a request for the job may stay unanswered.
_MAX_UNANSWERED = 3


@dataclass(frozen=True)
class Export:
    """A completed export."""

    #: Devices and modules as lines.
    file: StoredFile
    #: Before the hub began to read its registry.
    as_of: datetime


#: Windows has no SIGHUP.
_ENDING_SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class _Interruption:
    """Handles the signals that end a command.

    What a handler raises is lost if Python is just then finalizing an object, and pipelines send
    a signal only once. So it is noted, too.
    """

    def __init__(self) -> None:
        self._has_come = False

    def __call__(self, *_: object) -> NoReturn:
        self._has_come = True
        raise KeyboardInterrupt

    def check(self) -> None:
        if self._has_come:
            raise KeyboardInterrupt


@contextmanager
def exported(services: Services, hub: str, output: Output, *, keys: bool) -> Iterator[Export]:
    """Export a registry; the export is deleted at the end of the block.

    Args:
        keys: whether the export contains symmetric keys.

    Raises:
        HubError: the hub cannot be reached, or refuses the job.
        CommandError: the job failed or was cancelled.
    """
    name = f"{PREFIX}{secrets.token_hex(12)}-snapshot-1"
    container = services.storage.container(name)
    table = services.settings.storage.imports_table
    # By these, the app finds a container that was left behind and deletes it.
    container.create_container(metadata={"table": table, "snapshot": "true"})
    # Pipelines and closed terminals end a step so, and the job has to be cancelled then too.
    interruption = _Interruption()
    former_handlers = [(number, signal.signal(number, interruption)) for number in _ENDING_SIGNALS]
    try:
        as_of = _Job(services, hub, name, output, interruption, keys=keys).run()
        try:
            file = StoredFile(container.get_blob_client(EXPORT_NAME))
        except ResourceNotFoundError:
            raise CommandError(
                Exit.NO_ACCESS,
                f"The export job of the hub {hub} wrote no {EXPORT_NAME}. Try again.",
            ) from None
        yield Export(file, as_of)
    finally:
        try:
            container.delete_container()
        except AzureError:
            output.note(f"The container {name} could not be deleted. The app deletes it later.")
        for number, handler in former_handlers:
            signal.signal(number, handler)


class _Job:
    def __init__(
        self,
        services: Services,
        hub: str,
        container: str,
        output: Output,
        interruption: _Interruption,
        *,
        keys: bool,
    ) -> None:
        self._services = services
        self._client = services.hubs[hub]
        self._hub = hub
        self._container = container
        self._output = output
        self._interruption = interruption
        self._keys = keys
        self._title = f"Exporting the registry of {hub}"
        #: None until the hub is known to have it.
        self._job: JobProperties | None = None
        self._unanswered = 0

    def run(self) -> datetime:
        """Run the job to its end; cancel it if that is not reached.

        Returns:
            The time before it began.
        """
        try:
            with self._output.activity(self._title) as show:
                job, as_of = self._start(show)
                self._job = job
                job = self._job = self._follow(job, show)
        except BaseException:
            self._cancel()
            raise
        if job.status is JobStatus.COMPLETED:
            return as_of
        reason = job.failure_reason.rstrip(".") or "the hub gives no reason"
        explanation = explain_text(job.failure_reason)
        remedy = str(explanation) if explanation else "Try again."
        ended = "was cancelled" if job.status is JobStatus.CANCELLED else "failed"
        message = f"The export job {job.job_id} of the hub {self._hub} {ended}: {reason}. {remedy}"
        raise CommandError(Exit.NO_ACCESS, message)

    def _start(self, show: Show) -> tuple[JobProperties, datetime]:
        while True:
            self._interruption.check()
            as_of = self._services.clock()
            wait = THROTTLED_SECONDS
            try:
                if self._unanswered and (job := self._find()):
                    return job, as_of
                # Anew, as its SAS expires.
                request = export_request(self._services, self._container, with_keys=self._keys)
                return self._client.create_job(request), as_of
            except JobSlotBusyError:
                show(
                    f"Waiting: another import or export job runs at the hub {self._hub}. It is "
                    "tried again until that has ended; Ctrl-C gives up",
                    "",
                )
                wait = BUSY_SECONDS
            except HubThrottledError:
                show("Waiting: the hub throttles requests", "")
            except (OutcomeUnknownError, HubUnavailableError) as error:
                # An export changes nothing, so it may be repeated.
                self._unanswered += isinstance(error, OutcomeUnknownError) or self._unanswered > 0
                if self._unanswered in (0, _MAX_UNANSWERED):
                    raise
                show("Waiting: the hub did not answer", "")
                wait = _LAST_POLL
            time.sleep(wait)

    def _find(self) -> JobProperties | None:
        """The job of a request that was not answered, if the hub has it."""
        for job in self._client.list_jobs().jobs:
            if self._container in job.output_blob_container_uri and job.job_id:
                return job
        return None

    def _follow(self, job: JobProperties, show: Show) -> JobProperties:
        started = answered = time.monotonic()
        pause, job_id = _FIRST_POLL, job.job_id
        while not job.status.is_final:
            time.sleep(pause)
            self._interruption.check()
            pause = min(_LAST_POLL, 1.5 * pause)
            now = time.monotonic()
            try:
                job = self._client.get_job(job_id)
            except (HubThrottledError, HubUnavailableError, HubAnswerError):
                if now - answered > _UNREADABLE_SECONDS:
                    raise
                show("Waiting: the status of the job cannot be read", "")
                continue
            answered = now
            percent = f"{job.progress} %, " if job.progress else ""
            duration = format_duration(timedelta(seconds=round(now - started)))
            show(self._title, f"{percent}{duration}")
        return job

    def _cancel(self) -> None:
        """Cancel the job if it may run."""
        try:
            job = self._job or (self._find() if self._unanswered else None)
            if job is not None and not job.status.is_final:
                self._client.cancel_job(job.job_id)
        except HubError:
            self._output.note(
                f"{PROGRAM} could not cancel its export job. It changes nothing, but may hold "
                f"the job slot of the hub {self._hub} until it ends."
            )
