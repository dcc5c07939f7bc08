"""The second job of an undo, for lines that need devices which the first one makes again.

The lines of one job have no order. The import is queued again, at the first place.
Its record, its report and its guards are those of one import.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

from shared.hub.error_log import FailedLine
from shared.imports.model.job import JobRecord
from shared.imports.model.parts import StagedFile
from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.import_container import second_container_name
from shared.imports.store.plan_files import DEVICE_NOT_MADE
from shared.imports.workflow.job_outcome import JobOutcome
from shared.logs import logger

__all__ = ["begin_second_job", "needs_second_job", "without_lost_modules"]

log = logger(__name__)


def needs_second_job(record: ImportRecord) -> bool:
    """Whether an import whose job has completed has another file of lines."""
    return bool(record.second.container) and not record.is_in_second_job


def without_lost_modules(
    services: Services, record: ImportRecord, outcome: JobOutcome
) -> ImportRecord:
    """Take the modules out of the second file whose devices the first job did not make.

    A device of that id is somebody else's. The modules are added to what failed.

    Raises:
        AzureError: storage is unavailable.
    """
    codes = {
        failure.failed.device_id: failure.failed.code
        for failure in outcome.failures
        if not failure.failed.module_id
    }
    own = services.container_of(record)
    second = replace(record.second, suffix=f"p{uuid.uuid4().hex[:12]}")
    writer = own.writer(second)
    lost = 0
    for line in own.staged_lines(record.second, record.second_lines or 0):
        ids = json.loads(line)
        if code := codes.get(ids["id"]):
            lost += 1
            outcome.add(FailedLine(ids["id"], ids["moduleId"], code, DEVICE_NOT_MADE))
        else:
            writer.write(line + b"\n")
    if not lost:
        return record
    return replace(
        record,
        second=own.committed(second, writer) if writer.lines else StagedFile(),
        second_lines=writer.lines or None,
        plan=replace(record.plan, sent=(record.plan.sent or 0) - lost),
    )


def begin_second_job(
    services: Services, record: ImportRecord, outcome: JobOutcome, job: JobRecord
) -> None:
    """Queue the import again with its second file; what failed so far is kept with its plan.

    Raises:
        ConflictError: another process was first.
        AzureError: storage is unavailable.
    """
    former = services.store.get(record.hub, record.row_key)
    own = services.container_of(record)
    # A container of its own: a log in that of the first job proves that a job has run.
    name = second_container_name(record.id)
    container = services.container(name)
    container.create(services.owner_of(record))
    copy = replace(record.second, container=name, suffix=f"p{uuid.uuid4().hex[:12]}")
    writer = container.writer(copy)
    for line in own.staged_lines(record.second, record.second_lines or 0):
        writer.write(line + b"\n")
    failed = [failure.failed for failure in outcome.failures]
    path = own.write_failures(failed)
    queued = replace(
        former,
        # Before anything else of the queue, also what was uploaded before the undo was asked for.
        queue_key=former.first_queue_key,
        second=record.second,
        second_lines=record.second_lines,
        second_for_hub=container.committed(copy, writer),
        plan=replace(record.plan, failures=path, failed=len(failed)),
    )
    log.info("a second job is to make %d modules", record.second_lines or 0)
    services.jobs.dissolve(job, [(former, queued)])
