"""The job of a comparison: its only member, and its export at the hub and in storage."""

from __future__ import annotations

import contextlib

from azure.core.exceptions import AzureError, ResourceNotFoundError

from shared.hub.exceptions import JobNotFoundError
from shared.imports.model.job import JobRecord, JobState
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.imports.services import Services
from shared.imports.store.import_container import is_snapshot_name
from shared.logs import logger

__all__ = ["MemberLostError", "cancel_export", "delete_export", "member_of"]

log = logger(__name__)


class MemberLostError(Exception):
    """The import is not in the job any more: its record was deleted, edited or ended."""


def member_of(services: Services, job: JobRecord) -> ImportRecord:
    """The record of the only member.

    Raises:
        MemberLostError: it is none any more.
    """
    try:
        record = services.store.get(job.hub, job.members[0])
    except ResourceNotFoundError:
        raise MemberLostError from None
    if record.state is not ImportState.PLANNING or record.job_record != job.id:
        raise MemberLostError
    return record


def cancel_export(services: Services, job: JobRecord) -> None:
    """Free the hub's slot.

    Raises:
        HubError: it is not known whether the export ends.
    """
    hub = services.hubs[job.hub]
    with contextlib.suppress(JobNotFoundError):
        # Hubs answer 500 to the cancelling of a job that has ended.
        if not hub.get_job(job.job.id).status.is_final:
            hub.cancel_job(job.job.id)


def delete_export(services: Services, job: JobRecord) -> None:
    """Delete the container of an export, which may contain keys; else the sweep does."""
    if job.state is JobState.PREPARING or not is_snapshot_name(job.staged.container):
        return
    try:
        services.storage.container(job.staged.container).delete_container()
    except ResourceNotFoundError:
        pass
    except AzureError:
        log.warning("container %s stays for now", job.staged.container, exc_info=True)
