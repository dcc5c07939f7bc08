"""The file of a job of several imports: all of their validated lines, in queue order."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from azure.core.exceptions import ResourceModifiedError, ResourceNotFoundError

from shared.imports.model.job import JobRecord
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.invocation import in_this_invocation
from shared.storage.client import IncompleteReadError

__all__ = ["MembersChangedError", "write_job_file"]

#: Staged files that are read at the same time.
MAX_THREADS = 8


class MembersChangedError(Exception):
    """The staged files of some members are not those that were validated."""

    def __init__(self, records: Sequence[ImportRecord]) -> None:
        names = ", ".join(repr(record.file) for record in records)
        super().__init__(f"The staged files of {names} were deleted or changed.")
        self.records = records


def write_job_file(
    services: Services, job: JobRecord, members: Sequence[ImportRecord]
) -> StagedFile:
    """Write the file that the hub is to read, in a container of the job's own; once.

    Raises:
        MembersChangedError: what some members staged was deleted or changed since.
        ForeignContainerError, StagedFileChangedError: another process wrote something else.
        AzureError: storage is unavailable.
    """
    container = services.container_of(job)
    container.create(services.owner_of_job(job))
    writer = container.stage()

    def read(record: ImportRecord) -> bytes | None:
        """The lines of a member; None if they are not what was validated."""
        with contextlib.suppress(ResourceModifiedError, ResourceNotFoundError, IncompleteReadError):
            data = services.container_of(record).read_staged(record.staged)
            if data.endswith(b"\n") and data.count(b"\n") == record.devices:
                return data
        return None

    changed = []
    with ThreadPoolExecutor(min(MAX_THREADS, len(members)), "members") as pool:
        for record, data in zip(members, pool.map(in_this_invocation(read), members), strict=True):
            if data is None:
                changed.append(record)
            else:
                writer.write(data)
    if changed:
        raise MembersChangedError(changed)
    etag = container.commit_once(writer)
    return StagedFile(container=job.staged.container, etag=etag, size=writer.size)
