"""The file of a job of several imports: all of their validated lines, in queue order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.imports.model.job import JobRecord
from shared.imports.model.record import ImportRecord, StagedFile
from shared.imports.services import Services
from shared.invocation import in_this_invocation
from shared.storage.client import IncompleteReadError

__all__ = ["MemberChangedError", "write_job_file"]

#: Staged files that are read at the same time.
MAX_THREADS = 8


class MemberChangedError(Exception):
    """The staged file of a member is not the one that was validated."""

    def __init__(self, record: ImportRecord) -> None:
        super().__init__(f"The staged file of {record.file!r} was deleted or changed.")
        self.record = record


def write_job_file(
    services: Services, job: JobRecord, members: Sequence[ImportRecord]
) -> StagedFile:
    """Write the file that the hub is to read, in a container of the job's own; once.

    Raises:
        MemberChangedError: what a member staged was deleted or changed since.
        ForeignContainerError, StagedFileChangedError: another process wrote something else.
        AzureError: storage is unavailable.
    """
    container = services.container_of(job)
    container.create(services.owner_of_job(job))
    writer = container.stage()

    def read(record: ImportRecord) -> bytes:
        try:
            data = services.container_of(record).read_staged(record.staged)
        except (ResourceModifiedError, ResourceNotFoundError, IncompleteReadError) as error:
            raise MemberChangedError(record) from error
        if data[-1:] != b"\n" or data.count(b"\n") != record.devices:
            raise MemberChangedError(record)
        return data

    with ThreadPoolExecutor(min(MAX_THREADS, len(members)), "members") as pool:
        for data in pool.map(in_this_invocation(read), members):
            writer.write(data)
    etag = container.commit_once(writer)
    return StagedFile(container=job.staged.container, etag=etag, size=writer.size)
