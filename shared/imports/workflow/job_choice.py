"""Which waiting imports the next job takes: the head of the queue, and those that may go along.

As a database writes one log record for many transactions. The order of the queue is kept: the
members of a job are the first ones that wait, and no two of them touch the same devices, since a
job has no order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import islice

from shared.device_files.footprint import Footprint
from shared.imports.model.record import ImportRecord
from shared.imports.model.states import ImportState
from shared.settings import JobSettings

__all__ = ["choose", "queue_positions"]


#: An import with so many unexpected errors is in no job with others.
MAX_ERRORS = 2


def choose(
    queue: Iterable[ImportRecord], settings: JobSettings, now: datetime
) -> Sequence[ImportRecord]:
    """The members of the next job: the first import of a queue, and those behind it that fit."""
    members: list[ImportRecord] = []
    lines = size = 0
    joint: Footprint | None = None
    for record in queue:
        # Whatever goes wrong with an import goes wrong with it alone in the end.
        may_join = record.back_off.unexpected_errors < MAX_ERRORS and not record.goes_alone
        footprint = Footprint.from_bytes(record.footprint) if may_join else None
        if not members:
            members.append(record)
            joint = footprint
            lines, size = record.devices or 0, record.staged.size or 0
            continue
        lines += record.devices or 0
        size += record.staged.size or 0
        if (
            joint is None
            or footprint is None
            or not joint.may_precede(footprint)
            or record.state is not ImportState.QUEUED
            or record.is_backing_off(now)
            or len(members) >= settings.files
            or lines > settings.lines
            or size > settings.bytes
        ):
            break
        members.append(record)
        joint = joint.joined(footprint)
    return members


def queue_positions(
    queue: Sequence[ImportRecord], settings: JobSettings, now: datetime
) -> Iterator[tuple[ImportRecord, int]]:
    """Each import of a queue with the number of its job, from 1, as it looks now.

    Args:
        queue: as it is shown, so that the members of one job are known.
    """
    start, position = 0, 0
    while start < len(queue):
        position += 1
        job = queue[start].job_record
        if job:
            count = 1
            while start + count < len(queue) and queue[start + count].job_record == job:
                count += 1
        else:
            count = len(choose(islice(queue, start, None), settings, now))
        for record in queue[start : start + count]:
            yield record, position
        start += count
