"""The members of a hub's next job, once every upload that is older than they are is known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

from shared.imports.model.record import ImportRecord
from shared.imports.services import Services
from shared.imports.store.queue_rows import QueueRow
from shared.imports.workflow.hub_work import HubWork
from shared.imports.workflow.job_choice import choose
from shared.imports.workflow.upload_scan import UploadScan

__all__ = ["JobMembers"]


class JobMembers:
    """Chooses the members of jobs from the queue as it was read."""

    def __init__(self, services: Services, upload_scan: UploadScan) -> None:
        self._services = services
        self._upload_scan = upload_scan

    def choose(
        self, work: HubWork, rows: Sequence[QueueRow], head: ImportRecord
    ) -> Sequence[ImportRecord] | None:
        """The members of the next job.

        Args:
            rows: the first that wait.
            head: the import of the first of them.

        Returns:
            None if the queue was read again since older uploads were looked for; no members if such
            may still be missing.
        """
        queue = [head]
        if len(rows) > 1:
            queued = self._services.queries.queued(head.hub, [row.record_key for row in rows[1:]])
            behind = takewhile(lambda row: row.record_key in queued, rows[1:])
            queue += [queued[row.record_key] for row in behind]
        members = choose(queue, self._services.settings.jobs, self._services.clock())
        keys = [row.row_key for row in rows]
        covered = [
            record
            for key, record in zip(keys, members, strict=False)
            if key <= work.checked or record.queued_at <= work.registered_until
        ]
        if len(covered) == len(members) or (covered and work.checked):
            return covered
        if self._upload_scan.register_until(members[-1]):
            work.checked = keys[len(members) - 1]
        elif covered:
            return covered
        elif len(members) > 1 and self._upload_scan.register_until(head):
            work.checked = keys[0]
        else:
            return ()
        again = self._services.queue_rows.oldest(head.hub, work.limit)
        is_same = [row.row_key for row in again[: len(work.rows)]] == [
            row.row_key for row in work.rows
        ]
        if is_same:
            return [
                record for key, record in zip(keys, members, strict=False) if key <= work.checked
            ]
        work.rows = again
        return None
